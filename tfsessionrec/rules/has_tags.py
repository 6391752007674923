"""Candidates by the tags they carry."""

import tensorflow as tf


def has_tags(item_tags: tf.Tensor, tag_mask: tf.Tensor) -> tf.Tensor:
    """Allows the candidates that carry one of the tags asked for; all where none is asked for.

    `allowed[b, c] = (item_tags[c] & tag_mask[b] != 0) or tag_mask[b] == 0`

    Args:
        item_tags: int64 [C], a bit for each of up to 64 tags.
        tag_mask: int64 [B], the tags asked for, as a sum of their bits.

    Returns:
        [B, C] bool tensor.

    Example:

    >>> item_tags = tf.constant([0b01, 0b10, 0b11, 0b00], tf.int64)
    >>> has_tags(item_tags, tf.constant([0b01, 0b11, 0b00], tf.int64)).numpy()
    array([[ True, False,  True, False],
           [ True,  True,  True, False],
           [ True,  True,  True,  True]])
    """
    asked = tag_mask[:, tf.newaxis]
    return (tf.bitwise.bitwise_and(item_tags, asked) != 0) | (asked == 0)
