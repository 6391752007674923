"""Fusion of systems, by plain loops."""

import numpy as np
import pytest
import scipy.sparse

from tfsessionrec.baselines import Popularity
from tfsessionrec.evaluation import Ensemble, evaluate

SIZE = 14


class Dense:
    """Random embeddings, some items with equal scores."""

    def __init__(self, seed):
        generator = np.random.default_rng(seed)
        self.items = np.round(generator.normal(size=(SIZE, 2)), 0).astype(np.float32)

    def __call__(self, features, training=False):
        sums = self.items[np.asarray(features["item_ids"])].sum(axis=2)
        return np.cumsum(sums, axis=1)

    def encode(self, features):
        return self(features)[:, -1]

    def candidate_embeddings(self):
        return self.items


class Sparse:
    """Some stored scores that depend on the known history."""

    def sparse_scores(self, features, rows=None, positions=None):
        items = np.asarray(features["item_ids"])
        rows = np.arange(len(items)) if rows is None else rows
        positions = np.full(len(rows), items.shape[1] - 1) if positions is None else positions
        scores = np.zeros((len(rows), SIZE), np.float32)
        for query, (row, position) in enumerate(zip(rows, positions)):
            for item in items[row, : position + 1].ravel():
                if item >= 2:
                    scores[query, item] += 1
                    scores[query, 2 + (item + 1) % (SIZE - 2)] += 1
        return scipy.sparse.csr_array(scores)


def listed(scores, stored, top):
    """{item: (rank, score)} of one system's list; equals share the last one's rank."""
    items = sorted(stored, key=lambda item: (-scores[item], item))[:top]
    return {
        item: (sum(scores[other] >= scores[item] for other in items), scores[item])
        for item in items
    }


def fused(lists, weights, fusion):
    scores = np.zeros(SIZE)
    for found, weight in zip(lists, weights):
        values = [value for _, value in found.values()]
        for item, (rank, value) in found.items():
            if fusion == "rrf":
                scores[item] += weight / (60 + rank)
            else:
                span = max(values) - min(values)
                scores[item] += weight * (1 + ((value - min(values)) / span if span else 1)) / 2
    return scores


@pytest.mark.parametrize("fusion", ["rrf", "score"])
@pytest.mark.parametrize("top", [3, 50])
@pytest.mark.parametrize("whole", [False, True])
def test_by_loops(fusion, top, whole):
    generator = np.random.default_rng(top)
    features = {"item_ids": generator.integers(0, SIZE, (9, 3, 2)).astype(np.int32)}
    dense, sparse, weights = Dense(top), Sparse(), [0.7, 1.6]
    ensemble = Ensemble([dense, sparse], weights, fusion, top)
    rows, positions = np.repeat(np.arange(9), 2), np.tile([0, 2], 9)
    if whole:
        rows, positions = np.arange(9), np.full(9, 2)
    found = ensemble.sparse_scores(features, *(() if whole else (rows, positions)))
    queries = dense(features)[rows, positions]
    theirs = sparse.sparse_scores(features, rows, positions).toarray()
    for row, (one, other) in enumerate(zip(queries @ dense.items.T, theirs)):
        lists = [
            listed(one, range(2, SIZE), top),
            listed(other, np.flatnonzero(other), top),
        ]
        np.testing.assert_allclose(
            found[[row]].toarray()[0], fused(lists, weights, fusion), rtol=1e-5
        )


def test_the_evaluator_takes_it():
    features = {"item_ids": np.random.default_rng(0).integers(2, SIZE, (20, 4, 1))}
    counts = Popularity([0, 0, *range(1, SIZE - 1)])
    report = evaluate(Ensemble([counts, counts]), [features], 5, baselines={"one": counts})
    assert report.metrics == report.baselines["one"]
    nested = Ensemble([Ensemble([counts, Sparse()]), Dense(1)])
    assert evaluate(nested, [features], 5, popularity=counts.counts).num_queries == 60


def test_errors():
    counts = Popularity([0, 0, 1, 2])
    with pytest.raises(ValueError, match=r"`systems` should be two or more\. Received: 1 of them"):
        Ensemble([counts])
    with pytest.raises(ValueError, match=r"`weights` should be 2 positive numbers.*\[1, 0\]"):
        Ensemble([counts, counts], [1, 0])
    with pytest.raises(ValueError, match="`fusion` should be one of rrf, score"):
        Ensemble([counts, counts], fusion="max")
    with pytest.raises(ValueError, match=r"should know the same vocabulary.* \[3, 4\]"):
        Ensemble([counts, Popularity([0, 0, 1])])
    with pytest.raises(ValueError, match=r"should know the same vocabulary.* none"):
        Ensemble([Sparse(), Sparse()])
