"""What habit adds to a step of training and to a served request.

    python benchmarks/habit_cost.py --section

Two `sessionrec-sasrec` of dimension 64, with habit and without, take turns.

1. *A step of training* of 256 positions, 50 sessions of 5 items a row, over each of `--steps`
   catalogues: the softmax over all items, above 50,000 items over 2,048 drawn ones.
2. *A request*, `recommend` of an export with `--items` items for a history of 50 sessions of 20
   items, batch 1, called in process.

Wall time and CPU time of all threads, medians over the rounds; the ratio and the difference are of
the medians. Exits with 1 if habit adds more than 15 % of the CPU time of a step or 1 ms to a
request.
"""

import argparse
import functools
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf
from section import Report, command, say, table, write_report, write_section

import tfsessionrec as sr
from tfsessionrec.export import export_saved_model

STEP, REQUEST_MS = 0.15, 1.0
CASES: Mapping[str, Mapping[str, object]] = {"without": {"habit": None}, "with habit": {}}

Times = dict[str, dict[str, float]]


def in_turns(calls: Mapping[str, Callable[[], object]], rounds: int) -> Times:
    """Medians of wall and CPU milliseconds of calls that take turns, after one call each."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            begin, spent = time.perf_counter(), time.process_time()
            call()
            taken = time.perf_counter() - begin, time.process_time() - spent
            if turn:
                found[name].append(taken)
    return {
        name: {
            "ms": 1e3 * statistics.median(wall for wall, _ in taken),
            "cpu_ms": 1e3 * statistics.median(cpu for _, cpu in taken),
        }
        for name, taken in found.items()
    }


def step_times(items: int, rounds: int) -> Times:
    """Milliseconds of a step of training with each catalogue."""
    shape = (5, 51, 5)
    batch = {"item_ids": tf.constant(np.random.default_rng(0).integers(2, items, shape, np.int32))}
    calls = {}
    for name, options in CASES.items():
        model = sr.models.build("sessionrec-sasrec", vocabulary_size=items, **options)
        model.compile(sr.optimizers.LazyAdam(1e-3))
        model(batch)
        train = model.make_train_function()
        data = iter(tf.data.Dataset.from_tensors(batch).repeat())
        calls[name] = lambda train=train, data=data: train(data)["loss"].numpy()
    return in_turns(calls, rounds)


def ask(loaded: tf.Module, inputs: Mapping[str, tf.Tensor]) -> np.ndarray:
    """The scores of one request."""
    return loaded.signatures["recommend"](**inputs)["scores"].numpy()


def request_times(items: int, rounds: int) -> Times:
    """Milliseconds of a request to an export with each catalogue."""
    ids = np.arange(items)
    vocabulary = sr.data.Vocabulary(ids, counts=np.ones(items, np.int64))
    history = np.random.default_rng(0).integers(0, items, 1000)
    calls = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, options in CASES.items():
            say(f"exporting {items:,} items, {name}")
            model = sr.models.build("sessionrec-sasrec", vocabulary_size=len(vocabulary), **options)
            model({"item_ids": tf.zeros([1, 2, 1], tf.int32)})
            path = pathlib.Path(folder) / name.replace(" ", "_") / "1"
            export_saved_model(model, path, vocabulary, k=100)
            loaded = tf.saved_model.load(str(path))
            inputs = {
                "item_ids": tf.constant([history], tf.int64),
                "session_index": tf.constant([np.arange(1000, dtype=np.int32) // 20]),
                "k": tf.constant([100]),
            }
            calls[name] = functools.partial(ask, loaded, inputs)
        return in_turns(calls, rounds)


def rows_of(what: str, times: Times) -> list[str]:
    without, habit = (times[name] for name in CASES)
    return [
        what,
        *(f"{values[key]:.2f}" for key in ("ms", "cpu_ms") for values in (without, habit)),
        f"{habit['cpu_ms'] / without['cpu_ms']:.3f}",
        f"{habit['ms'] - without['ms']:.2f} ms",
    ]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--section", action="store_true", help="write the section of RESULTS.md")
    arguments = parser.parse_args(argv)
    report: Report = {"steps": {}, "request": {}}
    lines = []
    for items in arguments.steps:
        say(f"steps over {items:,} items")
        report["steps"][str(items)] = times = step_times(items, arguments.rounds)
        lines.append(rows_of(f"step, {items:,} items", times))
    report["request"] = times = request_times(arguments.items, arguments.rounds)
    lines.append(rows_of(f"request, {arguments.items:,} items", times))
    header = ["what", "ms", "ms, habit", "CPU ms", "CPU ms, habit", "CPU ratio", "added"]
    text = table(header, lines)
    print(text)
    write_report(arguments.json, report)
    if arguments.section:
        about = (__doc__ or "").split("\n\n", 2)[2].strip()
        write_section("habit_cost", "What habit costs", command("habit_cost", argv), about, text)
    ratios = [
        times["with habit"]["cpu_ms"] / times["without"]["cpu_ms"]
        for times in report["steps"].values()
    ]
    added = report["request"]["with habit"]["ms"] - report["request"]["without"]["ms"]
    return int(max(ratios) > 1 + STEP or added > REQUEST_MS)


if __name__ == "__main__":
    sys.exit(main())
