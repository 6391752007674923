"""How a query scores candidates: one definition for training, evaluation and export."""

import tensorflow as tf


def score(query_embeddings: tf.Tensor, candidate_embeddings: tf.Tensor) -> tf.Tensor:
    """Scores every query against every candidate.

    `score[..., c] = <query[...], candidate[c]>`, in float32.

    Args:
        query_embeddings: [..., D] float tensor.
        candidate_embeddings: [C, D] float tensor.

    Returns:
        [..., C] float32 tensor.

    Example:

    >>> score(tf.constant([[1.0, 2.0]]), tf.constant([[3.0, 4.0], [0.0, 1.0]])).numpy()
    array([[11.,  2.]], dtype=float32)
    """
    return tf.matmul(
        tf.cast(query_embeddings, tf.float32),
        tf.cast(candidate_embeddings, tf.float32),
        transpose_b=True,
    )


def score_given(query_embeddings: tf.Tensor, candidate_embeddings: tf.Tensor) -> tf.Tensor:
    """Scores each query against candidates of its own.

    `score[..., i] = <query[...], candidate[..., i]>`, in float32.

    Args:
        query_embeddings: [..., D] float tensor.
        candidate_embeddings: [..., I, D] float tensor.

    Returns:
        [..., I] float32 tensor.

    Example:

    >>> score_given(tf.constant([[1.0, 2.0]]), tf.constant([[[3.0, 4.0], [0.0, 1.0]]])).numpy()
    array([[11.,  2.]], dtype=float32)
    """
    query = tf.cast(query_embeddings, tf.float32)
    return tf.einsum("...d,...id->...i", query, tf.cast(candidate_embeddings, tf.float32))
