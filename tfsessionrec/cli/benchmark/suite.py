"""A suite: a folder of configurations, the tables that show them, and the logs they need."""

import dataclasses
import json
import pathlib
import shlex
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from tfsessionrec.cli import output
from tfsessionrec.cli.benchmark.trial import Folders, Trial, resolve

FILE = "suite.json"


@dataclasses.dataclass(frozen=True)
class Table:
    """One table of a suite, with a row for each configuration that names it.

    Args:
        head: Header of the first column.
        about: Text above the table; `{num_queries:,}` and `{num_candidates:,}` are filled in
            from the configuration of `example`.
        after: Text below the table.
        by_title: Whether to sort rows by title. Defaults to False: by the first metric, best
            first.
        baselines: Baselines to show from an evaluation report: row title -> name in the report.
        example: Configuration whose commands are shown. Defaults to the first row.
        compare: Pairs of configurations; a sentence states the first relative to the second.
        metric: Metric of this comparison. Defaults to the first metric of the suite.
        rows: JSON file of the suite with further rows: `{title: {metric: value}}` under `rows`.
    """

    head: str
    about: str = ""
    after: str = ""
    by_title: bool = False
    baselines: Mapping[str, str] = dataclasses.field(default_factory=dict)
    example: str | None = None
    compare: tuple[tuple[str, str], ...] = ()
    metric: str | None = None
    rows: str | None = None


@dataclasses.dataclass(frozen=True)
class Suite:
    """A suite of configurations, shown as one section of the document.

    Args:
        name: Name of the folder.
        title: Heading of the section.
        log: Kind of log, as named in the summary of all suites.
        metrics: Columns: header -> metric name.
        tables: Tables by the name that configurations use.
        trials: Configurations, sorted by name.
        files: Files derived from the given logs: file name -> command that writes it.
    """

    name: str
    title: str
    log: str
    metrics: Mapping[str, str]
    tables: Mapping[str, Table]
    trials: tuple[Trial, ...]
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def load(cls, folder: pathlib.Path) -> "Suite":
        """Reads a folder.

        Raises:
            ValueError: If `suite.json` or a configuration has unknown keys or lacks required
                ones.
        """
        content = _content(folder / FILE)
        trials = tuple(
            Trial.load(file) for file in sorted(folder.glob("*.json")) if file.name != FILE
        )
        try:
            tables = {
                name: Table(**{**table, "compare": tuple(map(tuple, table.get("compare", ())))})
                for name, table in content.pop("tables").items()
            }
            suite = cls(folder.name, tables=tables, trials=trials, **content)
        except (KeyError, TypeError) as error:
            raise ValueError(f"{folder / FILE} is not a valid suite: {error}") from error
        for trial in trials:
            for name in (trial.table, *trial.also):
                if name not in tables:
                    raise ValueError(
                        f"`table` should be one of {', '.join(tables)}. Received: {name!r} in "
                        f"{folder / trial.name}.json"
                    )
        return suite

    def prepare(self, data: pathlib.Path, folders: Folders, again: bool = False) -> None:
        """Writes the derived files that are missing; with `again`, all of them."""
        kept = {table.rows for table in self.tables.values()}
        for name, command in self.files.items():
            folder = folders.results / self.name if name in kept else folders.logs
            if (folder / name).is_file() and not again:
                continue
            folder.mkdir(parents=True, exist_ok=True)
            output.say(f"writing {name}")
            words = [resolve(word, data, folders) for word in shlex.split(command)]
            given = {"python": sys.executable, ".": str(folder), name: str(folder / name)}
            words = [given.get(word, word) for word in words]
            if subprocess.run(words, check=False).returncode or not (folder / name).is_file():
                raise ChildProcessError(f"failed to write {name}: {command}")

    def rows(self, table: Table, folders: Folders) -> dict[str, dict[str, float]]:
        """Further rows of a table: title -> metric -> value."""
        file = folders.results / self.name / (table.rows or "")
        return json.loads(file.read_text())["rows"] if table.rows and file.is_file() else {}


def _content(file: pathlib.Path) -> dict[str, Any]:
    """What a `suite.json` holds.

    Raises:
        ValueError: If it is no JSON object, or lacks a key.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} should be a JSON object. Received: {error}") from None
    required = ("title", "log", "metrics", "tables")
    missing = [name for name in required if not isinstance(content, dict) or name not in content]
    if missing:
        raise ValueError(
            f"{file} should have the keys {', '.join(required)}, and may have `files`; "
            f"benchmarks/README.md explains them. Received: no {', no '.join(missing)}"
        )
    for name in ("metrics", "tables"):
        if not isinstance(content[name], dict) or not content[name]:
            raise ValueError(
                f"`{name}` of {file} should be an object with at least one entry. Received: "
                f"`{name}`={content[name]!r}"
            )
    return content


def load_suites(configs: pathlib.Path) -> list[Suite]:
    """Reads all suites of a folder, sorted by name.

    Raises:
        ValueError: If the folder contains no suite.
    """
    folders = sorted(file.parent for file in configs.glob(f"*/{FILE}"))
    if not folders:
        raise ValueError(
            f"`--configs` should be a folder of suites, each with a {FILE}. "
            f"Received: {str(configs)!r}"
        )
    return [Suite.load(folder) for folder in folders]
