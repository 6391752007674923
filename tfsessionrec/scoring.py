"""How a query scores candidates: one definition for training, evaluation and export.

A query is one vector, or N of them, its interests: the best one speaks for it,
`score(q, c) = max_n <q_n, c>`. Shapes alone do not tell the two apart; `interests` says which.
"""

import functools

import tensorflow as tf


def score(
    query_embeddings: tf.Tensor, candidate_embeddings: tf.Tensor, interests: bool = False
) -> tf.Tensor:
    """Scores every query against every candidate.

    `score[..., c] = <query[...], candidate[c]>`, with interests
    `max_n <query[..., n], candidate[c]>`, in float32. The gradient goes to the interest that won,
    of equal ones the first.

    Args:
        query_embeddings: [..., D] float tensor; [..., N, D] with interests, N static.
        candidate_embeddings: [C, D] float tensor.
        interests: Whether a query is N vectors. Defaults to False.

    Returns:
        [..., C] float32 tensor.

    Example:

    >>> score(tf.constant([[1.0, 2.0]]), tf.constant([[3.0, 4.0], [0.0, 1.0]])).numpy()
    array([[11.,  2.]], dtype=float32)
    >>> queries = tf.constant([[[1.0, 0.0], [0.0, 2.0]]])
    >>> score(queries, tf.constant([[3.0, 1.0], [0.0, 1.0]]), interests=True).numpy()
    array([[3., 2.]], dtype=float32)
    """
    queries = tf.cast(query_embeddings, tf.float32)
    candidates = tf.cast(candidate_embeddings, tf.float32)
    if not interests:
        return tf.matmul(queries, candidates, transpose_b=True)
    # One interest after another: no [..., N, C] scores.
    each = (tf.matmul(one, candidates, transpose_b=True) for one in tf.unstack(queries, axis=-2))
    return functools.reduce(tf.maximum, each)


def score_with_winner(
    query_embeddings: tf.Tensor, candidate_embeddings: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """`score` with interests, and the number of the interest that won.

    Args:
        query_embeddings: [..., N, D] float32 tensor, N static.
        candidate_embeddings: [C, D] float32 tensor.

    Returns:
        [..., C] float32 scores and [..., C] int32 winners, of equal ones the first; None for the
        winners where N is 1.

    Example:

    >>> queries = tf.constant([[[1.0, 0.0], [0.0, 2.0]]])
    >>> scores, winners = score_with_winner(queries, tf.constant([[3.0, 1.0], [0.0, 1.0]]))
    >>> scores.numpy(), winners.numpy()
    (array([[3., 2.]], dtype=float32), array([[0, 1]], dtype=int32))
    """
    first, *others = tf.unstack(query_embeddings, axis=-2)
    scores = tf.matmul(first, candidate_embeddings, transpose_b=True)
    winners = tf.zeros_like(scores, tf.int32) if others else None
    for number, one in enumerate(others, start=1):
        challenge = tf.matmul(one, candidate_embeddings, transpose_b=True)
        winners = tf.where(challenge > scores, number, winners)
        scores = tf.maximum(scores, challenge)
    return scores, winners


def score_given(
    query_embeddings: tf.Tensor, candidate_embeddings: tf.Tensor, interests: bool = False
) -> tf.Tensor:
    """Scores each query against candidates of its own.

    `score[..., i] = <query[...], candidate[..., i]>`, with interests
    `max_n <query[..., n], candidate[..., i]>`, in float32.

    Args:
        query_embeddings: [..., D] float tensor; [..., N, D] with interests.
        candidate_embeddings: [..., I, D] float tensor.
        interests: Whether a query is N vectors. Defaults to False.

    Returns:
        [..., I] float32 tensor.

    Example:

    >>> score_given(tf.constant([[1.0, 2.0]]), tf.constant([[[3.0, 4.0], [0.0, 1.0]]])).numpy()
    array([[11.,  2.]], dtype=float32)
    """
    query = tf.cast(query_embeddings, tf.float32)
    candidates = tf.cast(candidate_embeddings, tf.float32)
    if not interests:
        return tf.einsum("...d,...id->...i", query, candidates)
    return tf.reduce_max(tf.einsum("...nd,...id->...ni", query, candidates), axis=-2)


def score_pairs(
    query_embeddings: tf.Tensor, candidate_embeddings: tf.Tensor, interests: bool = False
) -> tf.Tensor:
    """Scores each query against one candidate.

    `score[...] = <query[...], candidate[...]>`, with interests
    `max_n <query[..., n], candidate[...]>`, in float32.

    Args:
        query_embeddings: [..., D] float tensor; [..., N, D] with interests.
        candidate_embeddings: [..., D] float tensor.
        interests: Whether a query is N vectors. Defaults to False.

    Returns:
        [...] float32 tensor.

    Example:

    >>> score_pairs(tf.constant([[1.0, 2.0]]), tf.constant([[3.0, 4.0]])).numpy()
    array([11.], dtype=float32)
    """
    query = tf.cast(query_embeddings, tf.float32)
    candidates = tf.cast(candidate_embeddings, tf.float32)
    if not interests:
        return tf.reduce_sum(query * candidates, axis=-1)
    return tf.reduce_max(tf.reduce_sum(query * candidates[..., tf.newaxis, :], axis=-1), axis=-1)


def unit_length(vectors: tf.Tensor) -> tf.Tensor:
    """Divides vectors by their length, so that scores between them are cosines.

    `v / |v|` over the last axis, taken in float32 whatever the dtype; zeros stay zeros.

    Args:
        vectors: [..., D] float tensor.

    Returns:
        [..., D] tensor of that dtype.

    Example:

    >>> unit_length(tf.constant([[3.0, 4.0], [0.0, 0.0]])).numpy()
    array([[0.6, 0.8],
           [0. , 0. ]], dtype=float32)
    """
    unit = tf.math.l2_normalize(tf.cast(vectors, tf.float32), axis=-1, epsilon=1e-24)
    return tf.cast(unit, vectors.dtype)
