"""Queries per second of the rules and the neighbor methods, including the lists of the best 20.

    python benchmarks/baseline_speed.py --data FOLDER --json speed.json

Logs: the YooChoose test file (P1) and the Globo test hours (P2). Queries: as in the published
figures, every position of every test session after the first. In each round every system lists the
20 best items of all queries, in batches; the systems run in turns, and the result is the median
over the rounds. Fitting, code compilation (a first round warms up) and batch assembly are not
timed. The process uses all cores available to it; `--threads` limits them.
"""

import argparse
import os
import pathlib
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
import prepare_globo
from section import Report, command, say, table, write_report, write_section

from tfsessionrec import data
from tfsessionrec.baselines import (
    SKNN,
    STAN,
    VSKNN,
    VSTAN,
    AssociationRules,
    ItemKNN,
    SequentialRules,
    SessionBaseline,
)

SYSTEMS: dict[str, Callable[[], SessionBaseline]] = {
    "AR": lambda: AssociationRules(pruning=20),
    "SR": lambda: SequentialRules(20, "quadratic", pruning=20),
    "ItemKNN": ItemKNN,
    "SKNN k=100": lambda: SKNN(k=100),
    "VSKNN k=100": lambda: VSKNN(k=100, weighting="quadratic", weighting_score="quadratic"),
    "VSKNN k=500, idf": lambda: VSKNN(k=500, weighting="log", idf_weighting=1),
    "STAN k=500": STAN,
    "VSTAN k=500": VSTAN,
}


def yoochoose(folder: pathlib.Path) -> tuple[data.Sessions, data.Sessions]:
    """Training and test sessions of P1."""
    columns = {"session": "SessionId", "item_id": "ItemId", "timestamp": "Time"}
    train, test = (
        data.sessionize(
            data.read_events(folder / f"yoochoose-clicks-100k_{part}.txt", columns, "\t"),
            session="session",
        )
        for part in ("train_full", "test")
    )
    return train, test


def globo(folder: pathlib.Path) -> tuple[data.Sessions, data.Sessions]:
    """Training and test sessions of P2: 72 hours, then 20,000 sessions of known articles."""
    parts = prepare_globo.split(pl.read_parquet(folder / "globo_clicks_hours_000_095.parquet"))
    train, test = (
        data.sessionize(
            events,
            session="session_id",
            item="click_article_id",
            time="click_timestamp",
            time_unit="ms",
        )
        for events in parts
    )
    return train, test


LOGS = {"P1": yoochoose, "P2": globo}


def batches(
    test: data.Sessions, vocabulary: data.Vocabulary, size: int
) -> list[dict[str, np.ndarray]]:
    """The queries in batches of arrays."""
    dataset = data.session_dataset(
        data.expand_prefixes(test),
        vocabulary,
        targets="last",
        max_items=200,
        batch_size=size,
        request_times="last_interaction",
    )
    return [{name: part.numpy() for name, part in batch.items()} for batch in dataset]


def best(model: SessionBaseline, features: dict[str, np.ndarray], k: int) -> np.ndarray:
    """The items with the highest scores: [Q, k], best first, 0 if there are fewer than k."""
    scores = model.sparse_scores(features)
    lengths = np.diff(scores.indptr)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    # Positive float32 numbers are ordered as their bits are: one sort by row, then score.
    order = np.argsort((rows << 32) - scores.data.view(np.int32), kind="stable")
    place = np.arange(len(rows)) - np.repeat(scores.indptr[:-1], lengths)
    lists = np.zeros((len(lengths), k), np.int64)
    kept = place < k
    lists[rows[kept], place[kept]] = scores.indices[order[kept]]
    return lists


def measure(arguments: argparse.Namespace, log: str) -> list[Report]:
    """One row of figures per system."""
    train, test = LOGS[log](arguments.data)
    vocabulary = data.Vocabulary.from_sessions(train)
    queries = batches(test, vocabulary, arguments.batch_size)
    count = sum(len(batch["item_ids"]) for batch in queries)
    models, fit_seconds = {}, {}
    for name in arguments.systems:
        SYSTEMS[name]().fit(train.filter_users(train.events["user_id"][:1]), vocabulary)
        begin = time.perf_counter()
        models[name] = SYSTEMS[name]().fit(train, vocabulary)
        fit_seconds[name] = time.perf_counter() - begin
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for turn in range(arguments.rounds + 1):
        for name, model in models.items():
            begin = time.perf_counter()
            for batch in queries:
                best(model, batch, arguments.k)
            if turn:
                seconds[name].append(time.perf_counter() - begin)
        say(f"{log} round {turn} of {arguments.rounds}")
    return [
        {
            "log": log,
            "system": name,
            "queries": count,
            "fit_seconds": fit_seconds[name],
            "queries_a_second": count / statistics.median(seconds[name]),
            "slowest": count / max(seconds[name]),
            "fastest": count / min(seconds[name]),
        }
        for name in models
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder of the logs")
    parser.add_argument("--logs", nargs="+", choices=list(LOGS), default=list(LOGS))
    parser.add_argument("--systems", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS))
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=2048, help="queries per batch")
    parser.add_argument("--k", type=int, default=20, help="length of the lists")
    parser.add_argument("--threads", type=int, help="cores to use (default: all available)")
    parser.add_argument("--json", type=pathlib.Path, help="write the figures to this file")
    parser.add_argument("--section", action="store_true", help="write results/baseline_speed.md")
    arguments = parser.parse_args(argv)
    cores = sorted(os.sched_getaffinity(0))[: arguments.threads]
    os.sched_setaffinity(0, cores)
    rows = [row for log in arguments.logs for row in measure(arguments, log)]
    text = table(
        ["log", "system", "queries/s", "slowest", "fastest", "fit s"],
        [
            [
                row["log"],
                row["system"],
                *(f"{row[name]:,.0f}" for name in ("queries_a_second", "slowest", "fastest")),
                f"{row['fit_seconds']:.2f}",
            ]
            for row in rows
        ],
    )
    about = (
        f"Queries per second on {len(cores)} cores, including the lists of the best "
        f"{arguments.k} items: the median, slowest and fastest of {arguments.rounds} rounds, in "
        "which the systems run in turns. P1 is the next item on YooChoose, P2 the next click on "
        "Globo; each position of the test sessions is one query."
    )
    print(f"{about}\n\n{text}")
    if arguments.section:
        write_section(
            "baseline_speed",
            "Speed of rules and neighbor methods",
            command("baseline_speed", argv),
            about,
            text,
        )
    write_report(arguments.json, {"cores": len(cores), "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
