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
    """The entry of `values` [B, S, ...] at the last real position of `mask` [B, S]; zeros if none.

    Example:

    >>> last_real(tf.constant([[[1.0], [2.0], [3.0]]]), tf.constant([[True, True, False]])).numpy()
    array([[2.]], dtype=float32)
    """
    positions = tf.range(tf.shape(mask)[1])
    last = tf.reduce_max(tf.where(mask, positions, -1), axis=1)
    chosen = tf.gather(values, tf.maximum(last, 0), axis=1, batch_dims=1)
    found = tf.reshape(last >= 0, [-1] + [1] * (len(chosen.shape) - 1))
    return tf.where(found, chosen, tf.zeros_like(chosen))


def last_items(item_ids: tf.Tensor, labels: tf.Tensor | None = None, count: int = 1) -> tf.Tensor:
    """The newest items taken up to each session, it included: [B, S, I] to [B, S, count].

    Newest first, 0 where there are not as many. Without labels every item is taken.

    Example:

    >>> last_items(tf.constant([[[2, 3], [4, 0]]]), count=2).numpy().tolist()
    [[[3, 2], [4, 3]]]
    """
    taken = item_mask(item_ids)
    if labels is not None:
        taken &= tf.cast(labels, tf.float32) > 0
    sessions, width = tf.shape(item_ids)[1], tf.shape(item_ids)[2]
    flat = tf.reshape(taken, [-1, sessions * width])
    # What was taken, in order, in front of the rest.
    order = tf.argsort(tf.cast(~flat, tf.int32), axis=1, stable=True)
    items = tf.gather(tf.reshape(item_ids, tf.shape(flat)), order, batch_dims=1)
    so_far = tf.cumsum(tf.reduce_sum(tf.cast(taken, tf.int32), axis=2), axis=1)
    places = so_far[..., tf.newaxis] - 1 - tf.range(count)
    found = tf.gather(items, tf.maximum(places, 0), batch_dims=1)
    return tf.where(places >= 0, found, tf.zeros_like(found))


def positive_negative_pairs(labels: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """True at [..., p, n] where item p of a list is positive and item n negative; [..., I, I]."""
    mask = tf.cast(mask, tf.bool)
    positive = mask & (tf.cast(labels, tf.float32) > 0)
    negative = mask & ~positive
    return positive[..., :, tf.newaxis] & negative[..., tf.newaxis, :]
