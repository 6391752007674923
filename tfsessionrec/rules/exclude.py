"""Candidates that must not be recommended."""

import tensorflow as tf


def exclude(rows: tf.Tensor, num_items: int) -> tf.Tensor:
    """Allows all candidates but those listed.

    `allowed[b, c] = (c not in rows[b])`

    Args:
        rows: int [B, X], numbers of candidates, in any order and however often; negative is
            padding.
        num_items: C, how many candidates there are.

    Returns:
        [B, C] bool tensor.

    Example:

    >>> exclude(tf.constant([[2, 0], [1, -1]]), num_items=3).numpy()
    array([[False,  True, False],
           [ True, False,  True]])
    """
    return mark(rows, num_items, False)


def mark(rows: tf.Tensor, num_items: int, value: bool) -> tf.Tensor:
    """[B, C] bool tensor, `value` for the candidates listed, see `exclude`, and else its opposite.

    One byte a candidate is all that is written, so that it costs little beside the scores.
    """
    real = tf.where(rows >= 0)
    cells = tf.stack([real[:, 0], tf.cast(tf.gather_nd(rows, real), tf.int64)], axis=1)
    others = tf.fill([tf.shape(rows)[0], num_items], not value)
    return tf.tensor_scatter_nd_update(others, cells, tf.fill([tf.shape(cells)[0]], value))
