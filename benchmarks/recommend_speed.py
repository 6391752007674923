"""Users per second of `recommend` for every user of a log, and the share of each step.

    python benchmarks/recommend_speed.py --section

A simulated log of `--users` users with `--sessions` sessions of `--session-items` items each over
`--items` items; models of dimension `--dim` with random weights, which does not change the work of
an exact list. *Whole* is `sr.evaluation.recommend` from sessions in memory to a Parquet file with k
items a user. *Batches*, *encoder* and *lists* are its steps, timed alone: laying out histories, the
model's queries, and the k best of all items by `ListSearch`, which is the only step that grows with
the catalogue. *CPU* is what 2 cores would give if nothing else ran: 2 users / CPU seconds of all
threads. Medians over the rounds; code is compiled before. Prints whether *lists* reach 20,000 users
a second (CPU).
"""

import argparse
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
from section import Report, command, say, table, write_report, write_section

import tfsessionrec as sr
from tfsessionrec.data.history_batches import history_batches
from tfsessionrec.evaluation.list_search import ListSearch
from tfsessionrec.evaluation.system import EmbeddingSystem

GOAL = 20_000


def simulated(arguments: argparse.Namespace) -> sr.data.Sessions:
    """Sessions of random items."""
    size = arguments.sessions * arguments.session_items
    number = np.arange(arguments.users * size)
    items = np.random.default_rng(0).integers(arguments.items, size=len(number))
    log = pl.DataFrame(
        {
            "user": number // size,
            "session": number // arguments.session_items,
            "item_id": items,
            "timestamp": number,
        }
    )
    return sr.data.sessionize(log, user="user", session="session")


def rates(function: Callable[[], object], users: int, rounds: int) -> dict[str, float]:
    """Users per second, by the clock and by the CPU time of 2 cores, after one round."""
    function()
    wall, cpu = [], []
    for _ in range(rounds):
        begin, spent = time.perf_counter(), time.process_time()
        function()
        wall.append(users / (time.perf_counter() - begin))
        cpu.append(2 * users / (time.process_time() - spent))
    return {"wall": statistics.median(wall), "cpu": statistics.median(cpu)}


def measure(name: str, sessions: sr.data.Sessions, arguments: argparse.Namespace) -> Report:
    """The rates of one model."""
    vocabulary = sr.data.Vocabulary(np.arange(arguments.items), np.ones(arguments.items, np.int64))
    recipe = sr.models.recipe(name)
    model = sr.models.build(name, vocabulary_size=len(vocabulary), embedding_dim=arguments.dim)
    spec = recipe.history
    users = np.arange(sessions.num_users)
    system = EmbeddingSystem(model, vocabulary.first_item_index)
    system.use_popularity(vocabulary.counts)
    batches = [
        {key: value.numpy() for key, value in batch.items()}
        for batch in history_batches(sessions, vocabulary, spec, users)
    ]

    def queries() -> list[np.ndarray]:
        return [
            system.queries(batch, np.arange(len(batch["item_ids"])), None).embeddings.numpy()
            for batch in batches
        ]

    given = np.concatenate(queries())
    search = ListSearch(system.candidates.embeddings.numpy())
    say(f"{name}: rough scores are {'bfloat16' if search.rounds else 'float32'}")
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "recs.parquet"
        steps: dict[str, Callable[[], object]] = {
            "batches": lambda: list(history_batches(sessions, vocabulary, spec, users)),
            "encoder": queries,
            "lists": lambda: search(given, arguments.k),
            "whole": lambda: sr.evaluation.recommend(
                model, sessions, vocabulary, path, arguments.k, spec=spec
            ),
        }
        found: Report = {}
        for step, function in steps.items():
            found[step] = rates(function, len(users), arguments.rounds)
            say(f"{name}, {step}: {found[step]}")
    return found


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=["two-tower", "sasrec"], metavar="NAME")
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--sessions", type=int, default=10)
    parser.add_argument("--session-items", type=int, default=1)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--k", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE")
    parser.add_argument("--section", action="store_true", help="write the section of RESULTS.md")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse(argv)
    sessions = simulated(arguments)
    found = {name: measure(name, sessions, arguments) for name in arguments.models}
    rows = [
        [name, step, f"{rate['wall']:,.0f}", f"{rate['cpu']:,.0f}"]
        for name, steps in found.items()
        for step, rate in steps.items()
    ]
    figures = table(["model", "step", "users/s", "users/s, CPU"], rows)
    slowest = min(steps["lists"]["cpu"] for steps in found.values())
    verdict = (
        f"Exact lists of {arguments.k} of {arguments.items:,} items, dimension {arguments.dim}: "
        f"{slowest:,.0f} users a second on 2 cores by CPU time, "
        f"{'at least' if slowest >= GOAL else 'less than'} {GOAL:,}. Histories have "
        f"{arguments.sessions} sessions of {arguments.session_items}; {arguments.users:,} users."
    )
    print(figures, verdict, sep="\n\n")
    write_report(arguments.json, {**vars(arguments), "json": None, "rates": found})
    if arguments.section:
        text = (__doc__ or "").partition("\n\n")[2].partition("\n\n")[2]
        write_section(
            "recommend_speed",
            "Recommendations for every user of a log",
            command("recommend_speed", argv),
            " ".join(text.split()),
            figures,
            verdict,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
