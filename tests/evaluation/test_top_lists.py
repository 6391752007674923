"""The best k of each query against a full sort."""

import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf

from tfsessionrec.evaluation.ranks import Candidates, Slices
from tfsessionrec.evaluation.top_lists import top_lists, top_lists_sparse
from tfsessionrec.scoring import Queries

QUERIES, ITEMS = 40, 70


def removed_of(rng, most=30):
    """Removed items of each query: a list of sets, and as slices (with repeats and padding)."""
    gone = [rng.integers(-1, ITEMS, rng.integers(0, most)) for _ in range(QUERIES)]
    ends = np.cumsum([len(items) for items in gone])
    starts = ends - [len(items) for items in gone]
    return [set(items.tolist()) for items in gone], Slices(np.concatenate(gone), starts, ends)


def sorted_lists(scores, gone, k, stored=None):
    lists = []
    for query, row in enumerate(scores):
        kept = [
            item
            for item in range(ITEMS)
            if item not in gone[query] and (stored is None or stored[query, item])
        ]
        best = sorted(kept, key=lambda item: (-row[item], item))[:k]
        lists.append(best + [-1] * (min(k, ITEMS) - len(best)))
    return lists


@pytest.mark.parametrize("k", [1, 9, 200])
@pytest.mark.parametrize("block_size", [1, 3000, 2**22])
@pytest.mark.parametrize("interests", [1, 2])
def test_full_sort(k, block_size, interests):
    rng = np.random.default_rng(0)
    # Whole numbers: many ties.
    queries = rng.integers(-2, 3, (QUERIES, interests, 3)).astype("float32")
    candidates = rng.integers(-2, 3, (ITEMS, 3)).astype("float32")
    scores = (queries @ candidates.T).max(axis=1)
    asked, known = Queries(tf.constant(queries)), Candidates(tf.constant(candidates))
    for gone, removed in (([set()] * QUERIES, None), removed_of(rng)):
        found, values = top_lists(asked, known, k, removed=removed, block_size=block_size)
        lists = sorted_lists(scores, gone, k)
        assert found.tolist() == lists
        wanted = [[row[i] if i >= 0 else -np.inf for i in one] for row, one in zip(scores, lists)]
        np.testing.assert_array_equal(values, wanted)


def test_everything_removed():
    nothing = Slices(np.arange(3), np.array([0]), np.array([3]))
    queries, candidates = Queries(tf.ones([1, 1, 1])), Candidates(tf.ones([3, 1]))
    found, scores = top_lists(queries, candidates, 2, removed=nothing)
    assert found.tolist() == [[-1, -1]]
    assert scores.tolist() == [[-np.inf, -np.inf]]


@pytest.mark.parametrize("k", [1, 9, 200])
def test_full_sort_of_stored_scores(k):
    rng = np.random.default_rng(0)
    stored = rng.random((QUERIES, ITEMS)) < 0.2
    stored[0] = False
    scores = np.where(stored, rng.integers(1, 4, stored.shape), 0).astype("float32")
    for gone, removed in (([set()] * QUERIES, None), removed_of(rng)):
        found = top_lists_sparse(scipy.sparse.csr_array(scores), k, removed)
        assert found.tolist() == sorted_lists(scores, gone, k, stored)
