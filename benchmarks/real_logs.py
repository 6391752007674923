"""Runs the frozen configurations on real logs and writes `benchmarks/RESULTS.md`.

    python benchmarks/real_logs.py --data FOLDER --config benchmarks/configs/yoochoose/sasrec.json
    python benchmarks/real_logs.py --data FOLDER --suite yoochoose globo-next-session
    python benchmarks/real_logs.py

FOLDER holds the logs under the names that the configurations give them; logs made of these are
written to `benchmarks/runs/logs/`. Each configuration is run once a seed, every command in a
process of its own. Result, wall time and peak memory are kept in `benchmarks/runs/`, so that what
was stopped goes on where it stopped (`--again` starts over; a changed configuration does too). The
last form only writes the document again, from what has been run.
"""

import argparse
import pathlib

import results
from trial import CONFIGS, HERE, LOGS, RUNS, Trial, trials


def run(chosen: list[Trial], data: pathlib.Path, seeds: list[int] | None, again: bool) -> None:
    """Runs what has not been run: the first seed of every configuration, then the others."""
    RUNS.mkdir(exist_ok=True)
    for suite in dict.fromkeys(trial.suite for trial in chosen):
        results.SUITES[suite].prepare(data, again)
    left = sorted(
        (number, place)
        for place, trial in enumerate(chosen)
        for number, seed in enumerate(trial.seeds)
        if (seeds is None or seed in seeds) and (again or trial.result(seed) is None)
    )
    for number, place in left:
        chosen[place].run(chosen[place].seeds[number], data)
        write()


def write() -> None:
    """Writes the document from what is in `benchmarks/runs/`."""
    (HERE / "RESULTS.md").write_text(results.render())


def main() -> None:
    """Runs what is asked for and writes the document."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=pathlib.Path, help="folder of the logs; none: only write")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--config", nargs="*", type=pathlib.Path, help="files; default: all")
    what.add_argument("--suite", nargs="*", choices=tuple(results.SUITES), help="default: all")
    parser.add_argument("--seed", nargs="*", type=int, help="of the seeds only these")
    parser.add_argument("--again", action="store_true", help="run anew what has been run")
    arguments = parser.parse_args()
    if arguments.data:
        files = [file.resolve() for file in arguments.config or ()]
        chosen = [
            trial
            for suite in arguments.suite or results.SUITES
            for trial in trials(suite)
            if not files or CONFIGS / suite / f"{trial.name}.json" in files
        ]
        if files and len(chosen) < len(files):
            parser.error(f"`--config` should name files under {CONFIGS}")
        LOGS.mkdir(parents=True, exist_ok=True)
        run(chosen, arguments.data.resolve(), arguments.seed, arguments.again)
    write()
    print(f"wrote {HERE / 'RESULTS.md'}")


if __name__ == "__main__":
    main()
