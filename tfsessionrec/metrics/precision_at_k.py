"""Precision at k as a Keras metric."""

import tensorflow as tf

from tfsessionrec.backend import keras
from tfsessionrec.metrics.ranking_metric import RankingMetric


@keras.utils.register_keras_serializable(package="tfsessionrec")
class PrecisionAtK(RankingMetric):
    """Share of the first k places that hold a relevant item, mean over lists.

    `precision@k = |relevant among the first k| / k`, by k also where there are fewer items;
    arguments, masking and ties as `RankingMetric` says.

    Example: of the first two one is relevant.

    >>> metric = PrecisionAtK(k=2)
    >>> metric.update_state([[1, 0, 0, 1]], [[0.9, 0.8, 0.7, 0.6]])
    >>> float(metric.result())
    0.5
    """

    _prefix = "precision"

    def values(self, relevant: tf.Tensor, num_relevant: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(relevant, axis=1) / self.k
