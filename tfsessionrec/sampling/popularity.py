"""Negatives by popularity."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from tfsessionrec import draws
from tfsessionrec.checks import non_negative_integer, number, tensors
from tfsessionrec.sampling.samplers import SampledCandidates, collect, log_inclusion


class PopularityTable(NamedTuple):
    """The distribution of `popularity_candidates`, made once by `popularity_table`.

    Attributes:
        probability: [V] float32, probability of each vocabulary index in one draw.
        cumulative: [V] float64, its cumulative sums; the last is 1.
    """

    probability: np.ndarray
    cumulative: np.ndarray


def popularity_table(shares: ArrayLike, low: int, power: float = 1.0) -> PopularityTable:
    """Table of the distribution `p_i ~ shares_i^power` over the indices from `low` on.

    Args:
        shares: [V] shares (or counts) of the vocabulary's indices.
        low: First index of the range.
        power: 1 draws by popularity, 0 uniformly. Defaults to 1.

    Returns:
        `PopularityTable`.

    Raises:
        ValueError: If `power` is negative, or no index of the range has a share.

    Example:

    >>> popularity_table([0.0, 0.0, 9.0, 1.0], low=2, power=0.5).probability.tolist()
    [0.0, 0.0, 0.75, 0.25]
    """
    number("power", power, least=0)
    non_negative_integer("low", low)
    tensors(("shares", shares, "number", "V"))
    mass = np.asarray(shares, np.float64) ** power
    mass[:low] = 0.0
    cumulative = np.cumsum(mass)
    if not cumulative.size or not cumulative[-1] > 0:
        raise ValueError(
            f"`shares` should have one above 0 from index {low} on. Received: shape {mass.shape}"
        )
    total = cumulative[-1]
    return PopularityTable((mass / total).astype(np.float32), cumulative / total)


def popularity_candidates(num_sampled: int, table: PopularityTable) -> SampledCandidates:
    """Draws items by their popularity in the log with replacement, and masks repetitions.

    `E[count_i] = 1 - (1 - p_i)^num_sampled`. A step costs O(num_sampled log V), under XLA too.

    Args:
        num_sampled: Number N of draws.
        table: `popularity_table` of the items' shares.

    Returns:
        `SampledCandidates` with [N] entries. Items without a share are never drawn.

    Example:

    >>> sampled = popularity_candidates(4, popularity_table([0.0, 0.0, 0.0, 1.0], low=2))
    >>> sampled.ids.numpy(), sampled.mask.numpy()
    (array([3, 3, 3, 3], dtype=int32), array([ True, False, False, False]))

    References:
        Powers of the popularity: Hidasi and Karatzoglou, "Recurrent neural networks with top-k
        gains for session-based recommendations" (CIKM 2018).
    """
    # Double precision: in single precision the shares of rare items vanish in the sums.
    points = draws.uniform([num_sampled], dtype=tf.float64)
    ids = count_not_above(tf.constant(table.cumulative, tf.float64), points)
    probability = tf.constant(table.probability, tf.float32)
    return collect(ids, lambda ids: log_inclusion(tf.gather(probability, ids), num_sampled))


def count_not_above(ascending: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """The number of entries of `ascending` [V] that are at most each of `values`: int32.

    `tf.searchsorted` from the right. Under XLA that compares with all entries; this halves.
    """
    size = ascending.shape[0]
    count = tf.zeros(tf.shape(values), tf.int32)
    for bit in reversed(range(size.bit_length())):
        more = count + (1 << bit)
        entry = tf.gather(ascending, tf.minimum(more, size) - 1)
        count = tf.where((more <= size) & (entry <= values), more, count)
    return count
