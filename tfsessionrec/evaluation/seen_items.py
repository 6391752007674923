"""Which items the history of a query holds."""

import numba
import numpy as np
from numpy.typing import NDArray

from tfsessionrec.evaluation.ranks import Slices


def are_seen(items: NDArray[np.int64], seen: Slices) -> NDArray[np.bool_]:
    """Which items the history of their query holds.

    Args:
        items: [Q, I] integers of any sign.
        seen: The items of Q histories, integers of the same kind.

    Returns:
        [Q, I].

    Example: the first history is (3, -1), the second (-1, 5).

    >>> seen = Slices(np.array([3, -1, 5]), start=np.array([0, 1]), stop=np.array([2, 3]))
    >>> are_seen(np.array([[3, 5], [3, -1]]), seen)
    array([[ True, False],
           [False,  True]])
    """
    lowest = min(int(items.min(initial=0)), int(seen.items.min(initial=0)))
    highest = max(int(items.max(initial=0)), int(seen.items.max(initial=0)))
    return _are_seen(
        np.ascontiguousarray(items, np.int64) - lowest,
        np.asarray(seen.items, np.int64) - lowest,
        np.asarray(seen.start, np.int64),
        np.asarray(seen.stop, np.int64),
        highest - lowest + 1,
    )


@numba.njit(cache=True, nogil=True)
def _are_seen(
    items: NDArray[np.int64],
    seen: NDArray[np.int64],
    start: NDArray[np.int64],
    stop: NDArray[np.int64],
    size: int,
) -> NDArray[np.bool_]:
    found = np.zeros(items.shape, np.bool_)
    # An entry q + 1 is valid for query q: nothing is cleared between queries.
    stamps = np.zeros(size, np.int64)
    for q in range(len(items)):
        for place in range(start[q], stop[q]):
            stamps[seen[place]] = q + 1
        for j in range(items.shape[1]):
            found[q, j] = stamps[items[q, j]] == q + 1
    return found
