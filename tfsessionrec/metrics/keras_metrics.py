"""Keras metrics of ranked lists."""

import math
from collections.abc import Mapping, Sequence

import tensorflow as tf

from tfsessionrec.backend import keras
from tfsessionrec.checks import positive_integer, tensors, text
from tfsessionrec.session_batch import pair_weights
from tfsessionrec.types import Config


class RankingMetric(keras.metrics.Metric):
    """Base: the mean of a ranking measure over lists. A subclass implements `values`.

    Each list (the last axis) is sorted by score. **Ties are pessimistic**: among equal scores,
    items that are not relevant come first. A NaN score comes last if the item is relevant, and
    first if not. A list without a relevant item has no value and is excluded from the mean:

    `result = sum_b w_b * value_b / sum_b w_b` over the lists b with a relevant item.

    Args:
        k: Length of the list, a positive integer. If it exceeds the number of items, all count.
        name: Name in the logs. Defaults to the measure and `k`, such as `"recall@20"`.
        dtype: Type of the sums. Defaults to Keras's default.

    Call arguments (`update_state`):
        y_true: [..., C], above 0 where the item is relevant.
        y_pred: [..., C] scores.
        sample_weight: [...] (or [..., 1]), one weight per list. Default: 1.
        mask: [..., C], True where the item is real. Default: all.

    Raises:
        ValueError: If `k` is not a positive integer.
    """

    _prefix = "ranking"

    def __init__(self, k: int, name: str | None = None, dtype: str | None = None) -> None:
        k = positive_integer("k", k)
        text("name", name, optional=True, empty=False)
        _check_dtype(dtype)
        super().__init__(name=name or f"{self._prefix}@{k}", dtype=dtype)
        self.k = k
        self.total = self.add_weight(name="total", shape=(), initializer="zeros")
        self.count = self.add_weight(name="count", shape=(), initializer="zeros")

    def values(self, relevant: tf.Tensor, num_relevant: tf.Tensor) -> tf.Tensor:
        """The measure of each list.

        Args:
            relevant: [B, min(k, C)] of 0.0 and 1.0: relevance in ranking order.
            num_relevant: [B] float: number of relevant items in the whole list, at least 1.

        Returns:
            [B] floats.
        """
        raise NotImplementedError

    def update_state(
        self,
        y_true: tf.Tensor,
        y_pred: tf.Tensor,
        sample_weight: tf.Tensor | None = None,
        mask: tf.Tensor | None = None,
    ) -> None:
        y_true, y_pred = _same_shape(y_true, y_pred, "C")
        if mask is not None:
            mask = _tensor("mask", mask, "number or boolean", "C")
            _check_shape("mask", mask, y_pred.shape)
        if sample_weight is not None:
            sample_weight = _tensor("sample_weight", sample_weight, "number or boolean", "")
            _check_shape("sample_weight", sample_weight, y_pred.shape[:-1], [], [1])
        scores = tf.cast(y_pred, tf.float32)
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

    def get_config(self) -> Config:
        return {**super().get_config(), "k": self.k}


def _check_dtype(dtype: object) -> None:
    """Raises unless it is a type of numbers with fractions, or what stores one."""
    is_stored = isinstance(dtype, Mapping) and "class_name" in dtype
    if dtype is None or is_stored or isinstance(dtype, keras.mixed_precision.Policy):
        return
    try:
        right = not isinstance(dtype, bool) and tf.as_dtype(dtype).is_floating
    except (TypeError, ValueError):
        right = False
    if not right:
        raise ValueError(f"`dtype` should be a floating type. Received: `dtype`={dtype!r}")


