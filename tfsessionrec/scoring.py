"""How queries score candidates: one definition for training, evaluation and export.

A query is N vectors (N = 1 is a plain query) and terms: `score = max_n <q_n, c> + sum of terms`.
"""

import functools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self, runtime_checkable

import tensorflow as tf
from numpy.typing import ArrayLike

from tfsessionrec.types import Features

if TYPE_CHECKING:
    import scipy.sparse


class ScoreTerm(Protocol):
    """A term of the candidates' scores for R requests, linear in its gates.

    `term[r, c] = <gates[r], features[r, :, c]>`.
    """

    @property
    def gates(self) -> tf.Tensor:
        """Weights of the features: [R, F] float32, F static."""

    @property
    def order(self) -> tf.Tensor:
        """[R]: requests of equal value share work, so that neighbors in this order are fast."""

    def features(self, candidate_ids: tf.Tensor) -> tf.Tensor:
        """[R, F, C] for candidates [C] that all requests share, or [R, C] of each request."""

    def __call__(self, candidate_ids: tf.Tensor) -> tf.Tensor:
        """[R, C] terms of candidates [C] that all requests share, or [R, C] of each request."""

    def gather(self, rows: tf.Tensor) -> Self:
        """The requests with these numbers."""

    def select(self, chosen: tf.Tensor) -> Self:
        """The requests where `chosen` [R] is True."""

    def join(self, others: Sequence[Self]) -> Self:
        """These requests, then those of the others."""

    def scaled(self, temperature: float) -> Self:
        """The same requests with terms divided by a temperature."""


