"""Softmax cross-entropy with several positives a query."""

import tensorflow as tf

from tfsessionrec.losses.loss_sum import LossSum


def set_softmax_loss(
    positive_logits: tf.Tensor, negative_log_sum_exp: tf.Tensor, weights: tf.Tensor
) -> LossSum:
    """Softmax cross-entropy of each (query, positive) pair against the query's negatives.

    `L_{q,p} = -log( exp(s_p) / (exp(s_p) + Z_q) ) = softplus(log Z_q - s_p)` with `Z_q` the sum
    over the **negatives** alone: the query's other positives stand in nobody's denominator.

    Args:
        positive_logits: [P] float tensor, the score s_p of each pair.
        negative_log_sum_exp: [P] float tensor, log Z of each pair's query.
        weights: [P] float or bool tensor, 0 for pairs that do not count.

    Returns:
        `LossSum` over the pairs.

    Example:

    Two negatives with a score of 0 against a positive with 0: the probability is one in three.

    >>> loss = set_softmax_loss(tf.zeros([1]), tf.math.log([2.0]), tf.ones([1]))
    >>> round(float(loss.mean), 4)
    1.0986

    References:
        Retrieval loss of SessionRec (arXiv 2502.10157, 2025): all positives of the next session
        are labels. Leaving the others out of the denominator is this package's choice.
    """
    weights = tf.cast(weights, tf.float32)
    terms = tf.nn.softplus(
        tf.cast(negative_log_sum_exp, tf.float32) - tf.cast(positive_logits, tf.float32)
    )
    return LossSum(tf.reduce_sum(terms * weights), tf.reduce_sum(weights))
