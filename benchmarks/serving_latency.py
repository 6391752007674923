"""Latency of a served request, compared with the time of reading the candidate table once.

    python benchmarks/serving_latency.py --section

All calls run in process through TensorFlow's C API, on 2 threads with batch 1; only `TF_SessionRun`
is timed. Figures are medians over rounds, in which all calls take turns. *CPU* is the CPU time of
all threads, which is less sensitive to other processes.

1. *Top k* of a `CandidateTable` of random embeddings with dimension 64. *Reading* is the time to
   read as many bytes as a request reads from the table ("int8": one byte per number): the maximum
   over these bytes as int32, by TensorFlow or by NumPy in 2 threads, whichever is faster in the
   run. *Ratio* is the ratio of the medians. *Recall* is the share of the exact float32 answer that
   is found.
2. *An export* of `sessionrec-sasrec` with dimension 64, 2 blocks and the same number of items: the
   time to load it in a fresh process from cached files, and the times of `encode` and `recommend`
   for a history of 50 sessions of 20 items.

Exits with 1 if a limit is exceeded: a ratio of 2 for float32 and int8, a recall of 0.999 for int8,
2 ms for `encode`, 50/3 ms for `recommend`, 2 s for loading.
"""

import argparse
import concurrent.futures
import ctypes
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from section import Report, command, cpu_seconds, say, table, write_report, write_section

if TYPE_CHECKING:
    import c_api
    import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "serving"))

DIM = 64
THREADS = 2
READ_BYTES = {"float32": 4, "bfloat16": 2, "int8": 1}  # per number and request
SESSIONS, ITEMS = 50, 20
# Limits: ratio to the time of reading; recall; milliseconds; seconds.
RATIO, RECALL, ENCODE_MS, RECOMMEND_MS, LOAD_S = 2.0, 0.999, 2.0, 50 / 3, 2.0


Call = Callable[[], tuple[float, float]]


def timed(function: Callable[[], object]) -> tuple[float, float]:
    """Wall seconds and CPU seconds (of all threads) of a call."""
    begin, cpu = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - begin, time.process_time() - cpu


def prepared(model: "c_api.SavedModel", signature: str, inputs: Mapping[str, "np.ndarray"]) -> Call:
    """A call of a signature with tensors made beforehand; it times `TF_SessionRun` only."""
    library = model._library
    definition = model.meta_graph.signature_def[signature]
    places = type(model._place(next(iter(definition.outputs.values())).name))
    feeds = [model._place(definition.inputs[name].name) for name in inputs]
    fetches = [model._place(output.name) for output in definition.outputs.values()]
    tensors = [model._tensor(value) for value in inputs.values()]
    given = (places * len(feeds))(*feeds), (ctypes.c_void_p * len(feeds))(*tensors), len(feeds)
    wanted, count = (places * len(fetches))(*fetches), len(fetches)

    def call() -> tuple[float, float]:
        status, answers = library.TF_NewStatus(), (ctypes.c_void_p * count)()
        run = (model._session, None, *given, wanted, answers, count, None, 0, None, status)
        seconds = timed(lambda: library.TF_SessionRun(*run))
        model._check(status)
        library.TF_DeleteStatus(status)
        for answer in answers:
            library.TF_DeleteTensor(answer)
        return seconds

    return call


