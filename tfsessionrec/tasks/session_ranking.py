"""Ranking of the items shown in the next session."""

from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfsessionrec.backend import keras
from tfsessionrec.losses import (
    LossSum,
    binary_cross_entropy_loss,
    listwise_softmax_loss,
    pairwise_logistic_loss,
)
from tfsessionrec.metrics import RankingAUC
from tfsessionrec.tasks.reduction import global_mean
from tfsessionrec.types import Config

LOSSES = {
    "pairwise": pairwise_logistic_loss,
    "bce": binary_cross_entropy_loss,
    "listwise": listwise_softmax_loss,
}


@keras.utils.register_keras_serializable(package="tfsessionrec")
class SessionRanking(tfrs.tasks.Ranking):
    """Ranks the positives of a session above the items shown there without a positive interaction.

    `"pairwise"`: `L = mean over pairs (p, n) of log(1 + exp(s_n - s_p))`;
    `"bce"`: `L = mean over shown items of log(1 + exp(s)) - y s`;
    `"listwise"`: `L = mean over positives p of -log( exp(s_p) / (exp(s_p) + sum_n exp(s_n)) )`,
    n being the negatives of p's session.

    Args:
        loss: `"pairwise"`, `"bce"` or `"listwise"`. Defaults to `"pairwise"`.
        metrics: Further Keras metrics on (labels, scores, sample weights), beside the AUC.

    Call arguments:
        labels: [..., I] tensor, above 0 for positives.
        predictions: [..., I] float tensor of scores.
        sample_weight: [..., I] bool tensor, True for items that were shown.

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
        self, loss: str = "pairwise", metrics: list[Any] | None = None, name: str | None = None
    ) -> None:
        if loss not in LOSSES:
            raise ValueError(
                f"`loss` should be one of {', '.join(LOSSES)}. Received: `loss`={loss!r}"
            )
        super().__init__(loss=self._reduced, name=name)
        self.loss_name = loss
        self.loss_mean = keras.metrics.Mean(name="ranking_loss")
        self.auc = RankingAUC()
        self._ranking_metrics = [self.auc, *(metrics or [])]

    def _reduced(self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: Any) -> tf.Tensor:
        mask = tf.ones_like(y_pred, tf.bool) if sample_weight is None else sample_weight
        loss: LossSum = LOSSES[self.loss_name](y_pred, y_true, mask)
        self.loss_mean.update_state(loss.mean, sample_weight=loss.count)
        return global_mean(loss)

    def get_config(self) -> Config:
        return {"loss": self.loss_name, "name": self.name}
