"""Metrics of recommended lists other than accuracy: pure NumPy functions.

A list is a row of item numbers 0 .. C - 1, best first; -1 is an empty place, after all items.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfsessionrec.checks import positive_integer, tensors

_BLOCK = 2**22  # Limit of the vector elements, or comparisons of items, held at a time.


def _lists(lists: ArrayLike, k: int, num_items: int, of: str) -> NDArray[np.int64]:
    """The first k places of lists of items 0 .. `num_items` - 1."""
    k = positive_integer("k", k)
    tensors(("lists", lists, "integer", "queries places"))
    first = np.asarray(lists)[:, :k].astype(np.int64)
    if first.max(initial=-1) >= num_items:
        raise ValueError(
            f"`lists` should hold items below {num_items}, the number of items of `{of}`. "
            f"Received: {first.max()}"
        )
    return first


def exposure(lists: ArrayLike, k: int, num_items: int) -> NDArray[np.int64]:
    """How often each item is among the first k of a list.

    Args:
        lists: [queries, places] item numbers, -1 for an empty place.
        k: Length of the list, a positive integer.
        num_items: C.

    Returns:
        [C] int64.

    Raises:
        ValueError: If `k` is not a positive integer or `lists` is not an integer matrix.

    Example:

    >>> exposure([[0, 2], [0, -1]], k=2, num_items=4)
    array([2, 0, 1, 0])
    """
    shown = _lists(lists, k, positive_integer("num_items", num_items), "num_items")
    return np.bincount(shown[shown >= 0], minlength=num_items)


def coverage(shown: ArrayLike) -> float:
    """Share of the catalogue that is in any list.

    `coverage = |{i : shown_i > 0}| / C`

    Args:
        shown: [C], how often each item is recommended, see `exposure`.

    Example:

    >>> coverage([2, 0, 1, 0])
    0.5
    """
    tensors(("shown", shown, "number", "items"))
    return float((np.asarray(shown) > 0).mean())


def gini(shown: ArrayLike) -> float:
    """Gini coefficient of the exposure of all items, including those never recommended.

    With the C exposures in ascending order, `gini = sum_i (2 i - C - 1) shown_i / (C sum_i
    shown_i)`: 0 if all items have the same exposure, `1 - 1 / C` if one has all of it.

    Args:
        shown: [C], how often each item is recommended, see `exposure`.

    Returns:
        The coefficient; NaN if nothing is recommended.

    Example:

    >>> gini([1, 1, 1, 1]), gini([0, 0, 4, 0])
    (0.0, 0.75)

    References: Castells, Hurley and Vargas, Novelty and Diversity in Recommender Systems, 2022.
    """
    tensors(("shown", shown, "number", "items"))
    ascending = np.sort(np.asarray(shown, np.float64))
    total = len(ascending) * ascending.sum()
    weights = 2 * np.arange(1, len(ascending) + 1) - len(ascending) - 1
    return float((weights * ascending).sum() / total) if total else float("nan")


def self_information(counts: ArrayLike) -> NDArray[np.float64]:
    """Surprise of each item in bits: the rarer in training, the higher.

    `information_i = -log2 p_i` with `p_i = (counts_i + 1) / (sum_j counts_j + C)`: the
    added click gives items without clicks a value.

    Args:
        counts: [C], the items' clicks in training.

    Returns:
        [C] float64 bits.

    Example: 1 + 1 and 5 + 1 of 6 + 2 clicks.

    >>> self_information([1, 5])
    array([2.       , 0.4150375])

    References: Zhou et al., Solving the apparent diversity-accuracy dilemma, PNAS 2010.
    """
    tensors(("counts", counts, "number", "items"))
    smoothed = np.asarray(counts, np.float64) + 1
    if not (smoothed >= 1).all():
        raise ValueError(
            f"`counts` should be numbers of 0 or more. Received: {smoothed.min() - 1:g}"
        )
    return np.log2(smoothed.sum()) - np.log2(smoothed)


def list_mean(lists: ArrayLike, k: int, values: ArrayLike) -> NDArray[np.float64]:
    """Mean of a property of items over each list.

    With `self_information` it is the novelty of the list, with the counts of the items its mean
    popularity.

    Args:
        lists: [queries, places] item numbers, -1 for an empty place.
        k: Length of the list, a positive integer.
        values: [C], one number per item.

    Returns:
        [queries] float64, NaN for an empty list.

    Raises:
        ValueError: If `k` is not a positive integer or `lists` is not an integer matrix.

    Example:

    >>> list_mean([[0, 2], [1, -1]], k=2, values=[4.0, 1.0, 8.0])
    array([6., 1.])
    """
    tensors(("values", values, "number", "items"))
    numbers = np.asarray(values, np.float64)
    shown = _lists(lists, k, len(numbers), "values")
    real = shown >= 0
    sums = np.where(real, numbers[np.maximum(shown, 0)], 0.0).sum(axis=1)
    sizes = real.sum(axis=1)
    return sums / np.where(sizes == 0, np.nan, sizes)


def intra_list_diversity(lists: ArrayLike, k: int, features: ArrayLike) -> NDArray[np.float64]:
    """Mean distance of the pairs of items in each list.

    `diversity = mean over pairs i < j of the list of 1 - cos(v_i, v_j)`, or of
    `[category_i != category_j]` if the items have categories. A vector of zeros has the cosine 0 to
    every other.

    Args:
        lists: [queries, places] item numbers, -1 for an empty place.
        k: Length of the list, a positive integer.
        features: [C, D] vectors of the items, or [C] categories.

    Returns:
        [queries] float64, NaN for a list of fewer than two items.

    Raises:
        ValueError: If `k` is not a positive integer, `lists` is not an integer matrix, or
            `features` is neither a vector nor a matrix.

    Example: one of the three pairs has one category.

    >>> intra_list_diversity([[0, 1, 2]], k=3, features=["tea", "cup", "tea"])
    array([0.66666667])
    >>> intra_list_diversity([[0, 1], [0, -1]], k=2, features=[[1.0, 0.0], [0.0, 2.0]])
    array([ 1., nan])

    References: Ziegler et al., Improving recommendation lists through topic diversification, 2005.
    """
    try:
        found = np.asarray(features)
    except ValueError:  # lists of several lengths
        found = np.asarray(None)
    if found.ndim not in (1, 2) or (found.ndim == 2 and found.dtype.kind not in "iufb"):
        raise ValueError(
            "`features` should be vectors [items, D] or categories [items]. Received: "
            f"`features`={features!r}"[:300]
        )
    features = found
    shown = _lists(lists, k, len(features), "features")
    alike = _same_category if features.ndim == 1 else _cosines
    if features.ndim == 1:
        features = np.unique(features, return_inverse=True)[1]
    width = shown.shape[1] if features.ndim == 1 else features.shape[1]
    rows = max(1, _BLOCK // max(1, shown.shape[1] * width))
    parts = [alike(shown[at : at + rows], features) for at in range(0, len(shown), rows)]
    sizes = (shown >= 0).sum(axis=1)
    pairs = sizes * (sizes - 1) / 2
    return 1 - np.concatenate([*parts, np.zeros(0)]) / np.where(pairs == 0, np.nan, pairs)


def _same_category(shown: NDArray[np.int64], categories: np.ndarray) -> NDArray[np.float64]:
    """[queries] numbers of pairs of one category."""
    found = np.where(shown >= 0, categories[np.maximum(shown, 0)], -1)
    same = (found[:, :, None] == found[:, None, :]) & (found >= 0)[:, :, None]
    return (same.sum(axis=(1, 2)) - (found >= 0).sum(axis=1)) / 2


def _cosines(shown: NDArray[np.int64], vectors: np.ndarray) -> NDArray[np.float64]:
    """[queries] sums of the cosines of all pairs: (|sum of units|^2 - sum of |unit|^2) / 2."""
    found = vectors[np.maximum(shown, 0)].astype(np.float64)
    lengths = np.linalg.norm(found, axis=2, keepdims=True)
    units = np.where((shown >= 0)[:, :, None] & (lengths > 0), found, 0) / np.maximum(
        lengths, np.finfo(np.float64).tiny
    )
    return ((units.sum(axis=1) ** 2).sum(axis=1) - (units**2).sum(axis=(1, 2))) / 2
