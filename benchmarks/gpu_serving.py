"""Serving on a GPU: exact top k over large catalogues, and a whole export.

    python benchmarks/gpu_serving.py --section

All calls run in process through TensorFlow's C API, as a server runs them; only `TF_SessionRun` is
timed, with its copies to and from the card.

1. *Top k* of a `CandidateTable` of random embeddings with dimension 64, for 1 request and for a
   batch of 256. *Reading* is the time of the product of the table with one vector, which reads the
   table once: no exact search over it is faster at batch 1. *Recall* is the share of the exact
   lists (float64) that is found.
2. *An export* of `sessionrec-sasrec` with histories of 50 sessions of 20 items: `encode` and
   `recommend`, ids as texts.

*Several* callers send batches at the same time, as the batch threads of a server do. A card that
has TF32 rounds the factors of a float32 product to 10 bits unless NVIDIA_TF32_OVERRIDE=0 is set.

Without a GPU the script says what it skips and ends. `--device cpu` runs it on the CPU, for tests.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")

from section import Report, command, say, table, write_report, write_section
from serving_latency import DIM, Call, make_export, prepared, random_embeddings

if TYPE_CHECKING:
    import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "serving"))

KINDS = ("float32", "bfloat16", "int8")
READS = 10  # of the table in one call, so that the call itself counts little
CHECKED = 64  # queries whose lists are compared with the exact ones
SESSIONS, ITEMS = 50, 20


def make_tables(folder: pathlib.Path, arguments: argparse.Namespace) -> None:
    """Saves a table of each kind, with signatures for its top k and its reading."""
    import tensorflow as tf

    from tfsessionrec.export.candidate_table import CandidateTable

    embeddings = random_embeddings(arguments.items)
    module = tf.Module()
    module.tables = {kind: CandidateTable(embeddings, dtype=kind) for kind in arguments.kinds}
    module.memory = tf.Variable(embeddings, trainable=False)
    specs = tf.TensorSpec([None, DIM], name="queries"), tf.TensorSpec([1], tf.int32, "k")

    def top_k_of(kind: str) -> tf.types.experimental.ConcreteFunction:
        def top_k(queries: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
            scores, rows = module.tables[kind].top_k(queries[:, tf.newaxis], k[0])
            return {"scores": scores, "rows": rows}

        return tf.function(top_k).get_concrete_function(*specs)

    def read(queries: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        vector = queries[0]
        for _ in range(READS):  # each reading needs the one before
            scores = tf.linalg.matvec(module.memory, vector)
            vector += 1e-30 * scores[0]
        return {"score": scores[:1]}

    signatures = {kind: top_k_of(kind) for kind in arguments.kinds}
    signatures["read"] = tf.function(read).get_concrete_function(*specs)
    tf.saved_model.save(module, str(folder), signatures=signatures)


def measure_tables(folder: pathlib.Path, arguments: argparse.Namespace) -> Report:
    """The times of the top k by kind and batch, the time of reading, and the recall."""
    import c_api
    import numpy as np

    model = c_api.SavedModel(folder)
    generator = np.random.default_rng(1)
    queries = generator.standard_normal((max(arguments.batches), DIM), np.float32)
    k = np.array([arguments.k], np.int32)
    read = timed(prepared(model, "read", {"queries": queries[:1], "k": k}), 1, arguments)
    answer: Report = {"reading_ms": read["ms"] / READS, "kinds": {}}
    checked = queries[:CHECKED]
    exact = exact_lists(random_embeddings(arguments.items), checked, arguments.k)
    for kind in arguments.kinds:
        rows = model.run(kind, {"queries": checked, "k": k})["rows"]
        found = [len(set(ours) & set(best)) for ours, best in zip(rows, exact, strict=True)]
        answer["kinds"][kind] = {"recall": sum(found) / exact.size}
        for size in arguments.batches:
            call = prepared(model, kind, {"queries": queries[:size], "k": k})
            answer["kinds"][kind][size] = timed(call, size, arguments)
    return answer


def exact_lists(embeddings: "np.ndarray", queries: "np.ndarray", k: int) -> "np.ndarray":
    """The k best rows for each query, in float64: int [B, k]."""
    import numpy as np

    best_scores = np.empty([len(queries), 0])
    best_rows = np.empty([len(queries), 0], np.int64)
    for first in range(0, len(embeddings), 2**20):
        part = embeddings[first : first + 2**20].astype(np.float64)
        scores = queries.astype(np.float64) @ part.T
        rows = np.argpartition(-scores, min(k, scores.shape[1]) - 1, axis=1)[:, :k]
        best_scores = np.concatenate([best_scores, np.take_along_axis(scores, rows, 1)], 1)
        best_rows = np.concatenate([best_rows, first + rows], 1)
    order = np.argsort(-best_scores, axis=1)[:, :k]
    return np.take_along_axis(best_rows, order, 1)


def measure_export(folder: pathlib.Path, arguments: argparse.Namespace) -> Report:
    """The times of `encode` and `recommend` by batch."""
    import c_api
    import numpy as np

    started = time.perf_counter()
    model = c_api.SavedModel(folder)
    answer: Report = {"load_s": time.perf_counter() - started}
    generator = np.random.default_rng(1)
    for size in arguments.batches:
        numbers = generator.integers(0, arguments.items, (size, SESSIONS * ITEMS))
        index = np.repeat(np.arange(SESSIONS, dtype=np.int32), ITEMS)
        history = {
            "item_ids": np.array([[f"item-{n}" for n in row] for row in numbers], object),
            "session_index": np.tile(index, (size, 1)),
        }
        k = np.full([size], arguments.k, np.int32)
        for signature, inputs in {"encode": history, "recommend": {**history, "k": k}}.items():
            call = prepared(model, signature, inputs)
            answer.setdefault(signature, {})[size] = timed(call, size, arguments)
    return answer


def timed(call: Call, rows: int, arguments: argparse.Namespace) -> dict[str, float]:
    """Milliseconds of one caller's calls, and requests a second of one and of several callers."""
    import numpy as np

    for _ in range(3):
        call()
    seconds = [call()[0] for _ in range(arguments.rounds)]
    with concurrent.futures.ThreadPoolExecutor(arguments.callers) as pool:
        started = time.perf_counter()
        several = [wall for wall, _ in pool.map(lambda _: call(), range(2 * arguments.rounds))]
        elapsed = time.perf_counter() - started
    return {
        "ms": 1e3 * float(np.median(seconds)),
        "p90_ms": 1e3 * float(np.quantile(seconds, 0.9)),
        "per_second": rows * len(seconds) / sum(seconds),
        "several_per_second": rows * len(several) / elapsed,
        "several_p90_ms": 1e3 * float(np.quantile(several, 0.9)),
    }


