"""Training on a GPU: time of a step by encoder, length of the history, catalogue and precision.

    python benchmarks/gpu.py --section

Histories are random, of full length, with the same number of positions in each batch; steps are
those of `model.fit` over one batch, 16 to an execution, after a warm-up that also compiles.
*Ceiling* is a large matrix product of the card in the same number format, so that *share* says how
much of the card's arithmetic a step uses: multiplications and additions of the network and the
loss, three times the forward pass. A catalogue above 50,000 items has drawn negatives, as by
default.

Without a GPU the script says what it skips and ends. `--device cpu` runs it on the CPU, for tests.
"""

import argparse
import dataclasses
import gc
import os
import pathlib
import statistics
import time
from collections.abc import Sequence
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")

from section import Report, command, say, table, write_report, write_section

PRECISIONS = {
    "float32": ("float32", False),
    "mixed": ("mixed_float16", False),
    "float32-xla": ("float32", True),
    "mixed-xla": ("mixed_float16", True),
}
EXECUTION = 16  # steps without a return to Python
HEADS = 2


@dataclasses.dataclass(frozen=True)
class Cell:
    """One measured training.

    Attributes:
        name: The system, as in `models.build`.
        sessions: S, the length of the history.
        session_items: I, the items of each session.
        items: The size of the catalogue.
        precision: A key of `PRECISIONS`.
    """

    name: str
    sessions: int
    session_items: int
    items: int
    precision: str


def cells(arguments: argparse.Namespace) -> list[Cell]:
    """By length and precision with the smallest catalogue, then by catalogue."""
    smallest, *larger = arguments.items
    found = [
        Cell(name, sessions, _session_items(name), smallest, precision)
        for name in arguments.models
        for sessions in arguments.sessions
        for precision in arguments.precisions
    ]
    short, first = min(arguments.sessions), arguments.precisions[0]
    found += [
        Cell(name, short, _session_items(name), items, first)
        for items in larger
        for name in arguments.models
    ]
    return found


def _session_items(name: str) -> int:
    return 5 if name.startswith("sessionrec") else 1


