"""Normalised discounted cumulative gain at k as a Keras metric."""

import math

import tensorflow as tf

from tfsessionrec.backend import keras
from tfsessionrec.metrics.ranking_metric import RankingMetric


@keras.utils.register_keras_serializable(package="tfsessionrec")
class NDCGAtK(RankingMetric):
    """Discounted gain of the relevant items among the first k, as a share of the best there can be.

    `DCG@k = sum over relevant ranks r <= k of 1 / log2(1 + r)`, divided by the same sum for
    `r = 1 .. min(|relevant|, k)`, mean over lists. Gains are 0 or 1; arguments, masking and ties as
    `RankingMetric` says.

    Example: one relevant item on rank 3 gives 1 / log2(4).

    >>> metric = NDCGAtK(k=3)
    >>> metric.update_state([[0, 0, 1]], [[0.9, 0.8, 0.7]])
    >>> float(metric.result())
    0.5

    References: Järvelin and Kekäläinen, Cumulated gain-based evaluation of IR techniques, 2002.
    """

    _prefix = "ndcg"

    def values(self, relevant: tf.Tensor, num_relevant: tf.Tensor) -> tf.Tensor:
        ranks = tf.cast(tf.range(1, tf.shape(relevant)[1] + 1), relevant.dtype)
        discounts = math.log(2.0) / tf.math.log1p(ranks)
        ideal = tf.where(ranks <= num_relevant[:, None], discounts, 0.0)
        return tf.reduce_sum(relevant * discounts, axis=1) / tf.reduce_sum(ideal, axis=1)
