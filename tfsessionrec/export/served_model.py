"""A model as its signatures read it: queries, live terms, candidates."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfsessionrec.export.live_files import TrendFile
from tfsessionrec.export.ranking import Asked
from tfsessionrec.export.request import ShownBatch
from tfsessionrec.history_spec import HistorySpec
from tfsessionrec.query_model import as_query_model
from tfsessionrec.scoring import Queries, StoredTerm
from tfsessionrec.session_batch import has_known_item
from tfsessionrec.types import Features

if TYPE_CHECKING:
    from tfsessionrec.layers import RelationFeatures, TrendFeatures


@runtime_checkable
class TrendModel(Protocol):
    """A model whose candidates may know the time."""

    trend: "TrendFeatures | None"


@runtime_checkable
class TrendTerm(Protocol):
    """The term of a trend, whose features a server reads from a file."""

    @property
    def trend(self) -> "TrendFeatures":
        """Makes the features and their gates."""

    @property
    def last_item_ids(self) -> tf.Tensor:
        """[R, L] integers, the newest items of each history."""


@runtime_checkable
class RelationModel(Protocol):
    """A model that may rank what a session shows by its relation to the history."""

    relation: "RelationFeatures | None"

    def score_shown(
        self, features: Features, terms: Callable[[tf.Tensor], tf.Tensor] | None = None
    ) -> tf.Tensor:
        """[B, S, I] float32, with `terms` instead of the trend's own."""


def trend_of(model: object) -> "TrendFeatures | None":
    """The trend of a model that has one."""
    return model.trend if isinstance(model, TrendModel) else None


def relation_of(model: object) -> "RelationFeatures | None":
    """The relation of a model that has one."""
    return model.relation if isinstance(model, RelationModel) else None


class ServedModel:
    """Reads a model in the graph. It is no module: an export is not to hold the whole model.

    Args:
        model: What `query_model.as_query_model` takes.
        spec: What it reads.
        vocabulary_size: V.
        trend_file: The features of its trend. Defaults to None: it has no trend.
    """

    def __init__(
        self,
        model: object,
        spec: HistorySpec,
        vocabulary_size: int,
        trend_file: TrendFile | None = None,
    ) -> None:
        self.model = model
        self.num_interests = 1
        self._queries_of = as_query_model(model)
        self._first = spec.first_item_index
        self._vocabulary_size = vocabulary_size
        self._trend_file = trend_file

    def candidates(self, longest: Features) -> NDArray[np.float32]:
        """All candidate embeddings [V, D], after a check that the model takes a longest history.

        The check also makes the variables of a Keras model that has not been called yet.

        Raises:
            ValueError: If embeddings are not finite or of another shape.
        """
        query = self._queries_of.queries(longest).embeddings
        query = np.asarray(tf.cast(query, tf.float32))
        candidates = np.asarray(self._queries_of.candidate_embeddings(), np.float32)
        if candidates.ndim != 2 or len(candidates) != self._vocabulary_size:
            raise ValueError(
                "`model.candidate_embeddings()` should have the shape [vocabulary_size, D], with "
                f"vocabulary_size={self._vocabulary_size}. Received: shape={candidates.shape}"
            )
        if query.shape != (1, *query.shape[1:2], candidates.shape[1]):
            raise ValueError(
                "`model` should give queries [B, N, D] of N vectors, with "
                f"D={candidates.shape[1]}. Received: shape={query.shape} for B=1"
            )
        self.num_interests = query.shape[1]
        for name, value in {"candidate": candidates, "query": query}.items():
            if not np.isfinite(value).all():
                raise ValueError(
                    f"The {name} embeddings of `model` should be finite numbers. Received: "
                    f"{(~np.isfinite(value)).sum()} that are infinite or not a number"
                )
        return candidates

    def queries(self, batch: Features) -> Queries:
        """The queries of a batch; `known` says whether each history has a known item."""
        queries = self._queries_of.queries(batch)
        embeddings = tf.cast(queries.embeddings, tf.float32)
        embeddings = tf.ensure_shape(embeddings, [None, self.num_interests, None])
        known = has_known_item(batch["item_ids"], self._first)
        # A context that is not a number must not become a score that is not a number.
        known &= tf.reduce_all(tf.math.is_finite(embeddings), axis=[1, 2])
        return queries._replace(embeddings=embeddings).where_known(known)

    def asked(self, batch: Features) -> Asked:
        """What scores all items for each history."""
        queries = self.queries(batch)
        known, terms = queries.known, None
        for term in queries.terms:
            if isinstance(term, TrendTerm):
                added, any_known = self._trend_terms(term, queries)
                known |= any_known
            elif isinstance(term, StoredTerm):
                added = self._stored_terms(term)
            else:
                added = term(tf.range(self._first, self._vocabulary_size))
            terms = added if terms is None else terms + added
        return Asked(queries.embeddings, known, terms)

    def _stored_terms(self, term: StoredTerm) -> tf.Tensor:
        """The terms [B, C] of all items, without a search for the few that are not 0."""
        item_ids, terms = term.stored()
        size = self._vocabulary_size - self._first
        columns = item_ids - self._first
        item = (columns >= 0) & (columns < size)
        columns = tf.clip_by_value(columns, 0, size - 1)
        rows = tf.zeros_like(columns) + tf.range(tf.shape(columns)[0])[:, tf.newaxis]
        where = tf.stack([rows, columns], axis=-1)
        return tf.scatter_nd(where, tf.where(item, terms, 0.0), [tf.shape(columns)[0], size])

    def score_shown(self, history: Features, shown: ShownBatch) -> tf.Tensor:
        """Scores [B, C] of candidates that are the session after a history."""
        assert isinstance(self.model, RelationModel)
        terms = None if self._trend_file is None else self._terms_of_shown(history)
        scores = self.model.score_shown(shown.batch, terms=terms)
        scores = tf.gather(scores, shown.slot, axis=1, batch_dims=1)
        return scores[:, : tf.shape(shown.shown)[1]]

    def _terms_of_shown(self, history: Features) -> Callable[[tf.Tensor], tf.Tensor]:
        """The argument `terms` of `score_shown`, right for the session after a history."""
        queries = self._queries_of.queries(history)
        (term,) = (term for term in queries.terms if isinstance(term, TrendTerm))
        terms, _ = self._trend_terms(term, queries)
        terms = tf.pad(terms, [[0, 0], [self._first, 0]])

        def of_shown(items: tf.Tensor) -> tf.Tensor:
            by_row = tf.reshape(items, [tf.shape(terms)[0], -1])
            return tf.reshape(tf.gather(terms, by_row, batch_dims=1), tf.shape(items))

        return of_shown

    def _trend_terms(self, term: TrendTerm, queries: Queries) -> tuple[tf.Tensor, tf.Tensor]:
        """The terms [B, C] of all items by the trend file, and whether it holds any."""
        assert self._trend_file is not None
        table = self._trend_file.table()
        last = tf.cast(term.last_item_ids, tf.int32) - self._first
        gates = term.trend.gates(queries.mean)
        terms = table.terms(gates, last, self._vocabulary_size - self._first)
        return terms, tf.size(table.item_rows) > 0
