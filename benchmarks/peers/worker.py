"""What the measured processes share: their arguments, their cores, the report they leave.

Standard library only, since each system runs in a virtual environment of its own.
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import time
from typing import Any


def parse_arguments(description: str) -> argparse.Namespace:
    """The arguments of one measured run, the same for every system."""
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
    batch.add_argument("--batch-size", type=int, help="sequences a batch")
    batch.add_argument("--batch-positions", type=int, help="positions a batch (ours only)")
    parser.add_argument("--epochs", type=int, default=1, help="timed epochs, after one of warm-up")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def package_environment() -> dict[str, str]:
    """The environment of a process that imports this checkout's package, no other copy."""
    checkout = pathlib.Path(__file__).resolve().parents[2]
    return os.environ | {"PYTHONPATH": str(checkout), "TF_CPP_MIN_LOG_LEVEL": "3"}


def use_cores(threads: int) -> None:
    """Keeps this process, and every thread pool it will make, on `threads` cores.

    Call it before the numerical library is imported. Any accelerator is hidden.
    """
    os.environ["OMP_NUM_THREADS"] = str(threads)
    os.environ["MKL_NUM_THREADS"] = str(threads)
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def peak_memory_mb() -> float:
    """The largest resident size this process has had, in 10⁶ bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


class EpochClock:
    """Marks the end of every epoch; an epoch lasts from one mark to the next.

    The first epoch is warm-up (graph building, allocation) and is not timed. Whatever a library
    does between two epochs counts as part of the later one.
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

    def report(self, positions: int, **more: Any) -> dict[str, Any]:
        """The measured figures, `positions` being the real targets of one epoch."""
        return {
            "positions": positions,
            "epoch_seconds": self.seconds,
            "positions_per_second": positions / statistics.median(self.seconds),
            "losses": self.losses,
            "loss_fell": self.losses[-1] < self.losses[0],
            "peak_memory_mb": peak_memory_mb(),
            **more,
        }


def write_report(path: pathlib.Path, report: dict[str, Any]) -> None:
    path.write_text(json.dumps(report, indent=1) + "\n")
