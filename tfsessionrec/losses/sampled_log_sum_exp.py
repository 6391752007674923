"""Log-sum-exp over sampled negatives."""

import tensorflow as tf

from tfsessionrec.sampling.sampled_candidates import SampledCandidates


def sampled_log_sum_exp(
    negative_logits: tf.Tensor, sampled: SampledCandidates, hidden: tf.Tensor
) -> tf.Tensor:
    """Log-sum-exp of corrected logits over the sampled negatives of each query.

    `lse_q = log sum_{n in sample, n not in H_q} exp(s_{q,n} - log E[count_n])`.

    Args:
        negative_logits: [Q, N] float tensor of scores.
        sampled: The N sampled candidates, their ids in ascending order.
        hidden: [Q, H] integer tensor of each query's own positives; negative numbers are padding.

    Returns:
        [Q] float32 tensor.

    References:
        Sampled softmax (Jean et al., 2015); logQ correction as in `tf.nn.sampled_softmax_loss`.
    """
    logits = tf.cast(negative_logits, tf.float32) - sampled.log_expected_count
    logits = tf.where(sampled.mask, logits, logits.dtype.min)
    # The sample is sorted and its repeats are masked: each hidden id stands at one place at most.
    num_sampled = tf.shape(sampled.ids)[0]
    place = tf.searchsorted(sampled.ids, tf.reshape(hidden, [-1]))
    place = tf.reshape(tf.minimum(place, num_sampled - 1), tf.shape(hidden))
    found = tf.equal(tf.gather(sampled.ids, place), hidden)
    return tf.reduce_logsumexp(hide_columns(logits, place, found), axis=1)


def hide_columns(logits: tf.Tensor, columns: tf.Tensor, where: tf.Tensor) -> tf.Tensor:
    """Puts the dtype's minimum at `columns` [Q, H] of `logits` [Q, C] where `where` [Q, H].

    Masked, not subtracted: no score is large enough to survive. Static shapes, for XLA.
    """
    rows = tf.broadcast_to(tf.range(tf.shape(columns)[0])[:, tf.newaxis], tf.shape(columns))
    cap = tf.where(where, logits.dtype.min, logits.dtype.max)
    return tf.tensor_scatter_nd_min(logits, tf.stack([rows, columns], axis=-1), cap)
