"""Repetition and exploration apart, against lists and ranks written out query by query."""

import math

import numpy as np
import polars as pl
import pytest
import scipy.sparse

from tfsessionrec import data
from tfsessionrec.baselines import Popularity
from tfsessionrec.evaluation import Ensemble, compare, evaluate, evaluate_streaming
from tfsessionrec.evaluation.ranks import Slices
from tfsessionrec.evaluation.seen_items import are_seen
from tfsessionrec.history_spec import HistorySpec

SIZE, FIRST = 14, 2
COUNTS = [0, 0, 9, 8, 7, 7, 5, 4, 4, 2, 1, 1, 1, 0]  # With ties.


class Toy:
    """The sum of the history's embeddings: small whole numbers, so that many scores tie."""

    def __init__(self):
        self.table = np.random.default_rng(0).integers(-1, 2, (SIZE, 3)).astype("float32")

    def __call__(self, features, training=False):
        return self.table[np.asarray(features["item_ids"])].sum(axis=2).cumsum(axis=1)

    def encode(self, features):
        return self(features)[:, -1]

    def candidate_embeddings(self):
        return self.table


class Next:
    """Scores the items of the history's last session, and those next to them."""

    def sparse_scores(self, features, rows=None, positions=None):
        items = np.asarray(features["item_ids"])
        rows = np.arange(len(items)) if rows is None else rows
        scores = np.zeros((len(rows), SIZE), np.float32)
        for query, row in enumerate(rows):
            sessions = items[row] if positions is None else items[row, : positions[query] + 1]
            last = [session for session in sessions if session.any()][-1:]
            for item in np.ravel(last):
                if item >= FIRST:
                    scores[query, [item, min(item + 1, SIZE - 1)]] += 1
        return scipy.sparse.csr_array(scores)


def make(target_ids):
    """Baskets of up to three items; index 1 is an unknown item."""
    rng = np.random.default_rng(7)
    items = rng.integers(1, SIZE, (30, 4, 3)) * (rng.random((30, 4, 3)) < 0.7)
    items = -np.sort(-items, axis=2)
    items[:, :, 0] = np.maximum(items[:, :, 0], 1)
    batch = {"item_ids": items, "labels": ((rng.random(items.shape) < 0.8) & (items > 0)) * 1.0}
    if target_ids:
        batch["target_ids"] = rng.integers(1, SIZE, (30, 4))
    return batch


def asked(batch):
    """(row, last position, history, positives) of every query with a positive."""
    found = []
    for row, sessions in enumerate(batch["item_ids"].tolist()):
        if "target_ids" in batch:
            history = {item for session in sessions for item in session}
            found.append((row, None, history, batch["target_ids"][row].tolist()))
            continue
        for t in range(3):
            labels = batch["labels"][row, t + 1]
            positives = [item for item, label in zip(sessions[t + 1], labels) if label > 0]
            history = {item for session in sessions[: t + 1] for item in session}
            found.append((row, t, history, positives))
    return found


def scores_of(system, batch, row, position):
    """By item its score; of a sparse system only the items that it scores."""
    if hasattr(system, "sparse_scores"):
        which = [] if position is None else [np.array([0]), np.array([position])]
        own = {"item_ids": batch["item_ids"][row : row + 1]}
        scores = system.sparse_scores(own, *which).tocoo()
        return {int(i): float(v) for i, v in zip(scores.coords[1], scores.data) if i >= FIRST}
    last = 3 if position is None else position
    query = system.table[batch["item_ids"][row, : last + 1]].sum(axis=(0, 1))
    return {item: float(system.table[item] @ query) for item in range(FIRST, SIZE)}


def ranks_of(scores, targets, removed):
    """Ties count against the targets, which among themselves go by falling index."""
    ranked = sorted(
        set(range(FIRST, SIZE)) - removed,
        key=lambda item: (-scores.get(item, -math.inf), item in targets, -item),
    )
    return {item: 1 + ranked.index(item) for item in targets if item in ranked}


