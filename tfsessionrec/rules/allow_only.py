"""The only candidates that may be recommended."""

import tensorflow as tf

from tfsessionrec.rules.exclude import mark


def allow_only(rows: tf.Tensor, is_listed: tf.Tensor, num_items: int) -> tf.Tensor:
    """Allows no candidate but those listed; all of them where nothing is listed.

    `allowed[b, c] = (c in rows[b]) or not any(is_listed[b])`

    A list of nothing but unknown items is a list: it allows none.

    Args:
        rows: int [B, A], numbers of candidates; negative is an unknown item or padding.
        is_listed: bool [B, A], False where `rows` is padding.
        num_items: C, how many candidates there are.

    Returns:
        [B, C] bool tensor.

    Example:

    >>> rows = tf.constant([[2, -1], [-1, -1], [-1, -1]])
    >>> is_listed = tf.constant([[True, False], [False, False], [True, False]])
    >>> allow_only(rows, is_listed, num_items=3).numpy()
    array([[False, False,  True],
           [ True,  True,  True],
           [False, False, False]])
    """
    no_list = tf.logical_not(tf.reduce_any(is_listed, axis=1, keepdims=True))
    return mark(rows, num_items, True) | no_list
