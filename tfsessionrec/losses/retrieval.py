"""Losses of (query, positive) pairs against candidates, and the negatives that a query may see.

Each loss returns a `LossSum`, which any reduction can follow.
"""

from typing import NamedTuple

import tensorflow as tf

from tfsessionrec import checks


class LossSum(NamedTuple):
    """Sum of a loss over its terms, and the number of terms (both float32 scalars).

    Sums and counts can be added over batches and replicas, means cannot.
    """

    total: tf.Tensor
    count: tf.Tensor

    @property
    def mean(self) -> tf.Tensor:
        """`total / count`; 0 without terms."""
        return tf.math.divide_no_nan(self.total, self.count)

    @property
    def global_mean(self) -> tf.Tensor:
        """This replica's share of the mean over the terms of the whole (global) batch.

        `tf.distribute` sums the gradients of replicas: each divides its own sum by the count of
        all, so that the result does not depend on the number of replicas. 0 without terms.
        """
        count = self.count
        if tf.distribute.has_strategy() and tf.distribute.in_cross_replica_context() is False:
            context = tf.distribute.get_replica_context()
            if context.num_replicas_in_sync > 1:
                count = context.all_reduce(tf.distribute.ReduceOp.SUM, count)
        return tf.math.divide_no_nan(self.total, count)


def set_softmax_loss(
    positive_logits: tf.Tensor, negative_log_sum_exp: tf.Tensor, weights: tf.Tensor
) -> LossSum:
    """Softmax cross-entropy of each (query, positive) pair against the query's negatives.

    `L_{q,p} = -log( exp(s_p) / (exp(s_p) + Z_q) ) = softplus(log Z_q - s_p)` with `Z_q` the sum
    over the **negatives** alone: the query's other positives are in no denominator.

    Args:
        positive_logits: [P] float tensor, the score s_p of each pair.
        negative_log_sum_exp: [P] float tensor, log Z of each pair's query.
        weights: [P] float or bool tensor, 0 for pairs to ignore.

    Returns:
        `LossSum` over the pairs.

    Raises:
        ValueError: If an argument is of another kind, rank or range.

    Example:

    A positive and two negatives, all with the score 0: the probability is one in three.

    >>> loss = set_softmax_loss(tf.zeros([1]), tf.math.log([2.0]), tf.ones([1]))
    >>> round(float(loss.mean), 4)
    1.0986

    References:
        Retrieval loss of SessionRec (arXiv 2502.10157, 2025): all positives of the next session
        are labels. The omission of the others from the denominator is this package's choice.
    """
    checks.tensors(
        ("positive_logits", positive_logits, "number", "P"),
        ("negative_log_sum_exp", negative_log_sum_exp, "number", "P"),
        ("weights", weights, "number or boolean", "P"),
    )
    return set_softmax(positive_logits, negative_log_sum_exp, weights)


def set_softmax(
    positive_logits: tf.Tensor, negative_log_sum_exp: tf.Tensor, weights: tf.Tensor
) -> LossSum:
    """`set_softmax_loss` of tensors of any shape that broadcast."""
    weights = tf.cast(weights, tf.float32)
    terms = tf.nn.softplus(
        tf.cast(negative_log_sum_exp, tf.float32) - tf.cast(positive_logits, tf.float32)
    )
    return LossSum(tf.reduce_sum(terms * weights), tf.reduce_sum(weights))


