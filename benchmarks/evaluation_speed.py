"""Time of exact evaluation, compared with TFRS's `FactorizedTopK`, and its cost within `fit`.

    python benchmarks/evaluation_speed.py --section

1. Recall and NDCG at 20 and 100 of 20,000 queries with one target each, on catalogues of 10^4, 10^5
   and 10^6 items: `sr.evaluation.evaluate` against `tfrs.metrics.FactorizedTopK`, which reports the
   hit rate only (for one target, the recall). Both rank the same given embeddings, in turns, each
   in its own process, and must find the same number of hits. The peer receives 1,024 queries at a
   time and scans its candidates in batches of 128, as in its tutorial, and of 4,096, which is
   faster. With batches of 128 it receives the first `--tutorial-queries` only, and its time is
   scaled up: it scans the whole catalogue for every 1,024 queries. Ours keeps at most
   `--block-size` scores in memory; *adds GB* is the growth of peak memory over that of a process
   with the embeddings.
2. Seconds per epoch of `model.fit` with and without `CatalogueMetrics`, in turns, on a simulated
   log.
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from section import Report, command, say, table, write_report, write_section

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

HERE = pathlib.Path(__file__).resolve().parent
KS = (20, 100)
DIM = 64


def peak_gb() -> float:
    """Peak resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def embeddings(queries: int, items: int) -> tuple["np.ndarray", "np.ndarray", "np.ndarray"]:
    """Queries [Q, D], candidates [C, D] and targets [Q], with enough hits to compare."""
    import numpy as np

    generator = np.random.default_rng(0)
    candidates = generator.standard_normal((items, DIM), dtype=np.float32)
    targets = generator.integers(0, items, queries)
    noise = generator.standard_normal((queries, DIM), dtype=np.float32)
    return candidates[targets] + 2.5 * noise, candidates, targets


def ours(arguments: argparse.Namespace) -> dict[str, float]:
    """`sr.evaluation.evaluate`."""
    import numpy as np

    import tfsessionrec as sr

    queries, candidates, targets = embeddings(arguments.queries, arguments.items)
    table_ = np.concatenate([np.zeros((2, DIM), np.float32), candidates])

    class Given:
        """A model that returns the given query of each row."""

        def encode(self, features: dict[str, "tf.Tensor"]) -> np.ndarray:
            return queries[np.asarray(features["number"])]

        def candidate_embeddings(self) -> np.ndarray:
            return table_

    step = 4096
    batches = [
        {
            "item_ids": np.full((len(part), 1, 1), 2, np.int32),
            "target_ids": targets[part, None] + 2,
            "number": part,
        }
        for part in (
            np.arange(first, min(first + step, len(queries)))
            for first in range(0, len(queries), step)
        )
    ]
    sr.evaluation.evaluate(Given(), batches[:1], KS, block_size=arguments.block_size)  # traces
    before, begin = peak_gb(), time.perf_counter()
    report = sr.evaluation.evaluate(Given(), batches, KS, block_size=arguments.block_size)
    seconds = time.perf_counter() - begin
    added = peak_gb() - before
    hits = {f"hits@{k}": report[f"recall@{k}"] * len(queries) for k in KS}
    some = {name: part[: arguments.tutorial_queries] for name, part in batches[0].items()}
    report = sr.evaluation.evaluate(Given(), [some], KS, block_size=arguments.block_size)
    hits |= {f"first_hits@{k}": report[f"recall@{k}"] * len(some["number"]) for k in KS}
    return {"seconds": seconds, "added_gb": added, **hits}


