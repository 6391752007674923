"""Recall at k as a Keras metric."""

import tensorflow as tf

from tfsessionrec.backend import keras
from tfsessionrec.metrics.ranking_metric import RankingMetric


@keras.utils.register_keras_serializable(package="tfsessionrec")
class RecallAtK(RankingMetric):
    """Share of the relevant items that stand among the first k, mean over lists.

    `recall@k = |relevant among the first k| / |relevant|`; arguments, masking and ties as
    `RankingMetric` says.

    Example: of the two relevant items one is among the first two.

    >>> metric = RecallAtK(k=2)
    >>> metric.update_state([[1, 0, 0, 1]], [[0.9, 0.8, 0.7, 0.6]])
    >>> float(metric.result())
    0.5
    """

    _prefix = "recall"

    def values(self, relevant: tf.Tensor, num_relevant: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(relevant, axis=1) / num_relevant
