"""The best k candidates of each query, exactly, block by block."""

from typing import Any

import numpy as np
import scipy.sparse
import tensorflow as tf
from numpy.typing import NDArray

from tfsessionrec.evaluation.ranks import (
    BLOCK_SIZE,
    Slices,
    block_shape,
    pad_rows,
    padded_terms,
    score_block,
)

_GROUP = 16  # Neighbours of which only the best is looked at first.


def top_lists(
    query_embeddings: NDArray[np.float32],
    candidate_embeddings: Any,
    k: int,
    *,
    removed: Slices | None = None,
    block_size: int = BLOCK_SIZE,
    terms: Any = None,
    first_candidate_id: int = 0,
) -> NDArray[np.int64]:
    """The k best candidates of each query, best first, equal scores by lower number.

    Scores are those of `rank_targets`, in blocks of at most `block_size`; a NaN stands last.

    Args:
        query_embeddings: [Q, D] float32, or [Q, N, D] of interests.
        candidate_embeddings: [C, D] float32 tensor or array.
        k: Length of the list; more than there are candidates means all.
        removed: Candidates taken out of the lists, for each query. None by default.
        block_size: Scores held at a time, `2**22` by default.
        terms: What the scores have beside the products of embeddings, see `rank_targets`.
        first_candidate_id: Id of candidate 0 to `terms`.

    Returns:
        [Q, min(k, C)] int64 candidate numbers, -1 where no candidate is left.

    Example:

    >>> import numpy as np
    >>> query, candidates = np.ones((1, 1), "float32"), np.array([[3], [4], [3], [1]], "float32")
    >>> top_lists(query, candidates, 3)
    array([[1, 0, 2]])
    """
    options = {"removed": removed, "block_size": block_size, "terms": terms}
    return top_scores(
        query_embeddings,
        candidate_embeddings,
        k,
        first_candidate_id=first_candidate_id,
        **options,
    )[0]


def top_scores(
    query_embeddings: NDArray[np.float32],
    candidate_embeddings: Any,
    k: int,
    *,
    removed: Slices | None = None,
    block_size: int = BLOCK_SIZE,
    terms: Any = None,
    first_candidate_id: int = 0,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """`top_lists`, and the scores [Q, min(k, C)], -inf where no candidate is left."""
    candidates = tf.convert_to_tensor(candidate_embeddings, tf.float32)
    num_candidates = int(candidates.shape[0])
    k = min(k, num_candidates)
    if terms is not None:
        block_size = max(block_size // (1 + int(terms.gates.shape[1])), 1)
    rows, columns = block_shape(len(query_embeddings), num_candidates, block_size)
    interests = query_embeddings.shape[1] if query_embeddings.ndim == 3 else None
    found = np.zeros((len(query_embeddings), k), np.int64)
    values = np.zeros(found.shape, np.float32)
    for first in range(0, len(query_embeddings), rows):
        last = min(first + rows, len(query_embeddings))
        queries = tf.constant(pad_rows(query_embeddings[first:last], rows))
        given = padded_terms(terms, np.arange(first, last), rows)
        row = item = np.zeros(0, np.int64)
        if removed is not None:
            row, item = removed.pairs(first, last)
            order = np.argsort(item, kind="stable")
            row, item = row[order], item[order]
        best = tf.fill([rows, 0], 0.0), tf.zeros([rows, 0], tf.int64)
        for start in range(0, num_candidates, columns):
            here = slice(*np.searchsorted(item, [start, start + columns]))
            best = _merge(
                *best,
                queries,
                candidates,
                tf.constant(np.stack([row[here], item[here] - start], axis=1)),
                tf.constant(start),
                tf.constant(columns),
                interests,
                given,
                first_candidate_id,
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
        removed: Candidates taken out of the lists, for each query. None by default.

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
    """The scores [Q, C] without those that are not among the k best stored ones of their row.

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
    queries: tf.Tensor,
    candidates: tf.Tensor,
    gone: tf.Tensor,
    start: tf.Tensor,
    columns: tf.Tensor,
    interests: int | None,
    terms: Any,
    first_candidate_id: int,
    k: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """The best so far [rows, up to k] and their numbers, joined with a block that starts behind."""
    scores, real = score_block(
        queries, candidates, start, columns, interests, terms, first_candidate_id
    )
    lowest = scores.dtype.min
    scores = tf.where(tf.math.is_nan(scores), lowest, tf.maximum(scores, lowest))
    nothing = scores.dtype.as_numpy_dtype(-np.inf)
    scores = tf.tensor_scatter_nd_update(scores, gone, tf.fill([tf.shape(gone)[0]], nothing))
    scores = tf.where(tf.range(columns) < real, scores, nothing)
    values, indices = _top(scores, tf.minimum(k, columns), nothing)
    joined = tf.concat([best, values], axis=1)
    every = tf.concat([numbers, tf.cast(indices + start, tf.int64)], axis=1)
    # Of equals `top_k` puts the lower index first, and lower numbers stand before.
    chosen = tf.math.top_k(joined, tf.minimum(k, tf.shape(joined)[1]))
    return chosen.values, tf.gather(every, chosen.indices, batch_dims=1)


def _top(scores: tf.Tensor, k: tf.Tensor, nothing: float) -> tuple[tf.Tensor, tf.Tensor]:
    """`top_k` of long rows: the k best stand in the k groups of neighbours with the best maxima.

    If a group is not among them, k others have an element before each of its own: a greater one, or
    an equal one in front of it.
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
