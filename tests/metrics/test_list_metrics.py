"""Metrics of lists against their definitions written out as loops."""

import collections
import itertools
import math
import statistics

import numpy as np
import pytest

from tfsessionrec.metrics import list_metrics

COUNTS = [40, 20, 20, 5, 3, 1, 0, 0]
CATEGORIES = ["tea", "tea", "cup", "cup", "tea", "pot", "pot", "cup"]


def random_lists(seed: int = 0) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.permutation(len(COUNTS))[: rng.integers(0, 6)].tolist() for _ in range(50)]


def padded(lists: list[list[int]], width: int = 6) -> np.ndarray:
    return np.array([row + [-1] * (width - len(row)) for row in lists])


@pytest.mark.parametrize("k", [1, 3, 6, 20])
def test_exposure_coverage_and_gini(k: int) -> None:
    lists = random_lists()
    shown = collections.Counter(item for row in lists for item in row[:k])
    expected = [shown[item] for item in range(len(COUNTS))]
    found = list_metrics.exposure(padded(lists), k, len(COUNTS))
    assert found.tolist() == expected
    assert list_metrics.coverage(found) == len(shown) / len(COUNTS)
    # Half the mean absolute difference of two items, as a share of the mean.
    pairs = [abs(a - b) for a in expected for b in expected]
    gini = statistics.mean(pairs) / (2 * statistics.mean(expected))
    assert list_metrics.gini(found) == pytest.approx(gini)


def test_gini_of_nothing() -> None:
    assert math.isnan(list_metrics.gini([0, 0]))


@pytest.mark.parametrize("k", [1, 3, 6, 20])
def test_novelty_and_mean_popularity(k: int) -> None:
    lists = random_lists(1)
    total = sum(COUNTS) + len(COUNTS)
    bits = [-math.log2((count + 1) / total) for count in COUNTS]
    assert list_metrics.self_information(COUNTS) == pytest.approx(bits)
    for values in (bits, COUNTS):
        found = list_metrics.list_mean(padded(lists), k, values)
        for row, value in zip(lists, found):
            if row:
                assert value == pytest.approx(statistics.mean(values[item] for item in row[:k]))
            else:
                assert math.isnan(value)


@pytest.mark.parametrize("k", [1, 3, 6, 20])
@pytest.mark.parametrize("block", [1, 2**22])
def test_intra_list_diversity(k: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_metrics, "_BLOCK", block)
    lists = random_lists(2)
    vectors = np.random.default_rng(3).normal(size=(len(COUNTS), 4))
    vectors[5] = 0

    def cosine(a: int, b: int) -> float:
        norm = math.sqrt(sum(vectors[a] ** 2) * sum(vectors[b] ** 2))
        return float(sum(vectors[a] * vectors[b])) / norm if norm else 0.0

    def distances(row: list[int], by_vector: bool) -> list[float]:
        return [
            1 - cosine(a, b) if by_vector else float(CATEGORIES[a] != CATEGORIES[b])
            for a, b in itertools.combinations(row[:k], 2)
        ]

    for by_vector, features in ((True, vectors), (False, CATEGORIES)):
        found = list_metrics.intra_list_diversity(padded(lists), k, features)
        for row, value in zip(lists, found):
            expected = distances(row, by_vector)
            if expected:
                assert value == pytest.approx(statistics.mean(expected), abs=1e-12)
            else:
                assert math.isnan(value)


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match=r"`lists` should be an integer tensor \[queries, places"):
        list_metrics.exposure([1, 2], 5, 3)
    with pytest.raises(ValueError, match="`k` should be a positive integer"):
        list_metrics.list_mean([[1, 2]], 0, [1, 2, 3])
    with pytest.raises(ValueError, match=r"`features` should be vectors \[items, D\] or categ"):
        list_metrics.intra_list_diversity([[1, 2]], 2, np.zeros((3, 2, 2)))