def peer(arguments: argparse.Namespace) -> dict[str, float]:
    """`tfrs.metrics.FactorizedTopK`."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import numpy as np
    import tensorflow as tf
    import tensorflow_recommenders as tfrs

    queries, candidates, targets = embeddings(arguments.queries, arguments.items)
    # Without ids it would compare a target's score with the score of the same item from another
    # kernel and miss some hits.
    items = tf.data.Dataset.from_tensor_slices((np.arange(len(candidates)), candidates))
    dataset = items.batch(arguments.peer_batch).cache()
    metric = tfrs.metrics.FactorizedTopK(candidates=dataset, ks=list(KS))
    asked = len(queries)
    if arguments.peer_batch == PEER_BATCHES["as in its tutorial"]:
        asked = min(arguments.tutorial_queries, asked)
    rows = (queries[:asked], candidates[targets[:asked]], targets[:asked])
    rows = tf.data.Dataset.from_tensor_slices(rows).batch(arguments.peer_queries)

    @tf.function(reduce_retracing=True)
    def update(query: tf.Tensor, target: tf.Tensor, number: tf.Tensor) -> None:
        metric.update_state(query, target, number)

    for row in rows.take(1):
        update(*row)
    for one in metric._top_k_metrics:  # its reset_states calls a method that this Keras lacks
        one.reset_state()
    before, begin = peak_gb(), time.perf_counter()
    for row in rows:
        update(*row)
    results = [float(value) for value in metric.result()]
    seconds = (time.perf_counter() - begin) * len(queries) / asked
    hits = {f"hits@{k}": value * asked for k, value in zip(KS, results, strict=True)}
    return {"seconds": seconds, "added_gb": peak_gb() - before, **hits}


def in_fit(arguments: argparse.Namespace) -> Report:
    """Seconds per epoch with and without `CatalogueMetrics`, in turns."""
    import tensorflow as tf

    import tfsessionrec as sr

    events = sr.data.simulate(num_users=arguments.fit_users, slate_size=3.0, seed=0).events
    sessions = sr.data.sessionize(events, user="user_id", session="session_id", label="label")
    train, test = sr.data.leave_last_session_out(sr.data.flatten_sessions(sessions))
    vocabulary = sr.data.Vocabulary.from_sessions(train)
    batches = sr.data.session_dataset(train, vocabulary, max_sessions=51, batch_positions=1024)
    asked = sr.data.session_dataset(test, vocabulary, max_sessions=51, batch_positions=8192)
    model = sr.models.build("sasrec", vocabulary_size=len(vocabulary))
    model.compile(tf.keras.optimizers.Adam(1e-3))
    metrics = sr.evaluation.CatalogueMetrics(asked, k=20, vocabulary=vocabulary)
    model.fit(batches, epochs=1, verbose=0, callbacks=[metrics])  # traces
    seconds: dict[str, list[float]] = {"without": [], "with": []}
    for _ in range(arguments.rounds):
        for name, callbacks in (("without", []), ("with", [metrics])):
            begin = time.perf_counter()
            model.fit(batches, epochs=2, verbose=0, callbacks=callbacks)
            seconds[name].append((time.perf_counter() - begin) / 2)
    ratios = [one / other for one, other in zip(seconds["with"], seconds["without"], strict=True)]
    return {"seconds": seconds, "ratio": statistics.median(ratios), "events": train.num_events}


WORKERS = {"ours": ours, "peer": peer, "fit": in_fit}
PEER_BATCHES = {"as in its tutorial": 128, "in large batches": 4096}


def work(kind: str, arguments: argparse.Namespace, items: int = 0, peer_batch: int = 0) -> Report:
    """Runs one measurement in its own process."""
    words = [sys.executable, str(pathlib.Path(__file__).resolve()), "--worker", kind]
    words += ["--items", str(items)]
    words += ["--peer-batch", str(peer_batch)]
    names = ("queries", "block_size", "peer_queries", "tutorial_queries", "fit_users", "rounds")
    for name in names:
        words += [f"--{name.replace('_', '-')}", str(vars(arguments)[name])]
    answer = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(answer.stdout.splitlines()[-1])


def _median(rounds: list[Report], kind: str, name: str) -> float:
    return statistics.median(one[kind][name] for one in rounds)


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--catalogues", type=int, nargs="+", default=[10**4, 10**5, 10**6])
    parser.add_argument("--queries", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--block-size", type=int, default=2**22)
    parser.add_argument("--peer-batch", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--peer-queries", type=int, default=1024)
    parser.add_argument("--tutorial-queries", type=int, default=2048, help="at most 4096")
    parser.add_argument("--fit-users", type=int, default=20_000)
    parser.add_argument("--json", type=pathlib.Path, help="write the whole report here")
    parser.add_argument("--section", action="store_true", help="write the section of RESULTS.md")
    parser.add_argument("--worker", choices=WORKERS, help=argparse.SUPPRESS)
    parser.add_argument("--items", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def compare(arguments: argparse.Namespace) -> dict[int, list[Report]]:
    """The rounds of part 1 by catalogue size: in each round the figures of ours and the peer.

    Raises:
        RuntimeError: If the two find different numbers of hits.
    """
    measured: dict[int, list[Report]] = {}
    for items in arguments.catalogues:
        measured[items] = []
        for number in range(arguments.rounds):
            one = {"ours": work("ours", arguments, items)}
            for name, batch in PEER_BATCHES.items():
                one[name] = work("peer", arguments, items, batch)
                which = "first_hits" if name == "as in its tutorial" else "hits"
                for k in KS:
                    found = [one["ours"][f"{which}@{k}"], one[name][f"hits@{k}"]]
                    if abs(found[0] - found[1]) > 0.5:
                        raise RuntimeError(
                            f"Both should find equally many hits at {k}. Received: {found}"
                        )
            measured[items].append(one)
            say(f"{items:,} items, round {number + 1}: {one}")
    return measured


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints, and exits with 1 if a limit is exceeded."""
    arguments = parse_arguments(argv)
    if arguments.worker:
        print(json.dumps(WORKERS[arguments.worker](arguments)))
        return 0
    measured, rows, ratios = compare(arguments), [], {}
    for items, rounds in measured.items():
        cells = [f"{items:,}", f"{_median(rounds, 'ours', 'seconds'):.1f}"]
        for name in PEER_BATCHES:
            by_round = [one[name]["seconds"] / one["ours"]["seconds"] for one in rounds]
            ratios[items, name] = statistics.median(by_round)
            cells += [f"{_median(rounds, name, 'seconds'):.1f}", f"{ratios[items, name]:.1f}×"]
        rows.append([*cells, f"{_median(rounds, 'ours', 'added_gb'):.2f}"])
    fit = work("fit", arguments)
    header = ["items", "ours, s"]
    for name in PEER_BATCHES:
        header += [f"FactorizedTopK {name}, s", "ratio"]
    header.append("ours adds GB")
    times = {name: statistics.median(values) for name, values in fit["seconds"].items()}
    text = [
        f"Exact recall and NDCG at 20 and 100 of {arguments.queries:,} queries, compared with "
        "TFRS's `FactorizedTopK`, which finds the same hits (and has no NDCG). Both run in turns; "
        f"medians of {arguments.rounds} rounds. Ours keeps at most {arguments.block_size:,} scores "
        "in memory. TFRS's tutorial scans the candidates in batches of 128 (measured on the first "
        f"{arguments.tutorial_queries:,} queries and scaled to all); large batches have 4,096.",
        table(header, rows),
        f"`CatalogueMetrics` on 1,000 queries per epoch, {fit['events']:,} training events: "
        f"{times['with']:.2f} s per epoch, {times['without']:.2f} s without, "
        f"{100 * (fit['ratio'] - 1):+.1f} %.",
    ]
    print("\n\n".join(text))
    typed = command("evaluation_speed", argv)
    by_size = [{"items": items, "rounds": rounds} for items, rounds in measured.items()]
    write_report(arguments.json, {"command": typed, "rounds": by_size, "fit": fit})
    if arguments.section:
        write_section("evaluation_speed", "Speed of evaluation", typed, *text)
    slow = [
        ratio
        for (items, name), ratio in ratios.items()
        if items >= 10**5 and name == "as in its tutorial" and ratio < 10
    ]
    return int(bool(slow) or fit["ratio"] > 1.1)


if __name__ == "__main__":
    sys.exit(main())
