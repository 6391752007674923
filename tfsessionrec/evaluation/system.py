"""A model or a baseline as the evaluator sees it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from tfsessionrec.backend import keras
from tfsessionrec.metrics import positive_integer

ORIGINS = ("origin", "running_length", "earlier_sessions")
"""Keys of a batch that tell where its histories come from, see `QueryDetails`."""

ANSWERS = ("target_ids", "is_target", *ORIGINS)
"""Keys of a batch that are for the evaluator alone; a model does not get them."""


class System:
    """A model or a baseline as the evaluator sees it: embeddings as float32 arrays.

    A Keras model or `tf.Module` runs as a graph, anything else as plain Python.

    Args:
        model: Offers `model(features, training=False)` [B, S, D], `model.encode(features)` [B, D]
            and `model.candidate_embeddings()` [vocabulary_size, D]; of N interests, [B, S, N, D]
            and [B, N, D]. Optionally `model.candidate_terms(queries, features)`, what the scores
            have beside the products of embeddings (see `tfsessionrec.models.SessionRec`).
        first_item_index: First row of `candidate_embeddings()` that is an item.

    Raises:
        ValueError: If the candidate embeddings are not a finite matrix with an item in it.
    """

    def __init__(self, model: Any, first_item_index: int) -> None:
        def every(features: Any) -> Any:
            return model(features, training=False)

        def last(features: Any) -> Any:
            return model.encode(features)

        graph = isinstance(model, tf.Module | keras.layers.Layer)
        self._shown = None
        # A model may offer `score_shown` and still have nothing to say beyond the embeddings.
        if hasattr(model, "score_shown") and getattr(model, "has_terms", True):
            shown = model.score_shown
            self._shown = tf.function(shown, reduce_retracing=True) if graph else shown
        self._every = tf.function(every, reduce_retracing=True) if graph else every
        self._last = tf.function(last, reduce_retracing=True) if graph else last
        self._terms = getattr(model, "candidate_terms", None)
        self.table = tf.cast(tf.convert_to_tensor(model.candidate_embeddings()), tf.float32)
        if self.table.shape.rank != 2:
            raise ValueError(
                "`model.candidate_embeddings()` should have the shape [vocabulary_size, D]. "
                f"Received: {self.table.shape}"
            )
        self.vocabulary_size = int(self.table.shape[0])
        if self.vocabulary_size <= first_item_index:
            raise ValueError(
                "`model.candidate_embeddings()` should hold at least one item. Received: "
                f"{self.vocabulary_size} rows, of which the first {first_item_index} are no items"
            )
        self.candidates = self.table[first_item_index:]
        finite = tf.reduce_all(tf.math.is_finite(self.candidates), axis=1)
        if not tf.reduce_all(finite):
            row = int(tf.argmin(tf.cast(finite, tf.int32))) + first_item_index
            raise ValueError(
                "`model.candidate_embeddings()` should be finite. Received: NaN or infinity in row "
                f"{row} of {self.table.shape[0]}"
            )

    def queries(
        self,
        batch: Mapping[str, Any],
        rows: NDArray[np.int64],
        positions: NDArray[np.int64] | None,
    ) -> tuple[NDArray[np.float32], Any]:
        """The query embeddings [Q, D] (or [Q, N, D]) of the given rows and positions.

        Positions None means whole histories; position -1 is the empty one, whose query is zeros.
        Beside them the terms of the candidates' scores at these queries, None where there are none.
        """
        features = {
            key: tf.convert_to_tensor(value) for key, value in batch.items() if key not in ANSWERS
        }
        output = self._last(features) if positions is None else self._every(features)
        output = tf.cast(tf.convert_to_tensor(output), tf.float32)
        terms = None if self._terms is None else self._terms(output, features)
        output = output.numpy()
        axes = features["item_ids"].shape[: 1 if positions is None else 2]
        dim = self.table.shape[1]
        interests = output.shape[len(axes) : -1]
        if output.shape != (*axes, *interests, dim) or len(interests) > 1:
            call = "model.encode(features)" if positions is None else "model(features)"
            raise ValueError(
                f"`{call}` should have the shape {(*axes, dim)}, as `item_ids` and "
                "`model.candidate_embeddings()` have it, or one axis more before the last, of "
                f"interests. Received: {output.shape}"
            )
        if positions is None:
            found = output[rows]
        else:
            found = output[rows, positions]
            found[positions < 0] = 0
        wrong = ~np.isfinite(found).all(axis=tuple(range(1, found.ndim)))
        if wrong.any():
            raise ValueError(
                "The model's query embeddings should be finite. Received: NaN or infinity in "
                f"{int(wrong.sum())} of {len(found)} queries of a batch"
            )
        if terms is not None:
            asked = rows if positions is None else rows * axes[1] + np.maximum(positions, 0)
            terms = terms.gather(asked)
        return found, terms

    def shown_scores(
        self,
        batch: Mapping[str, Any],
        rows: NDArray[np.int64],
        positions: NDArray[np.int64],
    ) -> NDArray[np.float32] | None:
        """The model's own scores [Q, I] of what the sessions after the positions showed.

        None if it offers none: the embeddings decide.
        """
        if self._shown is None:
            return None
        features = {
            key: tf.convert_to_tensor(value) for key, value in batch.items() if key not in ANSWERS
        }
        output = tf.cast(tf.convert_to_tensor(self._shown(features)), tf.float32).numpy()
        if output.shape != features["item_ids"].shape:
            raise ValueError(
                f"`model.score_shown(features)` should have the shape of `item_ids`, "
                f"{tuple(features['item_ids'].shape)}. Received: {output.shape}"
            )
        scores = output[rows, positions + 1]
        if not np.isfinite(scores).all():
            raise ValueError(
                "`model.score_shown(features)` should be finite. Received: NaN or infinity"
            )
        return scores


def first_item(first_item_index: int | None, vocabulary: Any) -> int:
    """The first vocabulary index that is an item: as given, the vocabulary's, or 2."""
    if first_item_index is not None:
        return positive_integer("first_item_index", first_item_index)
    return 2 if vocabulary is None else int(vocabulary.first_item_index)


def popularity_counts(
    popularity: ArrayLike | None, vocabulary: Any, vocabulary_size: int
) -> NDArray[Any] | None:
    """Counts [vocabulary_size] of the popularity baseline: as given, the vocabulary's, or None.

    Raises:
        ValueError: If the vocabulary or the counts are not as long as the model's table.
    """
    if vocabulary is not None and len(vocabulary) != vocabulary_size:
        raise ValueError(
            "`vocabulary` should be the one that the model was made for, of "
            f"{vocabulary_size} entries. Received: `vocabulary` of {len(vocabulary)} entries"
        )
    if popularity is None:
        counts = None if vocabulary is None else np.asarray(vocabulary.counts)
        return counts if counts is not None and counts.any() else None
    counts = np.asarray(popularity)
    if counts.shape != (vocabulary_size,):
        raise ValueError(
            f"`popularity` should be counts of shape {(vocabulary_size,)}. "
            f"Received: `popularity` of shape {counts.shape}"
        )
    return counts
