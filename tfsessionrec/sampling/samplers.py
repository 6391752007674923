"""Samplers of negatives, each with the expected counts of its sample."""

import math
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tfsessionrec import draws
from tfsessionrec.checks import non_negative_integer, positive_integer, tensors


class SampledCandidates(NamedTuple):
    """Sampled candidates shared by the queries of a batch.

    Attributes:
        ids: [N] int32, ascending.
        mask: [N] bool; False for repetitions, so that each id counts once.
        log_expected_count: [N] float32, log of the probability that the id is in the sample.
        log_expected_count_of: the same of any ids, [...] int to [...] float32.
    """

    ids: tf.Tensor
    mask: tf.Tensor
    log_expected_count: tf.Tensor
    log_expected_count_of: Callable[[tf.Tensor], tf.Tensor]


def collect(
    ids: tf.Tensor, log_expected_count_of: Callable[[tf.Tensor], tf.Tensor]
) -> SampledCandidates:
    """Sorts drawn ids and masks repetitions."""
    ids = tf.sort(tf.cast(ids, tf.int32))
    mask = tf.concat([[True], ids[1:] != ids[:-1]], axis=0)
    return SampledCandidates(ids, mask, log_expected_count_of(ids), log_expected_count_of)


def log_inclusion(probability: tf.Tensor, num_draws: int | tf.Tensor) -> tf.Tensor:
    """Log of the probability that an item is drawn at least once in `num_draws` draws.

    `log(1 - (1 - p)^N)`, without loss of precision for small p.
    """
    p = tf.clip_by_value(tf.cast(probability, tf.float32), 1e-12, 1.0 - 1e-6)
    return tf.math.log(-tf.math.expm1(tf.cast(num_draws, tf.float32) * tf.math.log1p(-p)))


def _check_range(num_sampled: int, low: int, high: int) -> None:
    positive_integer("num_sampled", num_sampled)
    non_negative_integer("low", low)
    if positive_integer("high", high) <= low:
        raise ValueError(f"`high` should be above `low`, {low}. Received: `high`={high}")


def uniform_candidates(num_sampled: int, low: int, high: int) -> SampledCandidates:
    """Draws items uniformly with replacement, and masks repetitions.

    `E[count] = 1 - (1 - 1 / (high - low))^num_sampled` for every item.

    Args:
        num_sampled: Number N of draws.
        low: First index of the range.
        high: One past its last index.

    Returns:
        `SampledCandidates` with [N] entries.

    Example:

    >>> sampled = uniform_candidates(4, low=2, high=3)
    >>> sampled.ids.numpy(), sampled.mask.numpy()
    (array([2, 2, 2, 2], dtype=int32), array([ True, False, False, False]))
    """
    _check_range(num_sampled, low, high)
    ids = draws.uniform([num_sampled], low, high, tf.int32)
    log_count = log_inclusion(1.0 / (high - low), num_sampled)
    return collect(ids, lambda ids: tf.fill(tf.shape(ids), log_count))


def log_uniform_candidates(num_sampled: int, low: int, high: int) -> SampledCandidates:
    """Draws items log-uniformly over their rank with replacement, and masks repetitions.

    The item of rank r = index - low has probability `p_r = log((r + 2) / (r + 1)) / log(R + 1)`
    with R = high - low, close to Zipf's law, and `E[count] = 1 - (1 - p_r)^num_sampled`. This
    approximates the popularity if indices are sorted by falling count, as in `data.Vocabulary`; it
    needs no counts.

    Args:
        num_sampled: Number N of draws.
        low: First index of the range, the most popular item.
        high: One past its last index.

    Returns:
        `SampledCandidates` with [N] entries.

    Example:

    >>> sampled = log_uniform_candidates(1, low=2, high=5)
    >>> tf.exp(sampled.log_expected_count_of(tf.constant([2, 4]))).numpy().round(4)
    array([0.5   , 0.2075], dtype=float32)

    References:
        The distribution is that of `tf.random.log_uniform_candidate_sampler`.
    """
    _check_range(num_sampled, low, high)
    log_range = math.log(high - low + 1)
    # Double precision: single precision cannot reach all of a million items.
    points = tf.exp(draws.uniform([num_sampled], dtype=tf.float64) * log_range)
    ids = tf.minimum(tf.cast(points, tf.int32) - 1 + low, high - 1)

    def log_expected_count_of(ids: tf.Tensor) -> tf.Tensor:
        rank = tf.cast(ids, tf.float32) - low
        probability = tf.math.log1p(1.0 / (tf.maximum(rank, 0.0) + 1.0)) / log_range
        return log_inclusion(tf.where(rank >= 0, probability, 0.0), num_sampled)

    return collect(ids, log_expected_count_of)


