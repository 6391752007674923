"""What evaluation and export read of a model, and the adapter to other models."""

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import tensorflow as tf
from numpy.typing import ArrayLike

from tfsessionrec.scoring import Queries
from tfsessionrec.types import Features

if TYPE_CHECKING:
    import scipy.sparse


@runtime_checkable
class QueryModel(Protocol):
    """A model as evaluation and export read it."""

    def queries(self, batch: Features, every: bool = False) -> Queries:
        """One query a row, after its whole history; with `every` one after each session.

        With `every` R = B S queries, row by row; the query after padding is a zero vector.
        """

    def candidate_embeddings(self) -> tf.Tensor:
        """[V, D] float32, all rows of the vocabulary as candidates."""


@runtime_checkable
class ShownScorer(Protocol):
    """A model that scores the items that each session showed."""

    def score_shown(self, batch: Features) -> tf.Tensor:
        """[B, S, I] float32."""


@runtime_checkable
class SparseScorer(Protocol):
    """A model that scores few candidates of each query."""

    def sparse_scores(
        self,
        features: Features,
        rows: ArrayLike | None = None,
        positions: ArrayLike | None = None,
    ) -> "scipy.sparse.csr_array":
        """[Q, V]: an item that is not stored ranks below all that are."""


@runtime_checkable
class _Candidates(Protocol):
    def candidate_embeddings(self) -> tf.Tensor:
        """[V, D]."""


@runtime_checkable
class _EncodesSessions(Protocol):
    def __call__(self, features: Features, training: bool = False) -> tf.Tensor:
        """[B, S, D], or [B, S, N, D]."""


@runtime_checkable
class _EncodesHistories(Protocol):
    def encode(self, features: Features) -> tf.Tensor:
        """[B, D], or [B, N, D]."""


def as_query_model(model: object) -> QueryModel:
    """The model itself if it is a `QueryModel`, or an adapter to one.

    Args:
        model: A `QueryModel`, or an object with `model.candidate_embeddings()` [V, D] and one or
            both of `model(features, training=False)` [B, S, D] and `model.encode(features)`
            [B, D]; with N vectors a query [B, S, N, D] and [B, N, D].

    Raises:
        TypeError: If `model` is neither.
    """
    # The protocol sees an attribute of that name, whatever it is.
    if isinstance(model, QueryModel) and callable(model.queries):
        return model
    if isinstance(model, _Candidates) and isinstance(model, _EncodesSessions | _EncodesHistories):
        return _EncoderQueries(model)
    raise TypeError(
        "`model` should offer `queries` and `candidate_embeddings`, or `candidate_embeddings` and "
        f"`__call__` or `encode`. Received: {type(model).__name__}"
    )


class _EncoderQueries:
    """A `QueryModel` of the embeddings that a model gives."""

    def __init__(self, model: _Candidates) -> None:
        self._model = model

    def queries(self, batch: Features, every: bool = False) -> Queries:
        output = tf.convert_to_tensor(self._encode(batch, every))
        axes = tf.TensorShape(batch["item_ids"].shape[: 2 if every else 1])
        shape = output.shape
        if shape.rank not in (axes.rank + 1, axes.rank + 2) or not axes.is_compatible_with(
            shape[: axes.rank]
        ):
            call = "model(features)" if every else "model.encode(features)"
            raise ValueError(
                f"`{call}` should have the shape {(*axes, 'D')}, as `item_ids` and "
                "`model.candidate_embeddings()` have it, or one axis more before the last, of "
                f"interests. Received: {shape}"
            )
        if not every and self._is_sequence(batch, shape):
            raise ValueError(
                "`model.encode(features)` should have the shape [B, D], one query a history: the "
                "output at the newest session, as `backbone.as_query_tower()` gives it. Received: "
                f"{shape}, one vector a session"
            )
        interests = tuple(shape[axes.rank : -1]) or (1,)
        return Queries(tf.reshape(output, [-1, *interests, shape[-1]]))

    def _is_sequence(self, batch: Features, shape: tf.TensorShape) -> bool:
        """Whether the second axis of an output [B, N, D] is that of the sessions."""
        sessions = batch["item_ids"].shape[1]
        if shape.rank != 3 or shape[1] is None or shape[1] != sessions:
            return shape.rank == 3 and shape[1] is None
        longer = {}
        for name, value in batch.items():
            tensor = tf.convert_to_tensor(value)
            by_session = tensor.shape.rank in (2, 3) and tensor.shape[1] == sessions
            padding = [[0, 0], [0, int(by_session)], [0, 0]][: tensor.shape.rank]
            longer[name] = tf.pad(tensor, padding)
        return self._encode(longer, every=False).shape[1] != sessions

    def candidate_embeddings(self) -> tf.Tensor:
        return tf.cast(tf.convert_to_tensor(self._model.candidate_embeddings()), tf.float32)

    def _encode(self, batch: Features, every: bool) -> tf.Tensor:
        if every and isinstance(self._model, _EncodesSessions):
            return self._model(batch, training=False)
        if not every and isinstance(self._model, _EncodesHistories):
            return self._model.encode(batch)
        raise TypeError(
            f"`model` should offer `{'__call__' if every else 'encode'}`, which these queries "
            f"need. Received: {type(self._model).__name__}"
        )
