"""Ranking metrics as pure NumPy functions, one value per query.

Catalogue metrics (`recall`, `precision`, `hit_rate`, `ndcg`, `mrr`, `average_precision`) are
functions of the **ranks** of the targets, not of sorted lists: `ranks[q, i]` is the 1-based rank of
the i-th target of query q, 0 for padding. A target that the list cannot contain has a rank larger
than every `k`. A query without targets has no value: NaN.

List metrics (`first_positive_rank`, `pair_auc`) are functions of the scores of the items
shown to the user.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfsessionrec.checks import positive_integer, tensors


def _hits(
    ranks: ArrayLike, k: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.float64]]:
    """The ranks, which of them are hits, and the number of targets per query (NaN for none)."""
    k = positive_integer("k", k)
    tensors(("ranks", ranks, "integer", "queries targets"))
    ranks = np.asarray(ranks)
    sizes = (ranks > 0).sum(axis=1)
    return ranks, (ranks > 0) & (ranks <= k), np.where(sizes == 0, np.nan, sizes)


def recall(ranks: ArrayLike, k: int) -> NDArray[np.float64]:
    """Share of the targets that are among the first k.

    `recall@k = |{i : rank_i <= k}| / |T|`

    Args:
        ranks: [queries, targets] integers, 1-based, 0 for padding.
        k: Length of the list, a positive integer.

    Returns:
        [queries] float64, NaN for a query without targets.

    Raises:
        ValueError: If `k` is not a positive integer or `ranks` is not an integer matrix.

    Example: one of the ranks 1 and 7 is within 5, and so is the only target of the second query.

    >>> recall([[1, 7], [3, 0]], k=5)
    array([0.5, 1. ])
    """
    _, hits, sizes = _hits(ranks, k)
    return hits.sum(axis=1) / sizes


def hit_rate(ranks: ArrayLike, k: int) -> NDArray[np.float64]:
    """Whether a target is among the first k.

    `hit_rate@k = 1 if min_i rank_i <= k else 0`; its mean over users is the personalized hit ratio
    (PHR) of the literature on baskets.

    Args:
        ranks: [queries, targets] integers, 1-based, 0 for padding.
        k: Length of the list, a positive integer.

    Returns:
        [queries] float64, NaN for a query without targets.

    Raises:
        ValueError: If `k` is not a positive integer or `ranks` is not an integer matrix.

    Example:

    >>> hit_rate([[1, 7], [6, 0]], k=5)
    array([1., 0.])
    """
    _, hits, sizes = _hits(ranks, k)
    return np.where(np.isnan(sizes), np.nan, hits.any(axis=1))


def precision(ranks: ArrayLike, k: int) -> NDArray[np.float64]:
    """Share of the first k places that hold a target.

    `precision@k = |{i : rank_i <= k}| / k`

    Args:
        ranks: [queries, targets] integers, 1-based, 0 for padding.
        k: Length of the list, a positive integer.

    Returns:
        [queries] float64, NaN for a query without targets.

    Raises:
        ValueError: If `k` is not a positive integer or `ranks` is not an integer matrix.

    Example: one of the ranks 1 and 7 is within 5, and so is the only target of the second query.

    >>> precision([[1, 7], [3, 0]], k=5)
    array([0.2, 0.2])
    """
    _, hits, sizes = _hits(ranks, k)
    return np.where(np.isnan(sizes), np.nan, hits.sum(axis=1) / k)


def average_precision(ranks: ArrayLike, k: int) -> NDArray[np.float64]:
    """Precision at the rank of each target among the first k; its mean over queries is MAP@k.

    `AP@k = sum over rank_i <= k of |{j : rank_j <= rank_i}| / rank_i, divided by min(k, |T|)`: 1
    for the best possible list, whatever k. Some libraries divide by `|T|` instead, which gives less
    if there are more than k targets.

    Args:
        ranks: [queries, targets] integers, 1-based, 0 for padding.
        k: Length of the list, a positive integer.

    Returns:
        [queries] float64, NaN for a query without targets.

    Raises:
        ValueError: If `k` is not a positive integer or `ranks` is not an integer matrix.

    Example: targets at the ranks 1 and 4 give (1/1 + 2/4) / 2; at k = 1 only the first counts.

    >>> average_precision([[4, 1]], k=5)
    array([0.75])
    >>> average_precision([[4, 1]], k=1)
    array([1.])
    """
    ranks, hits, sizes = _hits(ranks, k)
    found = np.sort(np.where(hits, ranks.astype(np.int64), np.iinfo(np.int64).max), axis=1)
    precisions = np.arange(1, ranks.shape[1] + 1) / found
    gains = np.where(found <= k, precisions, 0.0).sum(axis=1)
    return gains / np.minimum(sizes, k)


def mrr(ranks: ArrayLike, k: int) -> NDArray[np.float64]:
    """Reciprocal rank of the best target, 0 if it is not among the first k.

    `mrr@k = 1 / min_i rank_i if min_i rank_i <= k else 0`

    Args:
        ranks: [queries, targets] integers, 1-based, 0 for padding.
        k: Length of the list, a positive integer.

    Returns:
        [queries] float64, NaN for a query without targets.

    Raises:
        ValueError: If `k` is not a positive integer or `ranks` is not an integer matrix.

    Example:

    >>> mrr([[7, 4], [6, 0]], k=5)
    array([0.25, 0.  ])
    """
    ranks, hits, sizes = _hits(ranks, k)
    reciprocals = np.where(hits, 1.0 / np.maximum(ranks, 1), 0.0)
    return np.where(np.isnan(sizes), np.nan, reciprocals.max(axis=1, initial=0.0))


def ndcg(ranks: ArrayLike, k: int) -> NDArray[np.float64]:
    """Normalized discounted cumulative gain; the gain of each target is 1.

    `DCG@k = sum over rank_i <= k of 1 / log2(1 + rank_i)`, divided by the best possible value,
    `IDCG@k = sum for r = 1 .. min(|T|, k) of 1 / log2(1 + r)`: 1 for the best possible list,
    whatever k. Some code for baskets sums up to `|T|` instead, which gives less if there are more
    than k targets.

    Args:
        ranks: [queries, targets] integers, 1-based, 0 for padding.
        k: Length of the list, a positive integer.

    Returns:
        [queries] float64, NaN for a query without targets.

    Raises:
        ValueError: If `k` is not a positive integer or `ranks` is not an integer matrix.

    Example: one target at rank 3 gives 1 / log2(4) = 0.5 of 1 / log2(2) = 1.

    >>> ndcg([[3, 0], [1, 2]], k=5)
    array([0.5, 1. ])
    """
    ranks, hits, _ = _hits(ranks, k)
    gains = np.where(hits, 1.0 / np.log2(1.0 + np.maximum(ranks, 1)), 0.0).sum(axis=1)
    best = np.cumsum(1.0 / np.log2(np.arange(2, ranks.shape[1] + 2)))
    return gains / np.append(np.nan, best)[np.minimum((ranks > 0).sum(axis=1), k)]


def _shown(
    scores: ArrayLike, labels: ArrayLike, mask: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    tensors(
        ("scores", scores, "number", "queries shown"),
        ("labels", labels, "number or boolean", "queries shown"),
        ("mask", mask, "number or boolean", "queries shown"),
    )
    mask = np.asarray(mask, bool)
    positive = (np.asarray(labels) > 0) & mask
    return np.asarray(scores, np.float64), positive, mask & ~positive


def first_positive_rank(scores: ArrayLike, labels: ArrayLike, mask: ArrayLike) -> NDArray[np.int64]:
    """Rank of the best positive item among the shown items; ties are pessimistic.

    `rank = 1 + |{negative : score >= best score of a positive}|`. A NaN score, of a positive or a
    negative item, makes the rank worse.

    Args:
        scores: [queries, shown] floats.
        labels: [queries, shown], 1 positive, 0 shown but not clicked.
        mask: [queries, shown], True where an item was shown, False for padding.

    Returns:
        [queries] int64, 0 for a query without a positive item.

    Example: the positive item ties with a negative one.

    >>> first_positive_rank([[0.2, 0.9, 0.9, 9.0]], [[0, 1, 0, 0]], [[True, True, True, False]])
    array([2])
    """
    scores, positive, negative = _shown(scores, labels, mask)
    best = np.where(positive & ~np.isnan(scores), scores, -np.inf).max(axis=1, keepdims=True)
    ranks = 1 + (negative & ~(scores < best)).sum(axis=1)
    return np.where(positive.any(axis=1), ranks, 0)


def pair_auc(
    scores: ArrayLike, labels: ArrayLike, mask: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(Positive, negative) pairs in the right order, within each query.

    `correct = sum over pairs of [s_p > s_n] + 0.5 * [s_p == s_n]`: the AUC of a query is
    `correct / pairs`, and `sum(correct) / sum(pairs)` is the AUC over all pairs. A pair with a NaN
    score is wrong.

    Args:
        scores: [queries, shown] floats.
        labels: [queries, shown], 1 positive, 0 shown but not clicked.
        mask: [queries, shown], True where an item was shown, False for padding.

    Returns:
        Two arrays [queries]: correct (float64) and the number of pairs (int64).

    Example: the positive item beats one negative and ties with the other.

    >>> pair_auc([[0.5, 0.1, 0.5]], [[1, 0, 0]], [[True, True, True]])
    (array([1.5]), array([2]))
    """
    scores, positive, negative = _shown(scores, labels, mask)
    pairs = positive[:, :, None] & negative[:, None, :]
    wins = (scores[:, :, None] > scores[:, None, :]) + 0.5 * (
        scores[:, :, None] == scores[:, None, :]
    )
    return (wins * pairs).sum(axis=(1, 2)), pairs.sum(axis=(1, 2))
