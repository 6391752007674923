"""A term of the scores of the items of each history alone."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Self

import tensorflow as tf

from tfsessionrec.layers.terms.habit_counts import NO_ITEM
from tfsessionrec.scoring import places_among


@dataclasses.dataclass(frozen=True)
class HabitTerm:
    """The `StoredTerm` of `HabitFeatures` for R requests; it may enter and leave a `tf.function`.

    `term[r, c] = terms[r, u]` where `item_ids[r, u] = c`, 0 for all other candidates.

    Args:
        item_ids: [R, U] int32, distinct and ascending, `NO_ITEM` for padding.
        terms: [R, U] float32.
    """

    item_ids: tf.Tensor
    terms: tf.Tensor

    @property
    def gates(self) -> tf.Tensor:
        """Weight 1 of the one feature, which is the term itself: [R, 1]."""
        return tf.ones_like(self.terms[:, :1])

    @property
    def order(self) -> tf.Tensor:
        """[R] zeros: no requests share work."""
        return tf.zeros_like(self.item_ids[:, 0])

    def stored(self) -> tuple[tf.Tensor, tf.Tensor]:
        return self.item_ids, self.terms

    def features(self, candidate_ids: tf.Tensor) -> tf.Tensor:
        return self(candidate_ids)[:, tf.newaxis]

    def __call__(self, candidate_ids: tf.Tensor) -> tf.Tensor:
        if len(candidate_ids.shape) == 2:
            return self._of_own(candidate_ids)
        shape = tf.shape(self.item_ids)[0], tf.size(candidate_ids)
        return self.added_to(tf.zeros(shape), candidate_ids)

    def added_to(self, scores: tf.Tensor, candidate_ids: tf.Tensor) -> tf.Tensor:
        if len(candidate_ids.shape) == 2:
            return scores + self._of_own(candidate_ids)
        ids = tf.cast(candidate_ids, tf.int32)

        def of_any() -> tf.Tensor:
            # Drawn candidates: in any order, one may be drawn twice.
            ordered = tf.sort(ids)
            found = self._scattered(tf.zeros_like(scores), ordered)
            return scores + tf.gather(found, tf.searchsorted(ordered, ids), axis=1)

        return tf.cond(
            tf.reduce_all(ids[1:] > ids[:-1]), lambda: self._scattered(scores, ids), of_any
        )

    def gather(self, rows: tf.Tensor) -> Self:
        return self._map(lambda part: tf.gather(part, rows))

    def select(self, chosen: tf.Tensor) -> Self:
        return self._map(lambda part: tf.boolean_mask(part, chosen))

    def join(self, others: Sequence[Self]) -> Self:
        every = (self, *others)
        width = tf.reduce_max([tf.shape(term.item_ids)[1] for term in every])
        wide = [[[0, 0], [0, width - tf.shape(term.item_ids)[1]]] for term in every]
        ids = [
            tf.pad(term.item_ids, more, constant_values=NO_ITEM)
            for term, more in zip(every, wide, strict=True)
        ]
        terms = [tf.pad(term.terms, more) for term, more in zip(every, wide, strict=True)]
        return dataclasses.replace(
            self, item_ids=tf.concat(ids, axis=0), terms=tf.concat(terms, axis=0)
        )

    def scaled(self, temperature: float) -> Self:
        return dataclasses.replace(self, terms=self.terms / temperature)

    def _scattered(self, scores: tf.Tensor, ascending: tf.Tensor) -> tf.Tensor:
        """Scores [R, C] with the terms added, of candidates [C] in ascending order."""
        places, found = places_among(self.item_ids, ascending)
        row = tf.zeros_like(places) + tf.range(tf.shape(places)[0])[:, tf.newaxis]
        where = tf.stack([row, places], axis=-1)
        return tf.tensor_scatter_nd_add(scores, where, tf.where(found, self.terms, 0.0))

    def _of_own(self, candidate_ids: tf.Tensor) -> tf.Tensor:
        """[R, C] terms of candidates [R, C] of each request."""
        ids = tf.cast(candidate_ids, tf.int32)
        place = tf.minimum(tf.searchsorted(self.item_ids, ids), tf.shape(self.item_ids)[1] - 1)
        found = tf.gather(self.item_ids, place, batch_dims=1) == ids
        return tf.where(found, tf.gather(self.terms, place, batch_dims=1), 0.0)

    def _map(self, function: Callable[[tf.Tensor], tf.Tensor]) -> Self:
        return dataclasses.replace(
            self, item_ids=function(self.item_ids), terms=function(self.terms)
        )

    # How `tf.nest`, and with it `tf.function`, takes the term apart and makes it again.
    def __tf_flatten__(self) -> tuple[tuple[()], tuple[tf.Tensor, ...]]:
        return (), (self.item_ids, self.terms)

    @classmethod
    def __tf_unflatten__(cls, metadata: tuple[()], components: tuple[tf.Tensor, ...]) -> Self:
        return cls(*components)
