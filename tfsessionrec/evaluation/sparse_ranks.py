"""Exact ranks from sparse scores."""

import numba
import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from tfsessionrec.evaluation.ranks import MISS, Slices

_Integers = NDArray[np.int64]


def rank_targets_sparse(
    scores: scipy.sparse.csr_array,
    targets: NDArray[np.int64],
    removed: Slices | None = None,
) -> NDArray[np.int64]:
    """Ranks of each query's targets among all candidates, ties against the targets.

    The definition of `rank_targets`: with `R` the query's removed candidates and `T` its targets
    that are not removed,

    `rank(t) = 1 + |{c not in R or T : not score(c) < score(t)}| + |{t' in T before t}|`,

    where targets among themselves go by score, equal ones in their given order. A candidate whose
    score is not stored is below every candidate whose score is, and ties with all others of its
    kind. A removed target and one whose score is NaN get the rank `MISS`.

    Args:
        scores: [Q, C] float, stored scores of the candidates; a stored 0 is a score.
        targets: [Q, T] candidate numbers 0 .. C - 1, each once in a row; negative is padding.
        removed: Candidates removed from the ranking, for each query; they may repeat. None by
            default.

    Returns:
        [Q, T] int64 ranks, 1-based, 0 for padding.

    Raises:
        ValueError: If `targets` or `removed` are not of as many queries as `scores`, or a target is
            no candidate.

    Example: the target 2 has no score; it ties with 0 and 3 behind candidate 1.

    >>> import numpy as np, scipy.sparse
    >>> scores = scipy.sparse.csr_array(np.array([[0, 4, 0, 0]], "float32"))
    >>> rank_targets_sparse(scores, np.array([[2]]))
    array([[4]])
    """
    targets = np.asarray(targets, np.int64)
    num_queries, num_candidates = scores.shape
    if targets.ndim != 2 or len(targets) != num_queries:
        raise ValueError(
            f"`targets` should have the shape [{num_queries}, T]. "
            f"Received: `targets` of shape {targets.shape}"
        )
    if targets.size and targets.max() >= num_candidates:
        raise ValueError(
            f"`targets` should be candidate numbers below {num_candidates}. "
            f"Received: {targets.max()}"
        )
    if removed is None:
        nothing = np.zeros(num_queries, np.int64)
        removed = Slices(np.empty(0, np.int64), nothing, nothing)
    if len(removed.start) != num_queries:
        raise ValueError(
            f"`removed` should be of {num_queries} queries. Received: {len(removed.start)}"
        )
    if not scores.has_canonical_format:
        scores = scores.copy()
        scores.sum_duplicates()
    return _rank(
        scores.indptr.astype(np.int64),
        scores.indices.astype(np.int64),
        scores.data,
        num_candidates,
        np.ascontiguousarray(targets),
        np.asarray(removed.items, np.int64),
        np.asarray(removed.start, np.int64),
        np.asarray(removed.stop, np.int64),
    )


@numba.njit(cache=True, nogil=True)
def _rank(
    indptr: _Integers,
    indices: _Integers,
    data: NDArray[np.floating],
    num_candidates: int,
    targets: _Integers,
    removed: _Integers,
    start: _Integers,
    stop: _Integers,
) -> _Integers:
    num_queries, width = targets.shape
    ranks = np.zeros((num_queries, width), np.int64)
    # Entries with the stamp q + 1 are valid for query q: nothing is cleared between queries.
    out = np.zeros(num_candidates, np.int64)  # removed or a target
    stored = np.zeros(num_candidates, np.int64)
    value = np.zeros(num_candidates, data.dtype)
    live = np.zeros(width, np.bool_)
    for q in range(num_queries):
        stamp = q + 1
        num_out = 0
        for place in range(start[q], stop[q]):
            item = removed[place]
            if item >= 0 and out[item] != stamp:
                out[item] = stamp
                num_out += 1
        for j in range(width):
            item = targets[q, j]
            live[j] = item >= 0 and out[item] != stamp
        for j in range(width):
            if live[j]:
                out[targets[q, j]] = stamp
                num_out += 1
        for place in range(indptr[q], indptr[q + 1]):
            stored[indices[place]] = stamp
            value[indices[place]] = data[place]
        for j in range(width):
            mine = targets[q, j]
            if mine < 0:
                continue
            scored = stored[mine] == stamp
            if not live[j] or (scored and np.isnan(value[mine])):
                ranks[q, j] = MISS
                continue
            ahead = num_candidates - num_out
            if scored:
                ahead = 0
                for place in range(indptr[q], indptr[q + 1]):
                    if out[indices[place]] != stamp and not data[place] < value[mine]:
                        ahead += 1
            ranks[q, j] = 1 + ahead + _targets_before(j, targets[q], live, stored, stamp, value)
    return ranks


@numba.njit(cache=True, nogil=True)
def _targets_before(
    j: int,
    targets: _Integers,
    live: NDArray[np.bool_],
    stored: _Integers,
    stamp: int,
    value: NDArray[np.floating],
) -> int:
    """The number of live targets of a query that come before its target j."""
    before = 0
    scored = stored[targets[j]] == stamp
    for i in range(len(targets)):
        if i == j or not live[i]:
            continue
        mine, other = targets[j], targets[i]
        if stored[other] != stamp:
            before += not scored and i < j
        elif not scored or not value[other] <= value[mine]:
            before += 1
        else:
            before += value[other] == value[mine] and i < j
    return before
