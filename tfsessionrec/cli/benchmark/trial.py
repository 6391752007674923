"""A frozen configuration, its commands and its saved results."""

import dataclasses
import json
import os
import pathlib
import shlex
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, TypedDict

ANY_SEED = "SEED"


@dataclasses.dataclass(frozen=True)
class Folders:
    """Where a benchmark writes its files.

    Args:
        output: The folder that contains all of them.
    """

    output: pathlib.Path

    @property
    def document(self) -> pathlib.Path:
        """The document with the results of all suites."""
        return self.output / "RESULTS.md"

    @property
    def results(self) -> pathlib.Path:
        """Measured results and plots."""
        return self.output / "results"

    @property
    def runs(self) -> pathlib.Path:
        """Models and derived logs, which the benchmark can write again."""
        return self.output / "runs"

    @property
    def logs(self) -> pathlib.Path:
        """Logs derived from the given ones."""
        return self.runs / "logs"


class Result(TypedDict):
    """What one seed of a configuration measured."""

    metrics: dict[str, float]
    baselines: dict[str, dict[str, float]]
    num_queries: int
    num_candidates: float
    epochs: int
    parameters: int
    fit_seconds: float
    evaluation_seconds: float
    peak_gb: float


@dataclasses.dataclass(frozen=True)
class Trial:
    """A frozen configuration: how one system is trained and evaluated, and with which seeds.

    Args:
        suite: Name of the suite's folder.
        name: Name of the configuration's file, without the extension.
        title: Title of the row in the results.
        events: Training log: a file in the folder of the logs, or one that the suite derives.
        train: Flags of `tfsessionrec train`.
        evaluate: Flags of `tfsessionrec evaluate`, one string per evaluation.
        seeds: Seeds; each is one run.
        test_events: Evaluation log. Defaults to `events`.
        table: Table of the suite that shows the row. Defaults to `"systems"`.
        also: Further tables that show the row: table -> title of the row there.
    """

    suite: str
    name: str
    title: str
    events: str
    train: str
    evaluate: tuple[str, ...]
    seeds: tuple[int, ...]
    test_events: str | None = None
    table: str = "systems"
    also: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def load(cls, file: pathlib.Path) -> "Trial":
        """Reads a configuration.

        Raises:
            ValueError: If it has unknown keys or lacks required ones.
        """
        content = json.loads(file.read_text())
        for key in ("evaluate", "seeds"):
            if not isinstance(content.get(key), list) or not content[key]:
                raise ValueError(
                    f"`{key}` should be a list. Received: {content.get(key)} in {file}"
                )
            content[key] = tuple(content[key])
        try:
            return cls(file.parent.name, file.stem, **content)
        except TypeError as error:
            raise ValueError(f"{file} is not a valid configuration: {error}") from error

    def title_in(self, table: str) -> str | None:
        """The title of the row in a table; None if the table does not show it."""
        return self.title if table == self.table else self.also.get(table)

    def commands(self, seed: int | str) -> list[str]:
        """The commands of one seed, as typed in a folder that contains the logs."""
        model = f"runs/{self.suite}/{self.name}/seed_{seed}"
        test = self.test_events or self.events
        train = f"train --events {self.events} {self.train} --seed {seed} --output {model}"
        return [
            train,
            *(f"evaluate --model {model} --events {test} {flags}" for flags in self.evaluate),
        ]

    def results(self, folders: Folders) -> dict[int, Result]:
        """Saved results by seed; empty if they were measured with other commands."""
        file = self._file(folders)
        if not file.is_file():
            return {}
        content = json.loads(file.read_text())
        if content["commands"] != self.commands(ANY_SEED):
            return {}
        found = {int(seed): result for seed, result in content["seeds"].items()}
        return {seed: found[seed] for seed in self.seeds if seed in found}

    def keep(self, seed: int, result: Result, folders: Folders) -> None:
        """Saves the result of one seed."""
        results = {**self.results(folders), seed: result}
        content = {
            "commands": self.commands(ANY_SEED),
            "seeds": {str(seed): results[seed] for seed in sorted(results)},
        }
        file = self._file(folders)
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f".{file.name}.part")
        part.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        part.replace(file)

    def run(self, seed: int, data: pathlib.Path, folders: Folders) -> None:
        """Runs the commands of one seed, each in its own process, and saves the result."""
        report = folders.runs / self.suite / self.name / f"seed_{seed}.step.json"
        report.parent.mkdir(parents=True, exist_ok=True)
        reports, peak_gb = [], 0.0
        for number, command in enumerate(self.commands(seed)):
            words = [resolve(word, data, folders) for word in shlex.split(command)]
            words += ["--json", str(report)] + (["--overwrite"] if number == 0 else [])
            print("tfsessionrec", command, flush=True)
            code = "import sys; from tfsessionrec.cli.main import main; sys.exit(main())"
            process = subprocess.Popen([sys.executable, "-c", code, *words])
            try:
                _, status, usage = os.wait4(process.pid, 0)
            except BaseException:
                process.kill()
                raise
            if status:
                raise ChildProcessError(f"failed: tfsessionrec {command}")
            reports.append(json.loads(report.read_text()))
            peak_gb = max(peak_gb, usage.ru_maxrss / 2**20)
            report.unlink()
        self.keep(seed, _result(reports, peak_gb), folders)

    def _file(self, folders: Folders) -> pathlib.Path:
        return folders.results / self.suite / f"{self.name}.json"


def _result(reports: list[dict[str, Any]], peak_gb: float) -> Result:
    """Joins the reports of a run; each metric comes from the first evaluation that has it."""
    training, *evaluations = reports
    metrics: dict[str, float] = {}
    baselines: dict[str, dict[str, float]] = {}
    for report in evaluations:
        metrics = {**report["metrics"], **metrics}
        for name, values in report["baselines"].items():
            baselines[name] = {**values, **baselines.get(name, {})}
    epochs = training.get("epochs", ())
    return {
        "metrics": metrics,
        "baselines": baselines,
        "num_queries": evaluations[0]["num_queries"],
        "num_candidates": evaluations[0]["num_candidates"],
        "epochs": len(epochs),
        "parameters": training.get("parameters", 0),
        "fit_seconds": sum(epoch["seconds"] for epoch in epochs) or training.get("seconds", 0.0),
        "evaluation_seconds": sum(report["seconds"] for report in evaluations),
        "peak_gb": peak_gb,
    }


def resolve(word: str, data: pathlib.Path, folders: Folders) -> str:
    """Replaces a file name of a command by its path; returns other words unchanged."""
    if word.startswith("runs/"):
        return str(folders.runs / word.removeprefix("runs/"))
    for folder in (data, folders.logs):
        if (folder / word).is_file():
            return str(folder / word)
    return word
