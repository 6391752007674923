"""Counts of what came before a moment, decayed or within a window."""

from typing import Any

import numba
import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from tfsessionrec.baselines.session_log import grown

ANCHORS = ("last", "request")
_FAR = 500.0  # Half-lives between two moments after which the unit of decayed counts is set anew.


class RecentCounts:
    """Counts interactions before any moment t, exactly, and goes on learning.

    With e the time of the last interaction before t (`anchor="last"`), or t itself (`"request"`),

    `count(i, t) = sum over interactions of i with time t_i < t: weight(e - t_i)`

    where weight(a) is `2^(-a / half_life)`, or 1 for `a <= window` and 0 beyond, or 1.
    What is asked in order of time costs one step an interaction, and one a counted item.

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
        self._half_life = half_life or 0.0
        self._window = np.inf if window is None else window
        self._at_request = anchor == "request"
        self._items = np.empty(0, np.int32)
        self._times = np.empty(0, np.float64)
        self._number = 0
        self._start()

    def _start(self) -> None:
        """Counts of nothing, before all times."""
        self._counts = np.zeros(self._size, np.float64)
        self._active = np.empty(self._size, np.int32)  # items that count, in no order
        self._place = np.full(self._size, -1, np.int32)  # where each of them stands there
        self._held = np.zeros(self._size, np.int64)  # how many interactions of each count
        self._state = np.zeros(3, np.int64)  # interactions entered, left; items that count
        self._unit = np.zeros(1, np.float64)  # when an interaction has the weight 1
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
            # Stable, so that all is as if learned at once.
            order = np.argsort(self.times, kind="stable")
            self._items[:end], self._times[:end] = self.items[order], self.times[order]
            self._start()

    def scores(self, times: NDArray[np.float64], top: int | None) -> scipy.sparse.csr_array:
        """The counts at some moments.

        Args:
            times: [Q] unix seconds; NaN stands for right after everything.
            top: How many of the largest are kept, and all that tie with the last of them; None for
                all.

        Returns:
            [Q, size] float32; what counts less than 1e-38 is left out.
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
            self._half_life,
            self._window,
            self._at_request,
            top or self._size,
            self._counts,
            self._active,
            self._place,
            self._held,
            self._state,
            self._unit,
        )
        scores = scipy.sparse.csr_array((data, indices, indptr), shape=(len(times), self._size))
        return scores if (np.diff(order) == 1).all() else scores[np.argsort(order)]


@numba.njit(cache=True, nogil=True)
def _sweep(
    moments: Any,
    items: Any,
    times: Any,
    half_life: float,
    window: float,
    at_request: bool,
    top: int,
    counts: Any,
    active: Any,
    place: Any,
    held: Any,
    state: Any,
    unit: Any,
) -> Any:
    indptr = np.zeros(len(moments) + 1, np.int64)
    indices = np.empty(1024, np.int32)
    data = np.empty(1024, np.float32)
    used = 0
    entered, left, num_active = state[0], state[1], state[2]
    for q in range(len(moments)):
        moment = moments[q]
        before = entered + left
        while entered < len(times) and times[entered] < moment:
            item, weight = items[entered], 1.0
            if half_life > 0:
                age = (times[entered] - unit[0]) / half_life
                if age > _FAR:
                    for i in range(num_active):
                        counts[active[i]] *= 2.0 ** (-age)
                    unit[0], age = times[entered], 0.0
                weight = 2.0**age
            if place[item] < 0:
                place[item] = num_active
                active[num_active] = item
                num_active += 1
                counts[item] = 0.0
            counts[item] += weight
            held[item] += 1
            entered += 1
        if entered == 0:
            continue
        end = moment if at_request else times[entered - 1]
        while left < entered and times[left] < end - window:
            item = items[left]
            counts[item] -= 1.0
            held[item] -= 1
            if held[item] == 0:
                num_active -= 1
                other = active[num_active]
                active[place[item]] = other
                place[other] = place[item]
                place[item] = -1
            left += 1
        scale = 2.0 ** ((unit[0] - end) / half_life) if half_life > 0 else 1.0
        first = indptr[q - 1] if q else 0
        if q and before == entered + left and not (at_request and half_life > 0):
            # Nothing has changed since the moment before.
            length = indptr[q] - first
            while used + length > len(indices):
                indices, data = _double(indices, data)
            indices[used : used + length] = indices[first : first + length]
            data[used : used + length] = data[first : first + length]
            used += length
            indptr[q + 1] = used
            continue
        least = 0.0
        if num_active > top:
            least = np.partition(counts[active[:num_active]], num_active - top)[num_active - top]
        while used + num_active > len(indices):
            indices, data = _double(indices, data)
        for i in range(num_active):
            item = active[i]
            value = np.float32(counts[item] * scale)
            if counts[item] >= least and value > 0:
                indices[used], data[used] = item, value
                used += 1
        indptr[q + 1] = used
    state[0], state[1], state[2] = entered, left, num_active
    return indptr, indices[:used].copy(), data[:used].copy()


@numba.njit(cache=True, nogil=True)
def _double(indices: Any, data: Any) -> Any:
    more, values = np.empty(2 * len(indices), np.int32), np.empty(2 * len(data), np.float32)
    more[: len(indices)], values[: len(data)] = indices, data
    return more, values