def take_turns(calls: Mapping[str, Call], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Wall and CPU seconds of each call in each round, after two warm-up rounds."""
    measured = [{name: call() for name, call in calls.items()} for _ in range(rounds + 2)][2:]
    return {
        name: {kind: [one[name][n] for one in measured] for n, kind in enumerate(("wall", "cpu"))}
        for name in calls
    }


def milliseconds(seconds: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Medians, and the fastest wall time."""
    wall, cpu = (1e3 * statistics.median(seconds[kind]) for kind in ("wall", "cpu"))
    return {"ms": wall, "fastest_ms": 1e3 * min(seconds["wall"]), "cpu_ms": cpu}


def random_embeddings(items: int) -> "np.ndarray":
    import numpy as np

    return np.random.default_rng(0).standard_normal((items, DIM), np.float32)


def make_tables(folder: pathlib.Path, arguments: argparse.Namespace) -> None:
    """Saves a table of each kind, with signatures for its top k and its reading."""
    import tensorflow as tf

    from tfsessionrec.export.candidate_table import CandidateTable

    embeddings = random_embeddings(arguments.items)
    module = tf.Module()
    module.tables = {kind: CandidateTable(embeddings, dtype=kind) for kind in arguments.kinds}
    module.memory = tf.Variable(embeddings.view("int32"), trainable=False)

    def top_k_of(kind: str) -> tf.types.experimental.ConcreteFunction:
        def top_k(queries: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
            scores, rows = module.tables[kind].top_k(queries[:, tf.newaxis], k[0])
            return {"scores": scores, "rows": rows}

        specs = tf.TensorSpec([None, DIM], name="queries"), tf.TensorSpec([1], tf.int32, "k")
        return tf.function(top_k).get_concrete_function(*specs)

    def reading_of(kind: str) -> tf.types.experimental.ConcreteFunction:
        rows = arguments.items * READ_BYTES[kind] // 4

        def read() -> dict[str, tf.Tensor]:
            return {"largest": tf.reduce_max(module.memory[:rows])}

        return tf.function(read).get_concrete_function()

    signatures = {kind: top_k_of(kind) for kind in arguments.kinds}
    signatures |= {f"read_{kind}": reading_of(kind) for kind in arguments.kinds}
    tf.saved_model.save(module, str(folder), signatures=signatures)


def measure_tables(folder: pathlib.Path, arguments: argparse.Namespace) -> Report:
    """Milliseconds of the top k and of reading, and the recall."""
    import c_api
    import numpy as np

    model = c_api.SavedModel(folder, THREADS, THREADS)
    rng = np.random.default_rng(1)
    queries = rng.standard_normal((arguments.queries, 1, DIM), np.float32)
    k = np.array([arguments.k], np.int32)
    memory = random_embeddings(arguments.items).view(np.int32)
    pool = concurrent.futures.ThreadPoolExecutor(THREADS)

    def numpy_read(kind: str) -> Call:
        parts = np.array_split(memory[: arguments.items * READ_BYTES[kind] // 4], THREADS)
        return lambda: timed(lambda: list(pool.map(np.max, parts)))

    calls = {}
    for kind in arguments.kinds:
        calls[kind] = prepared(model, kind, {"queries": queries[0], "k": k})
        calls[f"read_{kind}"] = prepared(model, f"read_{kind}", {})
        calls[f"numpy_{kind}"] = numpy_read(kind)
    seconds = take_turns(calls, arguments.rounds)
    answer: Report = {"seconds": seconds}
    # The same session as above, so that the recall is that of the timed calls.
    asked = [{"queries": query, "k": k} for query in queries]
    exact = [set(model.run("float32", one)["rows"][0].tolist()) for one in asked]
    for kind in arguments.kinds:
        found = [set(model.run(kind, one)["rows"][0].tolist()) for one in asked]
        both = sum(len(ours & best) for ours, best in zip(found, exact, strict=True))
        took = milliseconds(seconds[kind])
        reads = [milliseconds(seconds[f"{how}_{kind}"]) for how in ("read", "numpy")]
        reading = {f"reading_{name}": min(one[name] for one in reads) for name in took}
        answer[kind] = {
            **took,
            **reading,
            "ratio": took["ms"] / reading["reading_ms"],
            "recall": both / sum(map(len, exact)),
        }
    return answer


def make_export(folder: pathlib.Path, arguments: argparse.Namespace) -> None:
    """Exports an untrained model: training does not affect the latency."""
    import tfsessionrec as sr

    vocabulary = sr.data.Vocabulary([f"item-{number}" for number in range(arguments.items)])
    model = sr.models.build(
        "sessionrec-sasrec", vocabulary_size=len(vocabulary), embedding_dim=DIM, num_layers=2
    )
    sr.export.export_saved_model(
        model,
        folder,
        vocabulary,
        k=arguments.k,
        max_sessions=SESSIONS,
        max_items=ITEMS,
        candidate_dtype=arguments.candidate_dtype,
        warm_up_batch_sizes=(1,),
    )


def measure_load(folder: pathlib.Path, arguments: argparse.Namespace) -> Report:
    """Seconds to load the export."""
    import c_api
    from tensorflow.core.protobuf import config_pb2  # noqa: F401, not part of loading

    c_api._load()
    wall, cpu = timed(lambda: c_api.SavedModel(folder, THREADS, THREADS))
    return {"wall": wall, "cpu": cpu}


def measure_export(folder: pathlib.Path, arguments: argparse.Namespace) -> Report:
    """Milliseconds of `encode` and `recommend`."""
    import c_api
    import numpy as np

    model = c_api.SavedModel(folder, THREADS, THREADS)
    numbers = np.random.default_rng(1).integers(0, arguments.items, SESSIONS * ITEMS)
    history = {
        "item_ids": np.array([[f"item-{number}" for number in numbers]], object),
        "session_index": np.repeat(np.arange(SESSIONS, dtype=np.int32), ITEMS)[np.newaxis],
    }
    calls = {
        "encode": prepared(model, "encode", history),
        "recommend": prepared(model, "recommend", {**history, "k": np.int32([arguments.k])}),
    }
    seconds = take_turns(calls, arguments.rounds)
    return {"seconds": seconds, **{name: milliseconds(seconds[name]) for name in calls}}


WORKERS: dict[str, Callable[[pathlib.Path, argparse.Namespace], Report | None]] = {
    "make_tables": make_tables,
    "measure_tables": measure_tables,
    "make_export": make_export,
    "measure_load": measure_load,
    "measure_export": measure_export,
}


def work(worker: str, folder: pathlib.Path, arguments: argparse.Namespace) -> Report:
    """Runs a worker in its own process."""
    words = [sys.executable, str(pathlib.Path(__file__).resolve()), "--worker", worker]
    words += ["--folder", str(folder), "--kinds", *arguments.kinds]
    for name in ("items", "k", "rounds", "queries", "candidate_dtype"):
        words += [f"--{name.replace('_', '-')}", str(vars(arguments)[name])]
    answer = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(answer.stdout.splitlines()[-1])


def limits(tables: Report, export: Report) -> list[Report]:
    """The measured value of each limit, and whether the limit is met."""
    found = []

    def limit(
        what: str,
        measured: float,
        allowed: float,
        unit: str,
        cpu: float | None = None,
        at_least: bool = False,
    ) -> None:
        met = measured >= allowed if at_least else measured <= allowed
        one = {"what": what, "seen": measured, "asked": allowed, "unit": unit}
        found.append({**one, "met": met, "cpu": cpu})

    for kind in ("float32", "int8"):
        if kind in tables:
            limit(f"top k of {kind}, ratio to reading", tables[kind]["ratio"], RATIO, "×")
    if "int8" in tables:
        limit("recall of int8", tables["int8"]["recall"], RECALL, "", at_least=True)
    for name, allowed in {"encode": ENCODE_MS, "recommend": RECOMMEND_MS}.items():
        limit(name, export[name]["ms"], allowed, "ms", export[name]["cpu_ms"])
    limit("loading", export["load"]["wall"], LOAD_S, "s", export["load"]["cpu"])
    return found


def report_text(
    tables: Report,
    checked: Sequence[Report],
    others: float,
    arguments: argparse.Namespace,
) -> list[str]:
    """Paragraphs of Markdown."""
    rows = [
        [
            kind,
            f"{tables[kind]['ms']:.2f}",
            f"{tables[kind]['fastest_ms']:.2f}",
            f"{tables[kind]['cpu_ms']:.2f}",
            f"{tables[kind]['reading_ms']:.2f}",
            f"{tables[kind]['reading_fastest_ms']:.2f}",
            f"{tables[kind]['reading_cpu_ms']:.2f}",
            f"{tables[kind]['ratio']:.2f}×",
            f"{tables[kind]['recall']:.4f}",
        ]
        for kind in arguments.kinds
    ]
    times = ["top k, ms", "fastest", "CPU"]
    places = {"ms": 2, "s": 2, "×": 2, "": 4}
    checks = [
        [
            one["what"],
            f"{one['seen']:.{places[one['unit']]}f} {one['unit']}".strip(),
            f"{one['asked']:.{places[one['unit']]}f} {one['unit']}".strip(),
            "yes" if one["met"] else "**no**",
            "" if one["cpu"] is None else f"{one['cpu']:.2f} {one['unit']}",
        ]
        for one in checked
    ]
    return [
        f"{arguments.items:,} items, dimension {DIM}, top {arguments.k}, batch 1, {THREADS} "
        f"threads, in process through TensorFlow's C API; medians of {arguments.rounds} rounds, in "
        "which all calls take turns. Other processes used "
        f"{100 * others:.0f} % of the cores.",
        table(["table", *times, "reading, ms", *times[1:], "ratio", "recall"], rows),
        f"The export of `sessionrec-sasrec` has a {arguments.candidate_dtype} table; each request "
        f"has a history of {SESSIONS} sessions of {ITEMS} items.",
        table(["what", "measured", "limit", "met", "CPU"], checks),
    ]


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=10**6, help="number of items")
    parser.add_argument("--k", type=int, default=100, help="length of the lists")
    parser.add_argument("--rounds", type=int, default=31, help="timed rounds")
    parser.add_argument("--loads", type=int, default=3, help="processes that load the export")
    parser.add_argument("--queries", type=int, default=100, help="queries to measure the recall")
    parser.add_argument("--kinds", nargs="+", choices=READ_BYTES, default=list(READ_BYTES))
    parser.add_argument("--candidate-dtype", choices=READ_BYTES, default="float32")
    parser.add_argument("--json", type=pathlib.Path, help="write the whole report here")
    parser.add_argument("--section", action="store_true", help="write the section of RESULTS.md")
    parser.add_argument("--worker", choices=WORKERS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=pathlib.Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if "float32" not in arguments.kinds:
        parser.error("`--kinds` should include float32, which gives the exact answer")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints, and exits with 1 if a limit is exceeded."""
    arguments = parse_arguments(argv)
    if arguments.worker:
        print(json.dumps(WORKERS[arguments.worker](arguments.folder, arguments)))
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        folder, export_folder = pathlib.Path(scratch) / "tables", pathlib.Path(scratch) / "1"
        say("writing the tables and the export ...")
        work("make_tables", folder, arguments)
        work("make_export", export_folder, arguments)
        say("measuring ...")
        begin, (machine, own) = time.perf_counter(), cpu_seconds()
        tables = work("measure_tables", folder, arguments)
        export = work("measure_export", export_folder, arguments)
        loads = [work("measure_load", export_folder, arguments) for _ in range(arguments.loads)]
        (machine_after, own_after), elapsed = cpu_seconds(), time.perf_counter() - begin
    export["load"] = {
        kind: statistics.median(one[kind] for one in loads) for kind in ("wall", "cpu")
    }
    others = max(0.0, machine_after - machine - own_after + own) / (elapsed * THREADS)
    checked = limits(tables, export)
    text = report_text(tables, checked, others, arguments)
    print("\n\n".join(text))
    typed = command("serving_latency", argv)
    report = {
        "command": typed,
        "route": "TensorFlow C API, in process",
        "items": arguments.items,
        "others": others,
        "tables": tables,
        "export": export,
        "limits": checked,
    }
    write_report(arguments.json, report)
    if arguments.section:
        write_section("serving_latency", "Latency of serving", typed, *text)
    return int(not all(one["met"] for one in checked))


if __name__ == "__main__":
    sys.exit(main())
