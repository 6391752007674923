"""Weighted counts of ordered pairs of items, learned one interaction at a time."""

from typing import NamedTuple

import numba
import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from tfsessionrec.baselines.session_log import SessionLog, grown

_ONE = 2.0**32
_MIX = np.uint64(0x9E3779B97F4A7C15)


class _Pairs(NamedTuple):
    """Counts of pairs; the entries of one source item form a linked list.

    `support` and `head` [size]: interactions of each item, or its sessions if `distinct`; and its
    newest entry, -1 for none. `source`, `target`, `total` and `previous` [entries]: the two items,
    their count in units of 2⁻³², and the source's entry before. `table`: a hash table of entries,
    -1 where empty.
    """

    support: NDArray[np.int64]
    head: NDArray[np.int64]
    source: NDArray[np.int32]
    target: NDArray[np.int32]
    total: NDArray[np.int64]
    previous: NDArray[np.int64]
    table: NDArray[np.int64]


class _Rule(NamedTuple):
    """The pairs that count and their weights: the arguments of `PairCounts`."""

    weights: NDArray[np.int64]
    symmetric: bool
    distinct: bool


class PairCounts:
    """For every pair of items (a, b), the sum of weights of b after a within sessions.

    `count(a, b) = sum over sessions, over places p < q, x_p = a, x_q = b: weight(q - p)`

    Weights are whole multiples of 2⁻³², so that the sums are exact in any order of the sessions:
    incremental learning gives the same counts as learning everything at once.

    Args:
        size: Number of item indices.
        weights: `weight(1), weight(2) ...`; a pair further apart has the last of them.
        symmetric: Whether each pair counts as (b, a) too.
        distinct: Whether an item counts once a session, at its first place.
    """

    def __init__(
        self, size: int, weights: NDArray[np.float64], symmetric: bool, distinct: bool
    ) -> None:
        self.size = size
        self._rule = _Rule(np.round(weights * _ONE).astype(np.int64), symmetric, distinct)
        self._used = 0
        self._pairs = _Pairs(
            support=np.zeros(size, np.int64),
            head=np.full(size, -1, np.int64),
            source=np.empty(0, np.int32),
            target=np.empty(0, np.int32),
            total=np.empty(0, np.int64),
            previous=np.empty(0, np.int64),
            table=np.full(1024, -1, np.int64),
        )

    @property
    def support(self) -> NDArray[np.int64]:
        """[size], interactions of each item, or its sessions if `distinct`."""
        return self._pairs.support

    def learn(self, log: SessionLog, slots: NDArray[np.int64], old: NDArray[np.int64]) -> None:
        """Counts the items of the sessions `slots` of the log behind their first `old` ones."""
        buffer = np.empty(max(int((log.stop - log.start)[slots].max(initial=0)), 1), np.int32)
        done, place = 0, 0
        while done < len(slots):
            done, place, self._used = _learn(
                self._pairs,
                self._used,
                self._rule,
                log.items,
                log.start,
                log.stop,
                slots,
                old,
                done,
                place,
                buffer,
            )
            if done < len(slots):
                self._grow(2 * len(buffer))

    def _grow(self, more: int) -> None:
        size, pairs = self._used + more, self._pairs
        pairs = pairs._replace(
            source=grown(pairs.source, size),
            target=grown(pairs.target, size),
            total=grown(pairs.total, size),
            previous=grown(pairs.previous, size),
        )
        if 2 * len(pairs.source) > len(pairs.table):
            length = 1 << (2 * len(pairs.source)).bit_length()
            pairs = pairs._replace(table=np.full(length, -1, np.int64))
            _fill(pairs, self._used)
        self._pairs = pairs

    def rows(
        self,
        items: NDArray[np.int32],
        longest: int,
        norms: tuple[NDArray[np.floating], NDArray[np.floating]] | None = None,
    ) -> scipy.sparse.csr_array:
        """The counts after each of some items.

        Args:
            items: [Q] item indices; negative ones give an empty row.
            longest: Number of entries kept in a row: the largest, ties by the lower index; 0 keeps
                all.
            norms: Two vectors [size]: a count is divided by the first of its row times the second
                of its column, and the diagonal is left out. None, the default, keeps counts.

        Returns:
            [Q, size] float32.
        """
        ones = np.empty(0)
        left, right = norms if norms is not None else (ones, ones)
        degrees = _degrees(self._pairs, items)
        indptr, indices, data = _rows(
            self._pairs, items, degrees, longest, norms is not None, left, right
        )
        return scipy.sparse.csr_array((data, indices, indptr), shape=(len(items), self.size))


