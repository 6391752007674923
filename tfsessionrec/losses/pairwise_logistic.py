"""Pairwise logistic loss inside a session."""

import tensorflow as tf

from tfsessionrec.losses.loss_sum import LossSum
from tfsessionrec.masking import positive_negative_pairs


def pairwise_logistic_loss(logits: tf.Tensor, labels: tf.Tensor, mask: tf.Tensor) -> LossSum:
    """Pairwise logistic loss over the (positive, negative) pairs of each list.

    `L = mean over pairs (p, n) of log(1 + exp(s_n - s_p))`, the pairs being those of one list.

    Args:
        logits: [..., I] float tensor of scores s.
        labels: [..., I] tensor, above 0 for positives.
        mask: [..., I] bool tensor, True where an item counts.

    Returns:
        `LossSum` over all pairs; 0 of 0 where no list has both a positive and a negative.

    Example:

    >>> loss = pairwise_logistic_loss(
    ...     tf.constant([[0.0, 0.0]]), tf.constant([[1.0, 0.0]]), tf.constant([[True, True]])
    ... )
    >>> round(float(loss.mean), 4)
    0.6931

    References:
        RankNet (Burges et al., 2005). That SessionRec uses it comes from a secondary source.
    """
    scores = tf.cast(logits, tf.float32)
    pairs = tf.cast(positive_negative_pairs(labels, mask), tf.float32)
    margins = scores[..., tf.newaxis, :] - scores[..., :, tf.newaxis]
    return LossSum(tf.reduce_sum(tf.nn.softplus(margins) * pairs), tf.reduce_sum(pairs))