def written_out(system, batch, k, filter_seen, misses):
    """By name the values of all queries that have one; and the numbers of targets."""
    values, numbers = {}, {"repeated": 0, "new": 0, "share": []}

    def add(name, value):
        values.setdefault(f"{name}@{k}", []).append(value)

    for row, position, history, positives in asked(batch):
        known = {item for item in positives if item >= FIRST}
        unknown = positives.count(1) if misses else 0
        if not known and not unknown:
            continue
        repeated = known & history
        scores = scores_of(system, batch, row, position)
        removed = history if filter_seen else set()
        ranks = ranks_of(scores, known, removed)
        for part, items, more in (("rep", repeated, 0), ("expl", known - history, unknown)):
            size = len(items) + more
            if not size:
                continue
            hits = [ranks[item] for item in items if ranks.get(item, math.inf) <= k]
            add(f"recall_{part}", len(hits) / size)
            add(f"hit_rate_{part}", float(bool(hits)))
            best = sum(1 / math.log2(1 + place) for place in range(1, min(size, k) + 1))
            add(f"ndcg_{part}", sum(1 / math.log2(1 + rank) for rank in hits) / best)
        listed = sorted(set(scores) - removed, key=lambda item: (-scores[item], item))[:k]
        if listed:
            add("repetition_ratio", sum(item in history for item in listed) / len(listed))
        numbers["repeated"] += len(repeated)
        numbers["new"] += len(known - history) + unknown
        numbers["share"].append(len(repeated) / (len(known) + unknown))
    return values, numbers


@pytest.mark.parametrize("target_ids", [False, True])
@pytest.mark.parametrize(("filter_seen", "misses"), [(False, False), (True, False), (False, True)])
def test_written_out(target_ids, filter_seen, misses):
    batch = make(target_ids)
    halves = [{name: value[rows] for name, value in batch.items()} for rows in (
        slice(0, 11), slice(11, 30))]  # fmt: skip
    systems = {"model": Toy(), "next": Next()}
    systems["both"] = Ensemble(list(systems.values()), top=4, first_item_index=FIRST)
    report = evaluate(
        systems["model"],
        halves,
        k=(2, 5),
        baselines={name: systems[name] for name in ("next", "both")},
        filter_seen=filter_seen,
        unknown_targets="miss" if misses else "leave_out",
        repetition=True,
        keep_queries=True,
    )
    for name, system in systems.items():
        metrics = report.systems[name]
        for k in (2, 5):
            values, numbers = written_out(system, batch, k, filter_seen, misses)
            assert len(values) == 7
            for metric, expected in values.items():
                assert metrics[metric] == pytest.approx(np.mean(expected), abs=1e-6), (name, metric)
                kept = report.queries.metrics(name)[metric]
                assert kept[~np.isnan(kept)] == pytest.approx(expected, abs=1e-6)
    found = report.targets["repetition"]
    assert found["repeated"] == numbers["repeated"] > 20
    assert found["new"] == numbers["new"] > 20
    assert found["queries_with_repeated"] == len(values["recall_rep@5"]) < report.num_queries
    assert found["queries_with_new"] == len(values["recall_expl@5"]) < report.num_queries
    assert found["repetition_ratio"] == pytest.approx(np.mean(numbers["share"]))
    assert f"{numbers['repeated']} targets that the history holds" in str(report)
    if filter_seen:
        assert report["recall_rep@5"] == report["repetition_ratio@5"] == 0.0
    else:
        assert report["recall_rep@5"] > 0


def baskets():
    """Ann takes tea, then pot and jar, then cup; last tea, jar, lid and pan. Bob takes others."""
    rows = [
        *[("ann", 0, "tea"), ("ann", 1, "pot"), ("ann", 1, "jar"), ("ann", 2, "cup")],
        *[("ann", 3, "tea"), ("ann", 3, "jar"), ("ann", 3, "lid"), ("ann", 3, "pan")],
        *[("bob", 0, "cup"), ("bob", 1, "lid"), ("bob", 2, "pot")],
    ]
    log = pl.DataFrame(rows, ["user", "basket", "item_id"], orient="row")
    log = log.with_columns(
        timestamp=pl.col("basket") * 100, visit=pl.format("{}{}", "user", "basket")
    )
    sessions = data.sessionize(log, user="user", session="visit")
    return data.split_by_rule(sessions, "last-session")[1]


