"""The candidate embeddings of an export, and their exact top k."""

import numpy as np
import tensorflow as tf

from tfsessionrec.export.quantized_product import (
    bias_of,
    has_joined_product,
    join_rows,
    joined_product,
    place_of,
    query_step,
)
from tfsessionrec.scoring import Queries

DTYPES = ("float32", "bfloat16", "int8")
NOT_ALLOWED = float(tf.float32.min)  # finite, so that JSON can carry it
BLOCK = 128  # neighbours that are looked at one by one only if the best of them is good enough
SCORES_AT_ONCE = 2**24  # of all requests of a batch; bounds the memory that a batch takes
ROWS_AT_ONCE = 2**14  # what becomes float32 for a product should not leave the cache
SPARE = 64


class CandidateTable(tf.Module):
    """Candidate embeddings, stored once, and the k candidates that score highest.

    `score(q, c) = max_n <q[n], candidate[c]> * weights[c] + bonus[c]`.

    A block of neighboring rows can only hold one of the k best if fewer than k blocks have a
    better best row. So the search keeps the best of each block, then the k best blocks, and ranks
    their rows: exact, for one pass over the scores.

    - "float32": 4 bytes a number. Nothing is approximate.
    - "bfloat16": 2 bytes a number. Embeddings are rounded; they are scored in float32, exactly.
    - "int8": 3 bytes a number, of which a request reads one. A row is 24-bit fixed point with a
      power of two for its scale, `x = scale * (high + low / 2^16)`. The products of the high bytes
      with a query rounded to 7 bits give a short list of `3 k / 2 + 64`, which is scored again from
      all bits. A number is off by at most `2^-23` of the largest of its row.

    The product of bytes is oneDNN's, which the usual builds for x86 have; a server without it
    answers such a request with an error. At the first request of a signature it puts the high bytes
    in an order of its own, and keeps them: 1 byte a number more for each signature in use. If the
    machine that makes the table does not have it, bytes are multiplied as float32, which any server
    can do and which takes longer. An "int8" table is in the CPU's memory; on a GPU use one of the
    other two.

    On a CPU "int8" is the fastest, "bfloat16" the smallest, and "float32" takes little more than
    the time of reading it: `benchmarks/serving_latency.py` measures them.

    Args:
        embeddings: float32 [C, D], finite.
        dtype: How the embeddings are stored: "float32" (default), "bfloat16" or "int8".
        chunk_size: How many candidates are scored at a time, of which the best are kept. Defaults
            to None: as many as give a batch at most 2^24 scores at a time. oneDNN's product always
            scores all candidates, and stays below 2^24 with fewer requests of a batch at a time.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> table = CandidateTable(np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]], np.float32))
    >>> scores, rows = table.top_k(tf.constant([[[1.0, 0.0]]]), tf.constant(2))
    >>> scores.numpy(), rows.numpy()
    (array([[2., 1.]], dtype=float32), array([[2, 0]], dtype=int32))
    """

    def __init__(
        self, embeddings: np.ndarray, *, dtype: str = "float32", chunk_size: int | None = None
    ) -> None:
        super().__init__(name="candidate_table")
        embeddings = np.asarray(embeddings, np.float32)
        if embeddings.ndim != 2 or not embeddings.size or not np.isfinite(embeddings).all():
            raise ValueError(
                "`embeddings` should be finite numbers of shape [C, D]. Received: shape "
                f"{embeddings.shape}"
            )
        if dtype not in DTYPES:
            raise ValueError(f"`dtype` should be one of {DTYPES}. Received: `dtype`={dtype!r}")
        if chunk_size is not None and chunk_size <= 0:
            raise ValueError(
                f"`chunk_size` should be a positive integer. Received: `chunk_size`={chunk_size}"
            )
        self.num_items, self.dim = embeddings.shape
        self.dtype = dtype
        # Whole blocks only: the last one is filled up, and `_best` knows.
        self._num_rows = _whole_blocks(self.num_items)
        self._chunk_size = None if chunk_size is None else _whole_blocks(chunk_size)
        padding = np.zeros([self._num_rows - self.num_items, self.dim], np.float32)
        embeddings = np.concatenate([embeddings, padding]) if len(padding) else embeddings
        if dtype == "int8":
            self._joined = has_joined_product()
            codes, rests, scales = _fixed_point(embeddings)
            with tf.device("CPU:0"):
                if self._joined:
                    codes = join_rows(codes)
                    self._bias = untrained(bias_of(codes), "candidate_bias")
                self._codes = untrained(codes, "candidate_codes")
                if self._joined:
                    self._product = joined_product(self._codes, self._bias, self.dim)
                self._rests = untrained(rests, "candidate_rests")
                self._scales = untrained(scales, "candidate_scales")
        else:
            values = embeddings.astype(tf.as_dtype(dtype).as_numpy_dtype)
            self._embeddings = untrained(values, "candidate_embeddings")

    def top_k(
        self,
        queries: tf.Tensor,
        k: tf.Tensor,
        *,
        weights: tf.Tensor | None = None,
        bonus: tf.Tensor | None = None,
        allowed: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The K = min(k, C) candidates of highest score; of equal scores, the lower row first.

        Args:
            queries: float32 [B, N, D], N static; N = 1 is one vector a query.
            k: Scalar int32; below 0 counts as 0.
            weights: float32 [C] or [B, C], factors of the scores. Defaults to None: 1.
            bonus: float32 [C] or [B, C], added after that. Defaults to None: nothing.
            allowed: bool [C] or [B, C], the rows that may be returned; the others come last, with
                the lowest float32 as their score. Defaults to None: all.

        Returns:
            Scores float32 [B, K], highest first, and rows int32 [B, K].
        """
        queries = tf.ensure_shape(queries, [None, None, self.dim])
        k = tf.clip_by_value(k, 0, self.num_items)
        if self.dtype != "int8":
            return self._best(queries, k, weights, bonus, allowed)
        with tf.device("CPU:0"):
            some = tf.minimum(k + k // 2 + SPARE, self.num_items)
            if self._joined:
                rows = self._best_of_joined(queries, some, weights, bonus, allowed)
            else:
                rows = self._best(queries, some, weights, bonus, allowed)[1]
            # In their order, so that of equal scores the lower row comes first.
            rows = tf.sort(rows)
            scores = Queries(queries).score_own(self.gather(rows), rows)
            terms = (_of_rows(values, rows) for values in (weights, bonus, allowed))
            return _top_k(_with(scores, *terms), rows, k)

    def gather(self, rows: tf.Tensor) -> tf.Tensor:
        """The embeddings of some candidates: float32 [B, n, D].

        Args:
            rows: int32 [B, n], each from 0 to C - 1.
        """
        if self.dtype != "int8":
            return tf.cast(rows_of(self._embeddings, rows), tf.float32)
        with tf.device("CPU:0"):
            rests, scales = rows_of(self._rests, rows), rows_of(self._scales, rows)
            return _from_fixed_point(self._codes_of(rows), rests, scales)

    def _best(
        self,
        queries: tf.Tensor,
        k: tf.Tensor,
        weights: tf.Tensor | None,
        bonus: tf.Tensor | None,
        allowed: tf.Tensor | None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """`top_k` by the scores of one pass over the table, for k from 0 to C."""
        batch = tf.shape(queries)[0]
        size = self._chunk_size
        if size is None:
            size = tf.maximum(SCORES_AT_ONCE // (BLOCK * tf.maximum(batch, 1)), 1) * BLOCK

        def step(start: tf.Tensor, scores: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, ...]:
            stop = tf.minimum(start + size, self._num_rows)
            new = self._pass(queries, start, stop)
            columns = tf.minimum(stop, self.num_items)
            padding = stop - columns
            terms = (_columns(v, start, columns, padding) for v in (weights, bonus, allowed))
            new = _with(new, *terms)
            new, new_rows = _top_of_blocks(new, self.num_items - start, k)
            # Rows of earlier chunks are lower, and come first.
            scores = tf.concat([scores, new], axis=1)
            rows = tf.concat([rows, start + new_rows], axis=1)
            return (stop, *_top_k(scores, rows, tf.minimum(k, tf.shape(rows)[1])))

        _, scores, rows = tf.while_loop(
            lambda start, *_: start < self._num_rows,
            step,
            (tf.constant(0), tf.zeros([batch, 0]), tf.zeros([batch, 0], tf.int32)),
            shape_invariants=(
                tf.TensorShape([]),
                tf.TensorShape([None, None]),
                tf.TensorShape([None, None]),
            ),
            parallel_iterations=1,
        )
        return scores, rows

    def _best_of_joined(
        self,
        queries: tf.Tensor,
        k: tf.Tensor,
        weights: tf.Tensor | None,
        bonus: tf.Tensor | None,
        allowed: tf.Tensor | None,
    ) -> tf.Tensor:
        """The rows of `_best`, from the product of bytes, which takes the whole table at once."""
        size = max(SCORES_AT_ONCE // (self._num_rows * queries.shape[1]), 1)
        padding = self._num_rows - self.num_items

        def step(start: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, ...]:
            some = slice(start, start + size)
            new = self._joined_scores(queries[some], only_order=bonus is None)
            terms = (
                v if v is None or v.shape.rank == 1 else v[some] for v in (weights, bonus, allowed)
            )
            new = _with(new, *(_columns(v, 0, self.num_items, padding) for v in terms))
            new = _top_of_blocks(new, self.num_items, k)[1]
            return start + size, tf.concat([rows, new], axis=0)

        return tf.while_loop(
            lambda start, _: start < tf.shape(queries)[0],
            step,
            (tf.constant(0), tf.zeros([0, k], tf.int32)),
            shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, None])),
            parallel_iterations=1,
        )[1]

    def _pass(self, queries: tf.Tensor, start: tf.Tensor, stop: tf.Tensor) -> tf.Tensor:
        """Scores of rows [start, stop), of "int8" rough ones: float32 [B, stop - start]."""
        if self.dtype == "float32":
            return Queries(queries).score(self._embeddings[start:stop], tf.range(start, stop))
        return self._scores_by_parts(queries, start, stop)

    def _joined_scores(self, queries: tf.Tensor, only_order: bool) -> tf.Tensor:
        """Rough scores of all rows: float32 [B, R]; with `only_order` in a unit of each query's."""
        flat = tf.reshape(queries, [-1, self.dim])
        scores = self._product(flat) * self._scales
        if queries.shape[1] > 1:
            # One step for all interests of a query would round the shorter ones more.
            scores = scores * query_step(flat)[:, tf.newaxis]
            scores = tf.reshape(scores, [-1, queries.shape[1], self._num_rows])
            return tf.reduce_max(scores, axis=1)
        # A factor of a query does not change which rows are best: one pass less, at batch 1.
        return scores if only_order else scores * query_step(flat)[:, tf.newaxis]

    def _scores_by_parts(self, queries: tf.Tensor, start: tf.Tensor, stop: tf.Tensor) -> tf.Tensor:
        """Scores of rows that become float32 first, a part that fits the cache at a time."""

        def step(first: tf.Tensor, parts: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
            last = tf.minimum(first + ROWS_AT_ONCE, stop)
            some = Queries(queries).score(
                self._rough_embeddings(first, last), tf.range(first, last)
            )
            return last, parts.write((first - start) // ROWS_AT_ONCE, tf.transpose(some))

        parts = tf.TensorArray(
            tf.float32, size=0, dynamic_size=True, infer_shape=False, element_shape=[None, None]
        )
        parts = tf.while_loop(lambda first, _: first < stop, step, (start, parts))[1]
        return tf.transpose(parts.concat())

    def _rough_embeddings(self, start: tf.Tensor, stop: tf.Tensor) -> tf.Tensor:
        if self.dtype == "bfloat16":
            return tf.cast(self._embeddings[start:stop], tf.float32)
        codes = tf.cast(self._codes[start:stop], tf.float32)
        return codes * self._scales[start:stop, tf.newaxis]

    def _codes_of(self, rows: tf.Tensor) -> tf.Tensor:
        if not self._joined:
            return rows_of(self._codes, rows)
        codes = tf.reshape(self._codes.read_value(), [self._num_rows, self.dim])
        return tf.gather(codes, place_of(rows, self._num_rows))


def rows_of(variable: tf.Variable, rows: tf.Tensor) -> tf.Tensor:
    """Some rows of a variable that is also read as a whole.

    A gather from the variable itself would have TensorFlow copy it at every reading from then on.
    """
    return tf.gather(variable.read_value(), rows)


def _top_of_blocks(
    scores: tf.Tensor, num_real: tf.Tensor, k: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The best k, or all if there are fewer, of scores [B, n], n whole blocks.

    Columns from `num_real` on do not count; they are part of the last block.
    """
    shape = tf.shape(scores)
    blocks = tf.reshape(scores, [shape[0], shape[1] // BLOCK, BLOCK])
    # One more than k: columns that do not count can make the last block look better than it is.
    num_chosen = tf.minimum(k + 1, tf.shape(blocks)[1])
    chosen = tf.math.top_k(tf.reduce_max(blocks, axis=2), num_chosen, sorted=False).indices
    # In their order, so that of equal scores the lower row comes first.
    chosen = tf.sort(chosen)
    scores = tf.gather(blocks, chosen, batch_dims=1)
    last = chosen[:, -1:, tf.newaxis] * BLOCK + tf.range(BLOCK)
    last = tf.where(last < num_real, scores[:, -1:], -np.inf)
    scores = tf.concat([scores[:, :-1], last], axis=1)
    scores = tf.reshape(scores, [shape[0], num_chosen * BLOCK])
    scores, places = tf.math.top_k(scores, tf.minimum(k, tf.minimum(num_real, shape[1])))
    rows = tf.gather(chosen, places // BLOCK, batch_dims=1) * BLOCK + places % BLOCK
    return scores, rows


def _top_k(scores: tf.Tensor, rows: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The best k of scores [B, n] that belong to rows [B, n]; of equals, the first."""
    scores, places = tf.math.top_k(scores, k)
    return scores, tf.gather(rows, places, batch_dims=1)


def _with(
    scores: tf.Tensor,
    weights: tf.Tensor | None,
    bonus: tf.Tensor | None,
    allowed: tf.Tensor | None,
) -> tf.Tensor:
    if weights is not None:
        scores *= weights
    if bonus is not None:
        scores += bonus
    return scores if allowed is None else tf.where(allowed, scores, NOT_ALLOWED)


def _columns(
    values: tf.Tensor | None, start: tf.Tensor, stop: tf.Tensor, padding: tf.Tensor
) -> tf.Tensor | None:
    """Columns of values [C] or [B, C], and zeros (False) after them."""
    if values is None:
        return None
    values = values[..., start:stop]
    return tf.pad(values, [[0, 0]] * (values.shape.rank - 1) + [[0, padding]])


def _of_rows(values: tf.Tensor | None, rows: tf.Tensor) -> tf.Tensor | None:
    """The values [B, n] of rows [B, n], from values [C] or [B, C]."""
    if values is None:
        return None
    return tf.gather(values, rows, axis=-1, batch_dims=values.shape.rank - 1)


def _fixed_point(embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """24-bit numbers: high byte int8 [C, D], low bytes int16 [C, D], scales [C]."""
    largest = np.abs(embeddings).max(axis=1)
    # The smallest power of two that keeps the high byte within 127.
    exponents = np.ceil(np.log2(np.maximum(largest, np.finfo(np.float32).tiny) / 127.0))
    scales = np.exp2(np.clip(exponents, -110, None)).astype(np.float32)
    codes = np.empty(embeddings.shape, np.int8)
    rests = np.empty(embeddings.shape, np.int16)
    for first in range(0, len(embeddings), ROWS_AT_ONCE):
        part = slice(first, first + ROWS_AT_ONCE)
        numbers = np.rint(embeddings[part] / scales[part, np.newaxis] * 2**16).astype(np.int32)
        high = (numbers + 2**15) >> 16
        codes[part] = high
        rests[part] = numbers - (high << 16)
    return codes, rests, scales


def _from_fixed_point(codes: tf.Tensor, rests: tf.Tensor, scales: tf.Tensor) -> tf.Tensor:
    numbers = tf.cast(codes, tf.float32) + tf.cast(rests, tf.float32) * 2.0**-16
    return numbers * scales[..., tf.newaxis]


def _whole_blocks(num_rows: int) -> int:
    return -(-num_rows // BLOCK) * BLOCK


def untrained(value: np.ndarray, name: str) -> tf.Variable:
    """A variable that is not trained, stored outside the graph, which has a limit of 2 GB."""
    return tf.Variable(value, trainable=False, name=name)
