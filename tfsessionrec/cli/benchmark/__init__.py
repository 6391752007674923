"""Train and evaluate the systems of a suite from frozen configurations; write tables and plots.

    tfsessionrec benchmark --suite yoochoose --data logs

A suite is a folder under --configs with one configuration file per system: the flags of
`tfsessionrec train` and `tfsessionrec evaluate`, and the seeds. --suite also accepts a prefix:
`globo` selects every suite whose name begins with it. Each command runs in its own process. Results
are saved under OUTPUT/results/ and reused while their configuration is unchanged, so an interrupted
benchmark resumes where it stopped. OUTPUT/RESULTS.md is rewritten after each run. Without --data
the command only writes OUTPUT/RESULTS.md.
"""

import argparse
import pathlib

from tqdm.auto import tqdm

from tfsessionrec.cli import output
from tfsessionrec.cli.benchmark.document import write_document
from tfsessionrec.cli.benchmark.suite import Suite, load_suites
from tfsessionrec.cli.benchmark.trial import Folders, Trial


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument(
        "--data", metavar="DIR", type=pathlib.Path, help="folder of the logs (default: run nothing)"
    )
    parser.add_argument("--suite", nargs="*", metavar="NAME", help="suites to run (default: all)")
    parser.add_argument(
        "--config", nargs="*", metavar="NAME", help="configurations to run (default: all)"
    )
    parser.add_argument(
        "--seed", nargs="*", type=int, metavar="N", help="seeds to run (default: all)"
    )
    parser.add_argument(
        "--configs",
        metavar="DIR",
        type=pathlib.Path,
        default=pathlib.Path("benchmarks/configs"),
        help="folder of the suites (default %(default)s)",
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        type=pathlib.Path,
        default=pathlib.Path("benchmarks"),
        help="folder of RESULTS.md and results/ (default %(default)s)",
    )
    parser.add_argument("--again", action="store_true", help="repeat runs that have results")
    output.add_json_argument(parser)


def run(arguments: argparse.Namespace) -> None:
    """Runs the configurations that have no results yet and writes the document."""
    suites = load_suites(arguments.configs)
    folders = Folders(arguments.output)
    chosen = _select(suites, arguments.suite)
    ran = []
    if arguments.data is not None:
        if not arguments.data.is_dir():
            raise ValueError(f"`--data` should be a folder. Received: {str(arguments.data)!r}")
        data = arguments.data.resolve()
        trials = [trial for suite in chosen for trial in _trials(suite, arguments.config)]
        if not trials:
            raise ValueError(
                "`--config` should name configurations of the suites. Configurations: "
                f"{sorted(trial.name for suite in chosen for trial in suite.trials)}. "
                f"Received: {arguments.config}"
            )
        for suite in chosen:
            suite.prepare(data, folders, arguments.again)
        pending = _pending(trials, arguments.seed, folders, arguments.again)
        for trial, seed in tqdm(pending, desc="benchmark", unit=" runs"):
            output.say(f"{trial.suite}/{trial.name}, seed {seed}")
            trial.run(seed, data, folders)
            write_document(suites, folders)
            ran.append(f"{trial.suite}/{trial.name}/{seed}")
    write_document(suites, folders)
    print(folders.document)
    output.write_json(arguments.json, {"ran": ran, "document": folders.document})


def _select(suites: list[Suite], names: list[str] | None) -> list[Suite]:
    """The suites whose names begin with one of the given names."""
    if names is None:
        return suites
    for name in names:
        if not any(suite.name.startswith(name) for suite in suites):
            raise ValueError(
                "`--suite` should be a suite or the beginning of its name. "
                f"Suites: {', '.join(suite.name for suite in suites)}. "
                f"Received: {name!r}"
            )
    return [suite for suite in suites if suite.name.startswith(tuple(names))]


def _trials(suite: Suite, names: list[str] | None) -> list[Trial]:
    return [trial for trial in suite.trials if names is None or trial.name in names]


def _pending(
    trials: list[Trial], seeds: list[int] | None, folders: Folders, again: bool
) -> list[tuple[Trial, int]]:
    """Runs without results: the first seed of every configuration, then the second seeds ..."""
    pending = [
        (number, place, seed)
        for place, trial in enumerate(trials)
        for number, seed in enumerate(trial.seeds)
        if (seeds is None or seed in seeds) and (again or seed not in trial.results(folders))
    ]
    return [(trials[place], seed) for _, place, seed in sorted(pending)]
