"""Exact ranks in a catalogue by comparison with the target's score, block by block."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from tfsessionrec import checks
from tfsessionrec.scoring import Queries, ScoreTerm, plain_queries

MISS = int(np.iinfo(np.int64).max)
"""The rank of a target that cannot be found: larger than every `k`."""

BLOCK_SIZE = 2**22
"""Scores held at a time by default: 16 MiB of float32, about what stays in a CPU's cache."""

# Blocks are multiples of this on both sides. Kernels for matrix products treat fewer rows
# differently, and two equal embeddings must get bitwise equal scores in every place.
_TILE = 16
_ROWS = 512  # Rows of a block when the catalogue is cut: enough for a product at full speed.
_COLUMNS = 2**24  # What float32 can count.


_Number = TypeVar("_Number", bound=np.number)


class Candidates(NamedTuple):
    """The items that are ranked: neighboring rows of the vocabulary.

    Attributes:
        embeddings: [C, D] float32.
        first_id: Vocabulary index of candidate 0.
        popularity: [C] float32, what scores them for a history without a known item; None for the
            query that the model gives.
    """

    embeddings: tf.Tensor
    first_id: int = 0
    popularity: tf.Tensor | None = None

    @property
    def size(self) -> int:
        """C."""
        return int(self.embeddings.shape[0])