def gbce_loss(
    positive_logits: tf.Tensor,
    negative_logits: tf.Tensor,
    visible: tf.Tensor,
    pair_rows: tf.Tensor,
    weights: tf.Tensor,
    sampling_rate: float | tf.Tensor,
    calibration: float = 0.75,
) -> LossSum:
    """Binary cross-entropy of each (query, positive) pair, corrected for the sampling of negatives.

    `L_{q,p} = -( beta log sigmoid(s_p) + sum_{n in N_q} log(1 - sigmoid(s_n)) ) / (1 + |N_q|)`

    with `beta = alpha (t (1 - 1 / alpha) + 1 / alpha) = 1 - t (1 - alpha)`, alpha the sampling
    rate and t the calibration. With few of many negatives, plain cross-entropy (t = 0) learns
    probabilities that are too high; t = 1 learns those of the log.

    Args:
        positive_logits: [P] float tensor, the score s_p of each pair.
        negative_logits: [Q, N] float tensor, the scores of the sample for each query.
        visible: [Q, N] bool tensor, True at each query's negatives N_q, see `visible_negatives`.
        pair_rows: [P] int tensor, the query of each pair.
        weights: [P] float or bool tensor, 0 for pairs to ignore.
        sampling_rate: alpha, the sampled share of all negatives, from 0 to 1.
        calibration: t, from 0 to 1. Defaults to 0.75.

    Returns:
        `LossSum` over the pairs.

    Raises:
        ValueError: If an argument is of another kind, rank or range.

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
    checks.tensors(
        ("positive_logits", positive_logits, "number", "P"),
        ("negative_logits", negative_logits, "number", "Q N"),
        ("visible", visible, "boolean", "Q N"),
        ("pair_rows", pair_rows, "integer", "P"),
        ("weights", weights, "number or boolean", "P"),
    )
    calibration = checks.share("calibration", calibration)
    if isinstance(sampling_rate, tf.Tensor | tf.Variable):
        checks.tensors(("sampling_rate", sampling_rate, "number", ""))
    else:
        checks.share("sampling_rate", sampling_rate)
    weights = tf.cast(weights, tf.float32)
    beta = 1.0 - calibration * (1.0 - tf.cast(sampling_rate, tf.float32))
    negative_terms = tf.nn.softplus(tf.cast(negative_logits, tf.float32))
    negative_sums = tf.reduce_sum(tf.where(visible, negative_terms, 0.0), axis=1)
    counts = tf.reduce_sum(tf.cast(visible, tf.float32), axis=1)
    terms = beta * tf.nn.softplus(-tf.cast(positive_logits, tf.float32))
    terms += tf.gather(negative_sums, pair_rows)
    terms /= 1.0 + tf.gather(counts, pair_rows)
    return LossSum(tf.reduce_sum(terms * weights), tf.reduce_sum(weights))


def bpr_max_loss(
    positive_logits: tf.Tensor,
    negative_logits: tf.Tensor,
    visible: tf.Tensor,
    pair_rows: tf.Tensor,
    weights: tf.Tensor,
    log_expected_count: tf.Tensor | None = None,
    score_regularization: float = 1.0,
) -> LossSum:
    """Log probability that a positive beats the best negative, with regularized negative scores.

    `L_{q,p} = -log sum_{n in N_q} w_n sigmoid(s_p - s_n) + lambda sum_{n in N_q} w_n s_n^2`

    with `w_n = softmax over N_q of (s_n - log E[count_n])`, the probability that n is the best
    negative: ids that are drawn often weigh less. The scores themselves are not corrected.

    Args:
        positive_logits: [P] float tensor, the score s_p of each pair.
        negative_logits: [Q, N] float tensor, the scores of the sample for each query.
        visible: [Q, N] bool tensor, True at each query's negatives N_q, see `visible_negatives`.
        pair_rows: [P] int tensor, the query of each pair.
        weights: [P] float or bool tensor, 0 for pairs to ignore.
        log_expected_count: [N] float tensor, of the sample. Default: equal for all, which uniform
            negatives have.
        score_regularization: lambda. Defaults to 1.

    Returns:
        `LossSum` over the pairs; a pair without negatives counts with a loss of 0. The memory is
        pairs x negatives.

    Raises:
        ValueError: If an argument is of another kind, rank or range.

    Example:

    If all scores are 0, a positive wins with probability 1/2, whatever the number of negatives.

    >>> visible = tf.constant([[True, True, False]])
    >>> loss = bpr_max_loss(tf.zeros([1]), tf.zeros([1, 3]), visible, tf.constant([0]), [1.0])
    >>> round(float(loss.mean), 4)
    0.6931

    References:
        Hidasi and Karatzoglou, "Recurrent neural networks with top-k gains for session-based
        recommendations" (CIKM 2018). They have no correction for a sampler.
    """
    checks.tensors(
        ("positive_logits", positive_logits, "number", "P"),
        ("negative_logits", negative_logits, "number", "Q N"),
        ("visible", visible, "boolean", "Q N"),
        ("pair_rows", pair_rows, "integer", "P"),
        ("weights", weights, "number or boolean", "P"),
    )
    if log_expected_count is not None:
        checks.tensors(("log_expected_count", log_expected_count, "number", "N"))
    checks.number("score_regularization", score_regularization, least=0)
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


def sampled_log_sum_exp(
    negative_logits: tf.Tensor, sampled_ids: tf.Tensor, mask: tf.Tensor, hidden: tf.Tensor
) -> tf.Tensor:
    """Log-sum-exp over the sampled negatives of each query, without its own positives.

    `lse_q = log sum_{n in sample, n not in H_q} exp(s_{q,n})`.

    Args:
        negative_logits: [Q, N] float tensor, logQ-corrected where the sampler needs it.
        sampled_ids: [N] int32 tensor, ascending.
        mask: [N] bool tensor, False for repetitions of an id.
        hidden: [Q, H] int32 tensor of each query's own positives; negative numbers are padding.

    Returns:
        [Q] float32 tensor.

    Raises:
        ValueError: If an argument is of another kind, rank or range.

    Example:

    >>> sampled_log_sum_exp(
    ...     tf.zeros([1, 3]), tf.constant([4, 7, 9]), tf.ones([3], tf.bool), tf.constant([[7, -1]])
    ... ).numpy()
    array([0.6931472], dtype=float32)

    References:
        Sampled softmax: Jean et al., "On using very large target vocabulary" (2015).
    """
    checks.tensors(
        ("negative_logits", negative_logits, "number", "Q N"),
        ("sampled_ids", sampled_ids, "integer", "N"),
        ("mask", mask, "boolean", "N"),
        ("hidden", hidden, "integer", "Q H"),
    )
    logits = tf.cast(negative_logits, tf.float32)
    logits = tf.where(mask, logits, logits.dtype.min)
    place, found = find_in_sample(sampled_ids, hidden)
    return tf.reduce_logsumexp(hide_columns(logits, place, found), axis=1)


def find_in_sample(sampled_ids: tf.Tensor, hidden: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Positions [Q, H] in the sample of the ids of `hidden` [Q, H], and whether it has them."""
    # The sample is sorted and its repetitions are masked: the unmasked occurrence of an id is the
    # first of its run, which a search from the left finds.
    place = tf.searchsorted(sampled_ids, tf.reshape(hidden, [-1]))
    place = tf.reshape(tf.minimum(place, tf.shape(sampled_ids)[0] - 1), tf.shape(hidden))
    return place, tf.equal(tf.gather(sampled_ids, place), hidden)


