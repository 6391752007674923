"""Terms of candidates' scores at the moments of some requests."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf


class CandidateTerms(NamedTuple):
    """What each of R requests adds to the scores of candidates, beside their embeddings.

    `term(r, c) = gates_r . f(c, times_r, last_item_ids_r)`, f being the features of `trend`.

    Attributes:
        trend: `TrendFeatures`.
        gates: [R, F] float32, `trend.gates` of the query embeddings.
        times: [R] int64, unix seconds.
        last_item_ids: [R, L] integers, the newest items of the history, 0 for none.
        static_shapes: Whether to keep to operations of fixed shapes, as XLA needs.
    """

    trend: Any
    gates: tf.Tensor
    times: tf.Tensor
    last_item_ids: tf.Tensor
    static_shapes: bool = False

    def select(self, chosen: tf.Tensor) -> "CandidateTerms":
        """The requests where `chosen` [R] is True."""
        return self._map(lambda part: tf.boolean_mask(part, chosen))

    def gather(self, rows: tf.Tensor) -> "CandidateTerms":
        """The requests of these numbers."""
        return self._map(lambda part: tf.gather(part, rows))

    def join(self, others: "Sequence[CandidateTerms]") -> "CandidateTerms":
        """These requests, then those of the others."""
        every = (self, *others)
        return self._replace(
            gates=tf.concat([terms.gates for terms in every], axis=0),
            times=tf.concat([terms.times for terms in every], axis=0),
            last_item_ids=tf.concat([terms.last_item_ids for terms in every], axis=0),
        )

    def features(self, candidate_ids: tf.Tensor) -> tf.Tensor:
        """[R, F, C] for candidates [C] that all share, or [R, C] of each request's own."""
        return self.trend.features(
            self.times, self.last_item_ids, candidate_ids, self.static_shapes
        )

    def __call__(self, candidate_ids: tf.Tensor) -> tf.Tensor:
        """[R, C] terms of candidates [C] that all share, or [R, C] of each request's own."""
        return apply_gates(self.gates, self.features(candidate_ids))

    def _map(self, function: Any) -> "CandidateTerms":
        return self._replace(
            gates=function(self.gates),
            times=function(self.times),
            last_item_ids=function(self.last_item_ids),
        )


def apply_gates(gates: tf.Tensor, features: tf.Tensor) -> tf.Tensor:
    """[R, F] and [R, F, C] to [R, C]."""
    return tf.squeeze(tf.matmul(gates[:, tf.newaxis], features), axis=1)
