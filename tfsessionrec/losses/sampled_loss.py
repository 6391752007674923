"""Losses over a sample of the candidates, by name."""

from typing import NamedTuple

import tensorflow as tf

from tfsessionrec import checks
from tfsessionrec.losses.retrieval import (
    LossSum,
    bpr_max_loss,
    gbce_loss,
    sampled_log_sum_exp,
    set_softmax_loss,
    visible_negatives,
)

SAMPLED_LOSSES = ("softmax", "gbce", "bpr_max")


class SampledScores(NamedTuple):
    """Scores of P (query, positive) pairs, and of N sampled candidates for each of Q queries.

    Attributes:
        positive_logits: [P] float32.
        negative_logits: [Q, N] float32.
        pair_rows: [P] int, the query of each pair.
        weights: [P] bool, False for pairs that do not count; or float weights.
        positives: [Q, H] int32, the ids of each query's positives; -1 is padding.
        sampled_ids: [N] int32, ascending.
        mask: [N] bool, False for repeats of an id.
        log_expected_count: [N] float32, log E[count] of the sampled ids.
        positive_log_expected_count: [P] float32, log E[count] of the pairs' positives.
    """

    positive_logits: tf.Tensor
    negative_logits: tf.Tensor
    pair_rows: tf.Tensor
    weights: tf.Tensor
    positives: tf.Tensor
    sampled_ids: tf.Tensor
    mask: tf.Tensor
    log_expected_count: tf.Tensor
    positive_log_expected_count: tf.Tensor


def sampled_loss(
    loss: str,
    scores: SampledScores,
    num_candidates: int,
    uniform: bool = False,
    calibration: float = 0.75,
    score_regularization: float = 1.0,
) -> LossSum:
    """Loss of each (query, positive) pair against the query's sampled negatives.

    `"softmax"`: `set_softmax_loss` of the scores less `log E[count]`; `"gbce"`: `gbce_loss` of the
    scores less `log(E[count] / rate)`, rate being the share of the candidates in the sample;
    `"bpr_max"`: `bpr_max_loss`, whose weights are corrected by `log E[count]`. A query's own
    positives are not among its negatives.

    Args:
        loss: `"softmax"`, `"gbce"` or `"bpr_max"`.
        scores: `SampledScores`.
        num_candidates: Candidates that may be sampled.
        uniform: All candidates are equally likely in the sample, so that `"gbce"` needs no
            correction. Defaults to False.
        calibration: Of `gbce_loss`. Defaults to 0.75.
        score_regularization: Of `bpr_max_loss`. Defaults to 1.

    Returns:
        `LossSum` over the pairs.

    Raises:
        ValueError: If an argument is of another kind, rank or range.

    Example:

    Two negatives with a score of 0 against a positive with 0: the probability is one in three.

    >>> scores = SampledScores(
    ...     positive_logits=tf.zeros([1]), negative_logits=tf.zeros([1, 2]),
    ...     pair_rows=tf.constant([0]), weights=tf.constant([True]), positives=tf.constant([[7]]),
    ...     sampled_ids=tf.constant([4, 5]), mask=tf.constant([True, True]),
    ...     log_expected_count=tf.zeros([2]), positive_log_expected_count=tf.zeros([1]),
    ... )
    >>> round(float(sampled_loss("softmax", scores, num_candidates=9).mean), 4)
    1.0986
    """
    checks.choice("loss", loss, SAMPLED_LOSSES)
    checks.instance("scores", scores, SampledScores)
    checks.positive_integer("num_candidates", num_candidates)
    checks.boolean("uniform", uniform)
    checks.share("calibration", calibration)
    checks.number("score_regularization", score_regularization, least=0)
    checks.tensors(
        ("scores.log_expected_count", scores.log_expected_count, "number", "N"),
        ("scores.positive_log_expected_count", scores.positive_log_expected_count, "number", "P"),
    )
    positive, negative, rows, weights, positives, ids, mask, log_count, own_log_count = scores
    if loss == "softmax":
        log_sums = sampled_log_sum_exp(negative - log_count, ids, mask, positives)
        return set_softmax_loss(positive - own_log_count, tf.gather(log_sums, rows), weights)
    visible = visible_negatives(ids, mask, positives)
    if loss == "bpr_max":
        return bpr_max_loss(
            positive, negative, visible, rows, weights, log_count, score_regularization
        )
    rate = tf.reduce_sum(tf.cast(mask, tf.float32)) / num_candidates
    if not uniform:
        negative -= log_count - tf.math.log(rate)
        positive -= own_log_count - tf.math.log(rate)
    return gbce_loss(positive, negative, visible, rows, weights, rate, calibration)
