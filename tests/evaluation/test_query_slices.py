"""Slices of the queries, each counted by hand."""

import statistics

import numpy as np
import pytest

from tfsessionrec.baselines import Popularity
from tfsessionrec.data import Vocabulary
from tfsessionrec.evaluation import evaluate
from tfsessionrec.evaluation.query_slices import popularity_bounds

SIZE, FIRST = 14, 2
COUNTS = np.array([0, 0, 30, 20, 15, 15, 9, 6, 4, 3, 2, 1, 0, 0])  # Of 105; item i has rank i - 1.
# 30 come first; 35 is a third, so that the 20 behind is head too. Then 50 are before the two of 15,
# and 80 before the 9: more than two thirds.
HEAD, TORSO, NEW = {2, 3}, {4, 5}, {12, 13}
BOUNDS = {
    "session_length": {"0": (0, 0), "1": (1, 1), "2": (2, 2), "3-5": (3, 5), "6+": (6, 99)},
    "earlier_sessions": {"0": (0, 0), "1": (1, 1), "2-4": (2, 4), "5-9": (5, 9), "10+": (10, 99)},
}


def make(target_ids, sessions=14, width=8):
    rng = np.random.default_rng(3)
    rows = 60
    length = np.arange(sessions) < rng.integers(0 if target_ids else 1, sessions + 1, (rows, 1))
    size = np.arange(width) < rng.integers(1, width + 1, (rows, sessions, 1))
    items = rng.integers(FIRST, SIZE, (rows, sessions, width)) * (length[:, :, None] & size)
    labels = (rng.random(items.shape) < 0.7) & (items > 0)
    batch = {"item_ids": items, "labels": labels.astype("float32")}
    if target_ids:
        batch["target_ids"] = rng.integers(FIRST, SIZE, (rows, 3))
    return batch


def asked(batch):
    """(running length, earlier sessions, targets) of every query."""
    found = []
    for row, sessions in enumerate(batch["item_ids"].tolist()):
        clicked = [
            [item for item, label in zip(session, labels) if label > 0]
            for session, labels in zip(sessions, batch["labels"][row].tolist())
        ]
        number = sum(any(session) for session in sessions)

        def running(last, clicked=clicked):
            """Length and number of the last session up to this one with a click."""
            while last >= 0 and not clicked[last]:
                last -= 1
            return (len(clicked[last]), last) if last >= 0 else (0, 0)

        if "target_ids" in batch:
            found.append((*running(number - 1), set(batch["target_ids"][row].tolist())))
            continue
        for t in range(number - 1):
            if clicked[t + 1]:
                found.append((*running(t), set(clicked[t + 1])))
    return found


def recall(targets):
    return sum(item - 1 <= 4 for item in targets) / len(targets)


@pytest.mark.parametrize("target_ids", [False, True])
def test_written_out(target_ids):
    batch = make(target_ids)
    halves = [{name: value[rows] for name, value in batch.items()} for rows in (
        slice(0, 20), slice(20, 60))]  # fmt: skip
    report = evaluate(Popularity(COUNTS), halves, k=4, popularity=COUNTS, slices=True)
    queries = asked(batch)
    assert report.num_queries == len(queries)
    assert report["recall@4"] == pytest.approx(statistics.mean(recall(t) for *_, t in queries))
    for number, (kind, bounds) in enumerate(BOUNDS.items()):
        for name, (low, high) in bounds.items():
            inside = [query for query in queries if low <= query[number] <= high]
            if not inside:
                assert name not in report.slices[kind]
                continue
            found = report.slices[kind][name]
            assert found["queries"] == len(inside)
            for system in ("model", "popularity"):
                assert found["metrics"][system]["recall@4"] == pytest.approx(
                    statistics.mean(recall(targets) for *_, targets in inside)
                )
        assert sum(found["queries"] for found in report.slices[kind].values()) == len(queries)
        assert len(report.slices[kind]) >= 4
    tail = set(range(FIRST, SIZE)) - HEAD - TORSO - NEW
    assert list(report.slices["target_popularity"]) == ["head", "torso", "tail", "new"]
    for name, items in (("head", HEAD), ("torso", TORSO), ("tail", tail), ("new", NEW)):
        kept = [targets & items for *_, targets in queries if targets & items]
        found = report.slices["target_popularity"][name]
        assert found["queries"] == len(kept)
        assert found["metrics"]["model"]["recall@4"] == pytest.approx(
            statistics.mean(map(recall, kept))
        )


def test_batches_may_state_lengths_that_they_do_not_show():
    """One item a session, as next-item models read them: three visits of 2, 1 and 2 items."""
    items = np.array([[[2], [3], [4], [5], [6]]])
    batch = {
        "item_ids": items,
        "running_length": np.array([[[1], [2], [1], [1], [2]]]),
        "earlier_sessions": np.array([[[0], [0], [1], [2], [2]]]),
    }
    report = evaluate(Popularity(COUNTS), [batch], k=4, slices=("session_length",))
    assert {name: one["queries"] for name, one in report.slices["session_length"].items()} == {
        "1": 3,
        "2": 1,
    }
    report = evaluate(Popularity(COUNTS), [batch], k=4, slices="earlier_sessions")
    counted = {name: one["queries"] for name, one in report.slices["earlier_sessions"].items()}
    assert counted == {"0": 2, "1": 1, "2-4": 1}


def test_unknown_targets_are_in_no_slice_of_popularity():
    batch = {"item_ids": [[[2, 0], [3, 1]]]}
    report = evaluate(
        Popularity(COUNTS), [batch], k=4, popularity=COUNTS, slices=True, unknown_targets="miss"
    )
    assert list(report.slices["target_popularity"]) == ["head"]
    assert report["recall@4"] == 1 / 2


def test_without_counts():
    batch = make(False)
    report = evaluate(Popularity(COUNTS), [batch], k=4, slices=True)
    assert list(report.slices) == ["session_length", "earlier_sessions"]
    assert evaluate(Popularity(COUNTS), [batch], k=4).slices == {}
    with pytest.raises(ValueError, match='"target_popularity" needs the items\' counts'):
        evaluate(Popularity(COUNTS), [batch], slices=["target_popularity"])
    with pytest.raises(ValueError, match="`slices` should be True, False or some of session_len"):
        evaluate(Popularity(COUNTS), [batch], slices="weekday")


def test_new_items_of_an_extended_vocabulary():
    vocabulary = Vocabulary(["tea", "cup"], counts=[2, 1]).extend(["pot"])
    batch = {"item_ids": [[[2], [3], [4]]]}
    report = evaluate(
        Popularity(vocabulary.counts), [batch], k=2, vocabulary=vocabulary, slices=True
    )
    found = report.slices["target_popularity"]
    assert found["new"] == {
        "queries": 1,
        "metrics": {
            system: dict.fromkeys(found["new"]["metrics"][system], 0.0)
            for system in ("model", "popularity")
        },
    }


@pytest.mark.parametrize("seed", range(5))
def test_popularity_bounds(seed):
    counts = np.random.default_rng(seed).integers(0, 6, 20)
    head, torso = popularity_bounds(counts)
    for item, count in enumerate(counts):
        before = counts[counts > count].sum() / counts.sum()
        assert (count >= head) == (before < 1 / 3), item
        assert (count >= torso) == (before < 2 / 3), item