class Queries(NamedTuple):
    """R queries: what scores a candidate.

    `score[r, c] = max_n <embeddings[r, n], candidate[c]> + sum over terms of term[r, c]`, in
    float32. The gradient goes to the vector that wins, of equal ones to the first.

    Attributes:
        embeddings: [R, N, D] float tensor, N static. N = 1 is a plain query.
        terms: Terms of the candidates' scores, of R requests each.

    Example:

    >>> queries = Queries(tf.constant([[[1.0, 0.0], [0.0, 2.0]]]))
    >>> queries.score(tf.constant([[3.0, 1.0], [0.0, 1.0]]), tf.constant([2, 3])).numpy()
    array([[3., 2.]], dtype=float32)
    """

    embeddings: tf.Tensor
    terms: tuple[ScoreTerm, ...] = ()

    @property
    def num_interests(self) -> int:
        """N."""
        return int(self.embeddings.shape[1])

    @property
    def num_features(self) -> int:
        """Features of all terms together: each score holds so many numbers while it is made."""
        return sum(int(term.gates.shape[1]) for term in self.terms)

    @property
    def mean(self) -> tf.Tensor:
        """The mean of each query's vectors: [R, D] float32."""
        if self.num_interests == 1:
            return self._vectors()[0]
        return tf.reduce_mean(tf.cast(self.embeddings, tf.float32), axis=1)

    def score(self, candidate_embeddings: tf.Tensor, candidate_ids: tf.Tensor) -> tf.Tensor:
        """Scores candidates that all queries share.

        Args:
            candidate_embeddings: [C, D] float tensor.
            candidate_ids: [C] integer tensor, the candidates' vocabulary indices; only terms read
                it.

        Returns:
            [R, C] float32 tensor.
        """
        candidates = tf.cast(candidate_embeddings, tf.float32)
        # One vector after another: no [R, N, C] scores.
        each = (tf.matmul(one, candidates, transpose_b=True) for one in self._vectors())
        return self._with_terms(functools.reduce(tf.maximum, each), candidate_ids)

    def score_own(self, candidate_embeddings: tf.Tensor, candidate_ids: tf.Tensor) -> tf.Tensor:
        """Scores each query's own candidates.

        Args:
            candidate_embeddings: [R, I, D] float tensor.
            candidate_ids: [R, I] integer tensor.

        Returns:
            [R, I] float32 tensor.

        Example:

        >>> queries = plain_queries(tf.constant([[1.0, 2.0]]))
        >>> own = tf.constant([[[3.0, 4.0], [0.0, 1.0]]])
        >>> queries.score_own(own, tf.constant([[2, 3]])).numpy()
        array([[11.,  2.]], dtype=float32)
        """
        candidates = tf.cast(candidate_embeddings, tf.float32)
        if self.num_interests == 1:
            scores = tf.einsum("rd,rid->ri", self._vectors()[0], candidates)
        else:
            queries = tf.cast(self.embeddings, tf.float32)
            scores = tf.reduce_max(tf.einsum("rnd,rid->rni", queries, candidates), axis=1)
        return self._with_terms(scores, candidate_ids)

    def score_pairs(self, candidate_embeddings: tf.Tensor, candidate_ids: tf.Tensor) -> tf.Tensor:
        """Scores one candidate for each query.

        Args:
            candidate_embeddings: [R, D] float tensor.
            candidate_ids: [R] integer tensor.

        Returns:
            [R] float32 tensor.
        """
        candidates = tf.cast(candidate_embeddings, tf.float32)
        if self.num_interests == 1:
            scores = tf.reduce_sum(self._vectors()[0] * candidates, axis=-1)
        else:
            products = tf.cast(self.embeddings, tf.float32) * candidates[:, tf.newaxis]
            scores = tf.reduce_max(tf.reduce_sum(products, axis=-1), axis=-1)
        for term in self.terms:
            scores += term(candidate_ids[:, tf.newaxis])[:, 0]
        return scores

    def gather(self, rows: tf.Tensor) -> "Queries":
        """The queries with these numbers."""
        return Queries(
            tf.gather(self.embeddings, rows), tuple(term.gather(rows) for term in self.terms)
        )

    def select(self, chosen: tf.Tensor) -> "Queries":
        """The queries where `chosen` [R] is True."""
        return Queries(
            tf.boolean_mask(self.embeddings, chosen),
            tuple(term.select(chosen) for term in self.terms),
        )

    def join(self, others: "Sequence[Queries]") -> "Queries":
        """These queries, then those of the others, which have terms of the same types."""
        terms = zip(*(queries.terms for queries in (self, *others)), strict=True)
        return Queries(
            tf.concat([queries.embeddings for queries in (self, *others)], axis=0),
            tuple(first.join(rest) for first, *rest in terms),
        )

    def scaled(self, temperature: float) -> "Queries":
        """The same queries with scores divided by a temperature."""
        return Queries(
            tf.cast(self.embeddings, tf.float32) / temperature,
            tuple(term.scaled(temperature) for term in self.terms),
        )

    def _vectors(self) -> list[tf.Tensor]:
        """N tensors [R, D] float32."""
        return tf.unstack(tf.cast(self.embeddings, tf.float32), axis=1)

    def _with_terms(self, scores: tf.Tensor, candidate_ids: tf.Tensor) -> tf.Tensor:
        for term in self.terms:
            scores += term(candidate_ids)
        return scores


def plain_queries(embeddings: tf.Tensor, terms: Iterable[ScoreTerm] = ()) -> Queries:
    """Queries of one vector each.

    Args:
        embeddings: [..., D] float tensor; the axes before the last become one, row by row.
        terms: Terms of the candidates' scores. Defaults to none.

    Example:

    >>> plain_queries(tf.ones([2, 3, 4])).embeddings.shape
    TensorShape([6, 1, 4])
    """
    return Queries(tf.reshape(embeddings, [-1, 1, embeddings.shape[-1]]), tuple(terms))


def as_queries(queries: Queries | tf.Tensor) -> Queries:
    """The queries themselves, or those of embeddings [..., D]: see `plain_queries`."""
    return queries if isinstance(queries, Queries) else plain_queries(queries)


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
    if isinstance(model, QueryModel):
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
        interests = tuple(shape[axes.rank : -1]) or (1,)
        return Queries(tf.reshape(output, [-1, *interests, shape[-1]]))

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