@numba.njit(cache=True, nogil=True, inline="always")  # a call copies all arrays of `pairs`
def _slot(pairs: _Pairs, source: int, target: int) -> np.int64:
    """The place of the pair in the hash table, or the empty place where it belongs."""
    mixed = (np.uint64(source) << np.uint64(32) | np.uint64(target)) * _MIX
    place = np.int64((mixed >> np.uint64(20)) & np.uint64(len(pairs.table) - 1))
    while True:
        entry = pairs.table[place]
        if entry < 0 or (pairs.source[entry] == source and pairs.target[entry] == target):
            return place
        place = (place + 1) & (len(pairs.table) - 1)


@numba.njit(cache=True, nogil=True)
def _fill(pairs: _Pairs, used: int) -> None:
    for entry in range(used):
        pairs.table[_slot(pairs, pairs.source[entry], pairs.target[entry])] = entry


@numba.njit(cache=True, nogil=True)
def _add(pairs: _Pairs, used: int, source: int, target: int, weight: int) -> int:
    place = _slot(pairs, source, target)
    entry = pairs.table[place]
    if entry >= 0:
        pairs.total[entry] += weight
        return used
    pairs.table[place] = used
    pairs.source[used], pairs.target[used], pairs.total[used] = source, target, weight
    pairs.previous[used] = pairs.head[source]
    pairs.head[source] = used
    return used + 1


@numba.njit(cache=True, nogil=True)
def _learn(
    pairs: _Pairs,
    used: int,
    rule: _Rule,
    items: NDArray[np.int32],
    start: NDArray[np.int64],
    stop: NDArray[np.int64],
    slots: NDArray[np.int64],
    old: NDArray[np.int64],
    done: int,
    place: int,
    buffer: NDArray[np.int32],
) -> tuple[int, int, int]:
    """Learns the sessions from number `done`, the first from its item `place`, while room lasts."""
    weights = rule.weights
    seen = np.full(len(pairs.head), -1, np.int64) if rule.distinct else np.empty(0, np.int64)
    for number in range(done, len(slots)):
        slot = slots[number]
        begin, length = start[slot], stop[slot] - start[slot]
        known = 0  # number of the session's items in the buffer
        first = max(place, old[number])
        place = 0
        for offset in range(length):
            item = items[begin + offset]
            if rule.distinct:
                if seen[item] == number:
                    continue
                seen[item] = number
            if offset >= first:
                if used + 2 * known > len(pairs.source):
                    return number, offset, used
                pairs.support[item] += 1
                for back in range(1, known + 1):
                    weight = weights[min(back, len(weights)) - 1]
                    if weight == 0:
                        continue
                    other = buffer[known - back]
                    used = _add(pairs, used, other, item, weight)
                    if rule.symmetric:
                        used = _add(pairs, used, item, other, weight)
            buffer[known] = item
            known += 1
    return len(slots), 0, used


@numba.njit(cache=True, nogil=True)
def _degrees(pairs: _Pairs, items: NDArray[np.int32]) -> NDArray[np.int64]:
    degrees = np.zeros(len(items), np.int64)
    for q in range(len(items)):
        if items[q] >= 0:
            entry = pairs.head[items[q]]
            while entry >= 0:
                degrees[q] += 1
                entry = pairs.previous[entry]
    return degrees


@numba.njit(cache=True, nogil=True)
def _rows(
    pairs: _Pairs,
    items: NDArray[np.int32],
    degrees: NDArray[np.int64],
    longest: int,
    normed: bool,
    left: NDArray[np.floating],
    right: NDArray[np.floating],
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    indptr = np.zeros(len(items) + 1, np.int64)
    total = 0
    for q in range(len(items)):
        total += min(degrees[q], longest) if longest else degrees[q]
    indices = np.empty(total, np.int32)
    data = np.empty(total, np.float32)
    used = 0
    for q in range(len(items)):
        row_items = np.empty(degrees[q], np.int32)
        values = np.empty(degrees[q], np.float64)
        size = 0
        if items[q] >= 0:
            entry = pairs.head[items[q]]
            while entry >= 0:
                item = pairs.target[entry]
                if not normed or item != items[q]:
                    value = pairs.total[entry] / _ONE
                    if normed:
                        value /= left[items[q]] * right[item]
                    row_items[size], values[size] = item, value
                    size += 1
                entry = pairs.previous[entry]
        if longest and size > longest:
            by_item = np.argsort(row_items[:size])
            best = by_item[np.argsort(-values[by_item], kind="mergesort")[:longest]]
        else:
            best = np.arange(size)
        for i in best:
            indices[used], data[used] = row_items[i], values[i]
            used += 1
        indptr[q + 1] = used
    return indptr, indices[:used], data[:used]
