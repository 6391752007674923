"""Log-uniform negatives."""

import math

import tensorflow as tf

from tfsessionrec.sampling.sampled_candidates import SampledCandidates, collect, log_inclusion


def log_uniform_candidates(num_sampled: int, low: int, high: int) -> SampledCandidates:
    """Draws items log-uniformly over their rank, with replacement, repeats masked.

    The item of rank r = index - low has probability `p_r = log((r + 2) / (r + 1)) / log(R + 1)`
    with R = high - low, close to Zipf's law, and `E[count] = 1 - (1 - p_r)^num_sampled`. That is
    near to popularity where indices go by falling count, as those of `data.Vocabulary` do; no
    counts are needed.

    Args:
        num_sampled: Number N of draws.
        low: First index that may be drawn, the most popular item's.
        high: One past the last.

    Returns:
        `SampledCandidates` with [N] entries.

    Example:

    >>> sampled = log_uniform_candidates(1, low=2, high=5)
    >>> tf.exp(sampled.log_expected_count_of(tf.constant([2, 4]))).numpy().round(4)
    array([0.5   , 0.2075], dtype=float32)

    References:
        The distribution is that of `tf.random.log_uniform_candidate_sampler`.
    """
    log_range = math.log(high - low + 1)
    # Double precision: in single, the last of a million items could not all be drawn.
    points = tf.exp(tf.random.uniform([num_sampled], dtype=tf.float64) * log_range)
    ids = tf.minimum(tf.cast(points, tf.int32) - 1 + low, high - 1)

    def log_expected_count_of(ids: tf.Tensor) -> tf.Tensor:
        rank = tf.cast(ids, tf.float32) - low
        probability = tf.math.log1p(1.0 / (tf.maximum(rank, 0.0) + 1.0)) / log_range
        return log_inclusion(tf.where(rank >= 0, probability, 0.0), num_sampled)

    return collect(ids, log_expected_count_of)