def _tensor(name: str, value: object, kind: str, axes: str) -> tf.Tensor:
    """An argument as a tensor; the axes are the last of any number."""
    try:
        found = tf.convert_to_tensor(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{name}` should be a tensor. Received: {str(value)[:200]}") from error
    tensors((name, found, kind, f"... {axes}"))
    return found


def _same_shape(y_true: object, y_pred: object, axis: str) -> tuple[tf.Tensor, tf.Tensor]:
    labels = _tensor("y_true", y_true, "number or boolean", axis)
    scores = _tensor("y_pred", y_pred, "number", axis)
    _check_shape("y_true", labels, scores.shape)
    return labels, scores


def _check_shape(
    name: str, value: tf.Tensor, shape: tf.TensorShape, *endings: Sequence[int]
) -> None:
    """Raises if a shape is neither that of the scores, nor with an ending, nor a single number."""
    shapes = [shape + tf.TensorShape(ending) for ending in endings or ([],)]
    one = bool(endings) and value.shape.num_elements() == 1
    if not one and not any(value.shape.is_compatible_with(right) for right in shapes):
        raise ValueError(
            f"`{name}` should have the shape {shape}, as `y_pred` has it. Received: {value.shape}"
        )


def _rank(relevant: tf.Tensor, scores: tf.Tensor, real: tf.Tensor, k: int) -> tf.Tensor:
    """Relevance [B, min(k, C)] in the order of the scores; not relevant first among equals."""
    worst = tf.where(relevant, scores.dtype.min, scores.dtype.max)
    scores = tf.where(tf.math.is_nan(scores), worst, tf.maximum(scores, scores.dtype.min))
    scores = tf.where(real, scores, -float("inf"))
    # `top_k` puts the lower index first among equals: move what is not relevant to the front.
    front = tf.argsort(tf.cast(relevant, tf.int32), axis=1, stable=True)
    relevant = tf.gather(relevant, front, batch_dims=1)
    scores = tf.gather(scores, front, batch_dims=1)
    top = tf.math.top_k(scores, k=tf.minimum(k, tf.shape(scores)[1])).indices
    return tf.gather(relevant, top, batch_dims=1)


@keras.utils.register_keras_serializable(package="tfsessionrec")
class RecallAtK(RankingMetric):
    """Share of the relevant items that are among the first k, mean over lists.

    `recall@k = |relevant among the first k| / |relevant|`; arguments, masking and ties as
    in `RankingMetric`.

    Example: one of the two relevant items is among the first two.

    >>> metric = RecallAtK(k=2)
    >>> metric.update_state([[1, 0, 0, 1]], [[0.9, 0.8, 0.7, 0.6]])
    >>> float(metric.result())
    0.5
    """

    _prefix = "recall"

    def values(self, relevant: tf.Tensor, num_relevant: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(relevant, axis=1) / num_relevant


@keras.utils.register_keras_serializable(package="tfsessionrec")
class PrecisionAtK(RankingMetric):
    """Share of the first k places that hold a relevant item, mean over lists.

    `precision@k = |relevant among the first k| / k`, even with fewer than k items; arguments,
    masking and ties as in `RankingMetric`.

    Example: one of the first two is relevant.

    >>> metric = PrecisionAtK(k=2)
    >>> metric.update_state([[1, 0, 0, 1]], [[0.9, 0.8, 0.7, 0.6]])
    >>> float(metric.result())
    0.5
    """

    _prefix = "precision"

    def values(self, relevant: tf.Tensor, num_relevant: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(relevant, axis=1) / self.k


@keras.utils.register_keras_serializable(package="tfsessionrec")
class HitRateAtK(RankingMetric):
    """Share of the lists with a relevant item among the first k.

    `hit_rate@k = 1 if a relevant item is among the first k else 0`; arguments, masking and ties as
    in `RankingMetric`.

    Example: ties are pessimistic, so that the second list is a miss.

    >>> metric = HitRateAtK(k=1)
    >>> metric.update_state([[1, 0], [1, 0]], [[0.9, 0.8], [0.7, 0.7]])
    >>> float(metric.result())
    0.5
    """

    _prefix = "hit_rate"

    def values(self, relevant: tf.Tensor, num_relevant: tf.Tensor) -> tf.Tensor:
        return tf.reduce_max(relevant, axis=1)


@keras.utils.register_keras_serializable(package="tfsessionrec")
class MRRAtK(RankingMetric):
    """Reciprocal rank of the first relevant item, 0 if it is not among the first k.

    `mrr@k = 1 / rank of the first relevant item`, mean over lists; arguments, masking and ties as
    in `RankingMetric`.

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


@keras.utils.register_keras_serializable(package="tfsessionrec")
class NDCGAtK(RankingMetric):
    """Discounted gain of the relevant items among the first k, as a share of the best possible.

    `DCG@k = sum over relevant ranks r <= k of 1 / log2(1 + r)`, divided by the same sum for
    `r = 1 .. min(|relevant|, k)`, mean over lists. Gains are 0 or 1; arguments, masking and ties as
    in `RankingMetric`.

    Example: one relevant item at rank 3 gives 1 / log2(4).

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


@keras.utils.register_keras_serializable(package="tfsessionrec")
class MAPAtK(RankingMetric):
    """Precision at the rank of each relevant item among the first k, mean over lists.

    `AP@k = sum over relevant ranks r <= k of precision@r, divided by min(k, |relevant|)`: 1 for the
    best possible list, whatever k. Some libraries divide by `|relevant|` instead, which gives less
    if there are more than k. Arguments, masking and ties as in `RankingMetric`.

    Example: relevant items at the ranks 1 and 4 give (1/1 + 2/4) / 2.

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


@keras.utils.register_keras_serializable(package="tfsessionrec")
class RankingAUC(keras.metrics.Mean):
    """Share of the (positive, negative) pairs of each list that are in the right order.

    `AUC = mean over pairs of [s_p > s_n] + [s_p = s_n] / 2`.

    Call arguments:
        y_true: [..., I] tensor, above 0 for positives.
        y_pred: [..., I] float tensor of scores.
        sample_weight: [..., I] tensor, 0 for padding; float weights weigh the pairs, see
            `session_batch.pair_weights`. Default: everything counts.

    Example:

    >>> auc = RankingAUC()
    >>> _ = auc.update_state(tf.constant([[1.0, 0.0, 0.0]]), tf.constant([[2.0, 1.0, 3.0]]))
    >>> float(auc.result())
    0.5
    """

    def __init__(self, name: str = "ranking_auc", **kwargs: object) -> None:
        text("name", name, optional=True, empty=False)
        _check_dtype(kwargs.get("dtype"))
        super().__init__(name=name, **kwargs)

    def update_state(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: tf.Tensor | None = None
    ) -> tf.Operation | None:
        y_true, y_pred = _same_shape(y_true, y_pred, "I")
        if sample_weight is not None:
            sample_weight = _tensor("sample_weight", sample_weight, "number or boolean", "I")
            if sample_weight.shape.rank not in (None, y_pred.shape.rank or None):
                _check_shape("sample_weight", sample_weight, y_pred.shape)
        scores = tf.cast(y_pred, tf.float32)
        mask = tf.ones_like(scores, tf.bool) if sample_weight is None else sample_weight
        pairs = pair_weights(y_true, mask)
        margins = scores[..., :, tf.newaxis] - scores[..., tf.newaxis, :]
        wins = tf.cast(margins > 0, tf.float32) + 0.5 * tf.cast(margins == 0, tf.float32)
        count = tf.reduce_sum(pairs)
        mean = tf.math.divide_no_nan(tf.reduce_sum(wins * pairs), count)
        return super().update_state(mean, sample_weight=count)
