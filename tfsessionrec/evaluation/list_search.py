"""The best k candidates of many queries at full speed: rough scores of all, exact scores of few."""

import concurrent.futures
import time
from collections.abc import Sequence
from typing import NamedTuple

import numba
import numpy as np
import scipy.sparse
import tensorflow as tf
from numpy.typing import NDArray

from tfsessionrec.evaluation.ranks import Slices
from tfsessionrec.evaluation.rough_scores import (
    COLUMNS,
    RoughScores,
    in_bfloat16,
    in_float32,
)

SCORES_AT_ONCE = 2**24  # of a thread: bounds its memory, to 32 or 64 MiB
_ROWS = 128  # queries of a product: its scores should not leave the cache
_LONGEST = 128
_CHUNKS = (_LONGEST, 16, 1)  # neighbors of which only the best is looked at first

Lists = tuple[NDArray[np.int64], NDArray[np.float32]]


class _Removed(NamedTuple):
    """`Slices`, as compiled code reads them."""

    items: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]


class ListSearch:
    """The k candidates of highest `max_n <query[n], candidate>`, exactly, equal ones by number.

    All candidates are scored roughly: in bfloat16 where the processor multiplies that faster, and
    otherwise in float32. Of each 128 neighbors only the best is looked at: the k-th best of these
    is a lower bound of the k-th score. What the largest possible error leaves above it is scored
    again in float32. So the lists do not depend on how the rough scores were computed.

    Args:
        candidates: [C, D] float32, finite.

    Example:

    >>> search = ListSearch(np.array([[3.0], [4.0], [3.0], [1.0]], np.float32))
    >>> search(np.ones([1, 1, 1], np.float32), k=3)
    (array([[1, 0, 2]]), array([[4., 3., 3.]], dtype=float32))
    """

    def __init__(self, candidates: NDArray[np.float32]) -> None:
        self._candidates = np.ascontiguousarray(candidates, np.float32)
        self._rows = max(1, min(_ROWS, SCORES_AT_ONCE // len(candidates)))
        exact = in_float32(self._candidates)
        self._rough = min(exact, in_bfloat16(self._candidates), key=self._seconds)

    @property
    def rounds(self) -> bool:
        """Whether the rough scores are of bfloat16."""
        return self._rough.relative > 0

    def __call__(
        self, queries: NDArray[np.float32], k: int, removed: Slices | None = None
    ) -> Lists:
        """The lists of some queries.

        Args:
            queries: [Q, N, D] float32, N vectors a query.
            k: Length of a list; more than C means all.
            removed: Candidates removed from the lists, for each query. None by default.

        Returns:
            [Q, min(k, C)] int64 numbers, -1 where no candidate is left, and their float32 scores,
            -inf there.
        """
        num_queries, k = len(queries), min(k, len(self._candidates))
        found = np.full((num_queries, k), -1, np.int64)
        values = np.full((num_queries, k), -np.inf, np.float32)
        removed = _nothing(num_queries) if removed is None else removed

        def fill(first: int) -> None:
            some = slice(first, min(first + self._rows, num_queries))
            gone = Slices(removed.items, removed.start[some], removed.stop[some])
            self._fill(queries[some], gone, found[some], values[some])

        # A thread a core, each with queries of its own: none waits for another.
        with concurrent.futures.ThreadPoolExecutor(numba.get_num_threads()) as threads:
            for _ in threads.map(fill, range(0, num_queries, self._rows)):
                pass
        return found, values

    def _fill(
        self,
        queries: NDArray[np.float32],
        removed: Slices,
        found: NDArray[np.int64],
        values: NDArray[np.float32],
    ) -> None:
        """Writes the lists of one block."""
        queries = np.ascontiguousarray(queries, np.float32)
        wanted = found.shape[1] + (removed.stop - removed.start)
        size = next(n for n in _CHUNKS if n == 1 or len(self._candidates) >= 4 * n * wanted.max())
        asked = tf.constant(queries)
        keys = [product(asked).numpy() for product in self._rough.products]
        best = _best_of_chunks(keys, size)
        least = self._thresholds(_wanted_best(best, wanted), queries)
        if (least <= 0).any():  # bits of negative numbers are in the reverse order
            keys = [_keys(part) for part in keys]
            best = _best_of_chunks(keys, size)
            least = self._thresholds(_wanted_best(best, wanted), queries)
        held = np.zeros(len(queries), np.int64)
        for number, part in enumerate(keys):
            first = number * COLUMNS
            _score_again(
                part,
                size,
                best[:, first // size :],
                least,
                queries,
                self._candidates[first : first + COLUMNS],
                _Removed(removed.items - first, removed.start, removed.stop),
                first,
                held,
                found,
                values,
            )

    def _thresholds(
        self, bound: NDArray[np.signedinteger], queries: NDArray[np.float32]
    ) -> NDArray[np.signedinteger]:
        """The least key of a candidate that may be listed, given that of the k-th best one."""
        shift = 32 - 8 * bound.dtype.itemsize
        kth = (_keys(bound).astype(np.int32) << shift).view(np.float32).astype(np.float64)
        relative = self._rough.relative
        least = kth - relative * np.abs(kth) - 2 * self._rough.absolute(queries)
        least /= np.where(least > 0, 1 + relative, 1 - relative)
        below = np.nextafter(least.astype(np.float32), np.float32(-np.inf))
        keys = (_keys(below.view(np.int32)) >> shift).astype(bound.dtype)
        return np.where(bound == np.iinfo(bound.dtype).min, bound, keys)

    def _seconds(self, rough: RoughScores) -> float:
        """How long a block takes."""
        queries = tf.zeros([self._rows, 1, self._candidates.shape[1]])
        taken = []
        for _ in range(4):  # the first one traces
            begin = time.perf_counter()
            rough.products[0](queries).numpy()
            taken.append(time.perf_counter() - begin)
        return min(taken)


def _best_of_chunks(
    keys: Sequence[NDArray[np.signedinteger]], size: int
) -> NDArray[np.signedinteger]:
    """The greatest key [R, chunks] of each `size` neighbors, of keys by columns."""
    found = []
    for part in keys:
        best = np.empty((len(part), -(-part.shape[1] // size)), part.dtype)
        _best_keys(part, size, best)
        found.append(best)
    return np.concatenate(found, axis=1)


def _wanted_best(
    best: NDArray[np.signedinteger], wanted: NDArray[np.int64]
) -> NDArray[np.signedinteger]:
    """The `wanted`-th best [R] of keys [R, chunks]; the least number where there are fewer."""
    chunks = best.shape[1]
    place = np.maximum(chunks - wanted, 0)
    ordered = np.partition(best, np.unique(place), axis=1)
    found = ordered[np.arange(len(best)), place]
    return np.where(wanted <= chunks, found, np.iinfo(best.dtype).min)


def _keys(bits: NDArray[np.signedinteger]) -> NDArray[np.signedinteger]:
    """Bits of float numbers as integers in the same order, or back."""
    dtype = bits.dtype
    return bits ^ ((bits >> dtype.type(8 * dtype.itemsize - 1)) & np.iinfo(dtype).max)


@numba.njit(cache=True, nogil=True)
def _best_keys(keys: NDArray[np.signedinteger], size: int, best: NDArray[np.signedinteger]) -> None:
    """The greatest of each `size` neighbors.

    Args:
        keys: [R, C].
        size: Candidates of a chunk.
        best: [R, chunks], written.
    """
    for row in range(len(keys)):
        for chunk in range(best.shape[1]):
            line = keys[row, chunk * size : (chunk + 1) * size]
            greatest = line[0]
            if len(line) == _LONGEST:  # a loop of known length is ten times as fast
                for place in range(_LONGEST):
                    key = line[place]
                    greatest = key if key > greatest else greatest
            else:
                for key in line:
                    greatest = key if key > greatest else greatest
            best[row, chunk] = greatest


@numba.njit(cache=True, nogil=True)
def _score_again(
    keys: NDArray[np.signedinteger],
    size: int,
    best: NDArray[np.signedinteger],
    least: NDArray[np.signedinteger],
    queries: NDArray[np.float32],
    candidates: NDArray[np.float32],
    removed: _Removed,
    offset: int,
    held: NDArray[np.int64],
    found: NDArray[np.int64],
    values: NDArray[np.float32],
) -> None:
    """Adds to the lists the candidates whose key is not below the least of their row.

    Args:
        keys: [R, C].
        size: Candidates of a chunk.
        best: [R, chunks or more], the greatest key of each.
        least: [R] keys.
        queries: [R, N, D].
        candidates: [C, D].
        removed: Of these candidates.
        offset: Number of the first candidate.
        held: [R], taken places of each list, changed.
        found: [R, k], changed.
        values: [R, k], changed.
    """
    for row in range(len(keys)):
        for chunk in range(-(-keys.shape[1] // size)):
            if best[row, chunk] < least[row]:
                continue
            for item in range(chunk * size, min((chunk + 1) * size, keys.shape[1])):
                if keys[row, item] < least[row]:
                    continue
                value = _exact(queries[row], candidates[item])
                if held[row] == found.shape[1] and value <= values[row, held[row] - 1]:
                    continue
                if not _is_removed(removed, row, item):
                    held[row] = _insert(found[row], values[row], held[row], offset + item, value)


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _exact(query: NDArray[np.float32], candidate: NDArray[np.float32]) -> np.float32:
    """The score of one candidate, for the vectors [N, D] of a query."""
    most = np.float32(-np.inf)
    for vector in range(query.shape[0]):
        total = np.float32(0)
        for place in range(query.shape[1]):
            total += query[vector, place] * candidate[place]
        most = max(most, total)
    return most


@numba.njit(cache=True, nogil=True)
def _insert(
    found: NDArray[np.int64], values: NDArray[np.float32], held: int, item: int, value: np.float32
) -> int:
    """Puts an item into a list of which `held` places are taken; equal ones keep their order."""
    place = min(held, len(found) - 1)
    while place > 0 and values[place - 1] < value:
        values[place] = values[place - 1]
        found[place] = found[place - 1]
        place -= 1
    values[place], found[place] = value, item
    return min(held + 1, len(found))


def best_stored(scores: scipy.sparse.csr_array, k: int, removed: Slices | None = None) -> Lists:
    """The k best of the stored scores of each query, equal ones by lower number.

    Args:
        scores: [Q, C] float32.
        k: Length of a list.
        removed: Candidates removed from the lists, for each query. None by default.

    Returns:
        [Q, min(k, C)] int64 numbers, -1 where no stored candidate is left, and their float32
        scores, -inf there.

    Example:

    >>> import scipy.sparse
    >>> best_stored(scipy.sparse.csr_array(np.array([[0, 2, 2, 3]], np.float32)), 4)
    (array([[ 3,  1,  2, -1]]), array([[  3.,   2.,   2., -inf]], dtype=float32))
    """
    if not scores.has_sorted_indices:
        scores = scores.sorted_indices()
    removed = removed or _nothing(scores.shape[0])
    shape = scores.shape[0], min(k, scores.shape[1])
    found, values = np.full(shape, -1, np.int64), np.full(shape, -np.inf, np.float32)
    _insert_stored(
        scores.indptr.astype(np.int64),
        scores.indices.astype(np.int64),
        scores.data.astype(np.float32),
        _Removed(removed.items, removed.start, removed.stop),
        found,
        values,
    )
    return found, values


@numba.njit(cache=True, nogil=True)
def _insert_stored(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int64],
    data: NDArray[np.float32],
    removed: _Removed,
    found: NDArray[np.int64],
    values: NDArray[np.float32],
) -> None:
    for row in range(len(found)):
        held = 0
        for at in range(indptr[row], indptr[row + 1]):
            if held == found.shape[1] and data[at] <= values[row, held - 1]:
                continue
            if not _is_removed(removed, row, indices[at]):
                held = _insert(found[row], values[row], held, indices[at], data[at])


@numba.njit(cache=True, nogil=True)
def _is_removed(removed: _Removed, row: int, item: int) -> bool:
    gone = False
    for place in range(removed.start[row], removed.stop[row]):
        gone |= removed.items[place] == item
    return gone


def _nothing(num_queries: int) -> Slices:
    zeros = np.zeros(num_queries, np.int64)
    return Slices(np.empty(0, np.int64), zeros, zeros)
