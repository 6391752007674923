"""Rough scores of all candidates, with a bound of their error."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

COLUMNS = 2**14  # candidates of a product: its scores should not leave the cache
_UNIT = 2.0**-24  # half of a unit in the last place of 1, float32


class RoughScores(NamedTuple):
    """A way to score all candidates, and how far it may be off.

    `|rough - score| <= relative |rough| + absolute[q]`

    Attributes:
        products: For each `COLUMNS` candidates, from queries [R, N, D] to scores [R, columns], the
            bits of float32 or bfloat16.
        rounded: From vectors [n, D] to the numbers that are multiplied.
        largest: The greatest length of a candidate.
        difference: The greatest length of a candidate's rounding.
        relative: Of the result.
    """

    products: Sequence[Callable[[tf.Tensor], tf.Tensor]]
    rounded: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    largest: float
    difference: float
    relative: float

    def absolute(self, queries: NDArray[np.float32]) -> NDArray[np.float64]:
        """[R], for queries [R, N, D]."""
        length = np.linalg.norm(queries, axis=2)
        lost = np.linalg.norm(queries - self.rounded(queries), axis=2)
        sums = 8 * queries.shape[2] * _UNIT * length * self.largest  # of float32, in any order
        off = lost * self.largest + (length + lost) * self.difference + sums
        return off.max(axis=1).astype(np.float64)


def in_float32(candidates: NDArray[np.float32]) -> RoughScores:
    """Scores in float32, of candidates [C, D]."""
    return RoughScores(
        _products(candidates, tf.float32), lambda vectors: vectors, _longest(candidates), 0.0, 0.0
    )


def in_bfloat16(candidates: NDArray[np.float32]) -> RoughScores:
    """Scores of candidates [C, D] in bfloat16, which some processors multiply faster."""

    def rounded(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        return vectors.astype(tf.bfloat16.as_numpy_dtype).astype(np.float32)

    lost = _longest(candidates - rounded(candidates))
    products = _products(candidates, tf.bfloat16)
    return RoughScores(products, rounded, _longest(candidates), lost, 2.0**-8)


def _longest(vectors: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.einsum("cd,cd->c", vectors, vectors).max()))


def _products(
    candidates: NDArray[np.float32], dtype: tf.DType
) -> list[Callable[[tf.Tensor], tf.Tensor]]:
    parts = range(0, len(candidates), COLUMNS)
    tables = [tf.cast(candidates[first : first + COLUMNS], dtype) for first in parts]
    return [functools.partial(_product, table=table) for table in tables]


def _product(queries: tf.Tensor, table: tf.Tensor) -> tf.Tensor:
    """The bits of the best product of the vectors [R, N, D] of each query: [R, C].

    It is not compiled to a graph: calling one takes a third of the time of a product.
    """
    num_queries, num_vectors, dim = queries.shape
    flat = tf.cast(tf.reshape(queries, [-1, dim]), table.dtype)
    scores = tf.matmul(flat, table, transpose_b=True)
    if num_vectors > 1:
        scores = tf.reduce_max(tf.reshape(scores, [num_queries, num_vectors, -1]), axis=1)
    return tf.bitcast(scores, tf.int16 if table.dtype == tf.bfloat16 else tf.int32)
