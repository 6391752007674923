"""Heads of attention as the first axis, and back."""

import tensorflow as tf


def split_heads(projected: tf.Tensor, parts: int, num_heads: int) -> list[tf.Tensor]:
    """Parts of a projection, each with its heads in front.

    Slices that are stacked, not a transposition, which for one short row takes a CPU longer than
    the attention itself.

    Args:
        projected: [B, S, parts * H * D].
        parts: How many projections stand beside each other.
        num_heads: H.

    Returns:
        `parts` tensors [H, B, S, D].

    Example:

    >>> query, key = split_heads(tf.reshape(tf.range(8), [1, 1, 8]), parts=2, num_heads=2)
    >>> key.numpy().tolist()
    [[[[4, 5]]], [[[6, 7]]]]
    """
    heads = tf.split(projected, parts * num_heads, axis=-1)
    return [tf.stack(heads[at : at + num_heads]) for at in range(0, len(heads), num_heads)]


def merge_heads(heads: tf.Tensor) -> tf.Tensor:
    """[H, B, S, D], H static, to [B, S, H * D].

    Example:

    >>> merge_heads(tf.constant([[[[4, 5]]], [[[6, 7]]]])).numpy().tolist()
    [[[4, 5, 6, 7]]]
    """
    return tf.concat(tf.unstack(heads), axis=-1)
