"""Ranks by comparison against a full sort with the worst order of ties."""

from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsessionrec.evaluation import MISS, Slices, rank_targets
from tfsessionrec.evaluation.ranks import block_shape
from tfsessionrec.scoring import Queries


def sorted_ranks(scores, targets, removed):
    """The position of each target in the whole list, sorted with the targets last among equals."""
    ranks = np.zeros(targets.shape, np.int64)
    for row, mine in enumerate(targets):
        order = [c for c in range(scores.shape[1]) if c not in removed[row]]
        order.sort(key=lambda c: (-scores[row, c], list(mine).index(c) + 1 if c in mine else 0))
        for place, target in enumerate(mine):
            if target >= 0:
                ranks[row, place] = order.index(target) + 1 if target in order else MISS
    return ranks


def slices(lists):
    lengths = [len(one) for one in lists]
    stop = np.cumsum(lengths)
    return Slices(np.array([i for one in lists for i in one], np.int64), stop - lengths, stop)


def example(num_candidates, num_targets, seed=0, num_queries=37, dim=3):
    """Whole numbers: every product is exact, many candidates are equal, many more tie."""
    rng = np.random.default_rng(seed)
    queries = rng.integers(-2, 3, (num_queries, dim)).astype(np.float32)
    candidates = rng.integers(-2, 3, (num_candidates, dim)).astype(np.float32)
    targets = np.full((num_queries, num_targets), -1)
    removed = []
    for row in targets:
        size = rng.integers(1, min(num_targets, num_candidates) + 1)
        row[:size] = rng.choice(num_candidates, size, replace=False)
        rng.shuffle(row)
        removed.append(rng.integers(0, num_candidates, rng.integers(0, 9)).tolist())
    return queries, candidates, targets, removed


@pytest.mark.parametrize("block_size", [1, 700, 2**22])
@pytest.mark.parametrize("num_candidates", [1, 5, 16, 50, 100])
@pytest.mark.parametrize("num_targets", [1, 4])
@pytest.mark.parametrize("filtered", [False, True])
def test_oracle(filtered, num_targets, num_candidates, block_size):
    queries, candidates, targets, removed = example(num_candidates, num_targets)
    ranks = rank_targets(
        queries,
        candidates,
        targets,
        removed=slices(removed) if filtered else None,
        block_size=block_size,
    )
    expected = sorted_ranks(
        queries @ candidates.T, targets, removed if filtered else [[]] * len(targets)
    )
    np.testing.assert_array_equal(ranks, expected)


@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 6), st.integers(1, 1500))
@settings(max_examples=25, deadline=None)
def test_any_block_size(seed, num_candidates, num_targets, block_size):
    queries, candidates, targets, removed = example(num_candidates, num_targets, seed)
    ranks = rank_targets(
        queries, candidates, targets, removed=slices(removed), block_size=block_size
    )
    expected = sorted_ranks(queries @ candidates.T, targets, removed)
    np.testing.assert_array_equal(ranks, expected)


@pytest.mark.parametrize("block_size", [1, 700, 2**22])
@pytest.mark.parametrize("num_interests", [1, 3])
def test_oracle_of_interests(num_interests, block_size):
    queries, candidates, targets, removed = example(50, 4, num_queries=37 * num_interests)
    queries = queries.reshape(37, num_interests, 3)
    ranks = rank_targets(
        queries, candidates, targets[:37], removed=slices(removed[:37]), block_size=block_size
    )
    scores = np.stack([query @ candidates.T for query in queries]).max(axis=1)
    np.testing.assert_array_equal(ranks, sorted_ranks(scores, targets[:37], removed[:37]))


class Sums(NamedTuple):
    """A term with the features i and 1 of candidate i."""

    gates: tf.Tensor

    def gather(self, rows):
        return Sums(tf.gather(self.gates, rows))

    def __call__(self, candidate_ids):
        numbers = tf.cast(candidate_ids, tf.float32)[tf.newaxis]
        return self.gates[:, :1] * numbers + self.gates[:, 1:]


@pytest.mark.parametrize("block_size", [1, 700, 2**22])
@pytest.mark.parametrize("num_interests", [1, 2])
def test_oracle_of_a_term(num_interests, block_size):
    queries, candidates, targets, removed = example(50, 4, num_queries=37 * num_interests)
    queries, targets, removed = queries.reshape(37, -1, 3), targets[:37], removed[:37]
    gates = np.random.default_rng(1).integers(-1, 2, (37, 2)).astype(np.float32)
    ranks = rank_targets(
        queries,
        candidates,
        targets,
        removed=slices(removed),
        block_size=block_size,
        terms=Sums(tf.constant(gates)),
        first_candidate_id=2,
    )
    scores = np.stack([query @ candidates.T for query in queries]).max(axis=1)
    scores += gates[:, :1] * (np.arange(50) + 2) + gates[:, 1:]
    np.testing.assert_array_equal(ranks, sorted_ranks(scores, targets, removed))
    asked = Queries(tf.constant(queries), (Sums(tf.constant(gates)),))
    again = rank_targets(asked, candidates, targets, removed=slices(removed), first_candidate_id=2)
    np.testing.assert_array_equal(again, ranks)


