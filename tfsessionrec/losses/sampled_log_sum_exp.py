"""Log-sum-exp over sampled negatives."""

import tensorflow as tf


def sampled_log_sum_exp(
    negative_logits: tf.Tensor, sampled_ids: tf.Tensor, mask: tf.Tensor, hidden: tf.Tensor
) -> tf.Tensor:
    """Log-sum-exp over the sampled negatives of each query, without its own positives.

    `lse_q = log sum_{n in sample, n not in H_q} exp(s_{q,n})`.

    Args:
        negative_logits: [Q, N] float tensor, logQ-corrected where the sampler needs it.
        sampled_ids: [N] int32 tensor, ascending.
        mask: [N] bool tensor, False for repeats of an id.
        hidden: [Q, H] int32 tensor of each query's own positives; negative numbers are padding.

    Returns:
        [Q] float32 tensor.

    Example:

    >>> sampled_log_sum_exp(
    ...     tf.zeros([1, 3]), tf.constant([4, 7, 9]), tf.ones([3], tf.bool), tf.constant([[7, -1]])
    ... ).numpy()
    array([0.6931472], dtype=float32)

    References:
        Sampled softmax: Jean et al., "On using very large target vocabulary" (2015).
    """
    logits = tf.cast(negative_logits, tf.float32)
    logits = tf.where(mask, logits, logits.dtype.min)
    place, found = find_in_sample(sampled_ids, hidden)
    return tf.reduce_logsumexp(hide_columns(logits, place, found), axis=1)


def find_in_sample(sampled_ids: tf.Tensor, hidden: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Where in the sample the ids of `hidden` [Q, H] stand: [Q, H] places, and whether they do."""
    # The sample is sorted and its repeats are masked: a hidden id stands at one place at most,
    # the first of its run, which is what a search from the left finds.
    place = tf.searchsorted(sampled_ids, tf.reshape(hidden, [-1]))
    place = tf.reshape(tf.minimum(place, tf.shape(sampled_ids)[0] - 1), tf.shape(hidden))
    return place, tf.equal(tf.gather(sampled_ids, place), hidden)


def hide_columns(logits: tf.Tensor, columns: tf.Tensor, where: tf.Tensor) -> tf.Tensor:
    """Puts the dtype's minimum at `columns` [Q, H] of `logits` [Q, C] where `where` [Q, H].

    Masked, not subtracted: no score is large enough to survive. Static shapes, for XLA.
    """
    rows = tf.broadcast_to(tf.range(tf.shape(columns)[0])[:, tf.newaxis], tf.shape(columns))
    cap = tf.where(where, logits.dtype.min, logits.dtype.max)
    return tf.tensor_scatter_nd_min(logits, tf.stack([rows, columns], axis=-1), cap)
