"""Half uniform, half in-batch negatives."""

import tensorflow as tf

from tfsessionrec.sampling.in_batch import draw_in_batch, share_in_batch
from tfsessionrec.sampling.sampled_candidates import SampledCandidates, collect


def mixed_candidates(
    num_sampled: int,
    low: int,
    high: int,
    positive_ids: tf.Tensor,
    weights: tf.Tensor,
    probability: tf.Tensor | None = None,
) -> SampledCandidates:
    """Draws half of the negatives uniformly and half from the batch's positives.

    `E[count_i] = 1 - (1 - 1 / (high - low))^(N/2) (1 - p_i)^(N/2)`.

    Args:
        num_sampled: Number N of draws.
        low: First index that may be drawn.
        high: One past the last.
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
    ids = tf.concat(
        [tf.random.uniform([uniform], low, high, tf.int32), batch_ids[:in_batch]], axis=0
    )

    def log_expected_count_of(ids: tf.Tensor) -> tf.Tensor:
        p = tf.clip_by_value(probability_of(ids), 0.0, 1.0 - 1e-6)
        missed = uniform * tf.math.log1p(-min(1.0 / (high - low), 1.0 - 1e-6))
        missed += in_batch * tf.math.log1p(-p)
        return tf.math.log(-tf.math.expm1(missed))

    return collect(ids, log_expected_count_of)
