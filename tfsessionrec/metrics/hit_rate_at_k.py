"""Hit rate at k as a Keras metric."""

import tensorflow as tf

from tfsessionrec.backend import keras
from tfsessionrec.metrics.ranking_metric import RankingMetric


@keras.utils.register_keras_serializable(package="tfsessionrec")
class HitRateAtK(RankingMetric):
    """Share of the lists with any relevant item among the first k.

    `hit_rate@k = 1 if a relevant item is among the first k else 0`; arguments, masking and ties as
    `RankingMetric` says.

    Example: a tie counts against us, so that the second list is a miss.

    >>> metric = HitRateAtK(k=1)
    >>> metric.update_state([[1, 0], [1, 0]], [[0.9, 0.8], [0.7, 0.7]])
    >>> float(metric.result())
    0.5
    """

    _prefix = "hit_rate"

    def values(self, relevant: tf.Tensor, num_relevant: tf.Tensor) -> tf.Tensor:
        return tf.reduce_max(relevant, axis=1)