def _make_export(folder: pathlib.Path, arguments: argparse.Namespace) -> None:
    arguments.candidate_dtype = arguments.kinds[0]
    make_export(folder, arguments)


WORKERS: dict[str, Callable[[pathlib.Path, argparse.Namespace], Report | None]] = {
    "make_tables": make_tables,
    "measure_tables": measure_tables,
    "make_export": _make_export,
    "measure_export": measure_export,
}


def work(worker: str, folder: pathlib.Path, items: int, arguments: argparse.Namespace) -> Report:
    """Runs a worker in its own process, so that it gives the card's memory back."""
    words = [sys.executable, str(pathlib.Path(__file__).resolve()), "--worker", worker]
    words += ["--folder", str(folder), "--items", str(items), "--kinds", *arguments.kinds]
    words += ["--batches", *map(str, arguments.batches), "--device", arguments.device]
    for name in ("k", "rounds", "callers"):
        words += [f"--{name}", str(vars(arguments)[name])]
    hidden = {"CUDA_VISIBLE_DEVICES": "-1"} if arguments.device == "cpu" else {}
    path = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, **hidden, "PYTHONPATH": path}
    started = time.perf_counter()
    answer = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    say(f"{worker}, {items:,} items: {time.perf_counter() - started:.0f} s")
    result: Report = json.loads(answer.stdout.splitlines()[-1])
    return result


def _timings(times: Mapping[str, float]) -> list[str]:
    return [
        f"{times['ms']:.2f}",
        f"{times['p90_ms']:.2f}",
        f"{times['per_second']:,.0f}",
        f"{times['several_per_second']:,.0f}",
        f"{times['several_p90_ms']:.2f}",
    ]


