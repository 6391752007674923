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
    return tf.logical_not(listed(rows, num_items))


def listed(rows: tf.Tensor, num_items: int) -> tf.Tensor:
    """Whether each candidate is among those listed: [B, C] bool, see `exclude`."""
    real = tf.where(rows >= 0)
    cells = tf.stack([real[:, 0], tf.cast(tf.gather_nd(rows, real), tf.int64)], axis=1)
    shape = [tf.shape(rows, tf.int64)[0], num_items]
    return tf.scatter_nd(cells, tf.ones_like(cells[:, 0], tf.int32), shape) > 0