@pytest.mark.parametrize("max_sessions", [1, 9])
@pytest.mark.parametrize(
    "known", [("tea", "pot", "jar", "cup", "lid", "pan"), ("pot", "cup", "lid", "pan")]
)
def test_what_a_cut_history_holds_is_repetition(max_sessions, known):
    """Ann's tea and jar are in no history of one session, and yet she repeats them.

    The answer does not depend on the items that the vocabulary knows.
    """
    vocabulary = data.Vocabulary(list(known), counts=range(len(known), 0, -1))
    spec = HistorySpec(max_sessions=max_sessions, max_items=1)
    batches = list(data.protocol_batches("next_session", baskets(), vocabulary, spec))
    model = Popularity(vocabulary.counts)
    report = evaluate(model, batches, k=3, repetition=True, unknown_targets="miss")
    assert report.targets["repetition"] == {
        "repeated": 2,  # tea and jar of Ann
        "new": 3,  # lid and pan of Ann, pot of Bob
        "queries_with_repeated": 1,
        "queries_with_new": 2,
        "repetition_ratio": pytest.approx((2 / 4 + 0) / 2),
    }
    # With all items the list is tea, pot, jar; otherwise it is pot, cup, lid, and tea and jar are
    # misses. Both lists hold pot, Bob's target; the second one also Ann's lid.
    assert report["recall_rep@3"] == (1.0 if "tea" in known else 0.0)
    assert report["recall_expl@3"] == ((0 + 1) / 2 if "tea" in known else (1 / 2 + 1) / 2)
    # Ann had tea, pot, jar and cup; Bob cup and lid.
    expected = (3 / 3 + 0 / 3) / 2 if "tea" in known else (2 / 3 + 2 / 3) / 2
    assert report["repetition_ratio@3"] == pytest.approx(expected)


def test_queries_without_repeated_targets_are_left_out_of_the_mean():
    """The second basket (4) is new, the third holds 3 again; popularity lists 4, then 2, then 3."""
    batch = {"item_ids": [[[3], [4], [3]]]}
    model = Popularity([0, 0, 5, 1, 9])
    report = evaluate(model, [batch], k=1, repetition=True, bootstrap=10, keep_queries=True)
    assert (report["recall@1"], report["recall_expl@1"], report["recall_rep@1"]) == (0.5, 1.0, 0.0)
    assert report.targets["repetition"]["queries_with_repeated"] == 1
    assert report.intervals["model"]["recall_expl@1"] == (1.0, 1.0)
    other = evaluate(Popularity([0, 0, 1, 9, 5]), [batch], k=1, repetition=True, keep_queries=True)
    found = compare(report, other)
    assert (found["recall_rep@1"]["a"], found["recall_rep@1"]["b"]) == (0.0, 1.0)
    assert (found["recall_expl@1"]["a"], found["recall_expl@1"]["b"]) == (1.0, 0.0)
    # History (3): the list (4) repeats nothing; history (3, 4): it repeats. The other lists 3.
    assert (report["repetition_ratio@1"], other["repetition_ratio@1"]) == (0.5, 1.0)


def test_without_any_repeated_target():
    batch = {"item_ids": [[[3], [4], [3]]]}
    model = Popularity([0, 0, 5, 1, 9])
    report = evaluate(model, [batch], k=1, repeats=False, repetition=True, keep_queries=True)
    assert math.isnan(report["recall_rep@1"])
    assert report.to_dict()["metrics"]["recall_rep@1"] is None
    assert report["recall_expl@1"] == report["recall@1"] == 1.0
    assert report.targets["repetition"]["repeated"] == 0
    assert "recall_rep@1" not in compare(report, report).metrics
    plain = evaluate(model, [batch], k=1)
    assert not [name for name in plain.metrics if "_rep" in name or "_expl" in name]
    assert "repetition" not in plain.targets
    with pytest.raises(ValueError, match="`repetition` should be True or False"):
        evaluate(model, [batch], repetition="yes")


def test_in_the_order_of_time():
    sessions = baskets()
    vocabulary = data.Vocabulary.from_sessions(sessions)
    spec = HistorySpec(max_sessions=1, request_times=True)
    batches = list(data.protocol_batches("next_session", sessions, vocabulary, spec))
    model = Popularity(vocabulary.counts)
    how = {"k": 3, "vocabulary": vocabulary, "repetition": True}
    report = evaluate_streaming(model, batches, sessions, **how)
    assert report.metrics == pytest.approx(evaluate(model, batches, **how).metrics)
    assert report.targets["repetition"]["repeated"] == 2


def test_are_seen():
    rng = np.random.default_rng(5)
    items, bounds = rng.integers(-4, 9, 50), np.sort(rng.integers(0, 51, (30, 2)), axis=1)
    seen = Slices(items, *bounds.T)
    asked_items = rng.integers(-5, 12, (30, 6))
    expected = [
        [item in items[start:stop] for item in row]
        for row, (start, stop) in zip(asked_items, bounds)
    ]
    found = are_seen(asked_items, seen)
    assert found.tolist() == expected
    assert found.any()
    assert not found.all()
    assert are_seen(np.zeros((30, 0), int), seen).shape == (30, 0)