def hide_columns(logits: tf.Tensor, columns: tf.Tensor, where: tf.Tensor) -> tf.Tensor:
    """Sets `logits` [Q, C] to the dtype's minimum at `columns` [Q, H] where `where` [Q, H] is True.

    A mask, not a subtraction, which a large score would survive. Static shapes, for XLA.
    """
    rows = tf.broadcast_to(tf.range(tf.shape(columns)[0])[:, tf.newaxis], tf.shape(columns))
    cap = tf.where(where, logits.dtype.min, logits.dtype.max)
    return tf.tensor_scatter_nd_min(logits, tf.stack([rows, columns], axis=-1), cap)


def visible_negatives(sampled_ids: tf.Tensor, mask: tf.Tensor, hidden: tf.Tensor) -> tf.Tensor:
    """True where a sampled id is a negative of the query: not repeated, and not positive.

    Args:
        sampled_ids: [N] int32 tensor, ascending.
        mask: [N] bool tensor, False for repetitions of an id.
        hidden: [Q, H] int32 tensor of each query's own positives; negative numbers are padding.

    Returns:
        [Q, N] bool tensor.

    Raises:
        ValueError: If an argument is of another kind, rank or range.

    Example:

    >>> visible_negatives(
    ...     tf.constant([4, 4, 7]), tf.constant([True, False, True]), tf.constant([[7, -1], [5, 6]])
    ... ).numpy().tolist()
    [[True, False, False], [True, False, True]]
    """
    checks.tensors(
        ("sampled_ids", sampled_ids, "integer", "N"),
        ("mask", mask, "boolean", "N"),
        ("hidden", hidden, "integer", "Q H"),
    )
    place, found = find_in_sample(sampled_ids, hidden)
    shape = [tf.shape(hidden)[0], tf.shape(sampled_ids)[0]]
    visible = tf.broadcast_to(tf.where(mask, 0.0, tf.float32.min), shape)
    return tf.equal(hide_columns(visible, place, found), 0.0)
