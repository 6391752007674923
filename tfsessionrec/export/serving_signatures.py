"""What a served model answers, as TensorFlow functions."""

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from tfsessionrec.export.session_features import session_features
from tfsessionrec.scoring import score, score_given

if TYPE_CHECKING:
    from tfsessionrec.data import Vocabulary

# Names and sizes of everything that goes in and out. B requests, N items of history, C
# candidates, K recommendations, D embedding dimension.
INPUTS: dict[str, tuple[str, ...]] = {
    "item_ids": ("B", "N"),
    "session_index": ("B", "N"),
    "labels": ("B", "N"),
    "k": ("B",),
    "candidate_ids": ("B", "C"),
}
SIGNATURES: dict[str, tuple[tuple[str, ...], dict[str, tuple[str, ...]]]] = {
    "recommend": (("k",), {"item_ids": ("B", "K"), "scores": ("B", "K")}),
    "rank": (("candidate_ids",), {"scores": ("B", "C"), "known": ("B", "C")}),
    "encode": ((), {"query_embeddings": ("B", "D")}),
}

UNKNOWN_INDEX = 1  # the first out-of-vocabulary bucket
NO_SCORE = float(tf.float32.min)  # finite, so that JSON can carry it


class ServingSignatures(tf.Module):
    """The signatures `recommend`, `rank` and `encode` around a model.

    It stands apart from the model, so that an export holds these functions, the tables of ids,
    the candidate embeddings (computed once, here) and the variables the encoder reads; no
    optimizer, no losses, nothing of Keras.

    Every input is dense and has the batch as its first dimension; the client pads. A history is
    `item_ids` [B, N] raw ids, oldest first, and `session_index` int32 [B, N], which session each
    belongs to; -1 is padding, and so is an id of "". A new session begins wherever the number
    changes. With `include_labels`, also `labels` float32 [B, N]: 1 taken, 0 shown but not taken.

    An unknown item has the index of the first out-of-vocabulary bucket, 1. A history without one
    known item has zeros for its embedding, and popularity decides:
    `score(item) = log((count + 1) / sum(count + 1))`.

    Args:
        model: Any object with `encode(features)` → [B, D] and `candidate_embeddings()` →
            [vocabulary_size, D].
        vocabulary: The `Vocabulary` the model was trained with.
        vocabulary_file: Text file of the vocabulary's raw ids, one a line; it becomes an asset.
        max_sessions: Newest sessions of a history that are read. Defaults to 50.
        max_items: Newest items of each session that are read. Defaults to 20.
        next_item: Whether each item is a session of its own, whatever `session_index` says; for
            models trained on `flatten_sessions`. `max_items` is 1 then. Defaults to False.
        include_labels: Whether the signatures take `labels`. Defaults to False.

    Raises:
        ValueError: If the model does not take a history of full size, or embeddings are not
            finite numbers of the shapes above.
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
        include_labels: bool = False,
    ) -> None:
        super().__init__(name="serving_signatures")
        self.max_sessions = max_sessions
        self.max_items = 1 if next_item else max_items
        self.next_item = next_item
        self.include_labels = include_labels
        self.num_items = vocabulary.num_items
        self.id_dtype = tf.as_dtype(vocabulary.dtype)
        self._first_item_index = vocabulary.first_item_index
        self.padding_id = "" if self.id_dtype == tf.string else -1
        # A function, not an attribute: what a module holds as one is saved with it.
        self._model = lambda: model

        candidates = self._checked_candidates(len(vocabulary))
        count = np.asarray(vocabulary.counts, np.float64)[self._first_item_index :] + 1
        self._candidates = _constant(candidates[self._first_item_index :], "candidate_embeddings")
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
        labels: tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        """The k items with the highest scores, out of all items; exact.

        Args:
            item_ids: [B, N] raw ids, oldest first.
            session_index: int32 [B, N].
            k: int32 [B], how many items each row asks for.
            labels: float32 [B, N] or None.

        Returns:
            `item_ids` [B, K] raw ids and `scores` float32 [B, K], highest first (of equal scores,
            the item that comes first in the vocabulary), with K = min(max(k), number of items).
            Beyond a row's own k, the id is "" or -1 and the score the lowest float32; a row
            whose k is not positive gets nothing else.
        """
        query, known = self._query(item_ids, session_index, labels)
        tf.debugging.assert_equal(
            tf.shape(k), tf.shape(known), "`k` should have one number a row of `item_ids`."
        )
        columns = tf.clip_by_value(tf.reduce_max(k), 0, self.num_items)
        scores, rows = tf.math.top_k(score(query, self._candidates), columns)
        # The vocabulary's order is that of popularity.
        rows = tf.where(known[:, tf.newaxis], rows, tf.range(columns))
        scores = tf.where(known[:, tf.newaxis], scores, self._popularity[:columns])
        asked = tf.range(columns) < k[:, tf.newaxis]
        ids = self._id_of_row.lookup(tf.cast(rows, tf.int64))
        return {
            "item_ids": tf.where(asked, ids, tf.constant(self.padding_id, self.id_dtype)),
            "scores": tf.where(asked, scores, NO_SCORE),
        }

    def rank(
        self,
        item_ids: tf.Tensor,
        session_index: tf.Tensor,
        candidate_ids: tf.Tensor,
        labels: tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        """Scores of given candidates, in the order given.

        Args:
            item_ids: [B, N] raw ids, oldest first.
            session_index: int32 [B, N].
            candidate_ids: [B, C] raw ids.
            labels: float32 [B, N] or None.

        Returns:
            `scores` float32 [B, C] and `known` bool [B, C]. A candidate that is not in the
            vocabulary (padding included) is not known and has the lowest float32 as its score.
        """
        query, known = self._query(item_ids, session_index, labels)
        tf.debugging.assert_equal(
            tf.shape(candidate_ids)[0],
            tf.shape(known)[0],
            "`candidate_ids` should have as many rows as `item_ids`.",
        )
        rows = self._row_of_id.lookup(candidate_ids)
        known_candidate = rows >= 0
        rows = tf.maximum(rows, 0)
        scores = tf.where(
            known[:, tf.newaxis],
            score_given(query, tf.gather(self._candidates, rows)),
            tf.gather(self._popularity, rows),
        )
        return {"scores": tf.where(known_candidate, scores, NO_SCORE), "known": known_candidate}

    def encode(
        self,
        item_ids: tf.Tensor,
        session_index: tf.Tensor,
        labels: tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        """The embedding of a history, for an index of one's own.

        Args:
            item_ids: [B, N] raw ids, oldest first.
            session_index: int32 [B, N].
            labels: float32 [B, N] or None.

        Returns:
            `query_embeddings` float32 [B, D]; zeros where no item of the history is known.
        """
        return {"query_embeddings": self._query(item_ids, session_index, labels)[0]}

    def input_specs(self, signature: str) -> dict[str, tf.TensorSpec]:
        """What a signature takes, by name."""
        inputs = ["item_ids", "session_index", *SIGNATURES[signature][0]]
        if self.include_labels:
            inputs.append("labels")
        dtypes = {"item_ids": self.id_dtype, "candidate_ids": self.id_dtype, "labels": tf.float32}
        return {
            name: tf.TensorSpec([None] * len(INPUTS[name]), dtypes.get(name, tf.int32), name)
            for name in inputs
        }

    def concrete_functions(self) -> dict[str, Any]:
        """Traces the signatures and sees to it that the module tracks all they read.

        Returns:
            Concrete functions by signature name.
        """
        functions = {
            name: tf.function(getattr(self, name)).get_concrete_function(**self.input_specs(name))
            for name in SIGNATURES
        }
        self._track(functions)
        return functions

    def _checked_candidates(self, vocabulary_size: int) -> np.ndarray:
        """Candidate embeddings, once the model has shown that it takes the longest history.

        The call also makes the variables of a Keras model that has not been called yet.
        """
        full = tf.fill([1, self.max_sessions, self.max_items], self._first_item_index)
        features = {"item_ids": full}
        if self.include_labels:
            features["labels"] = tf.ones(full.shape)
        query = np.asarray(tf.cast(self._model().encode(features), tf.float32))
        candidates = np.asarray(tf.cast(self._model().candidate_embeddings(), tf.float32))
        if candidates.ndim != 2 or len(candidates) != vocabulary_size:
            raise ValueError(
                "`model.candidate_embeddings()` should have the shape [vocabulary_size, D], with "
                f"vocabulary_size={vocabulary_size}. Received: shape={candidates.shape}"
            )
        if query.shape != (1, candidates.shape[1]):
            raise ValueError(
                "`model.encode` should return one embedding a row, [B, D], with "
                f"D={candidates.shape[1]}. Received: shape={query.shape} for B=1"
            )
        for name, value in {"candidate_embeddings": candidates, "encode": query}.items():
            if not np.isfinite(value).all():
                raise ValueError(
                    f"`model.{name}` should return finite numbers. Received: "
                    f"{(~np.isfinite(value)).sum()} that are infinite or not a number"
                )
        return candidates

    def _track(self, functions: dict[str, Any]) -> None:
        """Tracks the model's variables; the whole model only if it holds other resources."""
        variables = {id(v): v for function in functions.values() for v in function.graph.variables}
        self._model_variables = sorted(variables.values(), key=lambda variable: variable.name)
        tracked = {id(v.handle) for v in self._model_variables}
        tracked |= {id(t.resource_handle) for t in (self._row_of_id, self._id_of_row)}
        captured = (c for function in functions.values() for c in function.captured_inputs)
        if any(c.dtype == tf.resource and id(c) not in tracked for c in captured):
            self._whole_model = self._model()

    def _query(
        self, item_ids: tf.Tensor, session_index: tf.Tensor, labels: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Embeddings [B, D] and whether a known item stands behind each, [B]."""
        for name, value in {"session_index": session_index, "labels": labels}.items():
            if value is not None:
                tf.debugging.assert_equal(
                    tf.shape(value),
                    tf.shape(item_ids),
                    f"`{name}` should have the shape of `item_ids`.",
                )
        rows = self._row_of_id.lookup(item_ids)
        indices = tf.where(rows >= 0, rows + self._first_item_index, UNKNOWN_INDEX)
        if self.id_dtype == tf.string:
            indices = tf.where(item_ids == "", tf.zeros_like(indices), indices)
        if self.next_item:
            places = tf.zeros_like(session_index) + tf.range(tf.shape(session_index)[1])
            session_index = tf.where(session_index >= 0, places, session_index)
        features = session_features(
            tf.cast(indices, tf.int32),
            session_index,
            labels,
            max_sessions=self.max_sessions,
            max_items=self.max_items,
        )
        query = tf.cast(self._model().encode(features), tf.float32)
        known = tf.reduce_any(features["item_ids"] >= self._first_item_index, axis=[1, 2])
        return tf.where(known[:, tf.newaxis], query, 0.0), known


def _constant(value: np.ndarray, name: str) -> tf.Variable:
    """A variable nobody trains: kept beside the graph, which a protocol buffer limits to 2 GB."""
    return tf.Variable(value, trainable=False, name=name)
