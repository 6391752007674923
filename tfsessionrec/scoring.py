"""How queries score candidates: one definition for training, evaluation and export.

A query is N vectors (N = 1 is a plain query) and terms: `score = max_n <q_n, c> + sum of terms`.
"""

import functools
import warnings
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol, Self, runtime_checkable

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray


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


@runtime_checkable
class StoredTerm(ScoreTerm, Protocol):
    """A term that is 0 but for few candidates of each request, which it holds."""

    def stored(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Candidates [R, U], distinct and ascending, and the term [R, U] of each."""

    def added_to(self, scores: tf.Tensor, candidate_ids: tf.Tensor) -> tf.Tensor:
        """Scores [R, C] with the term added, of candidates [C] or [R, C]."""


class Queries(NamedTuple):
    """R queries: what scores a candidate.

    `score[r, c] = max_n <embeddings[r, n], candidate[c]> + sum over terms of term[r, c]`, in
    float32. The gradient goes to the vector that wins, of equal ones to the first.

    Attributes:
        embeddings: [R, N, D] float tensor, N static. N = 1 is a plain query.
        terms: Terms of the candidates' scores, of R requests each.
        known: [R] bool, whether the history holds a known item; where it does not, popularity
            decides, see `unknown_by_popularity`. None: every query is answered as it is.

    Example:

    >>> queries = Queries(tf.constant([[[1.0, 0.0], [0.0, 2.0]]]))
    >>> queries.score(tf.constant([[3.0, 1.0], [0.0, 1.0]]), tf.constant([2, 3])).numpy()
    array([[3., 2.]], dtype=float32)
    """

    embeddings: tf.Tensor
    terms: tuple[ScoreTerm, ...] = ()
    known: tf.Tensor | None = None

    @property
    def num_interests(self) -> int:
        """N."""
        return int(self.embeddings.shape[1])

    @property
    def num_features(self) -> int:
        """Features of all terms together: each score holds so many numbers while it is made."""
        return sum(int(term.gates.shape[1]) for term in self.dense_terms)

    @property
    def dense_terms(self) -> tuple[ScoreTerm, ...]:
        """The terms with features of every candidate."""
        return tuple(term for term in self.terms if not isinstance(term, StoredTerm))

    @property
    def stored_terms(self) -> tuple[StoredTerm, ...]:
        """The terms of few candidates of each request."""
        return tuple(term for term in self.terms if isinstance(term, StoredTerm))

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
            tf.gather(self.embeddings, rows),
            tuple(term.gather(rows) for term in self.terms),
            None if self.known is None else tf.gather(self.known, rows),
        )

    def select(self, chosen: tf.Tensor) -> "Queries":
        """The queries where `chosen` [R] is True."""
        return Queries(
            tf.boolean_mask(self.embeddings, chosen),
            tuple(term.select(chosen) for term in self.terms),
            None if self.known is None else tf.boolean_mask(self.known, chosen),
        )

    def join(self, others: "Sequence[Queries]") -> "Queries":
        """These queries, then those of the others, which have terms of the same types."""
        terms = zip(*(queries.terms for queries in (self, *others)), strict=True)
        known = [queries.known for queries in (self, *others)]
        return Queries(
            tf.concat([queries.embeddings for queries in (self, *others)], axis=0),
            tuple(first.join(rest) for first, *rest in terms),
            None if self.known is None else tf.concat(known, axis=0),
        )

    def scaled(self, temperature: float) -> "Queries":
        """The same queries with scores divided by a temperature."""
        return Queries(
            tf.cast(self.embeddings, tf.float32) / temperature,
            tuple(term.scaled(temperature) for term in self.terms),
            self.known,
        )

    def where_known(self, known: tf.Tensor) -> "Queries":
        """The same queries, with zeros for embeddings where the history has no known item.

        Args:
            known: [R] bool.
        """
        embeddings = tf.where(known[:, tf.newaxis, tf.newaxis], self.embeddings, 0.0)
        return self._replace(embeddings=embeddings, known=known)

    def unknown_by_popularity(self, scores: tf.Tensor, popularity: tf.Tensor) -> tf.Tensor:
        """Scores [R, C]; those of a history without a known item become the popularity.

        Args:
            scores: [R, C] float32 tensor.
            popularity: [C] or [R, C] float32 tensor, see `popularity_scores`.

        Example:

        >>> queries = plain_queries(tf.ones([2, 1]))._replace(known=tf.constant([True, False]))
        >>> queries.unknown_by_popularity(tf.ones([2, 2]), tf.constant([-1.0, -2.0])).numpy()
        array([[ 1.,  1.],
               [-1., -2.]], dtype=float32)
        """
        if self.known is None:
            return scores
        known = self.known[:, tf.newaxis]
        return tf.cond(
            tf.reduce_all(known), lambda: scores, lambda: tf.where(known, scores, popularity)
        )

    def _vectors(self) -> list[tf.Tensor]:
        """N tensors [R, D] float32."""
        return tf.unstack(tf.cast(self.embeddings, tf.float32), axis=1)

    def _with_terms(self, scores: tf.Tensor, candidate_ids: tf.Tensor) -> tf.Tensor:
        for term in self.terms:
            if isinstance(term, StoredTerm):
                scores = term.added_to(scores, candidate_ids)
            else:
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


def places_among(item_ids: tf.Tensor, ascending: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The place of each item in a list, and whether it is there.

    `ascending` [C] is not empty; of equal ones the first counts. Others have some place.

    Example:

    >>> places, found = places_among(tf.constant([[7, 6]]), tf.constant([3, 7]))
    >>> places.numpy(), found.numpy()
    (array([[1, 1]], dtype=int32), array([[ True, False]]))
    """
    last, flat = tf.size(ascending) - 1, tf.reshape(item_ids, [-1])
    # Consecutive ids, as those of a whole catalogue, need no search.
    span = ascending[-1] - ascending[0]
    places = tf.cond(
        tf.equal(span, tf.cast(last, span.dtype)) & tf.reduce_all(ascending[1:] > ascending[:-1]),
        lambda: tf.cast(tf.clip_by_value(flat - ascending[0], 0, span), tf.int32),
        lambda: tf.minimum(tf.searchsorted(ascending, flat), last),
    )
    places = tf.reshape(places, tf.shape(item_ids))
    return places, tf.equal(tf.gather(ascending, places), item_ids)


def popularity_scores(counts: ArrayLike) -> NDArray[np.float32]:
    """Scores of items for a history without a known item, in evaluation and in an export.

    `log((count + 1) / sum(count + 1))`

    Args:
        counts: [C] positive interactions of each item in training.

    Example:

    >>> np.exp(popularity_scores([2, 0])).round(2)
    array([0.75, 0.25], dtype=float32)
    """
    count = np.asarray(counts, np.float64) + 1
    return np.log(count / count.sum()).astype(np.float32)


def as_queries(queries: Queries | tf.Tensor) -> Queries:
    """The queries themselves, or those of embeddings [..., D]: see `plain_queries`."""
    return queries if isinstance(queries, Queries) else plain_queries(queries)


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


def score(
    query_embeddings: tf.Tensor, candidate_embeddings: tf.Tensor, interests: bool = False
) -> tf.Tensor:
    """Deprecated: use `Queries.score`. Embeddings [..., D] or [..., N, D] to [..., C] float32."""
    queries, axes = _former_queries("score", query_embeddings, interests)
    scores = queries.score(candidate_embeddings, tf.range(tf.shape(candidate_embeddings)[0]))
    return tf.reshape(scores, tf.concat([axes, tf.shape(scores)[1:]], axis=0))


def score_given(
    query_embeddings: tf.Tensor, candidate_embeddings: tf.Tensor, interests: bool = False
) -> tf.Tensor:
    """Deprecated: use `Queries.score_own`. Candidates [..., I, D] to [..., I] float32."""
    queries, axes = _former_queries("score_given", query_embeddings, interests)
    own = tf.reshape(candidate_embeddings, [-1, *candidate_embeddings.shape[-2:]])
    scores = queries.score_own(own, tf.zeros(tf.shape(own)[:2], tf.int32))
    return tf.reshape(scores, tf.concat([axes, tf.shape(scores)[1:]], axis=0))


def score_pairs(
    query_embeddings: tf.Tensor, candidate_embeddings: tf.Tensor, interests: bool = False
) -> tf.Tensor:
    """Deprecated: use `Queries.score_pairs`. Candidates [..., D] to [...] float32."""
    queries, axes = _former_queries("score_pairs", query_embeddings, interests)
    one = tf.reshape(candidate_embeddings, [-1, candidate_embeddings.shape[-1]])
    return tf.reshape(queries.score_pairs(one, tf.zeros(tf.shape(one)[:1], tf.int32)), axes)


def _former_queries(
    function: str, embeddings: tf.Tensor, interests: bool
) -> tuple[Queries, tf.Tensor]:
    warnings.warn(
        f"`scoring.{function}` is now a method of `scoring.Queries`. The next release will not "
        "have the function.",
        FutureWarning,
        stacklevel=3,
    )
    embeddings = tf.convert_to_tensor(embeddings)
    own_axes = 2 if interests else 1
    shape = embeddings.shape[-own_axes:] if interests else [1, embeddings.shape[-1]]
    return Queries(tf.reshape(embeddings, [-1, *shape])), tf.shape(embeddings)[:-own_axes]
