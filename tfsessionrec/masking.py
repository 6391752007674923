"""Masks. `padding_mask` is True where real, everywhere; padding comes last on every axis."""

import tensorflow as tf


def item_mask(item_ids: tf.Tensor) -> tf.Tensor:
    """True where `item_ids` holds an item (index 0 is padding). Same shape, bool."""
    return tf.not_equal(item_ids, 0)


def session_mask(item_padding_mask: tf.Tensor) -> tf.Tensor:
    """True for sessions with at least one real item. [..., S, I] bool to [..., S] bool."""
    return tf.reduce_any(item_padding_mask, axis=-1)


def masked_mean(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Mean of `values` [..., I, D] over `mask` [..., I]; zeros where the mask is empty."""
    weights = tf.cast(mask, values.dtype)[..., tf.newaxis]
    count = tf.reduce_sum(weights, axis=-2)
    total = tf.reduce_sum(values * weights, axis=-2)
    return tf.math.divide_no_nan(total, count)


def last_real(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """The entry of `values` [B, S, D] at the last real position of `mask` [B, S]; zeros if none.

    Example:

    >>> last_real(tf.constant([[[1.0], [2.0], [3.0]]]), tf.constant([[True, True, False]])).numpy()
    array([[2.]], dtype=float32)
    """
    positions = tf.range(tf.shape(mask)[1])
    last = tf.reduce_max(tf.where(mask, positions, -1), axis=1)
    chosen = tf.gather(values, tf.maximum(last, 0), axis=1, batch_dims=1)
    return tf.where((last >= 0)[:, tf.newaxis], chosen, tf.zeros_like(chosen))


def positive_negative_pairs(labels: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """True at [..., p, n] where item p of a list is positive and item n negative; [..., I, I]."""
    mask = tf.cast(mask, tf.bool)
    positive = mask & (tf.cast(labels, tf.float32) > 0)
    negative = mask & ~positive
    return positive[..., :, tf.newaxis] & negative[..., tf.newaxis, :]
