"""Mean average precision at k as a Keras metric."""

import tensorflow as tf

from tfsessionrec.backend import keras
from tfsessionrec.metrics.ranking_metric import RankingMetric


@keras.utils.register_keras_serializable(package="tfsessionrec")
class MAPAtK(RankingMetric):
    """Precision at the rank of each relevant item among the first k, mean over lists.

    `AP@k = sum over relevant ranks r <= k of precision@r, divided by min(k, |relevant|)`: 1 for the
    best list there can be, whatever k. Some libraries divide by `|relevant|` instead, which is less
    where there are more than k. Arguments, masking and ties as `RankingMetric` says.

    Example: relevant items on the ranks 1 and 4 give (1/1 + 2/4) / 2.

    >>> metric = MAPAtK(k=4)
    >>> metric.update_state([[1, 0, 0, 1]], [[0.9, 0.8, 0.7, 0.6]])
    >>> float(metric.result())
    0.75

    References: Manning, Raghavan and Schütze, Introduction to Information Retrieval, 2008, 8.4.
    """

    _prefix = "map"

    def values(self, relevant: tf.Tensor, num_relevant: tf.Tensor) -> tf.Tensor:
        ranks = tf.cast(tf.range(1, tf.shape(relevant)[1] + 1), relevant.dtype)
        precisions = tf.cumsum(relevant, axis=1) / ranks
        return tf.reduce_sum(relevant * precisions, axis=1) / tf.minimum(
            num_relevant, tf.cast(self.k, num_relevant.dtype)
        )
