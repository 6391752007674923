"""Models and baselines as an evaluation reads them."""

from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import scipy.sparse
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from tfsessionrec.backend import keras
from tfsessionrec.checks import positive_integer
from tfsessionrec.data import Vocabulary
from tfsessionrec.evaluation.ranks import BLOCK_SIZE, Candidates
from tfsessionrec.history_spec import HISTORY
from tfsessionrec.query_model import SparseScorer, as_query_model
from tfsessionrec.scoring import Queries, popularity_scores
from tfsessionrec.session_batch import has_known_item
from tfsessionrec.types import Features

ORIGINS = ("origin", "running_length", "earlier_sessions")
"""Keys of a batch that say where its histories come from, see `QueryDetails`."""

ANSWERS = ("target_ids", "is_target", "question", *ORIGINS, *HISTORY)
"""Keys of a batch that only the evaluation reads; a model does not get them."""


@runtime_checkable
class HasVocabulary(Protocol):
    """A system that knows its vocabulary, such as a fitted baseline."""

    vocabulary: Vocabulary | None


class EmbeddingSystem:
    """A model that gives `Queries` and candidate embeddings.

    A Keras model or `tf.Module` runs as a graph, other models run as plain Python.

    Args:
        model: What `tfsessionrec.query_model.as_query_model` takes.
        first_item_index: First row of `candidate_embeddings()` that is an item.

    Raises:
        ValueError: If the candidate embeddings are not a finite matrix with an item in it.
    """

    def __init__(self, model: object, first_item_index: int) -> None:
        found = as_query_model(model)
        self._queries = found.queries
        if runs_as_graph(model):
            self._queries = tf.function(found.queries, reduce_retracing=True)
        self.table = tf.cast(tf.convert_to_tensor(found.candidate_embeddings()), tf.float32)
        if self.table.shape.rank != 2:
            raise ValueError(
                "`model.candidate_embeddings()` should have the shape [vocabulary_size, D]. "
                f"Received: {self.table.shape}"
            )
        self.vocabulary_size, self._dim = map(int, self.table.shape)
        if self.vocabulary_size <= first_item_index:
            raise ValueError(
                "`model.candidate_embeddings()` should hold at least one item. Received: "
                f"{self.vocabulary_size} rows, of which the first {first_item_index} are no items"
            )
        self.candidates = Candidates(self.table[first_item_index:], first_item_index)
        finite = tf.reduce_all(tf.math.is_finite(self.candidates.embeddings), axis=1)
        if not tf.reduce_all(finite):
            row = int(tf.argmin(tf.cast(finite, tf.int32))) + first_item_index
            raise ValueError(
                "`model.candidate_embeddings()` should be finite. Received: NaN or infinity in row "
                f"{row} of {self.vocabulary_size}"
            )

    def use_popularity(self, counts: NDArray[np.number]) -> None:
        """Lets popularity answer histories without a known item, as an export does.

        Args:
            counts: [vocabulary_size] positive interactions in training.
        """
        scores = tf.constant(popularity_scores(counts[self.candidates.first_id :]))
        self.candidates = self.candidates._replace(popularity=scores)

    def queries(
        self, batch: Features, rows: NDArray[np.int64], positions: NDArray[np.int64] | None
    ) -> Queries:
        """The queries of the given rows and positions.

        Args:
            batch: A session batch.
            rows: [Q].
            positions: [Q]; None for whole histories. Position -1 is the empty history, whose query
                is a zero vector.

        Raises:
            ValueError: If the query embeddings do not fit the candidates or are not finite.
        """
        found = self._queries(model_features(batch), every=positions is not None)
        if found.embeddings.shape[-1] != self._dim:
            raise ValueError(
                f"The query embeddings of the model should have {self._dim} dimensions, as "
                "`model.candidate_embeddings()` have. Received: query embeddings of "
                f"{found.embeddings.shape[-1]}"
            )
        asked = rows
        if positions is not None:
            asked = rows * np.shape(batch["item_ids"])[1] + np.maximum(positions, 0)
        found = found.gather(asked)
        embeddings = tf.cast(found.embeddings, tf.float32)
        if positions is not None and (positions < 0).any():
            empty = tf.constant(positions < 0)[:, tf.newaxis, tf.newaxis]
            embeddings = tf.where(empty, 0.0, embeddings)
        wrong = ~tf.reduce_all(tf.math.is_finite(embeddings), axis=(1, 2)).numpy()
        if wrong.any():
            raise ValueError(
                "The model's query embeddings should be finite. Received: NaN or infinity in "
                f"{int(wrong.sum())} of {len(wrong)} queries of a batch"
            )
        found = found._replace(embeddings=embeddings)
        if self.candidates.popularity is None:
            return found
        return self._where_known(found, batch, rows, positions)

    def _where_known(
        self,
        queries: Queries,
        batch: Features,
        rows: NDArray[np.int64],
        positions: NDArray[np.int64] | None,
    ) -> Queries:
        """The queries, which know whether their history has a known item."""
        items = tf.convert_to_tensor(batch["item_ids"])
        if positions is None:
            known = has_known_item(items, self.candidates.first_id).numpy()[rows]
        else:
            of_all = has_known_item(items, self.candidates.first_id, every=True).numpy()
            known = of_all[rows * items.shape[1] + np.maximum(positions, 0)] & (positions >= 0)
        answered = queries.where_known(tf.constant(known))
        unknown = np.flatnonzero(~known)
        if len(unknown) and queries.terms:  # terms that are not all 0 decide by themselves
            known[unknown] = self._has_terms(answered.gather(unknown))
        return answered._replace(known=tf.constant(known))

    def _has_terms(self, queries: Queries) -> NDArray[np.bool_]:
        """[Q], whether a term of a query knows anything of any candidate."""
        found = np.zeros(len(queries.embeddings), bool)
        for stored in queries.stored_terms:
            found |= tf.reduce_any(stored.stored()[1] != 0, axis=1).numpy()
        if not queries.dense_terms:
            return found
        step = max(1, BLOCK_SIZE // (len(found) * queries.num_features))
        for first in range(0, self.candidates.size, step):
            last = min(first + step, self.candidates.size)
            ids = tf.range(first, last) + self.candidates.first_id
            for term in queries.dense_terms:
                found |= tf.reduce_any(term.features(ids) != 0, axis=[1, 2]).numpy()
            if found.all():
                break
        return found


class SparseSystem:
    """A system that scores few candidates of each query.

    Args:
        model: Offers `sparse_scores(features, rows, positions)`, see `tfsessionrec.baselines`.
        vocabulary_size: Columns of these scores.
        first_item_index: First column that is an item.
    """

    def __init__(self, model: SparseScorer, vocabulary_size: int, first_item_index: int) -> None:
        self._model = model
        self.vocabulary_size = vocabulary_size
        self.first_item_index = first_item_index

    def scores(
        self, batch: Features, rows: NDArray[np.int64], positions: NDArray[np.int64] | None
    ) -> scipy.sparse.csr_array:
        """The scores [Q, candidates] of the given rows and positions; None for whole histories.

        Raises:
            ValueError: If the system's scores have another shape or are not finite.
        """
        features = {key: np.asarray(value) for key, value in batch.items() if key not in ANSWERS}
        which = () if positions is None else (rows, positions)
        scores = scipy.sparse.csr_array(self._model.sparse_scores(features, *which))
        asked = len(features["item_ids"]) if positions is None else len(rows)
        if scores.shape != (asked, self.vocabulary_size):
            raise ValueError(
                "`model.sparse_scores(features, rows, positions)` should have the shape "
                f"{(asked, self.vocabulary_size)}. Received: {scores.shape}"
            )
        if not np.isfinite(scores.data).all():
            raise ValueError(
                "`model.sparse_scores(features, rows, positions)` should be finite. "
                "Received: NaN or infinity"
            )
        return (scores[rows] if positions is None else scores)[:, self.first_item_index :]


System = EmbeddingSystem | SparseSystem


def read_systems(
    models: Sequence[object], first: int, sizes: Iterable[int] = (), default_size: int | None = None
) -> list[System]:
    """Reads models that should all know the same vocabulary.

    Args:
        models: What `evaluate` takes as its model.
        first: First vocabulary index that is an item.
        sizes: Known numbers of entries of the vocabulary, which should agree.
        default_size: The number of entries if neither `sizes` nor embeddings have it.

    Raises:
        ValueError: If the sizes differ, or there is none.
    """
    dense = {
        place: EmbeddingSystem(model, first)
        for place, model in enumerate(models)
        if not isinstance(model, SparseScorer)
    }
    found = {*sizes, *(system.vocabulary_size for system in dense.values())}
    if not found and default_size is not None:
        found = {default_size}
    if len(found) != 1:
        raise ValueError(
            "All systems should know the same vocabulary; systems of `sparse_scores` alone need "
            f"`vocabulary`, `popularity` or `vocabulary_size`. Received: {sorted(found) or 'none'}"
        )
    size = found.pop()
    return [
        SparseSystem(model, size, first) if isinstance(model, SparseScorer) else dense[place]
        for place, model in enumerate(models)
    ]


def known_size(
    model: object, vocabulary: Vocabulary | None, popularity: ArrayLike | None
) -> int | None:
    """Entries of the vocabulary, from the first that knows them; None if they are unknown."""
    if vocabulary is None and isinstance(model, HasVocabulary):
        vocabulary = model.vocabulary
    if vocabulary is not None:
        return len(vocabulary)
    return None if popularity is None else len(np.asarray(popularity))


def runs_as_graph(model: object) -> bool:
    """Whether a model runs as a graph: Keras models and modules of TensorFlow do."""
    return isinstance(model, tf.Module | keras.layers.Layer)


def model_features(batch: Features) -> dict[str, tf.Tensor]:
    """The batch as tensors, without the keys that only the evaluation reads."""
    return {key: tf.convert_to_tensor(value) for key, value in batch.items() if key not in ANSWERS}


def first_item(first_item_index: int | None, vocabulary: Vocabulary | None, model: object) -> int:
    """The first vocabulary index that is an item: as given, the vocabulary's, the model's, or 2.

    Raises:
        ValueError: If these disagree, or the index is no positive integer.
    """
    known = {}
    if first_item_index is not None:
        known["first_item_index"] = positive_integer("first_item_index", first_item_index)
    if vocabulary is not None:
        known["vocabulary.first_item_index"] = int(vocabulary.first_item_index)
    task = getattr(model, "retrieval_task", None)
    for name, part in (
        ("model", model),
        ("model.retrieval_task", task),
        ("model.history_spec", getattr(model, "history_spec", None)),
        ("model.vocabulary", getattr(model, "vocabulary", None)),
    ):
        index = getattr(part, "first_item_index", None)
        if isinstance(index, int | np.integer):
            known[f"{name}.first_item_index"] = int(index)
    if len(set(known.values())) > 1:
        received = ", ".join(f"`{name}`={index}" for name, index in known.items())
        raise ValueError(f"The first index of an item should be one number. Received: {received}")
    return next(iter(known.values()), 2)


def popularity_counts(
    popularity: ArrayLike | None, vocabulary: Vocabulary | None, vocabulary_size: int
) -> NDArray[np.number] | None:
    """Counts [vocabulary_size] of the items: as given, or the vocabulary's; None without any.

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
