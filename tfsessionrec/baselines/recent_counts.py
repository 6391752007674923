"""Popularity counts before a moment, decayed or within a window."""

from typing import NamedTuple

import numba
import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from tfsessionrec.baselines.session_log import grown

ANCHORS = ("last", "request")
_FAR = 500.0  # Half-lives between two moments after which the unit of decayed counts moves.


class _Rule(NamedTuple):
    """The weight of interactions: the arguments of `RecentCounts`, and the number of items kept."""

    half_life: float  # 0: none
    window: float
    at_request: bool
    top: int


class _Counts(NamedTuple):
    """The counts at one moment, changed in place."""

    counts: NDArray[np.float64]  # [size], in units of the weight at `unit`
    active: NDArray[np.int32]  # [size], items with interactions, in no order
    place: NDArray[np.int32]  # [size], where each is in `active`, or -1
    held: NDArray[np.int64]  # [size], number of counted interactions of each
    state: NDArray[np.int64]  # [3], interactions entered and left; items in `active`
    unit: NDArray[np.float64]  # [1], the time at which an interaction has the weight 1


class RecentCounts:
    """Counts interactions before any moment t, exactly and incrementally.

    With e the time of the last interaction before t (`anchor="last"`), or t itself (`"request"`),

    `count(i, t) = sum over interactions of i with time t_i < t: weight(e - t_i)`

    where weight(a) is `2^(-a / half_life)`, or 1 for `a <= window` and 0 beyond, or 1.
    Moments in ascending order cost one step an interaction, and one a counted item.

    Args:
        size: Number of item indices.
        half_life: Seconds, or None.
        window: Seconds, or None; not both.
        anchor: `"last"` or `"request"`.
    """

    def __init__(
        self, size: int, half_life: float | None, window: float | None, anchor: str
    ) -> None:
        self._size = size
        self._half_life = float(half_life or 0.0)
        self._window = np.inf if window is None else float(window)
        self._at_request = anchor == "request"
        self._items = np.empty(0, np.int32)
        self._times = np.empty(0, np.float64)
        self._number = 0
        self._start()

    def _start(self) -> None:
        """Sets the counts to those before all interactions."""
        self._counts = _Counts(
            counts=np.zeros(self._size, np.float64),
            active=np.empty(self._size, np.int32),
            place=np.full(self._size, -1, np.int32),
            held=np.zeros(self._size, np.int64),
            state=np.zeros(3, np.int64),
            unit=np.zeros(1, np.float64),
        )
        self._asked = -np.inf

    @property
    def items(self) -> NDArray[np.int32]:
        """[N], in order of time."""
        return self._items[: self._number]

    @property
    def times(self) -> NDArray[np.float64]:
        """[N], in order."""
        return self._times[: self._number]

    def learn(self, items: NDArray[np.int32], times: NDArray[np.float64]) -> None:
        """Learns further interactions, of any time and in any order."""
        last = self._times[self._number - 1] if self._number else -np.inf
        begin, end = self._number, self._number + len(items)
        self._items, self._times = grown(self._items, end), grown(self._times, end)
        self._items[begin:end], self._times[begin:end] = items, times
        self._number = end
        fresh = self.times[begin:]
        if len(fresh) and (fresh[0] < last or (np.diff(fresh) < 0).any()):
            # Stable, so that the order is that of learning everything at once.
            order = np.argsort(self.times, kind="stable")
            self._items[:end], self._times[:end] = self.items[order], self.times[order]
            self._start()

    def scores(self, times: NDArray[np.float64], top: int | None) -> scipy.sparse.csr_array:
        """The counts at some moments.

        Args:
            times: [Q] unix seconds; NaN means right after the last interaction.
            top: Number of largest counts kept, plus all that tie with the last of them; None for
                all.

        Returns:
            [Q, size] float32; counts below 1e-38 are left out.
        """
        after = np.nextafter(self._times[self._number - 1], np.inf) if self._number else np.inf
        moments = np.where(np.isnan(times), after, times)
        order = np.argsort(moments, kind="stable")
        ascending = moments[order]
        if len(ascending) and ascending[0] < self._asked:
            self._start()
        if len(ascending):
            self._asked = ascending[-1]
        indptr, indices, data = _sweep(
            ascending,
            self.items,
            self.times,
            _Rule(self._half_life, self._window, self._at_request, top or self._size),
            self._counts,
        )
        scores = scipy.sparse.csr_array((data, indices, indptr), shape=(len(times), self._size))
        return scores if (np.diff(order) == 1).all() else scores[np.argsort(order)]


