"""AUC inside sessions."""

from typing import Any

import tensorflow as tf

from tfsessionrec.backend import keras
from tfsessionrec.masking import positive_negative_pairs


@keras.utils.register_keras_serializable(package="tfsessionrec")
class RankingAUC(keras.metrics.Mean):
    """Share of the (positive, negative) pairs of a session that are in the right order.

    `AUC = mean over pairs of [s_p > s_n] + [s_p = s_n] / 2`, the pairs being those of one list.

    Call arguments:
        y_true: [..., I] tensor, above 0 for positives.
        y_pred: [..., I] float tensor of scores.
        sample_weight: [..., I] tensor, 0 for padding. Default: everything counts.

    Example:

    >>> auc = RankingAUC()
    >>> _ = auc.update_state(tf.constant([[1.0, 0.0, 0.0]]), tf.constant([[2.0, 1.0, 3.0]]))
    >>> float(auc.result())
    0.5
    """

    def __init__(self, name: str = "ranking_auc", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        scores = tf.cast(y_pred, tf.float32)
        mask = tf.ones_like(scores, tf.bool) if sample_weight is None else sample_weight
        pairs = tf.cast(positive_negative_pairs(y_true, mask), tf.float32)
        margins = scores[..., :, tf.newaxis] - scores[..., tf.newaxis, :]
        wins = tf.cast(margins > 0, tf.float32) + 0.5 * tf.cast(margins == 0, tf.float32)
        count = tf.reduce_sum(pairs)
        mean = tf.math.divide_no_nan(tf.reduce_sum(wins * pairs), count)
        return super().update_state(mean, sample_weight=count)
