"""Systems that score few candidates, instead of embeddings and next to them."""

import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf

from tfsessionrec.baselines import Popularity
from tfsessionrec.evaluation import evaluate

SIZE, FIRST = 24, 3


class Repeats:
    """Scores an item by how often the history holds it: other items have no score."""

    def sparse_scores(self, features, rows=None, positions=None):
        items = features["item_ids"]
        if positions is None:
            rows, positions = np.arange(len(items)), np.full(len(items), items.shape[1] - 1)
        dense = np.zeros((len(rows), SIZE), np.float32)
        for query, (row, position) in enumerate(zip(rows, positions)):
            for item in items[row, : position + 1].reshape(-1):
                dense[query, item] += item >= FIRST
        return scipy.sparse.csr_array(dense)


class RepeatsByEmbeddings:
    """The same as dense scores: the query counts, an item is itself."""

    def __call__(self, features, training=False):
        return np.eye(SIZE, dtype="float32")[np.asarray(features["item_ids"])].sum(2).cumsum(1)

    def encode(self, features):
        return np.eye(SIZE, dtype="float32")[np.asarray(features["item_ids"])].sum((1, 2))

    def candidate_embeddings(self):
        return np.eye(SIZE, dtype="float32")


def batches(target_ids):
    rng = np.random.default_rng(0)
    for rows, sessions in ((30, 4), (9, 2)):
        length = rng.integers(1, sessions + 1, (rows, 1))
        real = np.arange(sessions) < length
        items = rng.integers(1, SIZE, (rows, sessions, 3)) * real[:, :, None]
        batch = {"item_ids": items.astype("int32")}
        if target_ids:
            batch["target_ids"] = rng.integers(0, SIZE, (rows, 4)).astype("int32")
            batch["target_ids"][1] = 0  # No query of this row: rows and queries differ.
        yield {name: tf.constant(value) for name, value in batch.items()}


@pytest.mark.parametrize("filter_seen", [False, True])
@pytest.mark.parametrize("target_ids", [False, True])
def test_the_same_as_dense_scores(target_ids, filter_seen):
    """Counts are at least 1 where stored, and all 0 elsewhere: one ranking."""
    how = {"k": (1, 5, 20), "filter_seen": filter_seen, "first_item_index": FIRST}
    counts = np.arange(SIZE)
    sparse = evaluate(Repeats(), batches(target_ids), popularity=counts, **how)
    dense = evaluate(RepeatsByEmbeddings(), batches(target_ids), popularity=counts, **how)
    assert sparse.metrics == pytest.approx(dense.metrics, rel=1e-12)
    assert sparse.baselines == dense.baselines
    assert sparse.num_queries == dense.num_queries > 20
    assert sparse.num_candidates == SIZE - FIRST


def test_hand_derived():
    # After {5, 5, 6}: 5 (twice), 6 (once), and 7 and 8 without a score, tied.
    batch = {"item_ids": [[[5, 5, 6], [6, 8, 0]]]}
    report = evaluate(Repeats(), [batch], k=2, popularity=np.zeros(SIZE), first_item_index=FIRST)
    assert (report["recall@2"], report["mrr@2"]) == (1 / 2, 1 / 2)


def test_next_to_a_model():
    report = evaluate(
        RepeatsByEmbeddings(),
        batches(True),
        k=5,
        baselines={"repeats": Repeats()},
        popularity=np.arange(SIZE),
        first_item_index=FIRST,
    )
    assert list(report.baselines) == ["repeats", "popularity"]
    assert report.baselines["repeats"] == pytest.approx(report.metrics)
    assert report.baselines["popularity"] != report.metrics
    other = evaluate(Popularity(np.arange(SIZE)), batches(True), k=5, first_item_index=FIRST)
    assert report.baselines["popularity"] == pytest.approx(other.metrics)


def test_bad_arguments():
    class Wrong:
        def __init__(self, scores):
            self.scores = scores

        def sparse_scores(self, features, rows=None, positions=None):
            return scipy.sparse.csr_array(self.scores)

    batch = {"item_ids": [[[5], [6]]]}
    with pytest.raises(ValueError, match="`sparse_scores` alone need `vocabulary`, `popularity`"):
        evaluate(Repeats(), [batch])
    with pytest.raises(ValueError, match=r"should have the shape \(1, 24\)\. Received: \(1, 9\)"):
        evaluate(Wrong(np.ones((1, 9))), [batch], popularity=np.ones(SIZE))
    with pytest.raises(ValueError, match=r"should be finite\. Received: NaN or infinity"):
        evaluate(Wrong(np.full((1, SIZE), np.nan)), [batch], popularity=np.ones(SIZE))
    with pytest.raises(ValueError, match='should not be called "model" or "popularity"'):
        evaluate(Popularity(np.ones(SIZE)), [batch], baselines={"model": Repeats()})
    with pytest.raises(ValueError, match=r"should know the same vocabulary.* Received: \[5, 6\]"):
        evaluate(Popularity(np.ones(5)), [batch], baselines={"other": Popularity(np.ones(6))})
