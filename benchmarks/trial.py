"""A frozen configuration under `benchmarks/configs/`, its commands, and what its runs left."""

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

HERE = pathlib.Path(__file__).resolve().parent
CONFIGS = HERE / "configs"
RUNS = HERE / "runs"
LOGS = RUNS / "logs"


@dataclasses.dataclass(frozen=True)
class Trial:
    """One row of the results: how it is trained and asked, with which seeds.

    Args:
        suite: The folder of the configuration.
        name: Its file, without the ending.
        title: The name of its row.
        events: File of the log to train on: in the folder of the logs, or made by the suite.
        train: Flags of `tfsessionrec train`.
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

    def commands(self, seed: int) -> list[str]:
        """The commands of one seed, as a user types them in a folder with the logs."""
        model = f"runs/{self.suite}/{self.name}/seed_{seed}"
        test = self.test_events or self.events
        train = f"train --events {self.events} {self.train} --seed {seed} --output {model}"
        return [
            train,
            *(f"evaluate --model {model} --events {test} {flags}" for flags in self.evaluate),
        ]

    def report_file(self, seed: int) -> pathlib.Path:
        """Where the result of one seed is kept."""
        return RUNS / self.suite / self.name / f"seed_{seed}.json"

    def result(self, seed: int) -> dict[str, Any] | None:
        """What running one seed left; None if it was not run, or with other settings."""
        file = self.report_file(seed)
        if not file.is_file():
            return None
        result = json.loads(file.read_text())
        return result if result["commands"] == self.commands(seed) else None

    def run(self, seed: int, data: pathlib.Path) -> None:
        """Runs the commands of one seed, each in a process of its own, and keeps the result."""
        file = self.report_file(seed)
        file.parent.mkdir(parents=True, exist_ok=True)
        result: dict[str, Any] = {"commands": self.commands(seed), "steps": []}
        for number, command in enumerate(self.commands(seed)):
            report = file.with_suffix(f".step{number}.json")
            words = [_resolve(word, data) for word in shlex.split(command)]
            words += ["--json", str(report)] + (["--overwrite"] if number == 0 else [])
            print("tfsessionrec", command, flush=True)
            begin = time.perf_counter()
            code = "import sys; from tfsessionrec.cli.main import main; sys.exit(main())"
            process = subprocess.Popen([sys.executable, "-c", code, *words], cwd=HERE.parent)
            _, status, usage = os.wait4(process.pid, 0)
            if status:
                raise RuntimeError(f"failed: tfsessionrec {command}")
            result["steps"].append(
                {
                    "seconds": time.perf_counter() - begin,
                    "peak_gb": usage.ru_maxrss / 2**20,
                    "report": json.loads(report.read_text()),
                }
            )
            report.unlink()
        file.write_text(json.dumps(result, indent=1) + "\n")


def trials(suite: str) -> list[Trial]:
    """All configurations of a suite, by name."""
    return [Trial.load(file) for file in sorted((CONFIGS / suite).glob("*.json"))]


def _resolve(word: str, data: pathlib.Path) -> str:
    """A word of a command with the files of this machine in it."""
    if word.startswith("runs/"):
        return str(RUNS / word.removeprefix("runs/"))
    for folder in (data, LOGS):
        if (folder / word).is_file():
            return str(folder / word)
    return word
