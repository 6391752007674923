"""The NumPy metrics against hand-derived values and definitions written out as loops."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfsessionrec.metrics import (
    average_precision,
    first_positive_rank,
    hit_rate,
    mrr,
    ndcg,
    pair_auc,
    positive_integer,
    precision,
    recall,
)

ALL = (recall, hit_rate, ndcg, mrr, precision, average_precision)
FAR = np.iinfo(np.int64).max


def written_out(ranks: list[int], k: int) -> dict[str, float]:
    """The definitions, computed from a list of zeros and ones."""
    targets = [rank for rank in ranks if rank > 0]
    shown = [1 if rank in targets else 0 for rank in range(1, k + 1)]
    dcg = sum(gain / math.log2(1 + rank) for rank, gain in enumerate(shown, start=1))
    ideal = sum(1 / math.log2(1 + rank) for rank in range(1, min(len(targets), k) + 1))
    return {
        "recall": sum(shown) / len(targets),
        "hit_rate": float(any(shown)),
        "ndcg": dcg / ideal,
        "mrr": 1 / (1 + shown.index(1)) if any(shown) else 0.0,
        "precision": sum(shown) / k,
        "average_precision": sum(
            sum(shown[:rank]) / rank for rank, gain in enumerate(shown, start=1) if gain
        )
        / min(len(targets), k),
    }


def test_hand_derived():
    # Targets on ranks 2, 3 and 10 of which two are within 5.
    ranks = [[10, 2, 3, 0]]
    assert recall(ranks, 5) == pytest.approx([2 / 3])
    assert hit_rate(ranks, 5) == pytest.approx([1.0])
    assert mrr(ranks, 5) == pytest.approx([1 / 2])
    assert precision(ranks, 5) == pytest.approx([2 / 5])
    # Precision 1/2 at rank 2 and 2/3 at rank 3, of three targets; at k = 2 of two.
    assert average_precision(ranks, 5) == pytest.approx([(1 / 2 + 2 / 3) / 3])
    assert average_precision(ranks, 2) == pytest.approx([(1 / 2) / 2])
    # (1/log2(3) + 1/log2(4)) / (1/log2(2) + 1/log2(3) + 1/log2(4))
    assert ndcg(ranks, 5) == pytest.approx([(0.6309298 + 0.5) / (1 + 0.6309298 + 0.5)])
    # At k = 2 only rank 2 counts, and at most two targets fit: 0.63093 / 1.63093.
    assert ndcg(ranks, 2) == pytest.approx([0.6309298 / 1.6309298])


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=8, unique=True),
    st.integers(0, 3),
    st.integers(1, 40),
)
def test_definitions_written_out(ranks, padding, k):
    padded = np.array([ranks + [0] * padding])
    expected = written_out(ranks, k)
    for metric in ALL:
        assert metric(padded, k) == pytest.approx([expected[metric.__name__]])


@pytest.mark.parametrize("metric", ALL)
def test_perfect_and_unreachable(metric):
    assert metric([[1, 2, 3]], 3) == pytest.approx([1.0])
    assert metric([[FAR, FAR, 0]], 10**9) == pytest.approx([0.0])
    assert metric(np.array([[5]], np.int32), 4) == pytest.approx([0.0])


@pytest.mark.parametrize("metric", ALL)
def test_query_without_targets_has_no_value(metric):
    values = metric([[0, 0], [1, 0]], 5)
    assert np.isnan(values[0])
    assert values[1] == (1 / 5 if metric is precision else 1.0)


@pytest.mark.parametrize("metric", ALL)
def test_bad_ranks(metric):
    with pytest.raises(ValueError, match=r"`ranks` should be an integer tensor \[queries, targets"):
        metric([1, 2], 5)
    with pytest.raises(ValueError, match="`ranks` should be an integer tensor"):
        metric([[1.5]], 5)


@pytest.mark.parametrize("k", [0, -3, 2.0, "20", True, None])
def test_positive_integer(k):
    assert positive_integer("k", np.int64(3)) == 3
    with pytest.raises(ValueError, match=r"`k` should be a positive integer\. Received: `k`="):
        positive_integer("k", k)


def test_first_positive_rank():
    mask = np.array([[True, True, True, False]])
    labels = [[0, 1, 1, 0]]
    assert first_positive_rank([[3.0, 2.0, 1.0, 9.0]], labels, mask) == [2]
    assert first_positive_rank([[2.0, 2.0, 1.0, 9.0]], labels, mask) == [2]
    assert first_positive_rank([[1.0, 2.0, 5.0, 9.0]], labels, mask) == [1]
    assert first_positive_rank([[1.0, 2.0, 5.0, 9.0]], [[0, 0, 0, 1]], mask) == [0]
    assert first_positive_rank([[np.nan, 2.0, 5.0, 9.0]], labels, mask) == [2]
    assert first_positive_rank([[0.0, np.nan, np.nan, 9.0]], labels, mask) == [2]


def test_pair_auc():
    mask = np.array([[True, True, True, True, False]])
    labels = [[1, 0, 1, 0, 1]]
    # Pairs: 3 > 2, 3 > 1, 1 < 2, 1 = 1: 2.5 of 4.
    correct, pairs = pair_auc([[3.0, 2.0, 1.0, 1.0, 9.0]], labels, mask)
    assert (correct.tolist(), pairs.tolist()) == ([2.5], [4])
    correct, pairs = pair_auc([[np.nan, 2.0, 1.0, 1.0, 9.0]], labels, mask)
    assert (correct.tolist(), pairs.tolist()) == ([0.5], [4])
