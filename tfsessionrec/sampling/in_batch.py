"""Negatives among the batch's own positives."""

from collections.abc import Callable

import tensorflow as tf

from tfsessionrec.sampling.sampled_candidates import SampledCandidates, collect, log_inclusion


def in_batch_candidates(
    num_sampled: int,
    positive_ids: tf.Tensor,
    weights: tf.Tensor,
    probability: tf.Tensor | None = None,
) -> SampledCandidates:
    """Draws negatives from the positives of the batch, so that popular items are drawn more often.

    `E[count_i] = 1 - (1 - p_i)^num_sampled` with p_i the item's share of positive interactions.

    Args:
        num_sampled: Number N of draws (with replacement, repeats masked).
        positive_ids: [P] int tensor of the batch's positives.
        weights: [P] tensor, 0 for entries that are padding.
        probability: [V] float tensor p over the vocabulary. Default: the shares in this batch,
            which overstate rare items: give the log's when it is known.

    Returns:
        `SampledCandidates` with [N] entries. Where the batch has no positive they are all index 0.

    References:
        Yi et al., "Sampling-bias-corrected neural modeling for large corpus item
        recommendations" (RecSys 2019).
    """
    ids, log_count_of = draw_in_batch(num_sampled, positive_ids, weights, probability)
    return collect(ids, log_count_of)


def draw_in_batch(
    num_sampled: int,
    positive_ids: tf.Tensor,
    weights: tf.Tensor,
    probability: tf.Tensor | None,
) -> tuple:
    """The drawn ids and the log expected count as a function of ids."""
    probability_of = share_in_batch(positive_ids, weights, probability)
    # One entry more, never drawn unless the batch has no positive at all.
    real = tf.pad(tf.cast(weights, tf.float32) > 0, [[0, 1]])
    pool = tf.where(real, tf.pad(tf.cast(positive_ids, tf.int32), [[0, 1]]), 0)
    logits = tf.where(real, 0.0, tf.float32.min)[tf.newaxis]
    ids = tf.gather(pool, tf.random.categorical(logits, num_sampled, dtype=tf.int32)[0])
    return ids, lambda ids: log_inclusion(probability_of(ids), num_sampled)


def share_in_batch(
    positive_ids: tf.Tensor, weights: tf.Tensor, probability: tf.Tensor | None
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Function from ids to their probability: the given table, or their share of the batch."""
    if probability is not None:
        table = tf.cast(probability, tf.float32)
        return lambda ids: tf.gather(table, ids)
    real = tf.cast(weights, tf.float32) > 0
    # Padding sorts to the front, as -1, where no real id can be looked for.
    pool = tf.sort(tf.where(real, tf.cast(positive_ids, tf.int32), -1))
    total = tf.maximum(tf.reduce_sum(tf.cast(real, tf.float32)), 1.0)

    def share(ids: tf.Tensor) -> tf.Tensor:
        flat = tf.reshape(tf.cast(ids, tf.int32), [-1])
        first = tf.searchsorted(pool, flat, side="left")
        last = tf.searchsorted(pool, flat, side="right")
        return tf.reshape(tf.cast(last - first, tf.float32) / total, tf.shape(ids))

    return share
