"""Binary cross-entropy over shown items."""

import tensorflow as tf

from tfsessionrec.losses.loss_sum import LossSum


def binary_cross_entropy_loss(logits: tf.Tensor, labels: tf.Tensor, mask: tf.Tensor) -> LossSum:
    """Binary cross-entropy of each shown item.

    `L = mean over items of log(1 + exp(s)) - y s`.

    Args:
        logits: [..., I] float tensor of scores s.
        labels: [..., I] tensor of y, 1 positive or 0 negative.
        mask: [..., I] bool tensor, True where an item counts.

    Returns:
        `LossSum` over the items of `mask`.

    Example:

    >>> loss = binary_cross_entropy_loss(
    ...     tf.constant([[0.0, 5.0]]), tf.constant([[1.0, 0.0]]), tf.constant([[True, False]])
    ... )
    >>> round(float(loss.mean), 4)
    0.6931
    """
    weights = tf.cast(mask, tf.float32)
    terms = tf.nn.sigmoid_cross_entropy_with_logits(
        labels=tf.cast(labels, tf.float32), logits=tf.cast(logits, tf.float32)
    )
    return LossSum(tf.reduce_sum(terms * weights), tf.reduce_sum(weights))
