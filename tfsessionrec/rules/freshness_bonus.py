"""New items are worth more than old ones."""

import tensorflow as tf

NO_TIME = tf.int64.min


def freshness_bonus(
    item_times: tf.Tensor, request_times: tf.Tensor, strength: tf.Tensor, half_life: float
) -> tf.Tensor:
    """What the age of candidates adds to their scores.

    `bonus[b, c] = strength[b] * 2 ** (-max(request_times[b] - item_times[c], 0) / half_life)`

    An item from the future is as fresh as a new one. One without a time has no bonus. A strength
    that is not a finite number is 0.

    Args:
        item_times: int64 [C], unix seconds; `NO_TIME` is an item without a time.
        request_times: int64 [B], unix seconds.
        strength: float32 [B], the bonus of a new item; negative makes new items worth less.
        half_life: Seconds in which the bonus halves.

    Returns:
        [B, C] float32 tensor.

    Example:

    >>> item_times = tf.constant([100, 90, 200], tf.int64)
    >>> request_times, strength = tf.constant([100], tf.int64), tf.constant([4.0])
    >>> freshness_bonus(item_times, request_times, strength, half_life=10.0).numpy()
    array([[4., 2., 4.]], dtype=float32)
    """
    now = request_times[:, tf.newaxis]
    # Before the difference is taken, so that no int64 overflows.
    age = tf.cast(now, tf.float64) - tf.cast(item_times, tf.float64)
    decay = tf.pow(tf.constant(2.0, tf.float64), -tf.maximum(age, 0) / half_life)
    decay = tf.where(item_times == NO_TIME, tf.zeros_like(decay), decay)
    strength = tf.where(tf.math.is_finite(strength), strength, tf.zeros_like(strength))
    return strength[:, tf.newaxis] * tf.cast(decay, tf.float32)
