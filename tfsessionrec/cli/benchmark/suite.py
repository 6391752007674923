"""A folder of configurations: what is asked, the tables, and the logs made for it."""

import dataclasses
import json
import pathlib
import shlex
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from tfsessionrec.cli import output
from tfsessionrec.cli.benchmark.trial import Folders, Trial, _resolve

FILE = "suite.json"


@dataclasses.dataclass(frozen=True)
class Table:
    """One table of a suite: the configurations that name it.

    Args:
        head: Head of its first column.
        about: What stands above it; `{num_queries:,}` and `{num_candidates:,}` are those of its
            first row.
        after: What stands below it.
        by_title: Whether rows go by their titles. By default by the first metric, best first.
        baselines: Rows of baselines that an evaluation measures: title and name in the report.
        example: The configuration whose commands are shown. By default that of the first row.
        compare: Pairs of configurations whose first is told as a multiple of the second.
        metric: The metric of these pairs. By default the table's first.
        rows: A JSON file of the suite with further rows, `{title: {metric: value}}` at `rows`.
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
    """A section of the document and the configurations behind it.

    Args:
        name: The folder.
        title: Its heading.
        log: The kind of log, in the table of all suites.
        metrics: Columns: head and name of the metric.
        tables: By the name that configurations give.
        trials: The configurations, by name.
        files: What is made of the given logs: name of the file and the command that makes it.
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
            ValueError: If `suite.json` or a configuration holds something unknown or lacks
                something.
        """
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
        trials = tuple(
            Trial.load(file) for file in sorted(folder.glob("*.json")) if file.name != FILE
        )
        try:
            tables = {name: _table(**table) for name, table in content.pop("tables").items()}
            suite = cls(folder.name, tables=tables, trials=trials, **content)
        except (KeyError, TypeError) as error:
            raise ValueError(f"{folder / FILE} is no suite: {error}") from error
        for trial in trials:
            for name in (trial.table, *trial.also):
                if name not in tables:
                    raise ValueError(
                        f"`table` should be one of {', '.join(tables)}. Received: {name!r} in "
                        f"{folder / trial.name}.json"
                    )
        return suite

    def prepare(self, data: pathlib.Path, folders: Folders, again: bool = False) -> None:
        """Makes the files that are missing, or all of them."""
        kept = {table.rows for table in self.tables.values()}
        for name, command in self.files.items():
            folder = folders.results / self.name if name in kept else folders.logs
            if (folder / name).is_file() and not again:
                continue
            folder.mkdir(parents=True, exist_ok=True)
            output.say(f"making {name}")
            words = [_resolve(word, data, folders) for word in shlex.split(command)]
            given = {"python": sys.executable, ".": str(folder), name: str(folder / name)}
            words = [given.get(word, word) for word in words]
            if subprocess.run(words, check=False).returncode or not (folder / name).is_file():
                raise ChildProcessError(f"failed to make {name}: {command}")

    def rows(self, table: Table, folders: Folders) -> dict[str, dict[str, float]]:
        """Further rows of a table."""
        file = folders.results / self.name / (table.rows or "")
        return json.loads(file.read_text())["rows"] if table.rows and file.is_file() else {}


def load_suites(configs: pathlib.Path) -> list[Suite]:
    """All suites of a folder, in the order of their names.

    Raises:
        ValueError: If there is none.
    """
    folders = sorted(file.parent for file in configs.glob(f"*/{FILE}"))
    if not folders:
        raise ValueError(
            f"`--configs` should be a folder of suites, each with a {FILE}. "
            f"Received: {str(configs)!r}"
        )
    return [Suite.load(folder) for folder in folders]


def _table(compare: Any = (), **content: Any) -> Table:
    return Table(compare=tuple((one, other) for one, other in compare), **content)
