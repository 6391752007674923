"""What a sampler gives."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf


class SampledCandidates(NamedTuple):
    """Sampled candidates shared by the queries of a batch.

    Attributes:
        ids: [N] int32, ascending.
        mask: [N] bool; False for repeats, so that each id counts once.
        log_expected_count: [N] float32, log of the probability that the id is in the sample.
        log_expected_count_of: the same for given ids, [...] int to [...] float32.
    """

    ids: tf.Tensor
    mask: tf.Tensor
    log_expected_count: tf.Tensor
    log_expected_count_of: Callable[[tf.Tensor], tf.Tensor]


def collect(
    ids: tf.Tensor, log_expected_count_of: Callable[[tf.Tensor], tf.Tensor]
) -> SampledCandidates:
    """Sorts drawn ids and masks repeats."""
    ids = tf.sort(tf.cast(ids, tf.int32))
    mask = tf.concat([[True], ids[1:] != ids[:-1]], axis=0)
    return SampledCandidates(ids, mask, log_expected_count_of(ids), log_expected_count_of)


def log_inclusion(probability: tf.Tensor, num_draws: int | tf.Tensor) -> tf.Tensor:
    """Log of the probability that an item is drawn at least once in `num_draws` draws.

    `log(1 - (1 - p)^N)`, computed so that small p keep their digits.
    """
    p = tf.clip_by_value(tf.cast(probability, tf.float32), 1e-12, 1.0 - 1e-6)
    return tf.math.log(-tf.math.expm1(tf.cast(num_draws, tf.float32) * tf.math.log1p(-p)))
