"""Uniform negatives."""

import tensorflow as tf

from tfsessionrec.sampling.sampled_candidates import SampledCandidates, collect, log_inclusion


def uniform_candidates(num_sampled: int, low: int, high: int) -> SampledCandidates:
    """Draws items uniformly, with replacement, repeats masked.

    `E[count] = 1 - (1 - 1 / (high - low))^num_sampled` for every item.

    Args:
        num_sampled: Number N of draws.
        low: First index that may be drawn.
        high: One past the last.

    Returns:
        `SampledCandidates` with [N] entries.

    Example:

    >>> sampled = uniform_candidates(4, low=2, high=3)
    >>> sampled.ids.numpy(), sampled.mask.numpy()
    (array([2, 2, 2, 2], dtype=int32), array([ True, False, False, False]))
    """
    ids = tf.random.uniform([num_sampled], low, high, tf.int32)
    log_count = log_inclusion(1.0 / (high - low), num_sampled)
    return collect(ids, lambda ids: tf.fill(tf.shape(ids), log_count))