def measure(cell: Cell, arguments: argparse.Namespace) -> Report:
    """Milliseconds of a step, the seconds before the first one, and the peak memory."""
    import numpy as np
    import tensorflow as tf

    import tfsessionrec as sr
    from tfsessionrec.backend import keras

    policy, xla = PRECISIONS[cell.precision]
    keras.backend.clear_session()
    gc.collect()
    keras.mixed_precision.set_global_policy(policy)
    rows = max(arguments.positions // cell.sessions, 1)
    generator = np.random.default_rng(arguments.seed)
    shape = (rows, cell.sessions + 1, cell.session_items)
    first = sr.HistorySpec().first_item_index
    batch = {"item_ids": generator.integers(first, first + cell.items, shape, np.int32)}
    optimizer = sr.optimizers.LazyAdam(1e-3)
    if policy == "mixed_float16":
        optimizer = keras.mixed_precision.LossScaleOptimizer(optimizer)
    model = sr.models.build(
        cell.name,
        vocabulary_size=first + cell.items,
        embedding_dim=arguments.embedding_dim,
        num_layers=arguments.num_layers,
        **({} if "gru" in cell.name else {"num_heads": HEADS, "max_length": cell.sessions + 1}),
    )
    model.history_spec = None  # batches are made here, in no layout of a log
    model.compile(optimizer=optimizer, jit_compile=xla, steps_per_execution=EXECUTION)
    data = tf.data.Dataset.from_tensors(batch).repeat()
    timed = Steps()
    started = time.perf_counter()
    steps = EXECUTION * arguments.executions
    history = model.fit(
        data, epochs=1, steps_per_epoch=EXECUTION * (arguments.executions + 2),
        callbacks=[timed.callback(keras)], verbose=0,
    )  # fmt: skip
    seconds = [later - earlier for earlier, later in zip(timed.marks[1:], timed.marks[2:])]
    loss = float(history.history["loss"][-1])
    if not np.isfinite(loss):
        raise RuntimeError(f"the loss of {cell} is {loss}")
    step = statistics.median(seconds) / EXECUTION
    positions = rows * cell.sessions
    work = 3 * forward_operations(cell, arguments) * positions
    return {
        **dataclasses.asdict(cell),
        "rows": rows,
        "loss": loss,
        "steps": steps,
        "step_ms": 1e3 * step,
        "positions_per_second": positions / step,
        "tflops": work / step / 1e12,
        "first_s": timed.marks[0] - started,
        "peak_gb": _peak_memory(tf, arguments) / 1e9,
    }


class Steps:
    """The times at which executions of steps end."""

    def __init__(self) -> None:
        self.marks: list[float] = []

    def callback(self, keras: Any) -> Any:
        """A callback that waits for the device and notes the time."""

        def ended(step: int, logs: dict[str, object]) -> None:
            float(logs["loss"])  # type: ignore[arg-type]
            self.marks.append(time.perf_counter())

        return keras.callbacks.LambdaCallback(on_batch_end=ended)


def forward_operations(cell: Cell, arguments: argparse.Namespace) -> float:
    """Multiplications and additions of one position: blocks, attention, and scores of the loss."""
    dim, length = arguments.embedding_dim, cell.sessions
    if "hstu" in cell.name:
        block = 2 * dim * (4 * dim) + 2 * dim * dim  # u, v, q, k; output
    else:
        block = 2 * 4 * dim * dim + 2 * 2 * dim * dim  # q, k, v, output; two dense layers
    attention = 2 * 2 * length * dim
    candidates = min(cell.items, _candidates(cell))
    return arguments.num_layers * (block + attention) + 2.0 * candidates * dim


def _candidates(cell: Cell) -> int:
    from tfsessionrec.models import defaults

    given = defaults(cell.name, cell.items)
    return cell.items if given["negatives"] == "full" else given["num_negatives"]


def _peak_memory(tf: Any, arguments: argparse.Namespace) -> float:
    if arguments.device == "cpu":
        return 0.0
    peak = tf.config.experimental.get_memory_info("GPU:0")["peak"]
    tf.config.experimental.reset_memory_stats("GPU:0")
    return float(peak)


def ceilings(arguments: argparse.Namespace) -> Report:
    """Teraoperations a second of a matrix product, and gigabytes a second of a copy."""
    import tensorflow as tf

    size = 8192 if arguments.device == "gpu" else 256
    found: Report = {}
    for name in ("float32", "float16"):
        dtype = tf.as_dtype(name)
        left = tf.cast(tf.random.normal([size, size]), dtype)
        right = tf.cast(tf.random.normal([size, size]), dtype)

        found[name] = 2 * size**3 / _seconds(lambda a=left, b=right: tf.matmul(a, b)) / 1e12
    memory = tf.random.normal([2**29 if arguments.device == "gpu" else 2**16])
    size = 2 * 4 * int(memory.shape[0])
    found["gb_per_second"] = size / _seconds(lambda: tf.negative(memory)) / 1e9
    return found


def _seconds(operation: Any, rounds: int = 10) -> float:
    """Of one operation, without the time between Python and the device."""

    def elapsed(times: int) -> float:
        started = time.perf_counter()
        for _ in range(times):
            result = operation()
        result[..., :1].numpy()  # waits
        return time.perf_counter() - started

    elapsed(2)
    return (elapsed(rounds + 1) - elapsed(1)) / rounds


def render(report: Report) -> str:
    """The ceilings and a row for each cell."""
    limits = report["ceilings"]
    rows = []
    for one in report["cells"]:
        if "error" in one:
            known = [
                one["name"],
                f"{one['sessions']} × {one['session_items']}",
                f"{one['items']:,}",
            ]
            rows.append([*known, one["precision"], "fails", *[""] * 5])
            continue
        ceiling = limits["float16" if one["precision"].startswith("mixed") else "float32"]
        rows.append(
            [
                one["name"],
                f"{one['sessions']} × {one['session_items']}",
                f"{one['items']:,}",
                one["precision"],
                f"{one['step_ms']:.2f}",
                f"{one['positions_per_second'] / 1e6:.2f}",
                f"{one['tflops']:.1f}",
                f"{100 * one['tflops'] / ceiling:.1f} %",
                f"{one['first_s']:.0f}",
                f"{one['peak_gb']:.1f}",
            ]
        )
    header = ["model", "history", "items", "precision", "step, ms", "10⁶ positions/s",
              "TFLOP/s", "share", "first, s", "peak GB"]  # fmt: skip
    return (
        f"{report['device']}. Ceilings: {limits['float32']:.0f} TFLOP/s in float32 (TF32 on a card "
        f"that has it), {limits['float16']:.0f} in float16, {limits['gb_per_second']:,.0f} GB/s. "
        f"{report['settings']['positions']:,} positions a batch, dimension "
        f"{report['settings']['embedding_dim']}, {report['settings']['num_layers']} blocks. "
        "*First* are the seconds until the first 16 steps end: tracing, compiling.\n\n"
        + table(header, rows)
    )


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu")
    parser.add_argument(
        "--models", nargs="+", default=["sasrec", "hstu", "sessionrec-sasrec"], help="systems"
    )
    parser.add_argument("--sessions", type=int, nargs="+", default=[50, 200, 1000])
    parser.add_argument("--items", type=int, nargs="+", default=[10**5, 10**6, 10**7])
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--positions", type=int, default=25_600, help="positions of a batch")
    parser.add_argument("--embedding-dim", type=int, default=128)
    parser.add_argument("--num-layers", type=int, default=2)
    parser.add_argument("--executions", type=int, default=5, help="timed executions of 16 steps")
    parser.add_argument("--seconds", type=float, default=420, help="start no cell after that")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=pathlib.Path, help="write the whole report here")
    parser.add_argument("--section", action="store_true", help="write the section of RESULTS.md")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Measures and prints; 0 also where nothing can be measured."""
    arguments = parse_arguments(argv)
    wanted = cells(arguments)
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if arguments.device == "gpu" and not gpus:
        names = ", ".join(arguments.models)
        say(f"TensorFlow sees no GPU. Skipped: {len(wanted)} trainings ({names})")
        return 0
    if arguments.device == "cpu":
        tf.config.set_visible_devices([], "GPU")
        name = "CPU"
    else:
        name = tf.config.experimental.get_device_details(gpus[0])["device_name"]
    started = time.perf_counter()
    limits = ceilings(arguments)
    measured: list[Report] = []
    skipped: list[Cell] = []
    say(f"{name}: {limits}")
    for cell in wanted:
        if time.perf_counter() - started > arguments.seconds:
            skipped.append(cell)
            continue
        try:
            one = measure(cell, arguments)
            say(f"{cell}: {one['step_ms']:.2f} ms, first {one['first_s']:.0f} s")
        except (tf.errors.OpError, RuntimeError, ValueError) as error:
            one = {**dataclasses.asdict(cell), "error": str(error)[:2000]}
            say(f"{cell} failed: {str(error)[:1500]}")
        measured.append(one)
    for cell in skipped:
        say(f"skipped, as {arguments.seconds:.0f} s had passed: {cell}")
    report = {
        "command": command("gpu", argv),
        "device": name,
        "settings": {k: v for k, v in vars(arguments).items() if k not in {"json", "section"}},
        "ceilings": limits,
        "cells": measured,
        "skipped": [dataclasses.asdict(cell) for cell in skipped],
        "seconds": time.perf_counter() - started,
    }
    print(render(report))
    write_report(arguments.json, report)
    if arguments.section:
        write_section(
            "gpu", "Training on a GPU", report["command"],
            "Time of a training step on a GPU; see the head of the script for what is counted.",
            render(report),
        )  # fmt: skip
    return int(any("error" in one for one in measured))


if __name__ == "__main__":
    raise SystemExit(main())
