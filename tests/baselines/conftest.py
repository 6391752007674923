"""Random logs for the baselines."""

import numpy as np
import polars as pl
import pytest

from tfsessionrec import data


@pytest.fixture
def random_sessions():
    """A function that makes a log: users of several sessions, repeats, equal times, negatives."""

    def make(seed, num_users=25, num_items=12, string_ids=True):
        generator = np.random.default_rng(seed)
        rows = []
        for user in range(num_users):
            start = int(generator.integers(0, 40))
            for session in range(generator.integers(1, 4)):
                time = start
                for _ in range(generator.integers(1, 7)):
                    rows.append((user, session, int(generator.integers(0, num_items)), time))
                    time += int(generator.integers(0, 3))
                start = time + int(generator.integers(1, 30))
        events = pl.DataFrame(rows, ["user_id", "session", "item_id", "timestamp"], orient="row")
        events = events.with_columns(
            session_id=pl.col("user_id") * 10 + pl.col("session"),
            label=pl.Series(generator.random(len(rows)) < 0.9).cast(pl.Float32),
            timestamp=pl.col("timestamp").cast(pl.Float64) * 3600,
        )
        if string_ids:
            events = events.with_columns(
                user_id=pl.format("u{}", "user_id"), item_id=pl.format("i{}", "item_id")
            )
        return data.Sessions(
            events.select(
                "user_id",
                "session_id",
                pl.col("session").cast(pl.Int32).alias("session_index"),
                "item_id",
                "timestamp",
                "label",
                pl.lit(True).alias("is_target"),
            )
        )

    return make


@pytest.fixture
def random_queries():
    """A function that makes a session batch with labels and times of requests."""

    def make(seed, vocabulary, num_queries=30, width=6):
        generator = np.random.default_rng(seed)
        items = np.zeros((num_queries, 2, width), np.int32)
        labels = np.zeros(items.shape, np.float32)
        for row in range(num_queries):
            for session in range(generator.integers(0, 3)):
                length = generator.integers(1, width + 1)
                items[row, session, :length] = generator.integers(1, len(vocabulary), length)
                labels[row, session, :length] = generator.random(length) < 0.9
        times = generator.integers(0, 150, num_queries).astype(np.float64) * 3600
        return {"item_ids": items, "labels": labels, "request_times": times}

    return make


@pytest.fixture
def by_session():
    """A function that lists (name, time of the last item, items) of each learnable session."""

    def make(sessions, vocabulary):
        learned = {}
        for row in sessions.events.iter_rows(named=True):
            index = int(vocabulary.lookup([row["item_id"]])[0])
            if row["label"] == 1 and index >= vocabulary.first_item_index:
                name = row["user_id"], row["session_index"]
                _, items = learned.setdefault(name, [0, []])
                items.append(index)
                learned[name][0] = row["timestamp"]
        return [(name, time, items) for name, (time, items) in learned.items()]

    return make


@pytest.fixture
def running():
    """A function that lists the known positive items of each row's last session."""

    def make(features, vocabulary):
        queries = []
        for items, labels in zip(features["item_ids"], features["labels"]):
            last = [session for session in range(len(items)) if (items[session] > 0).any()]
            shown = zip(items[last[-1]], labels[last[-1]]) if last else []
            queries.append([int(i) for i, y in shown if y and i >= vocabulary.first_item_index])
        return queries

    return make


@pytest.fixture
def split_log():
    """A function that gives the first third of a log in time, and the other rows as they came."""

    def split(sessions):
        rows = sessions.events.with_row_index("row").sort("timestamp", maintain_order=True)
        at = len(rows) // 3
        return data.Sessions(rows[:at].sort("row").drop("row")), rows[at:].drop("row")

    return split
