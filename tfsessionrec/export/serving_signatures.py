"""What a served model answers, as TensorFlow functions."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from tfsessionrec import rules
from tfsessionrec.export.availability_file import file_fingerprint, read_availability_file
from tfsessionrec.export.candidate_table import CandidateTable, rows_of
from tfsessionrec.export.item_values import ItemValues, category_values, integer_values
from tfsessionrec.export.session_features import session_features
from tfsessionrec.export.trend_file import ServedTrend, read_trend_file, trend_terms
from tfsessionrec.masking import item_mask, last_items, session_mask
from tfsessionrec.rules import NO_TIME
from tfsessionrec.scoring import score_given, unit_length

if TYPE_CHECKING:
    from tfsessionrec.data import Vocabulary

# Names and sizes of everything that goes in and out. B requests, N items of history, C
# candidates, X and A items of a list, K recommendations, D embedding dimension. Where a query has
# interests, M of them, `encode` answers [B, M, D].
INPUTS: dict[str, tuple[str, ...]] = {
    "item_ids": ("B", "N"),
    "session_index": ("B", "N"),
    "labels": ("B", "N"),
    "timestamps": ("B", "N"),
    "interaction_types": ("B", "N"),
    "k": ("B",),
    "candidate_ids": ("B", "C"),
    "position": ("B", "N"),
    "request_times": ("B",),
    "exclude_ids": ("B", "X"),
    "allow_ids": ("B", "A"),
    "exclude_seen": ("B",),
    "diversity": ("B",),
    "tag_mask": ("B",),
    "freshness": ("B",),
    "max_per_category": ("B",),
}
CANDIDATE = "candidate_"  # before the name of a column of the candidates
SIGNATURES: dict[str, tuple[tuple[str, ...], dict[str, tuple[str, ...]]]] = {
    "recommend": (("k",), {"item_ids": ("B", "K"), "scores": ("B", "K")}),
    "recommend_filtered": (
        ("k", "exclude_ids", "allow_ids", "exclude_seen", "diversity"),
        {"item_ids": ("B", "K"), "scores": ("B", "K")},
    ),
    "rank": (("candidate_ids",), {"scores": ("B", "C"), "known": ("B", "C")}),
    "encode": ((), {"query_embeddings": ("B", "D")}),
    "similar_items": (
        ("k",),
        {"item_ids": ("B", "K"), "scores": ("B", "K"), "known": ("B",)},
    ),
}
SIMILARITIES = ("cosine", "dot")

UNKNOWN_INDEX = 1  # the first out-of-vocabulary bucket
NO_SCORE = float(tf.float32.min)  # finite, so that JSON can carry it

# Diversity chooses a row's k items among this many times k, but not among more than so many.
SHORT_LIST, LONGEST_SHORT_LIST = 5, 1000


def input_shape(name: str, signature: str = "recommend") -> tuple[str, ...]:
    """Sizes of an input by their letters; a context feature is one value an item."""
    if signature == "similar_items":
        return ("B",)
    if name.startswith(CANDIDATE):
        return ("B", "C")
    return INPUTS.get(name, ("B", "N"))


class ServingSignatures(tf.Module):
    """The signatures of a model: what a server answers, in functions of tensors alone.

    `recommend`, `recommend_filtered` (with business rules), `rank`, `encode` and `similar_items`.

    It stands apart from the model, so that an export holds these functions, the tables of ids,
    the candidate embeddings (computed once, here) and the variables the encoder reads; no
    optimizer, no losses, nothing of Keras.

    Every input is dense and has the batch as its first dimension; the client pads. A history is
    `item_ids` [B, N] raw ids, oldest first, and `session_index` int32 [B, N], which session each
    belongs to; -1 is padding, and so is an id of "". A new session begins wherever the number
    changes. Of each item there is also, where the model reads it, and only there:

    - `labels` float32 [B, N], with `include_labels`: 1 taken, 0 shown but not taken;
    - `timestamps` int64 [B, N], unix seconds: a session begins at that of its first item;
    - `interaction_types` [B, N], raw;
    - one input [B, N] for each of `session_context`, raw; a session takes its first item's.

    A model with a `relation` ranks candidates as what one more session shows, in the order given.
    `rank` then also takes `labels`, `timestamps`, `position` int32 [B, N] (above 0 where an item of
    the history was one of a shown list), `request_times` int64 [B] and a `candidate_` float32
    [B, C] for each numeric column; unknown candidates have scores of their own, as in training, and
    popularity has no say.

    A model with a `trend` adds its terms from a file among the assets, which each request reads
    anew: whoever replaces it tells the model what is clicked now (`write_trend_file`). Without the
    file the terms are 0, and popularity decides for a history without one known item; with it, the
    terms alone do.

    `recommend_filtered` takes further inputs, each [B]: `tag_mask` int64 with `item_tags`,
    `max_per_category` int32 with `item_categories`, `freshness` float32 and `request_times` int64
    with `item_times`. No row of a batch changes the answer to another.

    With an `availability_file` the items it names are never recommended, by whatever signature;
    each request reads it anew (`write_availability_file`). `rank` scores what it is given.

    An unknown item has the index of the first out-of-vocabulary bucket, 1. A history without one
    known item has zeros for its embedding, and popularity decides:
    `score(item) = log((count + 1) / sum(count + 1))`.

    Args:
        model: Any object with `encode(features)` → [B, D] and `candidate_embeddings()` →
            [vocabulary_size, D]. `encode` may give [B, M, D], M interests a query: an item's score
            is then that of the best one.
        vocabulary: The `Vocabulary` the model was trained with.
        vocabulary_file: Text file of the vocabulary's raw ids, one a line; it becomes an asset.
        max_sessions: Newest sessions of a history that are read. Defaults to 50.
        max_items: Newest items of each session that are read. Defaults to 20.
        next_item: Whether each item is a session of its own, whatever `session_index` says; for
            models trained on `flatten_sessions`. `max_items` is 1 then. Defaults to False.
        whole_history: Whether all items are one session, whatever `session_index` says; for models
            trained on `merge_sessions`. Defaults to False.
        include_labels: Whether the signatures take `labels`. Defaults to False.
        include_times: Whether they take `timestamps`. Defaults to None: if `model.encode` reads
            `session_times` or `item_times`.
        interaction_types: The types in the order of training, the first becoming 1. Defaults to
            None: the signatures take none.
        session_context: Context features of sessions: to each name its categories in the order of
            training, or None for a number. Defaults to none.
        trend_file: The trend table of a model with a `trend`; it becomes an asset.
        availability_file: What `write_availability_file` wrote beside `vocabulary_file`; it becomes
            an asset. Defaults to None: all items are always to be had.
        item_tags: A bit for each of up to 64 tags: a map from raw ids or one integer an item, in
            the order of the vocabulary. Defaults to None: `recommend_filtered` knows no tags.
        item_categories: The category of each item, likewise; None for none. Defaults to None.
        item_times: Unix seconds of each item, likewise; None for unknown. Defaults to None.
        freshness_half_life: Seconds in which the bonus of a new item halves. Defaults to 7 days.
        similarity: What `similar_items` compares embeddings by, "cosine" or "dot". Defaults to
            "cosine".
        candidate_dtype: How the candidate embeddings are kept, see `CandidateTable`. Defaults to
            "float32".
        chunk_size: How many candidates are scored at a time, see `CandidateTable`. Defaults to
            None.

    Raises:
        ValueError: If the model does not take a history of full size, embeddings are not finite
            numbers of the shapes above, categories or names occur twice, or another argument is not
            what it should be.
    """

    def __init__(
        self,
        model: Any,
        vocabulary: "Vocabulary",
        vocabulary_file: str | os.PathLike[str],
        *,
        max_sessions: int = 50,
        max_items: int = 20,
        next_item: bool = False,
        whole_history: bool = False,
        include_labels: bool = False,
        include_times: bool | None = None,
        interaction_types: Sequence[str | int] | None = None,
        session_context: Mapping[str, Sequence[str | int] | None] | None = None,
        trend_file: str | os.PathLike[str] | None = None,
        availability_file: str | os.PathLike[str] | None = None,
        item_tags: ItemValues | None = None,
        item_categories: ItemValues | None = None,
        item_times: ItemValues | None = None,
        freshness_half_life: float = 7 * 86_400,
        similarity: str = "cosine",
        candidate_dtype: str = "float32",
        chunk_size: int | None = None,
    ) -> None:
        super().__init__(name="serving_signatures")
        self.max_sessions = max_sessions
        self.max_items = 1 if next_item else max_items
        self.next_item = next_item
        self.whole_history = whole_history
        self.include_labels = include_labels
        self.num_items = vocabulary.num_items
        self.id_dtype = tf.as_dtype(vocabulary.dtype)
        self._first_item_index = vocabulary.first_item_index
        self.padding_id = "" if self.id_dtype == tf.string else -1
        # A function, not an attribute: what a module holds as one is saved with it.
        self._model = lambda: model

        self.categories: dict[str, list[str | int]] = {}
        self._category_index: dict[str, tf.lookup.StaticHashTable] = {}
        self.session_context = tuple(session_context or ())
        for name in self.session_context:
            if name in (*INPUTS, "session_times", "item_times"):
                raise ValueError(
                    "`session_context` may not be called as another input. Received: "
                    f"`session_context` with {name!r}"
                )
        # What a request says of each item of a history.
        self.item_inputs: dict[str, tf.DType] = {"labels": tf.float32} if include_labels else {}
        if interaction_types is not None:
            self._add_categories("interaction_types", interaction_types)
        for name, values in (session_context or {}).items():
            if values is None:
                self.item_inputs[name] = tf.float32
            else:
                self._add_categories(name, values)
        self.include_times = False
        if include_times or (include_times is None and self._reads_times()):
            self.include_times = True
            self.item_inputs["timestamps"] = tf.int64

        relation = getattr(model, "relation", None)
        self.has_relation = relation is not None
        self.rank_inputs: dict[str, tf.DType] = {}
        if relation is not None:
            per_item = {"labels": tf.float32, "timestamps": tf.int64, "position": tf.int32}
            self.rank_inputs = {
                **{name: dtype for name, dtype in per_item.items() if name not in self.item_inputs},
                "request_times": tf.int64,
                **{f"{CANDIDATE}{name}": tf.float32 for name in relation.numeric},
            }

        self.has_trend = getattr(model, "trend", None) is not None
        if self.has_trend:
            if trend_file is None:
                raise ValueError("`trend_file` should be given for a model with a trend")
            self._trend_file = tf.saved_model.Asset(os.fspath(trend_file))

        if similarity not in SIMILARITIES:
            raise ValueError(
                f"`similarity` should be one of {SIMILARITIES}. Received: "
                f"`similarity`={similarity!r}"
            )
        if not 0 < freshness_half_life < float("inf"):
            raise ValueError(
                "`freshness_half_life` should be a positive number of seconds. Received: "
                f"`freshness_half_life`={freshness_half_life!r}"
            )
        self.similarity = similarity
        self.candidate_dtype = candidate_dtype
        self.freshness_half_life = float(freshness_half_life)
        # What `recommend_filtered` takes where the export knows its items so well.
        self.rule_inputs: dict[str, tf.DType] = {}
        if item_tags is not None:
            tags = integer_values("item_tags", item_tags, vocabulary, missing=0)
            self._item_tags = _constant(tags, "item_tags")
            self.rule_inputs["tag_mask"] = tf.int64
        if item_categories is not None:
            numbers = category_values("item_categories", item_categories, vocabulary)
            self._item_categories = _constant(numbers, "item_categories")
            self.rule_inputs["max_per_category"] = tf.int32
        if item_times is not None:
            times = integer_values("item_times", item_times, vocabulary, missing=NO_TIME)
            self._item_times = _constant(times, "item_times")
            self.rule_inputs["freshness"] = tf.float32
            self.rule_inputs["request_times"] = tf.int64
        self.has_availability = availability_file is not None
        if availability_file is not None:
            self._availability_file = tf.saved_model.Asset(os.fspath(availability_file))
            self._vocabulary_fingerprint = file_fingerprint(vocabulary_file)

        candidates = self._checked_candidates(len(vocabulary))[self._first_item_index :]
        self._candidates = CandidateTable(candidates, dtype=candidate_dtype, chunk_size=chunk_size)
        if similarity == "cosine":
            # Without a float64 copy of all: of 10^7 items it is 5 GB.
            length = np.sqrt(np.einsum("cd,cd->c", candidates, candidates, dtype=np.float64))
            inverse = np.divide(1, length, out=np.zeros_like(length), where=length > 0)
            self._inverse_lengths = _constant(inverse.astype(np.float32), "inverse_lengths")
        count = np.asarray(vocabulary.counts, np.float64)[self._first_item_index :] + 1
        self._popularity = _constant(np.log(count / count.sum()).astype(np.float32), "popularity")

        line, whole = tf.lookup.TextFileIndex.LINE_NUMBER, tf.lookup.TextFileIndex.WHOLE_LINE
        file, size = os.fspath(vocabulary_file), self.num_items
        self._row_of_id = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(
                file, self.id_dtype, whole, tf.int64, line, vocab_size=size
            ),
            default_value=-1,
        )
        self._id_of_row = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(
                file, tf.int64, line, self.id_dtype, whole, vocab_size=size
            ),
            default_value=self.padding_id,
        )

    def recommend(
        self,
        item_ids: tf.Tensor,
        session_index: tf.Tensor,
        k: tf.Tensor,
        **item_inputs: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """The k items with the highest scores, out of all items; exact.

        Args:
            item_ids: [B, N] raw ids, oldest first.
            session_index: int32 [B, N].
            k: int32 [B], how many items each row asks for.
            **item_inputs: [B, N], what else the model reads.

        Returns:
            `item_ids` [B, K] raw ids and `scores` float32 [B, K], highest first (of equal scores,
            the item that comes first in the vocabulary), with K = min(max(k), number of items).
            Beyond a row's own k, the id is "" or -1 and the score the lowest float32; a row
            whose k is not positive gets nothing else.
        """
        query, known, features = self._query(item_ids, session_index, item_inputs)
        self._check_rows(item_ids, k=k)
        terms, known = self._told(query, known, features)
        best = self._best(query, known, terms, self._unavailable())
        return self._answer(*best(tf.clip_by_value(tf.reduce_max(k), 0, self.num_items)), k)

    def recommend_filtered(
        self,
        item_ids: tf.Tensor,
        session_index: tf.Tensor,
        k: tf.Tensor,
        exclude_ids: tf.Tensor,
        allow_ids: tf.Tensor,
        exclude_seen: tf.Tensor,
        diversity: tf.Tensor,
        **more: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """The k items with the highest scores out of those that the rules of each row leave.

        Rules are hard: what they forbid is not in the answer, even if that is then shorter. The
        order: masks; freshness, part of the scores from there on; the cap per category, which
        keeps the best of each; diversity, which chooses the k among the first
        `min(5 k, 1000)` of what is left (and no fewer than k) and orders them.

        Args:
            item_ids: [B, N] raw ids, oldest first.
            session_index: int32 [B, N].
            k: int32 [B], how many items each row asks for.
            exclude_ids: [B, X] raw ids that must not be recommended, padded with "" or -1.
            allow_ids: [B, A] raw ids, the only ones that may be, padded; a row of padding alone
                allows all.
            exclude_seen: bool [B], whether no item of the history may be recommended, however far
                back, shown or taken.
            diversity: float32 [B], see `rules.maximal_marginal_relevance`; 0 for none.
            **more: [B, N], what else the model reads; and where the export knows the items'

                - tags: `tag_mask` int64 [B], see `rules.has_tags`; 0 allows all;
                - times: `freshness` float32 [B], see `rules.freshness_bonus`, 0 for none, and
                  `request_times` int64 [B];
                - categories: `max_per_category` int32 [B], 0 for no limit.

        Returns:
            `item_ids` [B, K] and `scores` float32 [B, K] as `recommend` gives them, in the order
            of diversity where that is asked for. Scores include the bonus of freshness.
        """
        given = {name: more.pop(name) for name in self.rule_inputs}
        query, known, features = self._query(item_ids, session_index, more)
        given |= {"exclude_seen": exclude_seen, "diversity": diversity}
        self._check_rows(item_ids, k=k, exclude_ids=exclude_ids, allow_ids=allow_ids, **given)
        terms, known = self._told(query, known, features)

        is_listed = allow_ids != self._padding
        excluded = tf.where(
            exclude_ids == self._padding, -1, tf.cast(self._row_of_id.lookup(exclude_ids), tf.int32)
        )
        some_listed = tf.reduce_any(is_listed)
        ruled = tf.reduce_any(excluded >= 0) | some_listed | tf.reduce_any(exclude_seen)
        # Rules that no row has cost nothing.
        tagged = tf.reduce_any(given.get("tag_mask", tf.zeros([0])) != 0)
        fresh = tf.reduce_any(given.get("freshness", tf.zeros([0])) != 0)
        ruled |= tagged | fresh

        def allowed() -> tf.Tensor:
            seen = exclude_seen[:, tf.newaxis] & (session_index >= 0)
            seen = tf.where(seen, tf.cast(self._row_of_id.lookup(item_ids), tf.int32), -1)
            mask = rules.exclude(tf.concat([excluded, seen], axis=1), self.num_items)

            def only_listed() -> tf.Tensor:
                rows = tf.where(is_listed, self._row_of_id.lookup(allow_ids), -1)
                return mask & rules.allow_only(rows, is_listed, self.num_items)

            mask = tf.cond(some_listed, only_listed, lambda: mask)
            if "tag_mask" not in given:
                return mask
            tags = self._item_tags, given["tag_mask"]
            return tf.cond(tagged, lambda: mask & rules.has_tags(*tags), lambda: mask)

        def with_bonus(terms: tf.Tensor) -> tf.Tensor:
            if "freshness" not in given:
                return terms
            times = self._item_times, given["request_times"], given["freshness"]
            half_life = self.freshness_half_life
            return tf.cond(
                fresh, lambda: terms + rules.freshness_bonus(*times, half_life), lambda: terms
            )

        best = self._best(query, known, terms, self._unavailable(), ruled, allowed, with_bonus)
        asked = tf.clip_by_value(k, 0, self.num_items)
        short = tf.clip_by_value(asked, 0, LONGEST_SHORT_LIST) * SHORT_LIST
        short = tf.maximum(asked, tf.minimum(short, LONGEST_SHORT_LIST))
        short = tf.where(diversity > 0, tf.minimum(short, self.num_items), asked)
        depth = _largest(short)
        if "max_per_category" in given:
            limit = given["max_per_category"]
            scores, rows = tf.cond(
                tf.reduce_any(limit > 0),
                lambda: self._capped(best, short, limit),
                lambda: best(depth),
            )
        else:
            scores, rows = best(depth)

        def varied() -> tuple[tf.Tensor, tf.Tensor]:
            count = tf.reduce_sum(tf.cast(scores > NO_SCORE, tf.int32), axis=1)
            order = rules.maximal_marginal_relevance(
                scores, self._candidates.gather(rows), diversity, asked, tf.minimum(short, count)
            )
            return tf.gather(scores, order, batch_dims=1), tf.gather(rows, order, batch_dims=1)

        scores, rows = tf.cond(tf.reduce_any(diversity > 0), varied, lambda: (scores, rows))
        columns = _largest(asked)
        return self._answer(scores[:, :columns], rows[:, :columns], k)

    def similar_items(self, item_ids: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        """The k items most similar to an item, by the cosine or product of their embeddings.

        Args:
            item_ids: [B] raw ids.
            k: int32 [B], how many items each row asks for.

        Returns:
            `item_ids` [B, K] raw ids and `scores` float32 [B, K], most similar first, with
            K = min(max(k), number of items), padded as those of `recommend`; never the item
            itself. `known` bool [B]: an item that is not in the vocabulary is like no other.
        """
        self._check_rows(item_ids, k=k)
        row = tf.cast(self._row_of_id.lookup(item_ids), tf.int32)
        known = row >= 0
        query = self._candidates.gather(tf.maximum(row, 0)[:, tf.newaxis])[:, 0]
        weights = None
        if self.similarity == "cosine":
            query, weights = unit_length(query), self._inverse_lengths
        other = known[:, tf.newaxis] & rules.exclude(row[:, tf.newaxis], self.num_items)
        unavailable = self._unavailable()
        if unavailable is not None:
            other &= rules.exclude(unavailable[tf.newaxis], self.num_items)
        columns = tf.clip_by_value(tf.reduce_max(k), 0, self.num_items)
        scores, rows = self._candidates.top_k(query, columns, weights=weights, allowed=other)
        return {**self._answer(scores, rows, k), "known": known}

    def rank(
        self,
        item_ids: tf.Tensor,
        session_index: tf.Tensor,
        candidate_ids: tf.Tensor,
        **item_inputs: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """Scores of given candidates, in the order given.

        Args:
            item_ids: [B, N] raw ids, oldest first.
            session_index: int32 [B, N].
            candidate_ids: [B, C] raw ids.
            **item_inputs: [B, N], what else the model reads, and what its relation does.

        Returns:
            `scores` float32 [B, C] and `known` bool [B, C]. A candidate that is not in the
            vocabulary (padding included) is not known and has the lowest float32 as its score;
            with a relation only padding has.
        """
        if self.has_relation:
            return self._rank_shown(item_ids, session_index, candidate_ids, item_inputs)
        query, known, features = self._query(item_ids, session_index, item_inputs)
        tf.debugging.assert_equal(
            tf.shape(candidate_ids)[0],
            tf.shape(known)[0],
            "`candidate_ids` should have as many rows as `item_ids`.",
        )
        rows = self._row_of_id.lookup(candidate_ids)
        known_candidate = rows >= 0
        rows = tf.maximum(rows, 0)
        candidates = self._candidates.gather(rows)
        scores = score_given(query, candidates, interests=self.num_interests is not None)
        terms, known = self._told(query, known, features)
        if terms is not None:
            scores += tf.gather(terms, rows, batch_dims=1)
        scores = tf.where(known[:, tf.newaxis], scores, rows_of(self._popularity, rows))
        return {"scores": tf.where(known_candidate, scores, NO_SCORE), "known": known_candidate}

    def _rank_shown(
        self,
        item_ids: tf.Tensor,
        session_index: tf.Tensor,
        candidate_ids: tf.Tensor,
        inputs: Mapping[str, tf.Tensor],
    ) -> dict[str, tf.Tensor]:
        """`rank` of a model with a relation: the candidates are the session after the history."""
        given = dict(inputs)
        request_times = given.pop("request_times")
        columns = {
            name.removeprefix(CANDIDATE): given.pop(name)
            for name in tuple(given)
            if name.startswith(CANDIDATE)
        }
        for name, value in {"candidate_ids": candidate_ids, "request_times": request_times}.items():
            tf.debugging.assert_equal(
                tf.shape(value)[0],
                tf.shape(item_ids)[0],
                f"`{name}` should have as many rows as `item_ids`.",
            )
        for name, value in columns.items():
            tf.debugging.assert_equal(
                tf.shape(value),
                tf.shape(candidate_ids),
                f"`{CANDIDATE}{name}` should have the shape of `candidate_ids`.",
            )
        # Unknown items are told apart, too: a number for each distinct id of the batch.
        raw = tf.concat([item_ids, candidate_ids], axis=1)
        numbers = tf.reshape(tf.unique(tf.reshape(raw, [-1]), tf.int64).idx + 1, tf.shape(raw))
        length = tf.shape(item_ids)[1]
        given["match_ids"] = numbers[:, :length]
        features = self._history(item_ids, session_index, given)
        terms = self._terms_of_shown(features) if self.has_trend else {}
        features |= {name: tf.zeros_like(features["labels"]) for name in columns}

        shown = candidate_ids != tf.constant(self.padding_id, self.id_dtype)
        rows = self._row_of_id.lookup(candidate_ids)
        indices = tf.where(rows >= 0, rows + self._first_item_index, UNKNOWN_INDEX)
        places = tf.range(1, tf.shape(candidate_ids)[1] + 1)
        session = {
            "item_ids": tf.where(shown, tf.cast(indices, tf.int32), 0),
            "match_ids": tf.where(shown, numbers[:, length:], 0),
            "position": tf.where(shown, places, 0),
            "session_times": request_times,
            **columns,
        }
        slot = tf.reduce_sum(
            tf.cast(session_mask(item_mask(features["item_ids"])), tf.int32), axis=1
        )
        unknown = {2: tf.zeros_like(slot), 3: tf.zeros_like(session["item_ids"])}
        features = {
            name: _append(values, slot, session.get(name, unknown[values.shape.rank]))
            for name, values in features.items()
        }
        scores = tf.gather(self._model().score_shown(features, **terms), slot, axis=1, batch_dims=1)
        scores = scores[:, : tf.shape(candidate_ids)[1]]
        return {"scores": tf.where(shown, scores, NO_SCORE), "known": rows >= 0}

    def encode(
        self,
        item_ids: tf.Tensor,
        session_index: tf.Tensor,
        **item_inputs: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """The embedding of a history, for an index of one's own.

        Args:
            item_ids: [B, N] raw ids, oldest first.
            session_index: int32 [B, N].
            **item_inputs: [B, N], what else the model reads.

        Returns:
            `query_embeddings` float32 [B, D], of M interests [B, M, D]; zeros where no item of the
            history is known.
        """
        return {"query_embeddings": self._query(item_ids, session_index, item_inputs)[0]}

    def input_specs(self, signature: str) -> dict[str, tf.TensorSpec]:
        """What a signature takes, by name."""
        if signature == "similar_items":
            more: dict[str, tf.DType] = {}
            inputs = ["item_ids", *SIGNATURES[signature][0]]
        else:
            of_signature = {"rank": self.rank_inputs, "recommend_filtered": self.rule_inputs}
            more = {**self.item_inputs, **of_signature.get(signature, {})}
            inputs = ["item_ids", "session_index", *SIGNATURES[signature][0], *more]
        ids = ("item_ids", "candidate_ids", "exclude_ids", "allow_ids")
        dtypes = {
            **dict.fromkeys(ids, self.id_dtype),
            "exclude_seen": tf.bool,
            "diversity": tf.float32,
            **more,
        }
        return {
            name: tf.TensorSpec(
                [None] * len(input_shape(name, signature)), dtypes.get(name, tf.int32), name
            )
            for name in inputs
        }

    def concrete_functions(self) -> dict[str, Any]:
        """Traces the signatures and sees to it that the module tracks all they read.

        Returns:
            Concrete functions by signature name.
        """
        functions = {
            name: tf.function(_with_ranks(getattr(self, name))).get_concrete_function(
                **self.input_specs(name)
            )
            for name in SIGNATURES
        }
        self._track(functions)
        return functions

    def _checked_candidates(self, vocabulary_size: int) -> np.ndarray:
        """Candidate embeddings, once the model has shown that it takes the longest history.

        The call also makes the variables of a Keras model that has not been called yet.
        """
        features = self._full_history()
        query = np.asarray(tf.cast(self._model().encode(features), tf.float32))
        candidates = np.asarray(tf.cast(self._model().candidate_embeddings(), tf.float32))
        if candidates.ndim != 2 or len(candidates) != vocabulary_size:
            raise ValueError(
                "`model.candidate_embeddings()` should have the shape [vocabulary_size, D], with "
                f"vocabulary_size={vocabulary_size}. Received: shape={candidates.shape}"
            )
        if query.ndim not in (2, 3) or query.shape != (1, *query.shape[1:-1], candidates.shape[1]):
            raise ValueError(
                "`model.encode` should return one embedding a row, [B, D], or M interests a row, "
                f"[B, M, D], with D={candidates.shape[1]}. Received: shape={query.shape} for B=1"
            )
        self.num_interests = query.shape[1] if query.ndim == 3 else None
        for name, value in {"candidate_embeddings": candidates, "encode": query}.items():
            if not np.isfinite(value).all():
                raise ValueError(
                    f"`model.{name}` should return finite numbers. Received: "
                    f"{(~np.isfinite(value)).sum()} that are infinite or not a number"
                )
        return candidates

    def _add_categories(self, name: str, values: Sequence[str | int]) -> None:
        """An input of raw categories, and the table that numbers them from 1."""
        kinds = {str if isinstance(value, str) else int for value in values}
        if len(kinds) != 1 or len(set(values)) != len(values) or isinstance(values, str):
            raise ValueError(
                f"`{name}` should be distinct categories, all strings or all integers. Received: "
                f"`{name}`={values!r}"
            )
        dtype = tf.string if kinds == {str} else tf.int64
        numbers = tf.range(1, len(values) + 1)
        table = tf.lookup.KeyValueTensorInitializer(tf.constant(values, dtype), numbers)
        self._category_index[name] = tf.lookup.StaticHashTable(table, default_value=0)
        self.categories[name] = list(values)
        self.item_inputs[name] = dtype

    def _full_history(self, times: bool | None = None) -> dict[str, tf.Tensor]:
        """The features of one history as long as any, as the model gets them."""
        full = tf.fill([1, self.max_sessions, self.max_items], self._first_item_index)
        features = {"item_ids": full}
        if "labels" in self.item_inputs:
            features["labels"] = tf.ones(full.shape)
        if "interaction_types" in self.item_inputs:
            features["interaction_types"] = tf.ones(full.shape, tf.int32)
        for name in self.session_context:
            dtype = tf.int32 if name in self.categories else tf.float32
            features[name] = tf.ones(full.shape[:2], dtype)
        if self.include_times if times is None else times:
            features["session_times"] = tf.zeros(full.shape[:2], tf.int64)
            features["item_times"] = tf.zeros(full.shape, tf.int64)
        return features

    def _reads_times(self) -> bool:
        """Whether any operation of the encoder takes a time."""
        features = self._full_history(times=True)
        self._model().encode(features)  # a Keras model makes its variables now
        graph = tf.function(lambda features: self._model().encode(features))
        function = graph.get_concrete_function(features)
        by_name = dict(zip(sorted(features), function.inputs, strict=False))  # variables follow
        graph_def = function.graph.as_graph_def()
        library = {called.signature.name: called for called in graph_def.library.function}
        return any(
            _is_read(by_name[name].op.name, graph_def.node, library)
            for name in ("session_times", "item_times")
        )

    def _track(self, functions: dict[str, Any]) -> None:
        """Tracks the model's variables; the whole model only if it holds other resources."""
        variables = {id(v): v for function in functions.values() for v in function.graph.variables}
        self._model_variables = sorted(variables.values(), key=lambda variable: variable.name)
        tracked = {id(v.handle) for v in self._model_variables}
        tables = (self._row_of_id, self._id_of_row, *self._category_index.values())
        tracked |= {id(table.resource_handle) for table in tables}
        captured = (c for function in functions.values() for c in function.captured_inputs)
        if any(c.dtype == tf.resource and id(c) not in tracked for c in captured):
            self._whole_model = self._model()

    def _query(
        self, item_ids: tf.Tensor, session_index: tf.Tensor, item_inputs: Mapping[str, tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor, dict[str, tf.Tensor]]:
        """Embeddings [B, D] or [B, M, D], whether a known item stands behind each, the features."""
        features = self._history(item_ids, session_index, item_inputs)
        query = tf.cast(self._model().encode(features), tf.float32)
        known = tf.reduce_any(features["item_ids"] >= self._first_item_index, axis=[1, 2])
        # A context that is not a number must not become a score that is none.
        known &= tf.reduce_all(tf.math.is_finite(query), axis=list(range(1, query.shape.rank)))
        found = known[:, tf.newaxis]
        if self.num_interests is not None:
            query = tf.ensure_shape(query, [None, self.num_interests, None])
            found = found[:, tf.newaxis]
        return tf.where(found, query, 0.0), known, features

    @property
    def _padding(self) -> tf.Tensor:
        return tf.constant(self.padding_id, self.id_dtype)

    def _check_rows(self, item_ids: tf.Tensor, **inputs: tf.Tensor) -> None:
        """Every input has the rows of `item_ids`."""
        for name, value in inputs.items():
            what = "one number a row of" if value.shape.rank == 1 else "as many rows as"
            tf.debugging.assert_equal(
                tf.shape(value)[0],
                tf.shape(item_ids)[0],
                f"`{name}` should have {what} `item_ids`.",
            )

    def _unavailable(self) -> tf.Tensor | None:
        """Rows of the items that are not to be had, int32 [n]; None without such a file."""
        if not self.has_availability:
            return None
        return read_availability_file(
            self._availability_file.asset_path, self._vocabulary_fingerprint
        )

    def _told(
        self, query: tf.Tensor, known: tf.Tensor, features: Mapping[str, tf.Tensor]
    ) -> tuple[tf.Tensor | None, tf.Tensor]:
        """What a trend adds to all scores [B, C], if there is one; whether anything is known."""
        if not self.has_trend:
            return None, known
        terms, told = self._trend_terms(query, features)
        return terms, known | told

    def _best(
        self,
        query: tf.Tensor,
        known: tf.Tensor,
        terms: tf.Tensor | None,
        unavailable: tf.Tensor | None,
        ruled: tf.Tensor | None = None,
        allowed: Callable[[], tf.Tensor] | None = None,
        with_bonus: Callable[[tf.Tensor], tf.Tensor] | None = None,
    ) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
        """What gives the best of all items, so many as it is told: scores and rows [B, depth].

        Items that may not be recommended have the lowest float32 as their score.

        Args:
            query: [B, D] or [B, M, D].
            known: bool [B], False where popularity decides.
            terms: [B, C], what a trend adds, or None.
            unavailable: int32 [n], rows of items that are not to be had, or None.
            ruled: Whether a row of the batch has a rule at all; if not, rules cost nothing.
            allowed: Gives what may be recommended, bool [B, C].
            with_bonus: Adds to what all scores get, [B, C].
        """
        interests = self.num_interests

        def plain(depth: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            scores, rows = self._candidates.top_k(query, depth, interests=interests, bonus=terms)
            # The vocabulary's order is that of popularity.
            rows = tf.where(known[:, tf.newaxis], rows, tf.range(depth))
            return tf.where(known[:, tf.newaxis], scores, self._popularity[:depth]), rows

        def by_rules(depth: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            # Where nothing is known the query is zeros.
            added = 0.0 if terms is None else terms
            added = tf.where(known[:, tf.newaxis], added, self._popularity)
            added = added if with_bonus is None else with_bonus(added)
            may = tf.fill(tf.shape(added), True) if allowed is None else allowed()
            if unavailable is not None:
                may &= rules.exclude(unavailable[tf.newaxis], self.num_items)
            scores, rows = self._candidates.top_k(
                query, depth, interests=interests, bonus=added, allowed=may
            )
            return scores, rows

        used = ruled
        if unavailable is not None:
            gone = tf.size(unavailable) > 0
            used = gone if used is None else used | gone
        if used is None:
            return plain
        return lambda depth: tf.cond(used, lambda: by_rules(depth), lambda: plain(depth))

    def _capped(
        self,
        best: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
        wanted: tf.Tensor,
        limit: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The best items with at most `limit` [B] of a category: scores and rows [B, max(wanted)].

        Looks as deep as it must for `wanted` [B] items of each row.
        """
        columns = _largest(wanted)

        def look(
            depth: tf.Tensor, scores: tf.Tensor, rows: tf.Tensor, done: tf.Tensor
        ) -> tuple[tf.Tensor, ...]:
            scores, rows = best(depth)
            real = scores > NO_SCORE
            categories = tf.where(real, tf.gather(self._item_categories, rows), -1)
            keep = real & rules.category_cap(categories, limit)
            order = tf.argsort(tf.cast(~keep, tf.int32), axis=1, stable=True)[:, :columns]
            scores = tf.gather(tf.where(keep, scores, NO_SCORE), order, batch_dims=1)
            rows = tf.gather(rows, order, batch_dims=1)
            enough = tf.reduce_sum(tf.cast(keep, tf.int32), axis=1) >= wanted
            exhausted = tf.reduce_any(~real, axis=1) | (depth >= self.num_items)
            deeper = tf.where(depth > self.num_items // 4, self.num_items, 4 * depth)
            return deeper, scores, rows, tf.reduce_all(enough | exhausted | (limit <= 0))

        nothing = tf.zeros([tf.shape(wanted)[0], 0])
        _, scores, rows, _ = tf.while_loop(
            lambda *state: ~state[-1],
            look,
            (columns, nothing, tf.cast(nothing, tf.int32), tf.constant(False)),
            shape_invariants=(
                tf.TensorShape([]),
                tf.TensorShape([None, None]),
                tf.TensorShape([None, None]),
                tf.TensorShape([]),
            ),
        )
        return scores, rows

    def _answer(self, scores: tf.Tensor, rows: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        """Raw ids and scores, padded beyond each row's own k and where nothing is left."""
        asked = tf.range(tf.shape(rows)[1]) < k[:, tf.newaxis]
        asked &= scores > NO_SCORE
        ids = self._id_of_row.lookup(tf.cast(rows, tf.int64))
        return {
            "item_ids": tf.where(asked, ids, self._padding),
            "scores": tf.where(asked, scores, NO_SCORE),
        }

    def _trend_terms(
        self, query: tf.Tensor, features: Mapping[str, tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """What is clicked now adds to all scores [B, C], and whether that is known at all."""
        trend = self._model().trend
        follow = len(trend.follow_half_lives)
        own = trend.num_features - trend.follow_items * follow
        table: ServedTrend = read_trend_file(self._trend_file.asset_path, own, follow)
        item_ids = features["item_ids"]
        last = last_items(item_ids, features.get("labels"), trend.follow_items)
        newest = tf.reduce_sum(tf.cast(session_mask(item_mask(item_ids)), tf.int32), axis=1) - 1
        last = tf.gather(last, tf.maximum(newest, 0), axis=1, batch_dims=1)
        terms = trend_terms(
            table, trend.gates(query), last - self._first_item_index, self.num_items
        )
        return terms, tf.size(table.item_rows) > 0

    def _terms_of_shown(self, features: Mapping[str, tf.Tensor]) -> dict[str, Any]:
        """The argument `terms` of `score_shown`, right for the session after a history."""
        query = tf.cast(self._model().encode(features), tf.float32)
        terms, _ = self._trend_terms(query, features)
        terms = tf.pad(terms, [[0, 0], [self._first_item_index, 0]])

        def of_shown(items: tf.Tensor) -> tf.Tensor:
            by_row = tf.reshape(items, [tf.shape(terms)[0], -1])
            return tf.reshape(tf.gather(terms, by_row, batch_dims=1), tf.shape(items))

        return {"terms": of_shown}

    def _history(
        self, item_ids: tf.Tensor, session_index: tf.Tensor, item_inputs: Mapping[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        """The session batch that the model gets."""
        checks = [
            tf.debugging.assert_equal(
                tf.shape(value),
                tf.shape(item_ids),
                f"`{name}` should have the shape of `item_ids`.",
            )
            for name, value in {"session_index": session_index, **item_inputs}.items()
        ]
        # Whatever reads them waits, so that no other operation complains first.
        with tf.control_dependencies([check for check in checks if check is not None]):
            session_index = tf.identity(session_index)
            item_inputs = {name: tf.identity(value) for name, value in item_inputs.items()}
        rows = self._row_of_id.lookup(item_ids)
        indices = tf.where(rows >= 0, rows + self._first_item_index, UNKNOWN_INDEX)
        if self.id_dtype == tf.string:
            indices = tf.where(item_ids == "", tf.zeros_like(indices), indices)
        if self.next_item:
            places = tf.zeros_like(session_index) + tf.range(tf.shape(session_index)[1])
            session_index = tf.where(session_index >= 0, places, session_index)
        elif self.whole_history:
            session_index = tf.minimum(session_index, 0)
        values = {
            name: self._category_index[name].lookup(value) if name in self.categories else value
            for name, value in item_inputs.items()
        }
        labels, times = values.get("labels"), values.get("timestamps")
        of_sessions = {name: values[name] for name in self.session_context}
        names = ("interaction_types", "match_ids", "position")
        of_items = {name: values[name] for name in names if name in values}
        if times is not None:
            of_sessions["session_times"] = of_items["item_times"] = times
        return session_features(
            tf.cast(indices, tf.int32),
            session_index,
            labels,
            of_items=of_items,
            of_sessions=of_sessions,
            max_sessions=self.max_sessions,
            max_items=self.max_items,
        )


def _with_ranks(signature: Callable[..., Any]) -> Callable[..., Any]:
    """Refuses inputs of another rank when it is called.

    A server looks at names and types only, and operations take some tensors of a wrong rank.
    """

    def checked(**inputs: tf.Tensor) -> Any:
        return signature(
            **{name: tf.ensure_shape(value, value.shape) for name, value in inputs.items()}
        )

    return checked


def _append(values: tf.Tensor, slot: tf.Tensor, session: tf.Tensor) -> tf.Tensor:
    """Puts a session [B, C] (or [B]) at `slot` [B] of values [B, S, I] (or [B, S])."""
    here = tf.equal(tf.range(tf.shape(values)[1] + 1), slot[:, tf.newaxis])
    if values.shape.rank == 2:
        values = tf.pad(values, [[0, 0], [0, 1]])
        return tf.where(here, tf.cast(session, values.dtype)[:, tf.newaxis], values)
    width, new = tf.shape(values)[2], tf.shape(session)[1]
    values = tf.pad(values, [[0, 0], [0, 1], [0, tf.maximum(new - width, 0)]])
    session = tf.pad(tf.cast(session, values.dtype), [[0, 0], [0, tf.maximum(width - new, 0)]])
    return tf.where(here[..., tf.newaxis], session[:, tf.newaxis], values)


def _largest(numbers: tf.Tensor) -> tf.Tensor:
    """The largest of numbers that are not negative; 0 of none."""
    return tf.reduce_max(tf.concat([numbers, [0]], axis=0))


def _is_read(name: str, nodes: Any, library: Mapping[str, Any]) -> bool:
    """Whether a node takes what is called `name`; functions that are called are looked into."""
    for node in nodes:
        for place, source in enumerate(node.input):
            if source.partition(":")[0] != name:
                continue
            called = library.get(node.attr["f"].func.name) if "f" in node.attr else None
            if called is None:
                return True
            argument = called.signature.input_arg[place].name
            if _is_read(argument, called.node_def, library):
                return True
    return False


def _constant(value: np.ndarray, name: str) -> tf.Variable:
    """A variable nobody trains: kept beside the graph, which a protocol buffer limits to 2 GB."""
    return tf.Variable(value, trainable=False, name=name)
