"""List-wise softmax inside a session."""

import tensorflow as tf

from tfsessionrec.losses.loss_sum import LossSum
from tfsessionrec.losses.set_softmax import set_softmax_loss


def listwise_softmax_loss(logits: tf.Tensor, labels: tf.Tensor, mask: tf.Tensor) -> LossSum:
    """Softmax cross-entropy of each positive against all negatives of its list.

    `L = mean over positives p of -log( exp(s_p) / (exp(s_p) + sum_{n in N} exp(s_n)) )` with N the
    negatives of p's list: the list's other positives stand in nobody's denominator.

    Args:
        logits: [..., I] float tensor of scores s.
        labels: [..., I] tensor, above 0 for positives.
        mask: [..., I] bool tensor, True where an item counts.

    Returns:
        `LossSum` over the positives of lists with a negative; 0 of 0 where no list has both.

    Example:

    >>> loss = listwise_softmax_loss(
    ...     tf.zeros([1, 3]), tf.constant([[1.0, 0.0, 0.0]]), tf.ones([1, 3], tf.bool)
    ... )
    >>> round(float(loss.mean), 4)  # log 3
    1.0986

    References:
        ListNet with top-one probabilities (Cao et al., "Learning to rank: from pairwise approach
        to listwise approach", ICML 2007). Leaving the other positives out of the denominator is
        this package's choice, as in `set_softmax_loss`.
    """
    scores, mask = tf.cast(logits, tf.float32), tf.cast(mask, tf.bool)
    positive = mask & (tf.cast(labels, tf.float32) > 0)
    negative = mask & ~positive
    log_sums = tf.reduce_logsumexp(
        tf.where(negative, scores, scores.dtype.min), axis=-1, keepdims=True
    )
    counted = positive & tf.reduce_any(negative, axis=-1, keepdims=True)
    return set_softmax_loss(scores, log_sums, counted)