def render(report: Report) -> list[str]:
    """A table of the searches, and one of the exports."""
    header = ["ms", "p90", "requests/s", "several: requests/s", "p90"]
    searches = []
    for items, one in report["tables"].items():
        for kind, kinds in one["kinds"].items():
            last = [f"{one['reading_ms']:.2f}", f"{kinds['recall']:.4f}"]
            searches += [
                [f"{int(items):,}", kind, size, *_timings(times), *last]
                for size, times in kinds.items()
                if size != "recall"
            ]
    exports = [
        [f"{int(items):,}", signature, size, *_timings(times), f"{one['load_s']:.1f}"]
        for items, one in report["exports"].items()
        for signature in ("encode", "recommend")
        for size, times in one[signature].items()
    ]
    settings = report["settings"]
    paragraphs = [
        f"{report['device']}; top {settings['k']}, dimension {DIM}, medians of "
        f"{settings['rounds']} calls, {settings['callers']} callers where they are several. "
        f"TF32 is {'off' if report['tf32_off'] else 'on'}.",
        table(["items", "table", "batch", *header, "reading, ms", "recall"], searches),
    ]
    if exports:
        paragraphs.append(table(["items", "signature", "batch", *header, "load, s"], exports))
    return paragraphs


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu")
    parser.add_argument("--catalogues", type=int, nargs="*", default=[10**5, 10**6, 10**7])
    parser.add_argument("--export-catalogues", type=int, nargs="*", default=[10**6])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=["float32", "bfloat16"])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 256])
    parser.add_argument("--k", type=int, default=100, help="length of the lists")
    parser.add_argument("--rounds", type=int, default=40, help="timed calls")
    parser.add_argument("--callers", type=int, default=4, help="callers at the same time")
    parser.add_argument("--json", type=pathlib.Path, help="write the whole report here")
    parser.add_argument("--section", action="store_true", help="write the section of RESULTS.md")
    inner = parser.add_argument_group("one worker (the script calls itself with these)")
    inner.add_argument("--worker", choices=WORKERS)
    inner.add_argument("--folder", type=pathlib.Path)
    inner.add_argument("--items", type=int)
    return parser.parse_args(argv)


def _device() -> str | None:
    """The name of the GPU, if TensorFlow sees one; in a process of its own."""
    code = (
        "import tensorflow as tf\n"
        "for gpu in tf.config.list_physical_devices('GPU')[:1]:\n"
        "    print(tf.config.experimental.get_device_details(gpu)['device_name'])"
    )
    answer = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    return answer.stdout.strip() or None


def main(argv: Sequence[str] | None = None) -> int:
    """Measures and prints; 0 also where nothing can be measured."""
    arguments = parse_arguments(argv)
    if arguments.worker:
        result = WORKERS[arguments.worker](arguments.folder, arguments)
        print(json.dumps(result or {}))
        return 0
    name = "CPU" if arguments.device == "cpu" else _device()
    if name is None:
        say(
            f"TensorFlow sees no GPU. Skipped: top k over {arguments.catalogues} items, exports of "
            f"{arguments.export_catalogues}"
        )
        return 0
    tables, exports = {}, {}
    for items in arguments.catalogues:
        with tempfile.TemporaryDirectory() as folder:
            work("make_tables", pathlib.Path(folder), items, arguments)
            tables[str(items)] = work("measure_tables", pathlib.Path(folder), items, arguments)
    for items in arguments.export_catalogues:
        with tempfile.TemporaryDirectory() as folder:
            version = pathlib.Path(folder) / "1"
            work("make_export", version, items, arguments)
            exports[str(items)] = work("measure_export", version, items, arguments)
    report = {
        "command": command("gpu_serving", argv),
        "device": name,
        "tf32_off": os.environ.get("NVIDIA_TF32_OVERRIDE") == "0",
        "settings": {
            key: getattr(arguments, key) for key in ("k", "rounds", "callers", "batches", "kinds")
        },
        "tables": tables,
        "exports": exports,
    }
    paragraphs = render(report)
    print("\n\n".join(paragraphs))
    write_report(arguments.json, report)
    if arguments.section:
        write_section("gpu_serving", "Serving on a GPU", report["command"], *paragraphs)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