@dataclass(frozen=True)
class Slices:
    """One list of items a query, as slices of one array (they may overlap).

    Args:
        items: [N] candidate numbers; negative ones are ignored.
        start: [queries], start of each query's slice.
        stop: [queries], its end.
    """

    items: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]

    def __post_init__(self) -> None:
        checks.tensors(
            ("items", self.items, "integer", "N"),
            ("start", self.start, "integer", "queries"),
            ("stop", self.stop, "integer", "queries"),
        )

    def pairs(self, first: int, last: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(query - first, item) of the queries first .. last - 1."""
        start, lengths = self.start[first:last], (self.stop - self.start)[first:last]
        rows = np.repeat(np.arange(last - first), lengths)
        ends = np.cumsum(lengths)
        within = np.arange(len(rows)) - np.repeat(ends - lengths, lengths)
        items = self.items[np.repeat(start, lengths) + within]
        return rows[items >= 0], items[items >= 0]

    @classmethod
    def of_pairs(cls, rows: NDArray[np.int64], items: NDArray[np.int64], count: int) -> "Slices":
        """The items of `count` queries, given (query, item) pairs in any order."""
        order = np.argsort(rows, kind="stable")
        bounds = np.searchsorted(rows[order], np.arange(count + 1))
        return cls(items[order], bounds[:-1], bounds[1:])

    @classmethod
    def concatenate(cls, parts: Sequence["Slices"]) -> "Slices":
        """The lists of all parts, one after another."""
        checks.sequence("parts", parts, "Slices")
        for part in parts:
            checks.instance("parts", part, Slices)
        if not parts:
            raise ValueError("`parts` should hold at least one Slices. Received: none")
        offsets = np.cumsum([0, *(len(part.items) for part in parts)])
        return cls(
            np.concatenate([part.items for part in parts]),
            np.concatenate([part.start + offset for part, offset in zip(parts, offsets)]),
            np.concatenate([part.stop + offset for part, offset in zip(parts, offsets)]),
        )


def rank_targets(
    query_embeddings: Queries | ArrayLike,
    candidate_embeddings: tf.Tensor | ArrayLike,
    targets: NDArray[np.int64],
    *,
    removed: Slices | None = None,
    block_size: int = BLOCK_SIZE,
    terms: ScoreTerm | None = None,
    first_candidate_id: int = 0,
) -> NDArray[np.int64]:
    """Ranks of each query's targets among all candidates, ties against the targets.

    With `R` the query's removed candidates and `T` its targets that are not removed,

    `rank(t) = 1 + |{c not in R or T : not score(c) < score(t)}| + |{t' in T before t}|`,

    where targets among themselves go by score, equal ones in their given order. It is the position
    of t in the whole catalogue sorted by score with the targets last among equals. A removed target
    and one whose score is NaN get the rank `MISS`.

    Nothing is sorted: scores are computed in blocks of at most `block_size`, compared with the
    target's score from the very same kind of block, counted and forgotten.

    Args:
        query_embeddings: `Queries`, or [Q, D] float32, or [Q, N, D] of N vectors for each query,
            the best of which scores a candidate.
        candidate_embeddings: [C, D] float32 tensor or array.
        targets: [Q, T] candidate numbers 0 .. C - 1, each once in a row; negative is padding.
        removed: Candidates removed from the ranking, for each query; they may repeat. None by
            default.
        block_size: Scores held at a time, `2**22` by default; memory is about 9 bytes each, 13 with
            several vectors.
        terms: A term of the scores of embeddings, for each query. None by default.
        first_candidate_id: Vocabulary index of candidate 0, which terms read. 0 by default.

    Returns:
        [Q, T] int64 ranks, 1-based, 0 for padding.

    Example: the target 2 ties with candidate 0; candidate 1 is better than both.

    >>> import numpy as np
    >>> query, candidates = np.ones((1, 1), "float32"), np.array([[3], [4], [3], [1]], "float32")
    >>> rank_targets(query, candidates, np.array([[2]]))
    array([[3]])
    """
    checks.tensors(
        ("candidate_embeddings", candidate_embeddings, "number", "C D"),
        ("targets", targets, "integer", "Q T"),
    )
    block_size = checks.positive_integer("block_size", block_size)
    checks.non_negative_integer("first_candidate_id", first_candidate_id)
    targets = np.asarray(targets)
    num_candidates = np.shape(candidate_embeddings)[0]
    if targets.max(initial=-1) >= num_candidates:
        raise ValueError(
            f"`targets` should be below {num_candidates}, the number of `candidate_embeddings`. "
            f"Received: {targets.max()}"
        )
    if removed is not None:
        checks.instance("removed", removed, Slices)
    if terms is not None and not hasattr(terms, "gates"):
        raise TypeError(f"`terms` should be a `ScoreTerm`. Received: {terms!r}")
    queries = query_embeddings
    if not isinstance(queries, Queries):
        axes = "Q N D" if len(getattr(queries, "shape", ())) == 3 else "Q D"
        checks.tensors(("query_embeddings", queries, "number", axes))
        embeddings = tf.convert_to_tensor(queries, tf.float32)
        queries = Queries(embeddings) if embeddings.shape.rank == 3 else plain_queries(embeddings)
    if terms is not None:
        queries = queries._replace(terms=(*queries.terms, terms))
    candidates = Candidates(
        tf.convert_to_tensor(candidate_embeddings, tf.float32), first_candidate_id
    )
    return rank_queries(queries, candidates, targets, removed, block_size)


def rank_queries(
    queries: Queries,
    candidates: Candidates,
    targets: NDArray[np.int64],
    removed: Slices | None = None,
    block_size: int = BLOCK_SIZE,
) -> NDArray[np.int64]:
    """`rank_targets` of `Queries` among `Candidates`."""
    num_queries, num_candidates = len(targets), candidates.size
    rows, columns = block_shape(num_queries, num_candidates, scores_of_block(queries, block_size))
    ranks = np.zeros(targets.shape, np.int64)
    own = None
    if columns < num_candidates:
        own = _own_scores(queries, candidates, targets, rows, columns)
    for first in range(0, num_queries, rows):
        last = min(first + rows, num_queries)
        block = slice(first, last)
        real = targets[block] >= 0
        width = int(np.flatnonzero(np.any(real, axis=0)).max(initial=0)) + 1
        real, chosen = real[:, :width], targets[block, :width]
        pairs = [np.stack([real.nonzero()[0], chosen[real]])]
        live = real
        if removed is not None:
            pairs.append(np.stack(removed.pairs(first, last)))
            live = real & ~np.isin(
                chosen + np.arange(last - first)[:, None] * num_candidates,
                pairs[1][0] * num_candidates + pairs[1][1],
            )
        # Each (query, candidate) pair once, by candidate: these are not counted as ahead.
        keys = np.unique(np.concatenate(pairs, axis=1).T @ [1, rows])
        splits = np.searchsorted(keys, np.arange(0, num_candidates + columns, columns) * rows)
        ahead, scores = _count_ahead(
            gather_block(queries, np.arange(first, last), rows),
            queries.num_interests,
            candidates,
            tf.constant(_pad_rows(np.maximum(chosen, 0), rows)),
            None if own is None else tf.constant(_pad_rows(own[block, :width], rows)),
            tf.constant(np.stack([keys % rows, keys // rows], axis=1)),
            tf.constant(splits),
            tf.constant(columns),
        )
        ahead, scores = ahead.numpy()[: last - first], scores.numpy()[: last - first]
        found = ahead + _before(scores, live) + 1
        ranks[block, :width] = np.where(live & ~np.isnan(scores), found, np.where(real, MISS, 0))
    return ranks


def block_shape(num_queries: int, num_candidates: int, block_size: int) -> tuple[int, int]:
    """Queries and candidates of a block; all candidates if enough queries fit next to them."""

    def up(number: int) -> int:
        return max(_TILE, -(-number // _TILE) * _TILE)

    def down(number: int) -> int:
        return max(_TILE, number // _TILE * _TILE)

    columns = num_candidates
    if columns * min(up(num_queries), _ROWS // 2) > block_size or columns > _COLUMNS:
        columns = min(columns, down(block_size // _ROWS), _COLUMNS)
    return min(up(num_queries), down(block_size // columns)), columns


def scores_of_block(queries: Queries, block_size: int) -> int:
    """The scores of a block of at most `block_size` numbers: terms hold features of each score."""
    return max(block_size // (1 + queries.num_features), 1)


def gather_block(queries: Queries, chosen: NDArray[np.int64], rows: int) -> Queries:
    """The chosen queries, then query 0 again and again up to `rows` queries."""
    return queries.gather(_pad_rows(chosen, rows))


def score_block(
    queries: Queries,
    num_interests: int,
    candidates: Candidates,
    start: tf.Tensor,
    columns: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Scores the block of candidates that begins at `start`, in a graph.

    Args:
        queries: `rows` queries.
        num_interests: Vectors of each query, which the shapes of a retraced graph leave open.
        candidates: The candidates.
        start: Number of the first candidate.
        columns: Candidates of a block.

    Returns:
        Scores [rows, columns], and the number of columns that are candidates.
    """
    block = candidates.embeddings[start : start + columns]
    real = tf.shape(block)[0]
    block = tf.pad(block, [[0, columns - real], [0, 0]])
    queries = queries._replace(
        embeddings=tf.ensure_shape(queries.embeddings, [None, num_interests, None])
    )
    numbers = tf.minimum(tf.range(columns) + start, tf.shape(candidates.embeddings)[0] - 1)
    scores = queries.score(block, numbers + candidates.first_id)
    if candidates.popularity is not None:
        scores = queries.unknown_by_popularity(scores, tf.gather(candidates.popularity, numbers))
    return scores, real


def _pad_rows(array: NDArray[_Number], rows: int) -> NDArray[_Number]:
    """The array followed by zeros, up to so many rows."""
    return np.pad(array, [(0, rows - len(array))] + [(0, 0)] * (array.ndim - 1))


def _before(scores: NDArray[np.float32], live: NDArray[np.bool_]) -> NDArray[np.int64]:
    """[Q, T]: the number of a query's live targets that come before each of them."""
    mine, other = scores[:, :, None], scores[:, None, :]
    earlier = np.tri(scores.shape[1], k=-1, dtype=bool)
    return (live[:, None, :] & (~(other <= mine) | ((other == mine) & earlier))).sum(axis=2)


def _own_scores(
    queries: Queries,
    candidates: Candidates,
    targets: NDArray[np.int64],
    rows: int,
    columns: int,
) -> NDArray[np.float32]:
    """[Q, T]: each target's score, from blocks of the shape that the comparison uses.

    Only the block that holds a target is computed, for the queries that have one there.
    """
    scores = np.zeros(targets.shape, np.float32)
    query, place = (targets >= 0).nonzero()
    items = targets[query, place]
    order = np.argsort(items, kind="stable")
    query, place, items = query[order], place[order], items[order]
    bounds = np.searchsorted(items, np.arange(0, candidates.size + columns, columns))
    for block, (start, stop) in enumerate(itertools.pairwise(bounds)):
        for first in range(start, stop, rows):
            part = slice(first, min(first + rows, stop))
            found = _score_own(
                gather_block(queries, query[part], rows),
                queries.num_interests,
                candidates,
                tf.constant(_pad_rows(items[part, None] - block * columns, rows)),
                tf.constant(block * columns),
                tf.constant(columns),
            )
            scores[query[part], place[part]] = found.numpy()[: len(items[part]), 0]
    return scores


@tf.function(reduce_retracing=True)
def _score_own(
    queries: Queries,
    num_interests: int,
    candidates: Candidates,
    places: tf.Tensor,
    start: tf.Tensor,
    columns: tf.Tensor,
) -> tf.Tensor:
    scores, _ = score_block(queries, num_interests, candidates, start, columns)
    return tf.gather(scores, places, batch_dims=1)


@tf.function(reduce_retracing=True)
def _count_ahead(
    queries: Queries,
    num_interests: int,
    candidates: Candidates,
    targets: tf.Tensor,
    own: tf.Tensor | None,
    pairs: tf.Tensor,
    splits: tf.Tensor,
    columns: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Candidates that do not score below each target, less those in `pairs`.

    Args:
        queries: `rows` queries.
        num_interests: Vectors of each query.
        candidates: C candidates.
        targets: [rows, T]; used when all candidates are one block.
        own: [rows, T], the targets' scores; None when all candidates are one block.
        pairs: [P, 2], (row, candidate) not to be counted, sorted by candidate.
        splits: [blocks + 1], start of each block's pairs.
        columns: Candidates of a block.

    Returns:
        [rows, T] int64 counts, and the targets' scores [rows, T].
    """
    if own is None:
        scores, _ = score_block(queries, num_interests, candidates, 0, columns)
        own = tf.gather(scores, targets, batch_dims=1)
        return _count(scores, own, pairs), own
    ahead = tf.zeros_like(own, tf.int64)
    for block in tf.range(tf.shape(splits)[0] - 1):
        tf.autograph.experimental.set_loop_options(parallel_iterations=1)
        start = block * columns
        scores, real = score_block(queries, num_interests, candidates, start, columns)
        here = pairs[splits[block] : splits[block + 1]] - [0, tf.cast(start, tf.int64)]
        ahead += _count(scores[:, :real], own, here)
    return ahead, own


def _count(scores: tf.Tensor, own: tf.Tensor, pairs: tf.Tensor) -> tf.Tensor:
    """[rows, T] int64: columns that do not score below `own`, less the (row, column) of `pairs`."""
    row = pairs[:, 0]
    listed = tf.gather_nd(scores, pairs)

    def below(mine: tf.Tensor) -> tf.Tensor:
        # Sums of float32 are faster than of integers, and exact: a block has <= 2**24 columns.
        every = tf.reduce_sum(tf.cast(scores < mine[:, None], tf.float32), axis=1)
        excluded = tf.cast(listed < tf.gather(mine, row), tf.float32)
        return every - tf.math.unsorted_segment_sum(excluded, row, tf.shape(mine)[0])

    counted = tf.cast(tf.shape(scores)[1], tf.int64) - tf.math.unsorted_segment_sum(
        tf.ones_like(row), row, tf.shape(own)[0]
    )
    lower = tf.map_fn(below, tf.transpose(own), parallel_iterations=1)
    return counted[:, None] - tf.cast(tf.transpose(lower), tf.int64)
