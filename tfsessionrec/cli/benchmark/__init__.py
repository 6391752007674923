"""Run every system of a suite from frozen configurations and write tables and plots.

    tfsessionrec benchmark --suite yoochoose --data logs

A suite is a folder of configurations under --configs, one a system: the flags of `tfsessionrec
train` and of `tfsessionrec evaluate`, and the seeds. --suite takes the beginning of a folder's name
too: `globo` means all suites that begin with it. Each command runs in a process of its own. What
it gave is kept under OUTPUT/results/; what is there is not run again unless its configuration
changed, so that a run that was stopped goes on where it stopped. OUTPUT/RESULTS.md is written anew
after each run. Without --data nothing is run: the document alone is written.
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
        "--data", metavar="DIR", type=pathlib.Path, help="folder of the logs; none: only write"
    )
    parser.add_argument("--suite", nargs="*", metavar="NAME", help="suites (default: all)")
    parser.add_argument(
        "--config", nargs="*", metavar="NAME", help="of the suites only these configurations"
    )
    parser.add_argument("--seed", nargs="*", type=int, metavar="N", help="of the seeds only these")
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
    parser.add_argument("--again", action="store_true", help="run anew what has been run")
    output.add_json_argument(parser)


def run(arguments: argparse.Namespace) -> None:
    """Runs what was not run and writes the document."""
    suites = load_suites(arguments.configs)
    folders = Folders(arguments.output)
    chosen = _chosen(suites, arguments.suite)
    ran = []
    if arguments.data is not None:
        if not arguments.data.is_dir():
            raise ValueError(f"`--data` should be a folder. Received: {str(arguments.data)!r}")
        data = arguments.data.resolve()
        trials = [trial for suite in chosen for trial in _trials(suite, arguments.config)]
        if not trials:
            raise ValueError(
                "`--config` should name configurations of the suites. Received: "
                f"{arguments.config}; there are {sorted(t.name for s in chosen for t in s.trials)}"
            )
        for suite in chosen:
            suite.prepare(data, folders, arguments.again)
        left = _left(trials, arguments.seed, folders, arguments.again)
        for trial, seed in tqdm(left, desc="benchmark", unit=" runs"):
            output.say(f"{trial.suite}/{trial.name}, seed {seed}")
            trial.run(seed, data, folders)
            write_document(suites, folders)
            ran.append(f"{trial.suite}/{trial.name}/{seed}")
    write_document(suites, folders)
    print(folders.document)
    output.write_json(arguments.json, {"ran": ran, "document": folders.document})


def _chosen(suites: list[Suite], names: list[str] | None) -> list[Suite]:
    """The suites that are meant."""
    if names is None:
        return suites
    for name in names:
        if not any(suite.name.startswith(name) for suite in suites):
            raise ValueError(
                f"`--suite` should begin like one of {', '.join(suite.name for suite in suites)}. "
                f"Received: {name!r}"
            )
    return [suite for suite in suites if suite.name.startswith(tuple(names))]


def _trials(suite: Suite, names: list[str] | None) -> list[Trial]:
    return [trial for trial in suite.trials if names is None or trial.name in names]


def _left(
    trials: list[Trial], seeds: list[int] | None, folders: Folders, again: bool
) -> list[tuple[Trial, int]]:
    """What has not been run: the first seed of every configuration, then the others."""
    left = [
        (number, place, seed)
        for place, trial in enumerate(trials)
        for number, seed in enumerate(trial.seeds)
        if (seeds is None or seed in seeds) and (again or seed not in trial.results(folders))
    ]
    return [(trials[place], seed) for _, place, seed in sorted(left)]
