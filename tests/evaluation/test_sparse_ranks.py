"""Ranks from sparse scores, against sorting by hand and against the dense ranks."""

import numpy as np
import pytest
import scipy.sparse

from tfsessionrec.evaluation.ranks import MISS, Slices, rank_targets
from tfsessionrec.evaluation.sparse_ranks import rank_targets_sparse


def sparse(rows, columns):
    """Stored scores, zeros among them, from one dict a query."""
    indptr = np.cumsum([0, *(len(row) for row in rows)])
    indices = [item for row in rows for item in row]
    data = np.array([value for row in rows for value in row.values()], np.float32)
    return scipy.sparse.csr_array((data, indices, indptr), shape=(len(rows), columns))


def slices(lists):
    stop = np.cumsum([len(one) for one in lists])
    items = np.array([item for one in lists for item in one], np.int64)
    return Slices(items, stop - [len(one) for one in lists], stop)


def oracle(row, columns, targets, removed):
    """The definition, by sorting the catalogue: targets last among equals, in their order."""
    live = [t for t in targets if t >= 0 and t not in removed]
    order = sorted(
        (c for c in range(columns) if c not in removed),
        key=lambda c: (-row.get(c, -np.inf), c in live, live.index(c) if c in live else 0),
    )
    return [0 if t < 0 else order.index(t) + 1 if t in live else MISS for t in np.asarray(targets)]


def test_ties_are_against_the_target_and_unscored_items_tie():
    scores = sparse([{1: 2.0, 3: 2.0, 4: 1.0}], columns=6)
    for target, rank in ((1, 2), (3, 2), (4, 3), (0, 6), (5, 6)):
        assert rank_targets_sparse(scores, np.array([[target]])).item() == rank


def test_a_stored_zero_is_above_what_is_not_stored():
    scores = sparse([{1: 0.0}], columns=3)
    assert rank_targets_sparse(scores, np.array([[1]])).item() == 1
    assert rank_targets_sparse(scores, np.array([[0]])).item() == 3


@pytest.mark.parametrize("seed", range(5))
def test_like_sorting(seed):
    generator = np.random.default_rng(seed)
    columns, queries, width = 12, 30, 4
    rows, targets, removed = [], [], []
    for _ in range(queries):
        stored = generator.permutation(columns)[: generator.integers(0, columns)]
        rows.append({int(item): float(generator.integers(-2, 3)) for item in stored})
        chosen = generator.permutation(columns)[:width]
        targets.append(np.where(generator.random(width) < 0.3, -1, chosen))
        removed.append(generator.integers(-1, columns, generator.integers(0, 6)))
    expected = [oracle(*given) for given in zip(rows, [columns] * queries, targets, removed)]
    ranks = rank_targets_sparse(sparse(rows, columns), np.array(targets), slices(removed))
    np.testing.assert_array_equal(ranks, expected)


def test_like_dense_ranks_where_everything_is_stored():
    generator = np.random.default_rng(7)
    dense = generator.integers(0, 4, (20, 15)).astype(np.float32)
    dense[3, 5] = np.nan
    targets = np.argsort(generator.random((20, 15)), axis=1)[:, :3]
    targets[3, 0], targets[4, 1] = 5, -1
    targets[3, 1:] = [6, 7]
    removed = slices(generator.integers(0, 15, (20, 4)))
    rows = [dict(enumerate(row.tolist())) for row in dense]
    np.testing.assert_array_equal(
        rank_targets_sparse(sparse(rows, 15), targets, removed),
        np.concatenate(
            [
                rank_targets(
                    np.ones((1, 1), np.float32),
                    dense[q][:, None],
                    targets[q : q + 1],
                    removed=Slices(removed.items, removed.start[[q]], removed.stop[[q]]),
                )
                for q in range(20)
            ]
        ),
    )


def test_entries_of_one_candidate_add_up():
    scores = scipy.sparse.csr_array(
        (np.array([1, 1, 1.5], np.float32), [0, 0, 1], [0, 3]), shape=(1, 2)
    )
    assert rank_targets_sparse(scores, np.array([[0]])).item() == 1


def test_wrong_arguments():
    scores = sparse([{0: 1.0}], columns=2)
    with pytest.raises(ValueError, match=r"`targets` should have the shape \[1, T\]"):
        rank_targets_sparse(scores, np.array([0]))
    with pytest.raises(ValueError, match="`targets` should be candidate numbers below 2"):
        rank_targets_sparse(scores, np.array([[2]]))
    with pytest.raises(ValueError, match="`removed` should be of 1 queries"):
        rank_targets_sparse(scores, np.array([[1]]), slices([[0], [1]]))
