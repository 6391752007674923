"""Ranking of the items shown in the next session."""

from collections.abc import Sequence

import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfsessionrec.backend import keras
from tfsessionrec.losses import (
    binary_cross_entropy_loss,
    listwise_softmax_loss,
    pairwise_logistic_loss,
)
from tfsessionrec.metrics import RankingAUC
from tfsessionrec.types import Config

LOSSES = {
    "pairwise": pairwise_logistic_loss,
    "bce": binary_cross_entropy_loss,
    "listwise": listwise_softmax_loss,
}


@keras.utils.register_keras_serializable(package="tfsessionrec")
class SessionRanking(keras.layers.Layer, tfrs.tasks.Task):
    """Ranks the positives of a session above the items shown there without a positive interaction.

    `"pairwise"`: `L = mean over pairs (p, n) of log(1 + exp(s_n - s_p))`;
    `"bce"`: `L = mean over shown items of log(1 + exp(s)) - y s`;
    `"listwise"`: `L = mean over positives p of -log( exp(s_p) / (exp(s_p) + sum_n exp(s_n)) )`,
    n being the negatives of p's session.

    Args:
        loss: `"pairwise"`, `"bce"` or `"listwise"`. Defaults to `"pairwise"`.
        metrics: Keras metrics on (labels, scores, sample weights) in addition to the AUC. Defaults
            to none.

    Call arguments:
        labels: [..., I] tensor, above 0 for positives.
        predictions: [..., I] float tensor of scores.
        sample_weight: [..., I] bool tensor, True for items that were shown. Or float weights, 0 for
            items that were not: see the losses. Default: all were shown and weigh 1.
        compute_metrics: Updates the metrics. Defaults to True.

    Returns:
        Scalar float32: the mean, 0 without any positive and negative of one session (any item, for
        `"bce"`).

    Raises:
        ValueError: If `loss` is not known.

    Example:

    >>> task = SessionRanking()
    >>> loss = task(tf.constant([[1.0, 0.0]]), tf.zeros([1, 2]), tf.constant([[True, True]]))
    >>> round(float(loss), 4), float(task.auc.result())
    (0.6931, 0.5)

    References:
        Rank loss of SessionRec (arXiv 2502.10157, 2025); its pairwise form is from a secondary
        source.
    """

    def __init__(
        self,
        loss: str = "pairwise",
        metrics: Sequence[keras.metrics.Metric] | None = None,
        name: str | None = None,
    ) -> None:
        if not isinstance(loss, str) or loss not in LOSSES:
            raise ValueError(
                f"`loss` should be one of {', '.join(LOSSES)}. Received: `loss`={loss!r}"
            )
        super().__init__(name=name, autocast=False)
        self.loss_name = loss
        self.loss_mean = keras.metrics.Mean(name="ranking_loss")
        self.auc = RankingAUC()
        self._ranking_metrics = [self.auc, *(metrics or [])]

    def call(
        self,
        labels: tf.Tensor,
        predictions: tf.Tensor,
        sample_weight: tf.Tensor | None = None,
        compute_metrics: bool = True,
    ) -> tf.Tensor:
        mask = tf.ones_like(predictions, tf.bool) if sample_weight is None else sample_weight
        loss = LOSSES[self.loss_name](predictions, labels, mask)
        if compute_metrics:
            self.loss_mean.update_state(loss.mean, sample_weight=loss.count)
            for metric in self._ranking_metrics:
                metric.update_state(labels, predictions, sample_weight=sample_weight)
        return loss.global_mean

    def get_config(self) -> Config:
        return {"loss": self.loss_name, "name": self.name}
