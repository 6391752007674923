"""Nothing is lost: kills, damaged bytes, two writers, full disks and hostile servers.

    python benchmarks/faults.py --short      # a few cases of each fault; a test runs it
    python benchmarks/faults.py --section    # all cases; the table goes into RESULTS.md

Each line of the table counts what was tried, what the package survived and what was lost. Lost is:
after a kill, a model or a version that is missing, mixed or does not load, a resumed training whose
weights are not those of one without interruption, a file left over by the next run; of damaged
bytes, another answer without a word that names the file; of a disk, a traceback, an error of more
than one line or without the file's name. The exit status is 1 if anything is lost.
"""

import argparse
import os
import pathlib
import sys
import tempfile
from collections.abc import Callable, Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import faults_process
import faults_serving
import section
from faults_export import ExportFaults
from faults_process import Line
from faults_training import TrainingFaults

CASES, SHORT = 16, 2
ABOUT = """\
Commands run in processes of their own. A kill (SIGKILL) is aimed at one of the command's file
operations, shortly after one, or at a random moment. *Survived*: the earlier model or version, or
the new one, is whole and loads; the next run completes with the weights of a training that nothing
interrupted, bit by bit, and leaves no other file; a damaged file is named, or makes no difference;
an error of a disk is one line with the file's name. Servers' answers are survived if they give
recommendations or a `ServingError` before the deadline."""


def training(folder: pathlib.Path, arguments: argparse.Namespace) -> Iterator[Line]:
    """Faults of training."""
    faults = TrainingFaults(folder, arguments.seed, 1 if arguments.short else 3)
    if arguments.short:
        yield faults.killed_train(arguments.cases)
        yield faults.killed_baseline(arguments.cases)
        yield faults.damaged(arguments.cases)
        yield faults.read_only(1)
    else:
        yield from faults.lines(arguments.cases)


def export(folder: pathlib.Path, arguments: argparse.Namespace) -> Iterator[Line]:
    """Faults of exports, of a baseline's quick training where the campaign is short."""
    faults = ExportFaults(folder, TrainingFaults(folder, arguments.seed, 1).model(), arguments.seed)
    if arguments.short:
        yield faults.killed("export --overwrite killed", 1, True)
        yield faults.damaged(arguments.cases)
    else:
        yield from faults.lines(arguments.cases)


def serving(folder: pathlib.Path, arguments: argparse.Namespace) -> Iterator[Line]:
    """Faults around serving."""
    yield from faults_serving.all_lines(10 if arguments.short else 500, arguments.seed)


KINDS: dict[str, Callable[[pathlib.Path, argparse.Namespace], Iterator[Line]]] = {
    "training": training,
    "export": export,
    "serving": serving,
}


def main(argv: list[str] | None = None) -> int:
    """Runs the campaign and prints its table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=KINDS, help="these kinds (default all)")
    parser.add_argument("--cases", metavar="N", type=int, help=f"of a fault (default {CASES})")
    parser.add_argument("--short", action="store_true", help="few faults, few cases of each")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="default 0")
    parser.add_argument("--section", action="store_true", help="write results/faults.md")
    arguments = parser.parse_args(argv)
    if arguments.cases is None:
        arguments.cases = SHORT if arguments.short else CASES
    faults_process.imported()
    lines: list[Line] = []
    for kind in arguments.only or KINDS:
        with tempfile.TemporaryDirectory() as folder:
            lines += KINDS[kind](pathlib.Path(folder), arguments)
    lines = [line for line in lines if line.tried]
    table = faults_process.table(lines)
    print(table)
    if arguments.section:
        section.write_section(
            "faults", "Nothing lost", section.command("faults", argv), ABOUT, table
        )
    return int(any(line.lost for line in lines))


if __name__ == "__main__":
    sys.exit(main())
