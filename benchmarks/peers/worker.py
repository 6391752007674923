"""Shared by the measured processes: arguments, cores and the report.

Standard library only, because each system runs in its own virtual environment.
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import time


def parse_arguments(description: str) -> argparse.Namespace:
    """The arguments of one measured run; they are the same for all systems."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--events", type=pathlib.Path, required=True, help="TSV: user, item, time")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="JSON report to write")
    parser.add_argument("--loss", choices=("full", "sampled"), required=True)
    parser.add_argument("--num-negatives", type=int, default=128)
    parser.add_argument("--embedding-dim", type=int, default=64)
    parser.add_argument("--num-layers", type=int, default=2)
    parser.add_argument("--num-heads", type=int, default=2)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--length", type=int, default=50, help="longest input")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    batch = parser.add_mutually_exclusive_group(required=True)
    batch.add_argument("--batch-size", type=int, help="sequences per batch")
    batch.add_argument(
        "--batch-positions", type=int, help="positions per batch (tfsessionrec only)"
    )
    parser.add_argument(
        "--epochs", type=int, default=1, help="timed epochs, after one warm-up epoch"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def package_environment() -> dict[str, str]:
    """The environment of a process that imports the package from this checkout."""
    checkout = pathlib.Path(__file__).resolve().parents[2]
    return os.environ | {"PYTHONPATH": str(checkout), "TF_CPP_MIN_LOG_LEVEL": "3"}


def use_cores(threads: int) -> None:
    """Restricts this process and its thread pools to `threads` cores and hides accelerators.

    Call it before importing the numerical library.
    """
    os.environ["OMP_NUM_THREADS"] = str(threads)
    os.environ["MKL_NUM_THREADS"] = str(threads)
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def peak_memory_mb() -> float:
    """Peak resident memory of this process, in 10⁶ bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


class EpochClock:
    """Records the end of every epoch; an epoch lasts from one end to the next.

    The first epoch (graph construction, allocation) is a warm-up and is not timed. Work between two
    epochs counts for the later one.
    """

    def __init__(self) -> None:
        self.marks: list[float] = []
        self.losses: list[float] = []

    def epoch_ended(self, loss: float) -> None:
        self.marks.append(time.perf_counter())
        self.losses.append(float(loss))

    @property
    def seconds(self) -> list[float]:
        return [end - start for start, end in zip(self.marks, self.marks[1:], strict=False)]

    def report(self, positions: int, **more: object) -> dict[str, object]:
        """The measured figures; `positions` is the number of targets per epoch."""
        return {
            "positions": positions,
            "epoch_seconds": self.seconds,
            "positions_per_second": positions / statistics.median(self.seconds),
            "losses": self.losses,
            "loss_fell": self.losses[-1] < self.losses[0],
            "peak_memory_mb": peak_memory_mb(),
            **more,
        }


def write_report(path: pathlib.Path, report: dict[str, object]) -> None:
    path.write_text(json.dumps(report, indent=1) + "\n")
