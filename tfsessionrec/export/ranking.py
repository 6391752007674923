"""The best items for each request: top k, rules, cap, diversity, popularity as the fallback."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfsessionrec import rules
from tfsessionrec.checks import choice, positive_integer
from tfsessionrec.export.candidate_table import DTYPES, CandidateTable, rows_of, untrained
from tfsessionrec.export.contract import NO_SCORE
from tfsessionrec.export.item_attributes import ItemTables
from tfsessionrec.export.live_files import AvailabilityFile
from tfsessionrec.export.request import IdTables
from tfsessionrec.scoring import Queries, popularity_scores, unit_length

if TYPE_CHECKING:
    from tfsessionrec.data import Vocabulary

SIMILARITIES = ("cosine", "dot")

# Diversity chooses a row's k items among this many times k, but not among more than so many.
SHORT_LIST, LONGEST_SHORT_LIST = 5, 1000

Scored: TypeAlias = tuple[tf.Tensor, tf.Tensor]  # scores and rows of items, each [B, n]


@dataclasses.dataclass(frozen=True)
class CandidateOptions:
    """How an export stores and compares candidate embeddings.

    Args:
        dtype: `"float32"` (default), `"bfloat16"` or `"int8"`, see `CandidateTable`.
        chunk_size: How many candidates are scored at a time, see `CandidateTable`. Defaults to
            None.
        similarity: How `similar_items` compares embeddings: `"cosine"` (default) or `"dot"`.

    Raises:
        ValueError: If `dtype` or `similarity` is none of these, or `chunk_size` not positive.
    """

    dtype: str = "float32"
    chunk_size: int | None = None
    similarity: str = "cosine"

    def __post_init__(self) -> None:
        choice("dtype", self.dtype, DTYPES)
        if self.chunk_size is not None:
            positive_integer("chunk_size", self.chunk_size)
        if not isinstance(self.similarity, str) or self.similarity not in SIMILARITIES:
            raise ValueError(
                f"`similarity` should be one of {SIMILARITIES}. Received: "
                f"`similarity`={self.similarity!r}"
            )


class Asked(NamedTuple):
    """What scores the items for B requests.

    Attributes:
        embeddings: float32 [B, N, D]; zeros where popularity decides.
        known: bool [B], False where popularity decides.
        terms: float32 [B, C], added to the scores of all items; None for none.
    """

    embeddings: tf.Tensor
    known: tf.Tensor
    terms: tf.Tensor | None


class Ranking(tf.Module):
    """Ranks all items, or some, for each request.

    Args:
        embeddings: float32 [C, D], the candidates.
        vocabulary: Their ids and counts.
        ids: Their tables of ids.
        items: Their attributes.
        options: How they are stored and compared.
        availability: Names items that are never recommended. Defaults to None: all are available.
    """

    def __init__(
        self,
        embeddings: NDArray[np.float32],
        vocabulary: "Vocabulary",
        ids: IdTables,
        items: ItemTables,
        options: CandidateOptions,
        availability: AvailabilityFile | None = None,
    ) -> None:
        super().__init__(name="ranking")
        self._ids = ids
        self._items = items
        self._availability = availability
        self._candidates = CandidateTable(
            embeddings, dtype=options.dtype, chunk_size=options.chunk_size
        )
        self._inverse_lengths: tf.Variable | None = None
        if options.similarity == "cosine":
            # Without a float64 copy of all: of 10^7 items it is 5 GB.
            length = np.sqrt(np.einsum("cd,cd->c", embeddings, embeddings, dtype=np.float64))
            inverse = np.divide(1, length, out=np.zeros_like(length), where=length > 0)
            self._inverse_lengths = untrained(inverse.astype(np.float32), "inverse_lengths")
        counts = vocabulary.counts[vocabulary.first_item_index :]
        self._popularity = untrained(popularity_scores(counts), "popularity")

    def recommend(self, asked: Asked, k: tf.Tensor) -> dict[str, tf.Tensor]:
        """The best k [B] items of each row: `item_ids` and `scores` [B, K]."""
        best = self._best(asked, None)
        return self._answer(*best(self._columns(k)), k)

    def recommend_filtered(
        self, asked: Asked, k: tf.Tensor, inputs: Mapping[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        """The best k [B] items that the rules of each row allow: `item_ids` and `scores` [B, K].

        Args:
            asked: The requests.
            k: int32 [B].
            inputs: All inputs of `recommend_filtered`.
        """
        best = self._best(asked, _Rules(self._ids, self._items, inputs))
        diversity, num_items = inputs["diversity"], self._ids.num_items
        wanted = tf.clip_by_value(k, 0, num_items)
        short = tf.clip_by_value(wanted, 0, LONGEST_SHORT_LIST) * SHORT_LIST
        short = tf.maximum(wanted, tf.minimum(short, LONGEST_SHORT_LIST))
        short = tf.where(diversity > 0, tf.minimum(short, num_items), wanted)
        depth = _largest(short)
        if "max_per_category" in inputs:
            limit = inputs["max_per_category"]
            scores, rows = tf.cond(
                tf.reduce_any(limit > 0),
                lambda: self._capped(best, short, limit),
                lambda: best(depth),
            )
        else:
            scores, rows = best(depth)

        def varied() -> Scored:
            count = tf.reduce_sum(tf.cast(scores > NO_SCORE, tf.int32), axis=1)
            order = rules.maximal_marginal_relevance(
                scores, self._candidates.gather(rows), diversity, wanted, tf.minimum(short, count)
            )
            return tf.gather(scores, order, batch_dims=1), tf.gather(rows, order, batch_dims=1)

        scores, rows = tf.cond(tf.reduce_any(diversity > 0), varied, lambda: (scores, rows))
        columns = _largest(wanted)
        return self._answer(scores[:, :columns], rows[:, :columns], k)

    def similar(self, item_ids: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        """The k [B] items most similar to items [B]: `item_ids`, `scores` [B, K], `known` [B]."""
        row = self._ids.rows(item_ids)
        known = row >= 0
        query = self._candidates.gather(tf.maximum(row, 0)[:, tf.newaxis])
        if self._inverse_lengths is not None:
            query = unit_length(query)
        other = known[:, tf.newaxis] & rules.exclude(row[:, tf.newaxis], self._ids.num_items)
        if self._availability is not None:
            unavailable = self._availability.unavailable()[tf.newaxis]
            other &= rules.exclude(unavailable, self._ids.num_items)
        scores, rows = self._candidates.top_k(
            query, self._columns(k), weights=self._inverse_lengths, allowed=other
        )
        return {**self._answer(scores, rows, k), "known": known}

    def rank(self, asked: Asked, candidate_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        """Scores of candidates [B, C], in their order: `scores` and `known` [B, C]."""
        rows = self._ids.rows(candidate_ids)
        known = rows >= 0
        rows = tf.maximum(rows, 0)
        queries = Queries(asked.embeddings, known=asked.known)
        scores = queries.score_own(self._candidates.gather(rows), rows)
        if asked.terms is not None:
            scores += tf.gather(asked.terms, rows, batch_dims=1)
        scores = queries.unknown_by_popularity(scores, rows_of(self._popularity, rows))
        return {"scores": tf.where(known, scores, NO_SCORE), "known": known}

    def _best(self, asked: Asked, row_rules: "_Rules | None") -> Callable[[tf.Tensor], Scored]:
        """A function that gives the best of all items, as many as it is asked for.

        Items that may not be recommended have the lowest float32 as their score.
        """
        embeddings, known, terms = asked
        unavailable = None if self._availability is None else self._availability.unavailable()

        def plain(depth: tf.Tensor) -> Scored:
            scores, rows = self._candidates.top_k(embeddings, depth, bonus=terms)
            # The vocabulary is in order of popularity.
            rows = tf.where(known[:, tf.newaxis], rows, tf.range(depth))
            return tf.where(known[:, tf.newaxis], scores, self._popularity[:depth]), rows

        def by_rules(depth: tf.Tensor) -> Scored:
            # Where nothing is known the query is zeros.
            bonus = 0.0 if terms is None else terms
            bonus = tf.where(known[:, tf.newaxis], bonus, self._popularity)
            allowed = tf.fill(tf.shape(bonus), True)
            if row_rules is not None:
                bonus = row_rules.with_freshness(bonus)
                allowed = row_rules.allowed()
            if unavailable is not None:
                allowed &= rules.exclude(unavailable[tf.newaxis], self._ids.num_items)
            return self._candidates.top_k(embeddings, depth, bonus=bonus, allowed=allowed)

        used = None if row_rules is None else row_rules.used
        if unavailable is not None:
            some = tf.size(unavailable) > 0
            used = some if used is None else used | some
        if used is None:
            return plain
        # Without a rule in the batch, rules cost nothing.
        return lambda depth: tf.cond(used, lambda: by_rules(depth), lambda: plain(depth))

    def _capped(
        self, best: Callable[[tf.Tensor], Scored], wanted: tf.Tensor, limit: tf.Tensor
    ) -> Scored:
        """The best items with at most `limit` [B] of a category: [B, max(wanted)].

        Looks as deep as needed for `wanted` [B] items of each row.
        """
        columns, num_items = _largest(wanted), self._ids.num_items

        def look(
            depth: tf.Tensor, scores: tf.Tensor, rows: tf.Tensor, done: tf.Tensor
        ) -> tuple[tf.Tensor, ...]:
            scores, rows = best(depth)
            real = scores > NO_SCORE
            categories = tf.where(real, self._items.categories_of(rows), -1)
            keep = real & rules.category_cap(categories, limit)
            order = tf.argsort(tf.cast(~keep, tf.int32), axis=1, stable=True)[:, :columns]
            scores = tf.gather(tf.where(keep, scores, NO_SCORE), order, batch_dims=1)
            rows = tf.gather(rows, order, batch_dims=1)
            enough = tf.reduce_sum(tf.cast(keep, tf.int32), axis=1) >= wanted
            exhausted = tf.reduce_any(~real, axis=1) | (depth >= num_items)
            deeper = tf.where(depth > num_items // 4, num_items, 4 * depth)
            return deeper, scores, rows, tf.reduce_all(enough | exhausted | (limit <= 0))

        nothing = tf.zeros([tf.shape(wanted)[0], 0])
        scalar, matrix = tf.TensorShape([]), tf.TensorShape([None, None])
        _, scores, rows, _ = tf.while_loop(
            lambda *state: ~state[-1],
            look,
            (columns, nothing, tf.cast(nothing, tf.int32), tf.constant(False)),
            shape_invariants=(scalar, matrix, matrix, scalar),
        )
        return scores, rows

    def _columns(self, k: tf.Tensor) -> tf.Tensor:
        return tf.clip_by_value(tf.reduce_max(k), 0, self._ids.num_items)

    def _answer(self, scores: tf.Tensor, rows: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        """Raw ids and scores, padded beyond each row's own k and where no item is left."""
        real = tf.range(tf.shape(rows)[1]) < k[:, tf.newaxis]
        real &= scores > NO_SCORE
        return {
            "item_ids": tf.where(real, self._ids.raw(rows), self._ids.padding),
            "scores": tf.where(real, scores, NO_SCORE),
        }


