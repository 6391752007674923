"""Weighted counts of ordered pairs of items, learned one interaction at a time."""

from typing import Any

import numba
import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from tfsessionrec.baselines.session_log import SessionLog, grown

_ONE = 2.0**32
_MIX = np.uint64(0x9E3779B97F4A7C15)


class PairCounts:
    """For every pair of items (a, b), the sum of weights of b after a within sessions.

    `count(a, b) = sum over sessions, over places p < q, x_p = a, x_q = b: weight(q - p)`

    Weights are whole multiples of 2⁻³², so that the sums are exact whatever the order in which
    sessions come: learning more gives what learning everything at once gives.

    Args:
        size: Number of item indices.
        weights: `weight(1), weight(2) ...`; a pair further apart has the last of them.
        symmetric: Whether each pair counts as (b, a) too.
        distinct: Whether an item counts once a session, where it first stands.
    """

    def __init__(
        self, size: int, weights: NDArray[np.float64], symmetric: bool, distinct: bool
    ) -> None:
        self.size = size
        self._weights = np.round(weights * _ONE).astype(np.int64)
        self._symmetric = symmetric
        self._distinct = distinct
        self.support = np.zeros(size, np.int64)
        """[size], interactions of each item, or its sessions if `distinct`."""
        self._head = np.full(size, -1, np.int64)
        self._used = 0
        self._from = np.empty(0, np.int32)
        self._to = np.empty(0, np.int32)
        self._count = np.empty(0, np.int64)
        self._previous = np.empty(0, np.int64)
        self._table = np.full(1024, -1, np.int64)

    def learn(self, log: SessionLog, slots: NDArray[np.int64], old: NDArray[np.int64]) -> None:
        """Counts what the sessions `slots` of the log have beyond their first `old` items."""
        buffer = np.empty(max(int((log.stop - log.start)[slots].max(initial=0)), 1), np.int32)
        done, place = 0, 0
        while done < len(slots):
            done, place, self._used = _learn(
                log.items,
                log.start,
                log.stop,
                slots,
                old,
                done,
                place,
                self._weights,
                self._symmetric,
                self._distinct,
                self.support,
                self._head,
                self._used,
                self._from,
                self._to,
                self._count,
                self._previous,
                self._table,
                buffer,
            )
            if done < len(slots):
                self._grow(2 * len(buffer))

    def _grow(self, more: int) -> None:
        size = self._used + more
        for field in ("_from", "_to", "_count", "_previous"):
            setattr(self, field, grown(getattr(self, field), size))
        if 2 * len(self._from) > len(self._table):
            length = 1 << (2 * len(self._from)).bit_length()
            self._table = np.full(length, -1, np.int64)
            _fill(self._table, self._from, self._to, self._used)

    def rows(
        self, items: NDArray[np.int32], longest: int, norms: tuple[Any, Any] | None
    ) -> scipy.sparse.csr_array:
        """The counts after each of some items.

        Args:
            items: [Q] item indices; negative ones give an empty row.
            longest: How many entries of a row are kept, the largest, of equal ones those of the
                lower index; 0 keeps all.
            norms: Two vectors [size]: a count is divided by the first of its row times the second
                of its column, and the diagonal is left out. None leaves counts as they are.

        Returns:
            [Q, size] float32.
        """
        ones = np.empty(0)
        left, right = norms if norms is not None else (ones, ones)
        degrees = _degrees(items, self._head, self._previous)
        indptr, indices, data = _rows(
            items,
            degrees,
            self._head,
            self._to,
            self._count,
            self._previous,
            longest,
            norms is not None,
            left,
            right,
        )
        return scipy.sparse.csr_array((data, indices, indptr), shape=(len(items), self.size))


@numba.njit(cache=True, nogil=True)
def _slot(table: Any, sources: Any, targets: Any, source: int, target: int) -> Any:
    """Where the pair stands in the table, or the empty place that it would take."""
    mixed = (np.uint64(source) << np.uint64(32) | np.uint64(target)) * _MIX
    place = np.int64((mixed >> np.uint64(20)) & np.uint64(len(table) - 1))
    while True:
        entry = table[place]
        if entry < 0 or (sources[entry] == source and targets[entry] == target):
            return place
        place = (place + 1) & (len(table) - 1)


@numba.njit(cache=True, nogil=True)
def _fill(table: Any, sources: Any, targets: Any, used: int) -> None:
    for entry in range(used):
        table[_slot(table, sources, targets, sources[entry], targets[entry])] = entry


@numba.njit(cache=True, nogil=True)
def _add(
    source: int,
    target: int,
    weight: int,
    head: Any,
    used: int,
    sources: Any,
    targets: Any,
    count: Any,
    previous: Any,
    table: Any,
) -> int:
    place = _slot(table, sources, targets, source, target)
    entry = table[place]
    if entry >= 0:
        count[entry] += weight
        return used
    table[place] = used
    sources[used], targets[used], count[used] = source, target, weight
    previous[used] = head[source]
    head[source] = used
    return used + 1


@numba.njit(cache=True, nogil=True)
def _learn(
    items: Any,
    start: Any,
    stop: Any,
    slots: Any,
    old: Any,
    done: int,
    place: int,
    weights: Any,
    symmetric: bool,
    distinct: bool,
    support: Any,
    head: Any,
    used: int,
    sources: Any,
    targets: Any,
    count: Any,
    previous: Any,
    table: Any,
    buffer: Any,
) -> Any:
    """Learns the sessions from number `done`, the first from its item `place`, while room lasts."""
    seen = np.full(len(head), -1, np.int64) if distinct else np.empty(0, np.int64)
    for number in range(done, len(slots)):
        slot = slots[number]
        begin, length = start[slot], stop[slot] - start[slot]
        known = 0  # what of the session stands in the buffer
        first = max(place, old[number])
        place = 0
        for offset in range(length):
            item = items[begin + offset]
            if distinct:
                if seen[item] == number:
                    continue
                seen[item] = number
            if offset >= first:
                if used + 2 * known > len(sources):
                    return number, offset, used
                support[item] += 1
                for back in range(1, known + 1):
                    weight = weights[min(back, len(weights)) - 1]
                    if weight == 0:
                        continue
                    other = buffer[known - back]
                    used = _add(
                        other, item, weight, head, used, sources, targets, count, previous, table
                    )
                    if symmetric:
                        used = _add(
                            item, other, weight, head, used, sources, targets, count, previous,
                            table,
                        )  # fmt: skip
            buffer[known] = item
            known += 1
    return len(slots), 0, used


@numba.njit(cache=True, nogil=True)
def _degrees(items: Any, head: Any, previous: Any) -> Any:
    degrees = np.zeros(len(items), np.int64)
    for q in range(len(items)):
        if items[q] >= 0:
            entry = head[items[q]]
            while entry >= 0:
                degrees[q] += 1
                entry = previous[entry]
    return degrees


@numba.njit(cache=True, nogil=True)
def _rows(
    items: Any,
    degrees: Any,
    head: Any,
    targets: Any,
    count: Any,
    previous: Any,
    longest: int,
    normed: bool,
    left: Any,
    right: Any,
) -> Any:
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
            entry = head[items[q]]
            while entry >= 0:
                item = targets[entry]
                if not normed or item != items[q]:
                    value = count[entry] / _ONE
                    if normed:
                        value /= left[items[q]] * right[item]
                    row_items[size], values[size] = item, value
                    size += 1
                entry = previous[entry]
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
