"""The base of the Keras ranking metrics."""

from typing import Any

import tensorflow as tf

from tfsessionrec.backend import keras
from tfsessionrec.checks import positive_integer


class RankingMetric(keras.metrics.Metric):
    """Mean of a ranking measure over lists: masks, breaks ties, weighs; a subclass fills one hook.

    Each list (the last axis) is sorted by score. **Ties count against us**: among equal scores the
    items that are not relevant come first. A NaN score stands last if the item is relevant and
    first if it is not. A list without a relevant item has no value and is left out of the mean:

    `result = sum_b w_b * value_b / sum_b w_b` over the lists b with a relevant item.

    Args:
        k: Length of the list, a positive integer; more than there are items means all of them.
        name: Name in the logs; the measure and `k` by default, such as `"recall@20"`.
        dtype: Type of the sums; Keras's default by default.

    Call arguments (`update_state`):
        y_true: [..., C], above 0 where the item is relevant.
        y_pred: [..., C] scores.
        sample_weight: [...] (or [..., 1]), one weight a list; 1 by default.
        mask: [..., C], True where the item is real; all by default.

    Raises:
        ValueError: If `k` is not a positive integer.
    """

    _prefix = "ranking"

    def __init__(self, k: int, name: str | None = None, dtype: Any = None) -> None:
        k = positive_integer("k", k)
        super().__init__(name=name or f"{self._prefix}@{k}", dtype=dtype)
        self.k = k
        self.total = self.add_weight(name="total", shape=(), initializer="zeros")
        self.count = self.add_weight(name="count", shape=(), initializer="zeros")

    def values(self, relevant: tf.Tensor, num_relevant: tf.Tensor) -> tf.Tensor:
        """The measure of each list.

        Args:
            relevant: [B, min(k, C)] of 0.0 and 1.0: relevance in the order of the ranking.
            num_relevant: [B] float: relevant items in the whole list, at least 1.

        Returns:
            [B] floats.
        """
        raise NotImplementedError

    def update_state(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None, mask: Any = None
    ) -> None:
        scores = tf.cast(tf.convert_to_tensor(y_pred), tf.float32)
        items = tf.shape(scores)[-1]
        scores = tf.reshape(scores, [-1, items])
        relevant = tf.reshape(tf.cast(y_true, tf.float32), [-1, items]) > 0.0
        real = tf.ones_like(relevant)
        if mask is not None:
            real = tf.reshape(tf.cast(mask, tf.bool), [-1, items])
            relevant &= real
        ranked = tf.cast(_rank(relevant, scores, real, self.k), self.total.dtype)
        num_relevant = tf.reduce_sum(tf.cast(relevant, self.total.dtype), axis=1)
        weights = tf.cast(num_relevant > 0, self.total.dtype)
        if sample_weight is not None:
            given = tf.reshape(tf.cast(sample_weight, self.total.dtype), [-1])
            weights *= tf.broadcast_to(given, tf.shape(weights))
        values = self.values(ranked, tf.maximum(num_relevant, 1))
        self.total.assign_add(tf.reduce_sum(weights * values))
        self.count.assign_add(tf.reduce_sum(weights))

    def result(self) -> tf.Tensor:
        return tf.math.divide_no_nan(
            tf.convert_to_tensor(self.total), tf.convert_to_tensor(self.count)
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "k": self.k}


def _rank(relevant: tf.Tensor, scores: tf.Tensor, real: tf.Tensor, k: int) -> tf.Tensor:
    """Relevance [B, min(k, C)] in the order of the scores: not relevant first among equals."""
    worst = tf.where(relevant, scores.dtype.min, scores.dtype.max)
    scores = tf.where(tf.math.is_nan(scores), worst, tf.maximum(scores, scores.dtype.min))
    scores = tf.where(real, scores, -float("inf"))
    # `top_k` puts the lower index first among equals: bring what is not relevant to the front.
    front = tf.argsort(tf.cast(relevant, tf.int32), axis=1, stable=True)
    relevant = tf.gather(relevant, front, batch_dims=1)
    scores = tf.gather(scores, front, batch_dims=1)
    top = tf.math.top_k(scores, k=tf.minimum(k, tf.shape(scores)[1])).indices
    return tf.gather(relevant, top, batch_dims=1)