class _Rules:
    """The rules of the rows of a batch, in the graph.

    Args:
        ids: The tables of ids.
        items: The attributes of items.
        inputs: All inputs of `recommend_filtered`.
    """

    def __init__(self, ids: IdTables, items: ItemTables, inputs: Mapping[str, tf.Tensor]) -> None:
        self._ids, self._items, self._inputs = ids, items, inputs
        excluded = inputs["exclude_ids"]
        self._excluded = tf.where(excluded == ids.padding, -1, ids.rows(excluded))
        self._is_listed = inputs["allow_ids"] != ids.padding
        self._some_listed = tf.reduce_any(self._is_listed)
        self._tagged = tf.reduce_any(inputs.get("tag_mask", tf.zeros([0])) != 0)
        self._fresh = tf.reduce_any(inputs.get("freshness", tf.zeros([0])) != 0)

    @property
    def used(self) -> tf.Tensor:
        """Whether a row of the batch has a rule."""
        listed = tf.reduce_any(self._excluded >= 0) | self._some_listed
        return listed | tf.reduce_any(self._inputs["exclude_seen"]) | self._tagged | self._fresh

    def allowed(self) -> tf.Tensor:
        """Bool [B, C], the items that the rules allow."""
        inputs, num_items = self._inputs, self._ids.num_items
        seen = inputs["exclude_seen"][:, tf.newaxis] & (inputs["session_index"] >= 0)
        seen = tf.where(seen, self._ids.rows(inputs["item_ids"]), -1)
        mask = rules.exclude(tf.concat([self._excluded, seen], axis=1), num_items)

        def only_listed() -> tf.Tensor:
            rows = tf.where(self._is_listed, self._ids.rows(inputs["allow_ids"]), -1)
            return mask & rules.allow_only(rows, self._is_listed, num_items)

        allowed = tf.cond(self._some_listed, only_listed, lambda: mask)
        if "tag_mask" not in inputs:
            return allowed
        has_tags = self._items.has_tags
        return tf.cond(
            self._tagged, lambda: allowed & has_tags(inputs["tag_mask"]), lambda: allowed
        )

    def with_freshness(self, bonus: tf.Tensor) -> tf.Tensor:
        """A bonus [B, C] with that of freshness."""
        inputs, of_items = self._inputs, self._items.freshness_bonus
        if "freshness" not in inputs:
            return bonus
        times = inputs["request_times"], inputs["freshness"]
        return tf.cond(self._fresh, lambda: bonus + of_items(*times), lambda: bonus)


def _largest(numbers: tf.Tensor) -> tf.Tensor:
    """The largest of numbers that are not negative; 0 of none."""
    return tf.reduce_max(tf.concat([numbers, [0]], axis=0))
