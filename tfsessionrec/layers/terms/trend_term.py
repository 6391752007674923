"""The trend's term of the candidates' scores."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Self

import tensorflow as tf

from tfsessionrec.layers.trend_features import TrendFeatures


@dataclasses.dataclass(frozen=True)
class TrendTerm:
    """The `ScoreTerm` of `TrendFeatures` for R requests; it may enter and leave a `tf.function`.

    `term[r, c] = <gates[r], f(c, times[r], last_item_ids[r])>`, f being the features of `trend`.

    Args:
        trend: Makes the features.
        gates: [R, F] float32, `trend.gates` of the query embeddings.
        times: [R] int64, unix seconds.
        last_item_ids: [R, L] integers, the newest items of the history, 0 for none.
        static_shapes: Uses operations of fixed shapes only, as XLA needs. Defaults to False.
    """

    trend: TrendFeatures
    gates: tf.Tensor
    times: tf.Tensor
    last_item_ids: tf.Tensor
    static_shapes: bool = False

    @property
    def order(self) -> tf.Tensor:
        """[R]: the times; requests of one time share their features."""
        return self.times

    def features(self, candidate_ids: tf.Tensor) -> tf.Tensor:
        """[R, F, C] for candidates [C] that all requests share, or [R, C] of each request."""
        return self.trend.features(
            self.times, self.last_item_ids, candidate_ids, self.static_shapes
        )

    def __call__(self, candidate_ids: tf.Tensor) -> tf.Tensor:
        """[R, C] terms of candidates [C] that all requests share, or [R, C] of each request."""
        features = self.features(candidate_ids)
        return tf.squeeze(tf.matmul(self.gates[:, tf.newaxis], features), axis=1)

    def gather(self, rows: tf.Tensor) -> Self:
        return self._map(lambda part: tf.gather(part, rows))

    def select(self, chosen: tf.Tensor) -> Self:
        return self._map(lambda part: tf.boolean_mask(part, chosen))

    def join(self, others: Sequence[Self]) -> Self:
        parts = zip(*(term._tensors() for term in (self, *others)), strict=True)
        return self._with(*(tf.concat(part, axis=0) for part in parts))

    def scaled(self, temperature: float) -> Self:
        return dataclasses.replace(self, gates=self.gates / temperature)

    def _tensors(self) -> tuple[tf.Tensor, ...]:
        return self.gates, self.times, self.last_item_ids

    def _with(self, gates: tf.Tensor, times: tf.Tensor, last_item_ids: tf.Tensor) -> Self:
        return dataclasses.replace(self, gates=gates, times=times, last_item_ids=last_item_ids)

    def _map(self, function: Callable[[tf.Tensor], tf.Tensor]) -> Self:
        return self._with(*map(function, self._tensors()))

    # How `tf.nest`, and with it `tf.function`, takes the term apart and makes it again.
    def __tf_flatten__(self) -> tuple[tuple[TrendFeatures, bool], tuple[tf.Tensor, ...]]:
        return (self.trend, self.static_shapes), self._tensors()

    @classmethod
    def __tf_unflatten__(
        cls, metadata: tuple[TrendFeatures, bool], components: tuple[tf.Tensor, ...]
    ) -> Self:
        trend, static_shapes = metadata
        gates, times, last_item_ids = components
        return cls(trend, gates, times, last_item_ids, static_shapes)