def test_hand_derived():
    candidates = np.array([[5], [3], [3], [1], [3]], np.float32)
    query = np.ones((1, 1), np.float32)
    # 5 is first; 1, 2 and 4 tie on ranks 2 to 4; 3 is last.
    assert rank_targets(query, candidates, np.array([[2]])).tolist() == [[4]]
    assert rank_targets(query, candidates, np.array([[4, 2, -1]])).tolist() == [[3, 4, 0]]
    assert rank_targets(query, candidates, np.array([[3, 0, 1]])).tolist() == [[5, 1, 4]]
    seen = slices([[0, 0, 1]])
    assert rank_targets(query, candidates, np.array([[2]]), removed=seen).tolist() == [[2]]
    assert rank_targets(query, candidates, np.array([[1, 3]]), removed=seen).tolist() == [[MISS, 3]]
    everything = slices([[0, 1, 2, 3, 4]])
    assert rank_targets(query, candidates, np.array([[4]]), removed=everything).tolist() == [[MISS]]
    unknown = slices([[-1, 0, -2]])
    assert rank_targets(query, candidates, np.array([[3]]), removed=unknown).tolist() == [[4]]


@pytest.mark.parametrize("block_size", [1, 3000, 2**22])
@pytest.mark.parametrize("dim", [1, 7, 64, 200])
def test_equal_embeddings_tie_wherever_they_stand(dim, block_size):
    """With a copy of every item in the catalogue each rank doubles, to the bit."""
    rng = np.random.default_rng(0)
    queries = rng.normal(size=(50, dim)).astype(np.float32)
    once = rng.normal(size=(61, dim)).astype(np.float32)
    where = rng.permutation(122)
    twice = np.concatenate([once, once])[where]
    place = np.empty(122, np.int64)
    place[where] = np.arange(122)
    targets = rng.integers(0, 61, (50, 1))
    single = rank_targets(queries, once, targets, block_size=block_size)
    for copy in (0, 61):
        double = rank_targets(queries, twice, place[targets + copy], block_size=block_size)
        np.testing.assert_array_equal(double, 2 * single)


@pytest.mark.parametrize("block_size", [1, 2**22])
def test_scores_that_are_not_numbers_count_against_us(block_size):
    query = np.ones((1, 2), np.float32)
    candidates = np.array([[1, 0], [np.nan, 1], *[[0, 0]] * 30], np.float32)
    assert rank_targets(query, candidates, np.array([[1]]), block_size=block_size) == [[MISS]]
    assert rank_targets(query, candidates, np.array([[0]]), block_size=block_size) == [[2]]
    both = rank_targets(query, candidates, np.array([[0, 1]]), block_size=block_size)
    assert both.tolist() == [[2, MISS]]


def test_blocks_stay_within_their_size():
    for block_size in (2**9, 2**16, 2**22, 2**24):
        for num_candidates in (1, 100, 3000, 16384, 10**5, 10**6):
            for num_queries in (1, 300, 2**14):
                rows, columns = block_shape(num_queries, num_candidates, block_size)
                assert rows * columns <= max(block_size, 256)
                assert rows % 16 == 0
                assert columns == num_candidates or columns % 16 == 0
    # The usual catalogues are one block, larger ones leave rows enough for a fast product.
    assert block_shape(2**14, 3000, 2**22) == (1392, 3000)
    assert block_shape(2**14, 10**6, 2**22) == (512, 8192)
    assert block_shape(16, 2**25, 2**30)[1] <= 2**24


@pytest.mark.slow
def test_memory_does_not_grow_with_queries_times_catalogue():
    """All scores together would be 800 MB."""
    resource = pytest.importorskip("resource")
    rng = np.random.default_rng(0)
    queries = rng.normal(size=(2048, 2)).astype(np.float32)
    candidates = rng.normal(size=(100_000, 2)).astype(np.float32)
    targets = rng.integers(0, len(candidates), (len(queries), 2))
    rank_targets(queries[:600], candidates, targets[:600])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rank_targets(queries, candidates, targets)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200_000, f"peak memory grew by {grown} KiB"
