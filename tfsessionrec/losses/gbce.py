"""Generalised binary cross-entropy over sampled negatives."""

import tensorflow as tf

from tfsessionrec.losses.loss_sum import LossSum


def gbce_loss(
    positive_logits: tf.Tensor,
    negative_logits: tf.Tensor,
    visible: tf.Tensor,
    pair_rows: tf.Tensor,
    weights: tf.Tensor,
    sampling_rate: float | tf.Tensor,
    calibration: float = 0.75,
) -> LossSum:
    """Binary cross-entropy of each (query, positive) pair that makes up for the missing negatives.

    `L_{q,p} = -( beta log sigmoid(s_p) + sum_{n in N_q} log(1 - sigmoid(s_n)) ) / (1 + |N_q|)`

    with `beta = alpha (t (1 - 1 / alpha) + 1 / alpha) = 1 - t (1 - alpha)`, alpha the sampling
    rate and t the calibration. With few negatives out of many, plain cross-entropy (t = 0) learns
    probabilities that are too high; t = 1 learns those of the log.

    Args:
        positive_logits: [P] float tensor, the score s_p of each pair.
        negative_logits: [Q, N] float tensor, the scores of the sample for each query.
        visible: [Q, N] bool tensor, True at each query's negatives N_q, see `visible_negatives`.
        pair_rows: [P] int tensor, the query of each pair.
        weights: [P] float or bool tensor, 0 for pairs that do not count.
        sampling_rate: alpha, the share of all negatives that was sampled, from 0 to 1.
        calibration: t, from 0 to 1. Defaults to 0.75.

    Returns:
        `LossSum` over the pairs.

    Example:

    One negative of ten (alpha = 0.1), all scores 0: (0.325 log 2 + log 2) / 2.

    >>> loss = gbce_loss(
    ...     tf.zeros([1]), tf.zeros([1, 1]), tf.constant([[True]]), tf.constant([0]), [1.0], 0.1
    ... )
    >>> round(float(loss.mean), 4)
    0.4592

    References:
        Petrov and Macdonald, "gSASRec: reducing overconfidence in sequential recommendation
        trained with negative sampling" (RecSys 2023). A position with several positives
        counts as several examples with the same negatives: this package's choice.
    """
    weights = tf.cast(weights, tf.float32)
    beta = 1.0 - calibration * (1.0 - tf.cast(sampling_rate, tf.float32))
    negative_terms = tf.nn.softplus(tf.cast(negative_logits, tf.float32))
    negative_sums = tf.reduce_sum(tf.where(visible, negative_terms, 0.0), axis=1)
    counts = tf.reduce_sum(tf.cast(visible, tf.float32), axis=1)
    terms = beta * tf.nn.softplus(-tf.cast(positive_logits, tf.float32))
    terms += tf.gather(negative_sums, pair_rows)
    terms /= 1.0 + tf.gather(counts, pair_rows)
    return LossSum(tf.reduce_sum(terms * weights), tf.reduce_sum(weights))
