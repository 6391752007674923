"""A term of the scores of the items of each history alone."""

import dataclasses
from collections.abc import Sequence
from typing import Self

import tensorflow as tf

from tfsessionrec.layers.terms.habit_counts import NO_ITEM
from tfsessionrec.scoring import places_among

_IDS = 2**32  # more than there are ids


@dataclasses.dataclass(frozen=True)
class HabitTerm:
    """The `StoredTerm` of `HabitFeatures` for R requests; it may enter and leave a `tf.function`.

    `term[r, c] = terms[q, u]` with q = `rows[r]`, where `item_ids[owner[q], u] = c`; 0 for all
    other candidates. The queries of a user share a row of items, and requests share queries, so
    that requests are chosen without a copy.

    Args:
        item_ids: [B, U] int32, distinct and ascending in a row, `NO_ITEM` for padding.
        owner: [Q] int32, the row of `item_ids` of each query.
        terms: [Q, U] float32.
        rows: [R] int32, the query of each request.
        static_shapes: Uses operations of fixed shapes only, as XLA needs. Defaults to False.
    """

    item_ids: tf.Tensor
    owner: tf.Tensor
    terms: tf.Tensor
    rows: tf.Tensor
    static_shapes: bool = False

    @property
    def gates(self) -> tf.Tensor:
        """Weight 1 of the one feature, which is the term itself: [R, 1]."""
        return tf.ones_like(self.rows, tf.float32)[:, tf.newaxis]

    @property
    def order(self) -> tf.Tensor:
        """[R] zeros: no requests share work."""
        return tf.zeros_like(self.rows)

    def stored(self) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.gather(self.item_ids, self._owners()), tf.gather(self.terms, self.rows)

    def features(self, candidate_ids: tf.Tensor) -> tf.Tensor:
        return self(candidate_ids)[:, tf.newaxis]

    def __call__(self, candidate_ids: tf.Tensor) -> tf.Tensor:
        if len(candidate_ids.shape) == 2:
            return self._of_own(candidate_ids)
        shape = tf.size(self.rows), tf.size(candidate_ids)
        return self.added_to(tf.zeros(shape), candidate_ids)

    def added_to(self, scores: tf.Tensor, candidate_ids: tf.Tensor) -> tf.Tensor:
        if len(candidate_ids.shape) == 2:
            return scores + self._of_own(candidate_ids)
        ids = tf.cast(candidate_ids, tf.int32)
        return tf.cond(
            tf.reduce_all(ids[1:] > ids[:-1]),
            lambda: self._scattered(scores, ids),
            lambda: self._of_any(scores, ids),
        )

    def gather(self, rows: tf.Tensor) -> Self:
        return dataclasses.replace(self, rows=tf.gather(self.rows, rows))

    def select(self, chosen: tf.Tensor) -> Self:
        return dataclasses.replace(self, rows=tf.boolean_mask(self.rows, chosen))

    def join(self, others: Sequence[Self]) -> Self:
        every = (self, *others)
        width = tf.reduce_max([tf.shape(term.terms)[1] for term in every])
        ids, owner, terms, rows = [], [], [], []
        num_owners = num_queries = tf.constant(0)
        for term in every:
            wider = [[0, 0], [0, width - tf.shape(term.terms)[1]]]
            ids.append(tf.pad(term.item_ids, wider, constant_values=NO_ITEM))
            terms.append(tf.pad(term.terms, wider))
            owner.append(term.owner + num_owners)
            rows.append(term.rows + num_queries)
            num_owners += tf.shape(term.item_ids)[0]
            num_queries += tf.shape(term.terms)[0]
        ids, owner, terms, rows = (tf.concat(part, axis=0) for part in (ids, owner, terms, rows))
        return type(self)(ids, owner, terms, rows, self.static_shapes)

    def scaled(self, temperature: float) -> Self:
        return dataclasses.replace(self, terms=self.terms / temperature)

    def _owners(self) -> tf.Tensor:
        """[R], the row of items of each request."""
        return tf.gather(self.owner, self.rows)

    def _scattered(self, scores: tf.Tensor, ascending: tf.Tensor) -> tf.Tensor:
        """Scores [R, C] with the terms added, of candidates [C] in ascending order."""
        places, found = places_among(self.item_ids, ascending)
        owners = self._owners()
        columns = tf.gather(places, owners)
        row = tf.zeros_like(columns) + tf.range(tf.size(owners))[:, tf.newaxis]
        terms = tf.where(tf.gather(found, owners), tf.gather(self.terms, self.rows), 0.0)
        return tf.tensor_scatter_nd_add(scores, tf.stack([row, columns], axis=-1), terms)

    def _of_any(self, scores: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
        """The same for candidates [C] in any order, of which one may come twice."""
        order = tf.argsort(ids, stable=True)
        ordered = tf.gather(ids, order)
        if self.static_shapes:
            found = self._scattered(tf.zeros_like(scores), ordered)
            return scores + tf.gather(found, tf.searchsorted(ordered, ids), axis=1)
        # Few candidates are in a history: each of their columns gets its term.
        first, end = (
            tf.searchsorted(ordered, tf.reshape(self.item_ids, [-1]), side=side)
            for side in ("left", "right")
        )
        shape, owners = tf.shape(self.item_ids), self._owners()
        count = tf.gather(tf.reshape(end - first, shape), owners)
        held = tf.where(count > 0)
        times = tf.gather_nd(count, held)
        cell = tf.repeat(tf.cast(held, tf.int32), times, axis=0)
        within = tf.range(tf.reduce_sum(times)) - tf.repeat(tf.cumsum(times, exclusive=True), times)
        begin = tf.gather_nd(tf.gather(tf.reshape(first, shape), owners), cell)
        column = tf.gather(order, begin + within)
        query = tf.stack([tf.gather(self.rows, cell[:, 0]), cell[:, 1]], axis=1)
        terms = tf.gather_nd(self.terms, query)
        return tf.tensor_scatter_nd_add(scores, tf.stack([cell[:, 0], column], axis=1), terms)

    def _of_own(self, candidate_ids: tf.Tensor) -> tf.Tensor:
        """[R, C] terms of candidates [R, C] of each request."""
        shape = tf.shape(self.item_ids)
        owner = tf.range(shape[0], dtype=tf.int64)[:, tf.newaxis] * _IDS
        keys = tf.reshape(tf.cast(self.item_ids, tf.int64) + owner, [-1])
        owners = tf.cast(self._owners(), tf.int64)[:, tf.newaxis] * _IDS
        places, found = places_among(tf.cast(candidate_ids, tf.int64) + owners, keys)
        rows = tf.zeros_like(places) + self.rows[:, tf.newaxis]
        terms = tf.gather_nd(self.terms, tf.stack([rows, places % shape[1]], axis=-1))
        return tf.where(found, terms, 0.0)

    # How `tf.nest`, and with it `tf.function`, takes the term apart and makes it again.
    def __tf_flatten__(self) -> tuple[tuple[bool], tuple[tf.Tensor, ...]]:
        return (self.static_shapes,), (self.item_ids, self.owner, self.terms, self.rows)

    @classmethod
    def __tf_unflatten__(cls, metadata: tuple[bool], components: tuple[tf.Tensor, ...]) -> Self:
        item_ids, owner, terms, rows = components
        return cls(item_ids, owner, terms, rows, *metadata)