def in_batch_candidates(
    num_sampled: int,
    positive_ids: tf.Tensor,
    weights: tf.Tensor,
    probability: tf.Tensor | None = None,
) -> SampledCandidates:
    """Draws negatives from the positives of the batch, which favors popular items.

    `E[count_i] = 1 - (1 - p_i)^num_sampled` with p_i the item's share of positive interactions.

    Args:
        num_sampled: Number N of draws (with replacement, repetitions masked).
        positive_ids: [P] int tensor of the batch's positives.
        weights: [P] tensor, 0 for entries that are padding.
        probability: [V] float tensor p over the vocabulary. Default: the shares in this batch,
            which overstate rare items: the shares of the log are better.

    Returns:
        `SampledCandidates` with [N] entries. Without positives in the batch they are all index 0.

    References:
        Yi et al., "Sampling-bias-corrected neural modeling for large corpus item
        recommendations" (RecSys 2019).
    """
    positive_integer("num_sampled", num_sampled)
    tensors(
        ("positive_ids", positive_ids, "integer", "P"),
        ("weights", weights, "number or boolean", "P"),
    )
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
    # One more entry, which is drawn only if the batch has no positive.
    real = tf.pad(tf.cast(weights, tf.float32) > 0, [[0, 1]])
    pool = tf.where(real, tf.pad(tf.cast(positive_ids, tf.int32), [[0, 1]]), 0)
    logits = tf.where(real, 0.0, tf.float32.min)[tf.newaxis]
    ids = tf.gather(pool, draws.categorical(logits, num_sampled, tf.int32)[0])
    return ids, lambda ids: log_inclusion(probability_of(ids), num_sampled)


def share_in_batch(
    positive_ids: tf.Tensor, weights: tf.Tensor, probability: tf.Tensor | None
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Function from ids to their probability: from the given table, or their share of the batch."""
    if probability is not None:
        table = tf.cast(probability, tf.float32)
        return lambda ids: tf.gather(table, ids)
    real = tf.cast(weights, tf.float32) > 0
    # Padding is -1, which sorts to the front and equals no real id.
    pool = tf.sort(tf.where(real, tf.cast(positive_ids, tf.int32), -1))
    total = tf.maximum(tf.reduce_sum(tf.cast(real, tf.float32)), 1.0)

    def share(ids: tf.Tensor) -> tf.Tensor:
        flat = tf.reshape(tf.cast(ids, tf.int32), [-1])
        first = tf.searchsorted(pool, flat, side="left")
        last = tf.searchsorted(pool, flat, side="right")
        return tf.reshape(tf.cast(last - first, tf.float32) / total, tf.shape(ids))

    return share


def mixed_candidates(
    num_sampled: int,
    low: int,
    high: int,
    positive_ids: tf.Tensor,
    weights: tf.Tensor,
    probability: tf.Tensor | None = None,
) -> SampledCandidates:
    """Draws half of the negatives uniformly and half from the positives of the batch.

    `E[count_i] = 1 - (1 - 1 / (high - low))^(N/2) (1 - p_i)^(N/2)`.

    Args:
        num_sampled: Number N of draws.
        low: First index of the range.
        high: One past its last index.
        positive_ids: [P] int tensor of the batch's positives.
        weights: [P] tensor, 0 for entries that are padding.
        probability: [V] float tensor of the items' shares of positive interactions. Default: the
            shares in this batch.

    Returns:
        `SampledCandidates` with [N] entries.

    References:
        Yang et al., "Mixed negative sampling for learning two-tower neural networks" (WWW 2020).
    """
    in_batch = num_sampled // 2
    uniform = num_sampled - in_batch
    probability_of = share_in_batch(positive_ids, weights, probability)
    batch_ids, _ = draw_in_batch(max(in_batch, 1), positive_ids, weights, probability)
    ids = tf.concat([draws.uniform([uniform], low, high, tf.int32), batch_ids[:in_batch]], axis=0)

    def log_expected_count_of(ids: tf.Tensor) -> tf.Tensor:
        p = tf.clip_by_value(probability_of(ids), 0.0, 1.0 - 1e-6)
        missed = uniform * tf.math.log1p(-min(1.0 / (high - low), 1.0 - 1e-6))
        missed += in_batch * tf.math.log1p(-p)
        return tf.math.log(-tf.math.expm1(missed))

    return collect(ids, log_expected_count_of)