def score(
    query_embeddings: tf.Tensor, candidate_embeddings: tf.Tensor, interests: bool = False
) -> tf.Tensor:
    """`Queries.score` of embeddings [..., D], with interests [..., N, D]: [..., C] float32.

    Example:

    >>> score(tf.constant([[1.0, 2.0]]), tf.constant([[3.0, 4.0], [0.0, 1.0]])).numpy()
    array([[11.,  2.]], dtype=float32)
    """
    queries = tf.cast(query_embeddings, tf.float32)
    candidates = tf.cast(candidate_embeddings, tf.float32)
    if not interests:
        return tf.matmul(queries, candidates, transpose_b=True)
    each = (tf.matmul(one, candidates, transpose_b=True) for one in tf.unstack(queries, axis=-2))
    return functools.reduce(tf.maximum, each)


def score_with_winner(
    query_embeddings: tf.Tensor, candidate_embeddings: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Scores of queries of N vectors, and the number of the vector that won.

    Args:
        query_embeddings: [..., N, D] float32 tensor, N static.
        candidate_embeddings: [C, D] float32 tensor.

    Returns:
        [..., C] float32 scores and [..., C] int32 winners, of equal ones the first; None for the
        winners where N is 1.

    Example:

    >>> queries = tf.constant([[[1.0, 0.0], [0.0, 2.0]]])
    >>> scores, winners = score_with_winner(queries, tf.constant([[3.0, 1.0], [0.0, 1.0]]))
    >>> scores.numpy(), winners.numpy()
    (array([[3., 2.]], dtype=float32), array([[0, 1]], dtype=int32))
    """
    first, *others = tf.unstack(query_embeddings, axis=-2)
    scores = tf.matmul(first, candidate_embeddings, transpose_b=True)
    winners = tf.zeros_like(scores, tf.int32) if others else None
    for number, one in enumerate(others, start=1):
        challenge = tf.matmul(one, candidate_embeddings, transpose_b=True)
        winners = tf.where(challenge > scores, number, winners)
        scores = tf.maximum(scores, challenge)
    return scores, winners


def score_given(
    query_embeddings: tf.Tensor, candidate_embeddings: tf.Tensor, interests: bool = False
) -> tf.Tensor:
    """`Queries.score_own` of embeddings [..., D], with interests [..., N, D]: [..., I] float32.

    Example:

    >>> score_given(tf.constant([[1.0, 2.0]]), tf.constant([[[3.0, 4.0], [0.0, 1.0]]])).numpy()
    array([[11.,  2.]], dtype=float32)
    """
    query = tf.cast(query_embeddings, tf.float32)
    candidates = tf.cast(candidate_embeddings, tf.float32)
    if not interests:
        return tf.einsum("...d,...id->...i", query, candidates)
    return tf.reduce_max(tf.einsum("...nd,...id->...ni", query, candidates), axis=-2)


def score_pairs(
    query_embeddings: tf.Tensor, candidate_embeddings: tf.Tensor, interests: bool = False
) -> tf.Tensor:
    """`Queries.score_pairs` of embeddings [..., D], with interests [..., N, D]: [...] float32.

    Example:

    >>> score_pairs(tf.constant([[1.0, 2.0]]), tf.constant([[3.0, 4.0]])).numpy()
    array([11.], dtype=float32)
    """
    query = tf.cast(query_embeddings, tf.float32)
    candidates = tf.cast(candidate_embeddings, tf.float32)
    if not interests:
        return tf.reduce_sum(query * candidates, axis=-1)
    return tf.reduce_max(tf.reduce_sum(query * candidates[..., tf.newaxis, :], axis=-1), axis=-1)


def unit_length(vectors: tf.Tensor) -> tf.Tensor:
    """Divides vectors by their length, so that scores between them are cosines.

    `v / |v|` over the last axis, taken in float32 whatever the dtype; zeros stay zeros.

    Args:
        vectors: [..., D] float tensor.

    Returns:
        [..., D] tensor of that dtype.

    Example:

    >>> unit_length(tf.constant([[3.0, 4.0], [0.0, 0.0]])).numpy()
    array([[0.6, 0.8],
           [0. , 0. ]], dtype=float32)
    """
    unit = tf.math.l2_normalize(tf.cast(vectors, tf.float32), axis=-1, epsilon=1e-24)
    return tf.cast(unit, vectors.dtype)
