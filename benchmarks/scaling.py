"""Scaling of next-session prediction with data, width and depth, and with the session length.

    python benchmarks/scaling.py --events globo_clicks_hours_000_095.parquet

1. *Loss and NDCG@20* of SessionRec-SASRec on the Globo log, for users that are not in the training
   data: every session after a user's first, given the earlier ones. A tenth of the users validates
   (training keeps the epoch with the lowest loss on them), a fifth tests, and the models train on
   1/16, 1/8, 1/4, 1/2 and all of the others, at width 64 and depth 2; then on all of them at other
   widths and depths. The vocabulary is that of all training users, the loss the full softmax over
   it. Each axis is fitted by a power law `L = a n^-b + c`.
2. *Seconds per epoch* of next-session and next-item training on simulated logs with equal numbers
   of clicks, in sessions of 2, 4, 8, 16 and 32: the fastest of several epochs.

Measured points are saved in `benchmarks/results/scaling.json`, and an interrupted run resumes from
them. The figures are in `results/scaling.md`, the plot is `benchmarks/results/scaling.png`.
"""

import argparse
import json
import os
import pathlib
import statistics
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import scaling_picture
from scaling_points import Point, fits, grid, groups
from section import command, table, write_section

import tfsessionrec as sr

if TYPE_CHECKING:
    import tensorflow as tf

HERE = pathlib.Path(__file__).resolve().parent
FILE = HERE / "results" / "scaling.json"
PICTURE = HERE / "results" / "scaling.png"

LENGTHS = (2, 4, 8, 16, 32)
PATIENCE, MOST_EPOCHS = 2, 40
CLICKS = 200_000  # per simulated log
SESSIONS_PER_USER = 6
SIZES = {"max_sessions": 51, "max_items": 20, "batch_positions": 1024}


class Log:
    """The Globo log, split into three groups of users.

    Args:
        events: File of the log.
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
        users = users.sample(fraction=1, shuffle=True, seed=0)  # with two or more sessions
        tenth = len(users) // 10
        self._sessions = sessions
        self._train = users[3 * tenth :]
        self.vocabulary = sr.data.Vocabulary.from_sessions(sessions.filter_users(self._train))
        self.validation = self._batches(users[:tenth])
        self.test = self._batches(users[tenth : 3 * tenth])

    def train(self, share: float, seed: int) -> tuple["tf.data.Dataset", int]:
        """Batches of a share of the training users, and the number of sessions they predict."""
        users = self._train.sample(fraction=share, seed=seed)
        sessions = self._sessions.filter_users(users)
        return self._batches(users, seed=seed), sessions.num_sessions - sessions.num_users

    def _batches(self, users: pl.Series, seed: int | None = None) -> "tf.data.Dataset":
        return sr.data.session_dataset(
            self._sessions.filter_users(users), self.vocabulary, seed=seed, **SIZES
        )


def train(log: Log, point: Point) -> Point:
    """Trains until the loss on the validation users stops falling, then tests."""
    keras = sr.backend.keras
    keras.utils.set_random_seed(point["seed"])

    def build(negatives: str) -> sr.models.SessionRec:
        return sr.models.build(
            "sessionrec-sasrec",
            vocabulary_size=len(log.vocabulary),
            embedding_dim=point["width"],
            num_layers=point["depth"],
            ranking_loss=None,
            interaction_embedding=False,
            negatives=negatives,
            dropout=0.2,
            normalize=False,
            temperature=1.0,
            habit=None,
        )

    model, judge = build("uniform"), build("full")
    batches, sessions = log.train(point["share"], point["seed"])
    first = next(iter(log.test))
    for one in (model, judge):
        one(first)
    model.compile(optimizer=sr.optimizers.LazyAdam(1e-3, beta_2=0.98))
    judge.compile()

    def loss(weights: list[np.ndarray], data: "tf.data.Dataset") -> float:
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
    """A log of about `clicks` clicks, in sessions of about `length` clicks."""
    users = max(2, round(clicks / length / SESSIONS_PER_USER))
    events = sr.data.simulate(
        users, 2000, sessions_per_user=SESSIONS_PER_USER, slate_size=length, seed=0
    ).events
    # Every shown item counts as a click: the cost depends on positions, not on labels.
    return sr.data.sessionize(events.drop("label"), user="user_id", session="session_id")


def epoch_seconds(length: int, epochs: int = 6) -> Point:
    """Seconds of the fastest epoch after the first, for each objective."""
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
            habit=None,
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
        point[name] = min(seconds[1:])  # the slower ones include other processes
    return point


def measure(
    name: str, wanted: Iterable[Point], run: Callable[[Point], Point], keys: tuple[str, ...]
) -> None:
    """Measures the points that are missing in the file and adds them."""
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
    """The saved points."""
    return json.loads(FILE.read_text()) if FILE.is_file() else {}


def write_results(content: dict[str, list[Point]]) -> None:
    """Writes the section on data, width and depth, and on the cost of longer sessions."""
    points, epochs = content["points"], content["epochs"]
    queries, popular = points[0]["queries"], points[0]["popularity ndcg@20"]
    seconds = sum(point["wall_seconds"] for point in [*points, *epochs])
    write_section(
        "scaling",
        "Scaling",
        command("scaling", None),
        "![Loss and NDCG by data, width and depth; seconds per epoch](results/scaling.png)",
        "SessionRec-SASRec on Globo. Test: every session after the first of users that are not in "
        f"the training data, {queries:,} queries, all articles ranked; popularity reaches an "
        f"NDCG@20 of {popular:.4f}. *sessions* counts the sessions predicted in training. Each "
        "model is taken from the epoch with the lowest loss on a third group of users. Unlike "
        "above, the training data covers the days of the test. Total time: "
        f"{seconds / 60:.0f} minutes.",
        _quality_table(points),
        "`L = a n^-b + c`, fitted to the losses of all seeds along each axis. *range of b* holds "
        "90 % of the refits with resampled residuals; if it spans a factor of ten, these sizes do "
        "not determine a power law.",
        _law_table(points),
        "Epochs on simulated logs with about the same number of clicks, in sessions of growing "
        "length; both objectives read the complete history:",
        _cost_table(epochs),
    )


def _quality_table(points: list[Point]) -> str:
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
    sizes = ["sessions", "width", "depth", "parameters", "seeds"]
    return table([*sizes, "loss", "NDCG@20", "epochs", "fit s"], rows)


def _law_table(points: list[Point]) -> str:
    rows = [
        [
            name,
            f"{law.exponent:.2f}" if law.determined else "not determined",
            f"{law.low:.2f} to {law.high:.2f}",
            f"{law.scale:.3g}" if law.determined else "",
            f"{law.floor:.2f}",
        ]
        for name, law in fits(points).items()
    ]
    return table(["n", "b", "range of b", "a", "c"], rows)


def _cost_table(epochs: list[Point]) -> str:
    rows = [
        [
            f"{point['length']:.1f}",
            f"{point['clicks']:,}",
            f"{point['next session']:.1f}",
            f"{point['next item']:.1f}",
            f"{point['next session'] / point['next item']:.2f}",
        ]
        for point in epochs
    ]
    return table(["clicks per session", "clicks", "next session, s", "next item, s", "ratio"], rows)


def main() -> None:
    """Measures the missing points, draws the plot and writes the section."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--events", type=pathlib.Path, help="the Globo log (default: only draw and write)"
    )
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
    scaling_picture.draw(read(), PICTURE)
    write_results(read())
    print(f"wrote {PICTURE}")


if __name__ == "__main__":
    main()
