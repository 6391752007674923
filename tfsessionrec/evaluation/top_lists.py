"""The best k candidates of each query, exactly, block by block."""

import numpy as np
import scipy.sparse
import tensorflow as tf
from numpy.typing import NDArray

from tfsessionrec.evaluation.ranks import (
    BLOCK_SIZE,
    Candidates,
    Slices,
    block_shape,
    gather_block,
    score_block,
    scores_of_block,
)
from tfsessionrec.scoring import Queries

_GROUP = 16  # Neighbors, of which only the best is looked at first.


def top_lists(
    queries: Queries,
    candidates: Candidates,
    k: int,
    *,
    removed: Slices | None = None,
    block_size: int = BLOCK_SIZE,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k best candidates of each query, best first, equal scores by lower number.

    Scores are those of `rank_targets`, in blocks of at most `block_size`; a NaN is the lowest.

    Args:
        queries: Q queries.
        candidates: C candidates.
        k: Length of the list; more than C means all.
        removed: Candidates removed from the lists, for each query. None by default.
        block_size: Scores held at a time, `2**22` by default.

    Returns:
        [Q, min(k, C)] int64 candidate numbers, -1 where no candidate is left, and their float32
        scores, -inf there.

    Example:

    >>> queries = Queries(tf.ones([1, 1, 1]))
    >>> candidates = Candidates(tf.constant([[3.0], [4.0], [3.0], [1.0]]))
    >>> top_lists(queries, candidates, 3)
    (array([[1, 0, 2]]), array([[4., 3., 3.]], dtype=float32))
    """
    num_queries = int(queries.embeddings.shape[0])
    k = min(k, candidates.size)
    rows, columns = block_shape(num_queries, candidates.size, scores_of_block(queries, block_size))
    found = np.zeros((num_queries, k), np.int64)
    values = np.zeros(found.shape, np.float32)
    for first in range(0, num_queries, rows):
        last = min(first + rows, num_queries)
        block = gather_block(queries, np.arange(first, last), rows)
        row = item = np.zeros(0, np.int64)
        if removed is not None:
            row, item = removed.pairs(first, last)
            order = np.argsort(item, kind="stable")
            row, item = row[order], item[order]
        best = tf.fill([rows, 0], 0.0), tf.zeros([rows, 0], tf.int64)
        for start in range(0, candidates.size, columns):
            here = slice(*np.searchsorted(item, [start, start + columns]))
            best = _merge(
                *best,
                block,
                queries.num_interests,
                candidates,
                tf.constant(np.stack([row[here], item[here] - start], axis=1)),
                tf.constant(start),
                tf.constant(columns),
                tf.constant(k),
            )
        scores, numbers = (part.numpy()[: last - first] for part in best)
        found[first:last] = np.where(np.isneginf(scores), -1, numbers)
        values[first:last] = scores
    return found, values


def top_lists_sparse(
    scores: scipy.sparse.csr_array, k: int, removed: Slices | None = None
) -> NDArray[np.int64]:
    """The k best of the stored candidates of each query, equal scores by lower number.

    Args:
        scores: [Q, C].
        k: Length of the list.
        removed: Candidates removed from the lists, for each query. None by default.

    Returns:
        [Q, min(k, C)] int64 candidate numbers, -1 where no stored candidate is left.

    Example:

    >>> import scipy.sparse
    >>> top_lists_sparse(scipy.sparse.csr_array([[0.0, 2.0, 2.0, 3.0]]), 4)
    array([[ 3,  1,  2, -1]])
    """
    num_queries, num_candidates = scores.shape
    row = np.repeat(np.arange(num_queries), np.diff(scores.indptr))
    item, value = scores.indices.astype(np.int64), scores.data
    if removed is not None:
        gone = np.stack(removed.pairs(0, num_queries))
        keep = ~np.isin(row * num_candidates + item, gone[0] * num_candidates + gone[1])
        row, item, value = row[keep], item[keep], value[keep]
    order = np.lexsort([item, -value, row])
    row, item = row[order], item[order]
    starts = np.searchsorted(row, np.arange(num_queries))
    place = np.arange(len(row)) - starts[row]
    k = min(k, num_candidates)
    found = np.full((num_queries, k), -1, np.int64)
    found[row[place < k], place[place < k]] = item[place < k]
    return found


def best_of_rows(scores: scipy.sparse.csr_array, k: int) -> scipy.sparse.csr_array:
    """The k best stored scores of each row of [Q, C]; the others are dropped.

    Example:

    >>> import scipy.sparse
    >>> best_of_rows(scipy.sparse.csr_array([[0.0, 2.0, 2.0, 3.0]]), 2).toarray()
    array([[0., 2., 0., 3.]])
    """
    held = np.diff(scores.indptr)
    row = np.repeat(np.arange(len(held)), held)
    order = np.lexsort([scores.indices, -scores.data, row])
    kept = np.sort(order[np.arange(len(row)) - scores.indptr[row] < k])
    indptr = np.append(0, np.cumsum(np.minimum(held, k)))
    return scipy.sparse.csr_array(
        (scores.data[kept], scores.indices[kept], indptr), shape=scores.shape
    )


@tf.function(reduce_retracing=True)
def _merge(
    best: tf.Tensor,
    numbers: tf.Tensor,
    queries: Queries,
    num_interests: int,
    candidates: Candidates,
    removed: tf.Tensor,
    start: tf.Tensor,
    columns: tf.Tensor,
    k: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Merges the best so far [rows, up to k] and their numbers with a later block."""
    scores, real = score_block(queries, num_interests, candidates, start, columns)
    lowest = scores.dtype.min
    scores = tf.where(tf.math.is_nan(scores), lowest, tf.maximum(scores, lowest))
    nothing = scores.dtype.as_numpy_dtype(-np.inf)
    nothings = tf.fill([tf.shape(removed)[0]], nothing)
    scores = tf.tensor_scatter_nd_update(scores, removed, nothings)
    scores = tf.where(tf.range(columns) < real, scores, nothing)
    values, indices = _top(scores, tf.minimum(k, columns), nothing)
    joined = tf.concat([best, values], axis=1)
    every = tf.concat([numbers, tf.cast(indices + start, tf.int64)], axis=1)
    # Of equals `top_k` puts the lower index first, and lower numbers come first here.
    chosen = tf.math.top_k(joined, tf.minimum(k, tf.shape(joined)[1]))
    return chosen.values, tf.gather(every, chosen.indices, batch_dims=1)


def _top(scores: tf.Tensor, k: tf.Tensor, nothing: float) -> tuple[tf.Tensor, tf.Tensor]:
    """`top_k` of long rows: the k best are in the k groups of neighbors with the best maxima.

    If a group is not among these, k others have an element ahead of each of its own: a greater one,
    or an equal one of lower index.
    """
    rows = tf.shape(scores)[0]
    groups = -(-tf.shape(scores)[1] // _GROUP)
    padding = [[0, 0], [0, groups * _GROUP - tf.shape(scores)[1]]]
    grouped = tf.reshape(tf.pad(scores, padding, constant_values=nothing), [rows, groups, _GROUP])
    kept = tf.math.top_k(tf.reduce_max(grouped, axis=2), tf.minimum(k, groups)).indices
    kept = tf.sort(kept, axis=1)
    near = tf.reshape(tf.gather(grouped, kept, batch_dims=1), [rows, -1])
    top = tf.math.top_k(near, k)
    group = tf.gather(kept, top.indices // _GROUP, batch_dims=1)
    return top.values, group * _GROUP + top.indices % _GROUP
