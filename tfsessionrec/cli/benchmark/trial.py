"""A frozen configuration, its commands, and what its runs gave."""

import dataclasses
import json
import os
import pathlib
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

ANY_SEED = "SEED"


@dataclasses.dataclass(frozen=True)
class Folders:
    """Where a benchmark keeps what it makes.

    Args:
        output: The folder that it is all in.
    """

    output: pathlib.Path

    @property
    def document(self) -> pathlib.Path:
        """The document of all results."""
        return self.output / "RESULTS.md"

    @property
    def results(self) -> pathlib.Path:
        """What was measured, and the pictures of it."""
        return self.output / "results"

    @property
    def runs(self) -> pathlib.Path:
        """Models and logs: what can be made again."""
        return self.output / "runs"

    @property
    def logs(self) -> pathlib.Path:
        """Logs made of the given ones."""
        return self.runs / "logs"


@dataclasses.dataclass(frozen=True)
class Trial:
    """One row of the results: how it is trained and asked, with which seeds.

    Args:
        suite: The folder of the configuration.
        name: Its file, without the ending.
        title: The name of its row.
        events: File of the log to train on: in the folder of the logs, or made by the suite.
        train: Flags of `tfsessionrec train`; none for a row that trains nothing of its own.
        evaluate: Flags of `tfsessionrec evaluate`, one string an evaluation.
        seeds: One run each.
        test_events: File of the log to evaluate on. Default: `events`.
        table: Which table of the suite the row stands in.
        also: Further tables that it stands in, and its titles there.
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
            ValueError: If it holds something unknown, or lacks something.
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
            raise ValueError(f"{file} is no configuration: {error}") from error

    def title_in(self, table: str) -> str | None:
        """The title of the row in a table, None if it does not stand there."""
        return self.title if table == self.table else self.also.get(table)

    def commands(self, seed: int | str) -> list[str]:
        """The commands of one seed, as a user types them in a folder with the logs."""
        model = f"runs/{self.suite}/{self.name}/seed_{seed}"
        test = self.test_events or self.events
        train = f"train --events {self.events} {self.train} --seed {seed} --output {model}"
        return [
            train,
            *(f"evaluate --model {model} --events {test} {flags}" for flags in self.evaluate),
        ]

    def results(self, folders: Folders) -> dict[int, dict[str, Any]]:
        """What was measured with each seed; nothing if it was with other commands."""
        file = self._file(folders)
        if not file.is_file():
            return {}
        content = json.loads(file.read_text())
        if content["commands"] != self.commands(ANY_SEED):
            return {}
        found = {int(seed): result for seed, result in content["seeds"].items()}
        return {seed: found[seed] for seed in self.seeds if seed in found}

    def keep(self, seed: int, result: Mapping[str, Any], folders: Folders) -> None:
        """Adds what was measured with one seed."""
        results = {**self.results(folders), seed: dict(result)}
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
        """Runs the commands of one seed, each in a process of its own, and keeps the result."""
        report = folders.runs / self.suite / self.name / f"seed_{seed}.step.json"
        report.parent.mkdir(parents=True, exist_ok=True)
        steps = []
        for number, command in enumerate(self.commands(seed)):
            words = [_resolve(word, data, folders) for word in shlex.split(command)]
            words += ["--json", str(report)] + (["--overwrite"] if number == 0 else [])
            print("tfsessionrec", command, flush=True)
            begin = time.perf_counter()
            code = "import sys; from tfsessionrec.cli.main import main; sys.exit(main())"
            process = subprocess.Popen([sys.executable, "-c", code, *words])
            try:
                _, status, usage = os.wait4(process.pid, 0)
            except BaseException:
                process.kill()
                raise
            if status:
                raise ChildProcessError(f"failed: tfsessionrec {command}")
            steps.append(
                {
                    "seconds": time.perf_counter() - begin,
                    "peak_gb": usage.ru_maxrss / 2**20,
                    "report": json.loads(report.read_text()),
                }
            )
            report.unlink()
        self.keep(seed, _summary(steps), folders)

    def _file(self, folders: Folders) -> pathlib.Path:
        return folders.results / self.suite / f"{self.name}.json"


def _summary(steps: list[dict[str, Any]]) -> dict[str, Any]:
    """What the document says of a run: a metric is that of the first evaluation that has it."""
    training, *asked = steps
    trained = training["report"]
    found: dict[str, Any] = {"metrics": {}, "baselines": {}}
    for step in asked:
        report = step["report"]
        found["metrics"] = {**report["metrics"], **found["metrics"]}
        for name, metrics in report["baselines"].items():
            found["baselines"][name] = {**metrics, **found["baselines"].get(name, {})}
    first = asked[0]["report"]
    return {
        **found,
        "num_queries": first["num_queries"],
        "num_candidates": first["num_candidates"],
        "epochs": len(trained.get("epochs", ())),
        "parameters": trained.get("parameters", 0),
        "fit_seconds": sum(epoch["seconds"] for epoch in trained.get("epochs", ()))
        or trained.get("seconds", 0.0),
        "evaluation_seconds": sum(step["report"]["seconds"] for step in asked),
        "peak_gb": max(step["peak_gb"] for step in steps),
    }


def _resolve(word: str, data: pathlib.Path, folders: Folders) -> str:
    """A word of a command with the files of this machine in it."""
    if word.startswith("runs/"):
        return str(folders.runs / word.removeprefix("runs/"))
    for folder in (data, folders.logs):
        if (folder / word).is_file():
            return str(folder / word)
    return word
