"""Mean reciprocal rank at k as a Keras metric."""

import tensorflow as tf

from tfsessionrec.backend import keras
from tfsessionrec.metrics.ranking_metric import RankingMetric


@keras.utils.register_keras_serializable(package="tfsessionrec")
class MRRAtK(RankingMetric):
    """Reciprocal rank of the first relevant item, 0 if it is not among the first k.

    `mrr@k = 1 / rank of the first relevant item`, mean over lists; arguments, masking and ties as
    `RankingMetric` says.

    Example:

    >>> metric = MRRAtK(k=3)
    >>> metric.update_state([[0, 1, 1]], [[0.9, 0.8, 0.7]])
    >>> float(metric.result())
    0.5
    """

    _prefix = "mrr"

    def values(self, relevant: tf.Tensor, num_relevant: tf.Tensor) -> tf.Tensor:
        ranks = tf.range(1, tf.shape(relevant)[1] + 1)
        return tf.reduce_max(relevant / tf.cast(ranks, relevant.dtype), axis=1)
