"""How next-session prediction scales: with data, width and depth, and with the length of sessions.

    python benchmarks/scaling.py --events globo_clicks_hours_000_095.parquet

1. *Loss and NDCG@20* of SessionRec-SASRec on the Globo log, on users that training never saw: every
   session after a user's first, given those before it. A tenth of the users ends training (the
   epoch with the least loss on them counts), a fifth is tested, and of the others 1/16, 1/8, 1/4,
   1/2 and all are trained on, at width 64 and depth 2. Then all of them at other widths, and at
   other depths. The vocabulary is that of all users to train on, the loss the full softmax over it.
   A power law `L = a n^-b + c` is fitted to each.
2. *Seconds of an epoch* of next-session and of next-item training on simulated logs of equally many
   clicks, in sessions of 2, 4, 8, 16 and 32: the fastest of several.

Every measured point is kept in `benchmarks/results/scaling.json`, so that what was stopped goes on;
the figures are in `results/scaling.md`, the picture is `benchmarks/results/scaling.png`.
"""

import argparse
import json
import os
import pathlib
import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import polars as pl
import power_law
from section import command, write_section
from train_throughput import table

import tfsessionrec as sr

HERE = pathlib.Path(__file__).resolve().parent
FILE = HERE / "results" / "scaling.json"
PICTURE = HERE / "results" / "scaling.png"

SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
WIDTHS = (16, 32, 64, 128)
DEPTHS = (1, 2, 3, 4)
WIDTH, DEPTH = 64, 2
SEEDS = (0,)
LENGTHS = (2, 4, 8, 16, 32)
PATIENCE, MOST_EPOCHS = 2, 40
CLICKS = 200_000  # of a simulated log
SESSIONS_PER_USER = 6
SIZES = {"max_sessions": 51, "max_items": 20, "batch_positions": 1024}

Point = dict[str, Any]


def grid() -> list[Point]:
    """What is trained: share of the users, width, depth and seed."""
    middle = {"share": 1.0, "width": WIDTH, "depth": DEPTH}
    points = [
        *({**middle, "share": share} for share in SHARES),
        *({**middle, "width": width} for width in WIDTHS if width != WIDTH),
        *({**middle, "depth": depth} for depth in DEPTHS if depth != DEPTH),
    ]
    return [{**point, "seed": seed} for seed in SEEDS for point in points]


class Log:
    """The Globo log in three groups of users.

    Args:
        events: The file.
    """

    def __init__(self, events: pathlib.Path) -> None:
        sessions = sr.data.sessionize(
            sr.data.read_events(events),
            user="user_id",
            session="session_id",
            item="click_article_id",
            time="click_timestamp",
            time_unit="ms",
        )
        users = sessions.events.filter(pl.col("session_index") > 0)["user_id"].unique().sort()
        users = users.sample(fraction=1, shuffle=True, seed=0)  # of two sessions and more
        tenth = len(users) // 10
        self._sessions = sessions
        self._train = users[3 * tenth :]
        self.vocabulary = sr.data.Vocabulary.from_sessions(sessions.filter_users(self._train))
        self.validation = self._batches(users[:tenth])
        self.test = self._batches(users[tenth : 3 * tenth])

    def train(self, share: float, seed: int) -> tuple[Any, int]:
        """Batches of a share of the users to train on, and how many sessions they predict."""
        users = self._train.sample(fraction=share, seed=seed)
        sessions = self._sessions.filter_users(users)
        return self._batches(users, seed=seed), sessions.num_sessions - sessions.num_users

    def _batches(self, users: pl.Series, seed: int | None = None) -> Any:
        return sr.data.session_dataset(
            self._sessions.filter_users(users), self.vocabulary, seed=seed, **SIZES
        )


