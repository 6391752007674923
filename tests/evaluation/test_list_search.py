"""The fast search against a sort in float64 of the same scores."""

import numpy as np
import pytest
import scipy.sparse

from tfsessionrec.evaluation import Slices
from tfsessionrec.evaluation.list_search import ListSearch, best_stored
from tfsessionrec.evaluation.rough_scores import in_bfloat16, in_float32

WAYS = ["float32", "bfloat16"]


def search_of(candidates, way):
    """A search whose rough scores are of that kind, whatever is faster here."""
    search = ListSearch(candidates)
    make = {"float32": in_float32, "bfloat16": in_bfloat16}[way]
    search._rough = make(candidates)
    return search


def oracle(queries, candidates, k, removed=None):
    """Scores are small integers: sums are exact in float32."""
    scores = np.einsum("qnd,cd->qnc", queries, candidates).max(axis=1)
    for row, items in enumerate(removed or []):
        scores[row, items] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    values = np.take_along_axis(scores, order, axis=1)
    return np.where(np.isneginf(values), -1, order), values


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("interests", [1, 3])
@pytest.mark.parametrize("sign", ["both", "negative"])
@pytest.mark.parametrize(("size", "k"), [(40_000, 10), (3_000, 7), (200, 20), (5, 9)])
def test_the_lists_of_a_sort(size, k, sign, interests, way):
    random = np.random.default_rng(size + interests)
    candidates = random.integers(-9, 10, (size, 6)).astype(np.float32)
    queries = random.integers(-300, 300, (150, interests, 6)).astype(np.float32)
    if sign == "negative":
        candidates, queries = np.abs(candidates) + 1, -np.abs(queries)
    gone = [random.choice(size, random.integers(0, min(size, 40))) for _ in queries]
    stop = np.cumsum([len(one) for one in gone])
    # Numbers below 0 are ignored.
    removed = Slices(np.append(np.concatenate(gone), -1), stop - [len(one) for one in gone], stop)
    removed.stop[-1] += 1
    search = search_of(candidates, way)
    for some, given in ((None, None), (removed, gone)):
        found, values = search(queries, k, some)
        expected = oracle(queries, candidates, k, given)
        np.testing.assert_array_equal(found, expected[0])
        np.testing.assert_array_equal(values, expected[1])


@pytest.mark.parametrize("way", WAYS)
def test_nearly_equal_scores_of_unlike_lengths(way):
    """Candidates that bfloat16 cannot tell apart, and one that is a thousand times longer."""
    random = np.random.default_rng(0)
    candidates = 1 + random.normal(0, 1e-4, (20_000, 16)).astype(np.float32)
    candidates[77] *= 1000
    queries = 1 + random.normal(0, 1e-3, (30, 1, 16)).astype(np.float32)
    found, _ = search_of(candidates, way)(queries, 20)
    scores = queries[:, 0].astype(np.float64) @ candidates.T.astype(np.float64)
    best = -np.sort(-scores, axis=1)[:, :20]
    listed = np.take_along_axis(scores, found, axis=1)
    np.testing.assert_allclose(listed, best, rtol=1e-6)
    assert all(len(set(row)) == 20 for row in found)


def test_the_kind_of_rough_scores_does_not_matter():
    random = np.random.default_rng(1)
    candidates = random.normal(size=(30_000, 24)).astype(np.float32)
    queries = random.normal(size=(200, 1, 24)).astype(np.float32)
    one, other = (search_of(candidates, way)(queries, 50) for way in WAYS)
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_array_equal(one[1], other[1])


def test_rough_scores_are_as_near_as_they_say():
    random = np.random.default_rng(2)
    candidates = random.normal(size=(1000, 32)).astype(np.float32)
    queries = random.normal(size=(100, 1, 32)).astype(np.float32)
    exact = queries[:, 0].astype(np.float64) @ candidates.T.astype(np.float64)
    for way in WAYS:
        rough = search_of(candidates, way)._rough
        bits = rough.products[0](queries).numpy()
        values = (
            bits.view(np.float32)
            if way == "float32"
            else (bits.astype(np.int32) << 16).view(np.float32)
        )
        allowed = rough.relative * np.abs(values) + rough.absolute(queries)[:, None]
        assert (np.abs(values - exact) <= allowed).all()
        assert np.median(allowed) < 0.2  # of scores with a deviation of 5.7


def test_stored_scores():
    random = np.random.default_rng(3)
    dense = random.integers(-3, 4, (50, 30)) * (random.random((50, 30)) < 0.4)
    scores = scipy.sparse.csr_array(dense.astype(np.float32))
    removed = Slices(np.tile(np.arange(5), 50), np.arange(50) * 5, np.arange(50) * 5 + 5)
    found, values = best_stored(scores, 6, removed)
    for row, line in enumerate(dense):
        ranked = sorted((-line[item], item) for item in range(5, 30) if line[item])[:6]
        assert found[row, : len(ranked)].tolist() == [item for _, item in ranked]
        assert values[row, : len(ranked)].tolist() == [-value for value, _ in ranked]
        assert (found[row, len(ranked) :] == -1).all()