@numba.njit(cache=True, nogil=True)
def _enter(now: _Counts, item: int, time: float, half_life: float) -> None:
    """Counts an interaction."""
    weight = 1.0
    if half_life > 0:
        age = (time - now.unit[0]) / half_life
        if age > _FAR:
            for i in range(now.state[2]):
                now.counts[now.active[i]] *= 2.0 ** (-age)
            now.unit[0], age = time, 0.0
        weight = 2.0**age
    if now.place[item] < 0:
        now.place[item] = now.state[2]
        now.active[now.state[2]] = item
        now.state[2] += 1
        now.counts[item] = 0.0
    now.counts[item] += weight
    now.held[item] += 1
    now.state[0] += 1


@numba.njit(cache=True, nogil=True)
def _leave(now: _Counts, item: int) -> None:
    """Counts an interaction no longer, because it left the window."""
    now.counts[item] -= 1.0
    now.held[item] -= 1
    if now.held[item] == 0:
        now.state[2] -= 1
        other = now.active[now.state[2]]
        now.active[now.place[item]] = other
        now.place[other] = now.place[item]
        now.place[item] = -1
    now.state[1] += 1


@numba.njit(cache=True, nogil=True)
def _least(now: _Counts, top: int) -> float:
    """The smallest of the `top` largest counts, 0 if there are no more than `top`."""
    size = now.state[2]
    if size <= top:
        return 0.0
    return np.partition(now.counts[now.active[:size]], size - top)[size - top]


@numba.njit(cache=True, nogil=True)
def _sweep(
    moments: NDArray[np.float64],
    items: NDArray[np.int32],
    times: NDArray[np.float64],
    rule: _Rule,
    now: _Counts,
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """The largest counts at ascending moments, as `indptr`, `indices` and `data`."""
    indptr = np.zeros(len(moments) + 1, np.int64)
    indices = np.empty(1024, np.int32)
    data = np.empty(1024, np.float32)
    used = 0
    for q in range(len(moments)):
        moment = moments[q]
        before = now.state[0] + now.state[1]
        while now.state[0] < len(times) and times[now.state[0]] < moment:
            _enter(now, items[now.state[0]], times[now.state[0]], rule.half_life)
        entered = now.state[0]
        if entered == 0:
            continue
        end = moment if rule.at_request else times[entered - 1]
        while now.state[1] < entered and times[now.state[1]] < end - rule.window:
            _leave(now, items[now.state[1]])
        half_life = rule.half_life
        scale = 2.0 ** ((now.unit[0] - end) / half_life) if half_life > 0 else 1.0
        unchanged = before == entered + now.state[1] and not (rule.at_request and half_life > 0)
        first = indptr[q - 1] if q else 0
        length = indptr[q] - first if q and unchanged else now.state[2]
        while used + length > len(indices):
            indices, data = _double(indices, data)
        if q and unchanged:
            indices[used : used + length] = indices[first : first + length]
            data[used : used + length] = data[first : first + length]
            used += length
        else:
            least = _least(now, rule.top)
            for i in range(length):
                item = now.active[i]
                value = np.float32(now.counts[item] * scale)
                if now.counts[item] >= least and value > 0:
                    indices[used], data[used] = item, value
                    used += 1
        indptr[q + 1] = used
    return indptr, indices[:used].copy(), data[:used].copy()


@numba.njit(cache=True, nogil=True)
def _double(
    indices: NDArray[np.int32], data: NDArray[np.float32]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    more, values = np.empty(2 * len(indices), np.int32), np.empty(2 * len(data), np.float32)
    more[: len(indices)], values[: len(data)] = indices, data
    return more, values