def train(log: Log, point: Point) -> Point:
    """Trains until the loss on the validation users has stopped falling, and tests."""
    keras = sr.backend.keras
    keras.utils.set_random_seed(point["seed"])

    def build(**options: Any) -> Any:
        return sr.models.build(
            "sessionrec-sasrec",
            vocabulary_size=len(log.vocabulary),
            embedding_dim=point["width"],
            num_layers=point["depth"],
            ranking_loss=None,
            interaction_embedding=False,
            **options,
        )

    model, judge = build(negatives="uniform"), build(negatives="full")
    batches, sessions = log.train(point["share"], point["seed"])
    first = next(iter(log.test))
    for one in (model, judge):
        one(first)
    model.compile(optimizer=sr.optimizers.LazyAdam(1e-3, beta_2=0.98))
    judge.compile()

    def loss(weights: list[np.ndarray], data: Any) -> float:
        judge.set_weights(weights)
        return float(judge.evaluate(data, verbose=0, return_dict=True)["loss"])

    losses, best = [], []
    seconds = 0.0
    while len(losses) < MOST_EPOCHS and len(losses) - np.argmin([np.inf, *losses]) <= PATIENCE:
        begin = time.perf_counter()
        model.fit(batches, verbose=0)
        seconds += time.perf_counter() - begin
        weights = model.get_weights()
        losses.append(loss(weights, log.validation))
        if losses[-1] == min(losses):
            best = weights
    test_loss = loss(best, log.test)
    report = sr.evaluation.evaluate(judge, log.test, k=20, vocabulary=log.vocabulary)
    return {
        **point,
        "sessions": sessions,
        "parameters": int(sum(np.prod(weight.shape) for weight in model.trainable_weights)),
        "loss": test_loss,
        "ndcg@20": report["ndcg@20"],
        "popularity ndcg@20": report.baselines["popularity"]["ndcg@20"],
        "queries": report.num_queries,
        "epochs": len(losses) - PATIENCE,
        "seconds": seconds,
    }


def simulated(length: int, clicks: int = CLICKS) -> sr.data.Sessions:
    """A log of about so many clicks, in sessions of about `length`."""
    users = max(2, round(clicks / length / SESSIONS_PER_USER))
    events = sr.data.simulate(
        users, 2000, sessions_per_user=SESSIONS_PER_USER, slate_size=length, seed=0
    ).events
    # Whatever was shown counts as a click: the cost is that of its place, not of its label.
    return sr.data.sessionize(events.drop("label"), user="user_id", session="session_id")


def epoch_seconds(length: int, epochs: int = 6) -> Point:
    """Seconds of the fastest epoch after the first, for both objectives."""
    sessions = simulated(length)
    vocabulary = sr.data.Vocabulary.from_sessions(sessions)
    longest = 4 * length
    point: Point = {
        "length": sessions.num_events / sessions.num_sessions,
        "clicks": sessions.num_events,
    }
    for name, log, max_sessions, max_items in (
        ("next session", sessions, 4 * SESSIONS_PER_USER, longest),
        ("next item", sr.data.flatten_sessions(sessions), 4 * SESSIONS_PER_USER * longest, 1),
    ):
        system = "sessionrec-sasrec" if name == "next session" else "sasrec"
        model = sr.models.build(
            system,
            vocabulary_size=len(vocabulary),
            dropout=0.2,
            negatives="uniform",
            interaction_embedding=False,
            normalize=False,
            temperature=1.0,
            max_length=max_sessions,
        )
        model.compile(optimizer=sr.optimizers.LazyAdam(1e-3, beta_2=0.98))
        batches = sr.data.session_dataset(
            log,
            vocabulary,
            max_sessions=max_sessions,
            max_items=max_items,
            batch_positions=1024,
            seed=0,
        )
        seconds = []
        for _ in range(epochs):
            begin = time.perf_counter()
            model.fit(batches, verbose=0)
            seconds.append(time.perf_counter() - begin)
        point[name] = min(seconds[1:])  # what other processes took is in the others
    return point


def fits(points: list[Point]) -> dict[str, power_law.PowerLaw]:
    """The power law of the loss along each axis that has sizes enough."""
    return {
        name: power_law.fit([p[key] for p in own], [p["loss"] for p in own])
        for name, (key, own) in axes(points).items()
        if len({p[key] for p in own}) > 3
    }


def axes(points: list[Point]) -> dict[str, tuple[str, list[Point]]]:
    """The points of each axis, and what they are plotted over."""

    def where(**fixed: float) -> list[Point]:
        return [p for p in points if all(p[key] == value for key, value in fixed.items())]

    return {
        "data": ("sessions", where(width=WIDTH, depth=DEPTH)),
        "width": ("width", where(share=1.0, depth=DEPTH)),
        "depth": ("depth", where(share=1.0, width=WIDTH)),
    }


def means(key: str, own: list[Point], metric: str) -> list[tuple[float, float]]:
    """(n, mean over the seeds) by n; sessions of a share differ a little from seed to seed."""
    return sorted(
        (statistics.fmean(p[key] for p in group), statistics.fmean(p[metric] for p in group))
        for group in groups(own)
    )


