"""BPR-max over sampled negatives."""

import tensorflow as tf

from tfsessionrec.losses.loss_sum import LossSum


def bpr_max_loss(
    positive_logits: tf.Tensor,
    negative_logits: tf.Tensor,
    visible: tf.Tensor,
    pair_rows: tf.Tensor,
    weights: tf.Tensor,
    log_expected_count: tf.Tensor | None = None,
    score_regularization: float = 1.0,
) -> LossSum:
    """Chance that a positive beats the query's best negative, with regularised negative scores.

    `L_{q,p} = -log sum_{n in N_q} w_n sigmoid(s_p - s_n) + lambda sum_{n in N_q} w_n s_n^2`

    with `w_n = softmax over N_q of (s_n - log E[count_n])`, how likely n is the best negative of
    all: what is drawn often weighs less. The scores themselves stay as they are.

    Args:
        positive_logits: [P] float tensor, the score s_p of each pair.
        negative_logits: [Q, N] float tensor, the scores of the sample for each query.
        visible: [Q, N] bool tensor, True at each query's negatives N_q, see `visible_negatives`.
        pair_rows: [P] int tensor, the query of each pair.
        weights: [P] float or bool tensor, 0 for pairs that do not count.
        log_expected_count: [N] float tensor, of the sample. Default: equal for all, as it is for
            uniform negatives.
        score_regularization: lambda. Defaults to 1.

    Returns:
        `LossSum` over the pairs; a pair without any negative counts, with a loss of 0. Holds
        pairs x negatives numbers.

    Example:

    Whatever the number of negatives, where all scores are 0 a positive wins every other time.

    >>> visible = tf.constant([[True, True, False]])
    >>> loss = bpr_max_loss(tf.zeros([1]), tf.zeros([1, 3]), visible, tf.constant([0]), [1.0])
    >>> round(float(loss.mean), 4)
    0.6931

    References:
        Hidasi and Karatzoglou, "Recurrent neural networks with top-k gains for session-based
        recommendations" (CIKM 2018). They correct for no sampler.
    """
    weights = tf.cast(weights, tf.float32)
    positives = tf.cast(positive_logits, tf.float32)
    scores = tf.cast(negative_logits, tf.float32)
    corrected = scores if log_expected_count is None else scores - log_expected_count
    log_shares = tf.nn.log_softmax(tf.where(visible, corrected, scores.dtype.min), axis=1)
    penalties = tf.where(visible, tf.exp(log_shares) * tf.square(scores), 0.0)
    penalties = score_regularization * tf.reduce_sum(penalties, axis=1)
    margins = positives[:, tf.newaxis] - tf.gather(scores, pair_rows)
    log_wins = tf.reduce_logsumexp(
        tf.gather(log_shares, pair_rows) + tf.math.log_sigmoid(margins), axis=1
    )
    terms = tf.gather(penalties, pair_rows) - log_wins
    has_negative = tf.gather(tf.reduce_any(visible, axis=1), pair_rows)
    terms = tf.where(has_negative, terms, 0.0)
    return LossSum(tf.reduce_sum(terms * weights), tf.reduce_sum(weights))