def groups(points: list[Point]) -> list[list[Point]]:
    """The seeds of each size together, in the order of the sizes."""
    found: dict[tuple[float, ...], list[Point]] = {}
    for point in points:
        found.setdefault((point["share"], point["width"], point["depth"]), []).append(point)
    return [found[size] for size in sorted(found)]


def measure(
    name: str, wanted: Iterable[Point], run: Callable[[Point], Point], keys: tuple[str, ...]
) -> None:
    """Runs what is not in the file yet, and puts it there."""
    for point in wanted:
        content = read()
        known = [tuple(p[key] for key in keys) for p in content.setdefault(name, [])]
        if tuple(point[key] for key in keys) in known:
            continue
        begin = time.perf_counter()
        result = {**run(point), "wall_seconds": time.perf_counter() - begin}
        print(json.dumps(result), flush=True)
        content[name].append(result)
        FILE.parent.mkdir(exist_ok=True)
        temporary = FILE.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(json.dumps(content, indent=1) + "\n")
        temporary.replace(FILE)


def read() -> dict[str, list[Point]]:
    """What has been measured."""
    return json.loads(FILE.read_text()) if FILE.is_file() else {}


def write_results(content: dict[str, list[Point]]) -> None:
    """What more data, width and depth give, and what longer sessions cost."""
    points, epochs = content["points"], content["epochs"]
    queries, popular = points[0]["queries"], points[0]["popularity ndcg@20"]
    seconds = sum(point["wall_seconds"] for point in [*points, *epochs])
    rows = [
        [
            f"{group[0]['sessions']:,}",
            *(str(group[0][key]) for key in ("width", "depth")),
            f"{group[0]['parameters']:,}",
            str(len(group)),
            *(f"{statistics.fmean(p[key] for p in group):.4f}" for key in ("loss", "ndcg@20")),
            *(f"{statistics.fmean(p[key] for p in group):.0f}" for key in ("epochs", "seconds")),
        ]
        for group in groups(points)
    ]
    laws = [
        [
            name,
            f"{law.exponent:.2f}" if law.determined else "not determined",
            f"{law.low:.2f} to {law.high:.2f}",
            f"{law.scale:.3g}" if law.determined else "",
            f"{law.floor:.2f}",
        ]
        for name, law in fits(points).items()
    ]
    cost = [
        [
            f"{point['length']:.1f}",
            f"{point['clicks']:,}",
            f"{point['next session']:.1f}",
            f"{point['next item']:.1f}",
            f"{point['next session'] / point['next item']:.2f}",
        ]
        for point in epochs
    ]
    write_section(
        "scaling",
        "Scaling",
        command("scaling", None),
        "![Loss and NDCG against data, width and depth; seconds of an epoch](results/scaling.png)",
        "SessionRec-SASRec on Globo; every session after the first of users that training never "
        f"saw: {queries:,} queries, all articles ranked, where popularity has an NDCG@20 of "
        f"{popular:.4f}. *sessions* are those predicted in training; each model is that of the "
        "epoch with the least loss on further users. Unlike above, training covers the days of "
        f"the test. Everything took {seconds / 60:.0f} minutes.",
        table(
            [
                *("sessions", "width", "depth", "parameters", "seeds"),
                *("loss", "NDCG@20", "epochs", "fit s"),
            ],
            rows,
        ),
        "`L = a n^-b + c`, fitted to the loss of every seed along each axis, and what nine in ten "
        "refits with resampled residuals give for b. Where that range spans a factor of ten, the "
        "loss of these sizes follows no power law that could be told from chance.",
        table(["n", "b", "range of b", "a", "c"], laws),
        "An epoch on simulated logs of about as many clicks, in sessions of growing length; both "
        "objectives read whole histories:",
        table(["clicks a session", "clicks", "next session, s", "next item, s", "ratio"], cost),
    )


def main() -> None:
    """Measures what is missing and draws."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=pathlib.Path, help="the Globo log; none: only draw")
    arguments = parser.parse_args()
    if arguments.events:
        measure(
            "epochs",
            [{"wanted": length} for length in LENGTHS],
            lambda point: {**point, **epoch_seconds(point["wanted"])},
            ("wanted",),
        )
        log = Log(arguments.events)
        measure("points", grid(), lambda point: train(log, point), tuple(grid()[0]))
    import scaling_picture

    scaling_picture.draw(read(), PICTURE)
    write_results(read())
    print(f"wrote {PICTURE}")


if __name__ == "__main__":
    main()
