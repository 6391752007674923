"""From items to the sessions that hold them, the most recent first."""

import dataclasses
import zlib
from typing import Any

import numba
import numpy as np
import polars as pl
from numpy.typing import NDArray

from tfsessionrec.baselines.session_log import SessionLog, grown


@dataclasses.dataclass(frozen=True)
class IndexArrays:
    """What a search reads. A session goes by its *number*, larger for a later last interaction.

    Args:
        head: [items], each item's last entry, -1 where there is none.
        entry_session: [entries], the number of the session that holds the item.
        entry_previous: [entries], the item's entry before, of a smaller number, or -1.
        alive: [numbers], False for a session that goes on under a larger number.
        priority: [numbers] int64, which sessions a sample prefers: the larger.
        time: [numbers] float64, unix seconds of the last interaction.
        start: [numbers + 1], where the session's distinct items start in the two that follow.
        items: int32, distinct items.
        places: int32, the last place in the session, from 1, where the item stands.
    """

    head: NDArray[np.int64]
    entry_session: NDArray[np.int64]
    entry_previous: NDArray[np.int64]
    alive: NDArray[np.bool_]
    priority: NDArray[np.int64]
    time: NDArray[np.float64]
    start: NDArray[np.int64]
    items: NDArray[np.int32]
    places: NDArray[np.int32]


class NeighbourIndex:
    """Sessions by item and by time, which go on learning.

    Sessions are numbered by (time of the last interaction, user id, session index), so that the
    order is that of an index made of everything at once. A session that grows takes a new number at
    the end, together with the few that ended at the same moment; its old one is dead. When more
    numbers are dead than alive the index is made anew: learning costs, spread over all, a constant
    time an item of the sessions that grow.

    Args:
        size: Number of item indices.
        seed: Seed of the priorities of a random sample; None for a sample of recent sessions.
    """

    def __init__(self, size: int, seed: int | None) -> None:
        self._size = size
        self._seed = seed
        self._clear()

    def _clear(self) -> None:
        self.num_alive = 0
        self.slots = np.empty(0, np.int64)
        """[numbers], which session of the log it is."""
        self._numbers = 0
        self._entries = 0
        self._number_of = np.empty(0, np.int64)
        self._head = np.full(self._size, -1, np.int64)
        self._entry_session = np.empty(0, np.int64)
        self._entry_previous = np.empty(0, np.int64)
        self._alive = np.empty(0, np.bool_)
        self._priority = np.empty(0, np.int64)
        self._time = np.empty(0, np.float64)
        self._start = np.zeros(1, np.int64)
        self._items = np.empty(0, np.int32)
        self._places = np.empty(0, np.int32)

    def arrays(self) -> IndexArrays:
        """What is known now."""
        n = self._numbers
        return IndexArrays(
            self._head,
            self._entry_session,
            self._entry_previous,
            self._alive[:n],
            self._priority[:n],
            self._time[:n],
            self._start,
            self._items,
            self._places,
        )

    def learn(self, log: SessionLog, slots: NDArray[np.int64]) -> None:
        """Learns the sessions `slots` of the log, new or grown."""
        if not len(slots):
            return
        known = len(self._number_of)
        if log.num_sessions > known:
            self._number_of = grown(self._number_of, log.num_sessions)
            self._number_of[known:] = -1
        old = self._number_of[slots]
        again = self._suffix(log.times[slots].min())
        dead = np.union1d(old[old >= 0], again)
        self._alive[dead] = False
        self.num_alive -= len(dead)
        every = np.union1d(slots, self.slots[again])
        if self._numbers - self.num_alive > max(self.num_alive + len(every), 1024):
            number_of = self._number_of
            self._clear()
            number_of[:] = -1
            self._number_of = number_of
            every = np.arange(log.num_sessions)
        self._append(log, every)

    def _suffix(self, time: float) -> NDArray[np.int64]:
        """The numbers alive of sessions that did not end before `time`."""
        first = _first_not_before(self._alive, self._time, self._numbers, time)
        return first + np.flatnonzero(self._alive[first : self._numbers])

    def _append(self, log: SessionLog, slots: NDArray[np.int64]) -> None:
        slots = _in_order(log, slots)
        begin, end = self._numbers, self._numbers + len(slots)
        for field in ("slots", "_alive", "_priority", "_time"):
            setattr(self, field, grown(getattr(self, field), end))
        self._start = grown(self._start, end + 1)
        self.slots[begin:end] = slots
        self._alive[begin:end] = True
        self._time[begin:end] = log.times[slots]
        self._priority[begin:end] = (
            np.arange(begin, end) if self._seed is None else self._random(log, slots)
        )
        more = int((log.stop - log.start)[slots].sum())
        for field in ("_items", "_places", "_entry_session", "_entry_previous"):
            setattr(self, field, grown(getattr(self, field), self._entries + more))
        self._entries = _append(
            log.items,
            log.start,
            log.stop,
            slots,
            begin,
            self._entries,
            self._start,
            self._items,
            self._places,
            self._head,
            self._entry_session,
            self._entry_previous,
        )
        self._number_of[slots] = np.arange(begin, end)
        self._numbers = end
        self.num_alive += len(slots)

    def _random(self, log: SessionLog, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers that depend on the seed and the session's name alone."""
        names = zip(log.users[slots].tolist(), log.session_indices[slots].tolist())
        texts = (f"{self._seed} {user} {index}".encode() for user, index in names)
        return np.array([zlib.crc32(text) << 31 | zlib.adler32(text) >> 1 for text in texts])


def _in_order(log: SessionLog, slots: NDArray[np.int64]) -> NDArray[np.int64]:
    """Slots by the time of the last interaction, user and session index."""
    columns = {
        "time": log.times[slots],
        "user": log.users[slots].tolist(),
        "index": log.session_indices[slots],
        "slot": slots,
    }
    if len(slots) > 64:
        return pl.DataFrame(columns).sort("time", "user", "index")["slot"].to_numpy()
    # A few at a time are sorted before a data frame has begun.
    return np.array([row[-1] for row in sorted(zip(*columns.values()))], np.int64)


@numba.njit(cache=True, nogil=True)
def _first_not_before(alive: Any, times: Any, numbers: int, time: float) -> Any:
    """Behind the last number alive of a session that ended before `time`."""
    while numbers > 0 and not (alive[numbers - 1] and times[numbers - 1] < time):
        numbers -= 1
    return numbers


@numba.njit(cache=True, nogil=True)
def _append(
    log_items: Any,
    log_start: Any,
    log_stop: Any,
    slots: Any,
    number: int,
    used: int,
    start: Any,
    items: Any,
    places: Any,
    head: Any,
    entry_session: Any,
    entry_previous: Any,
) -> int:
    for slot in slots:
        begin = log_start[slot]
        start[number] = used
        for place in range(log_stop[slot] - begin, 0, -1):
            item = log_items[begin + place - 1]
            if head[item] >= 0 and entry_session[head[item]] == number:
                continue  # it stands at a later place too
            items[used], places[used] = item, place
            entry_session[used], entry_previous[used] = number, head[item]
            head[item] = used
            used += 1
        number += 1
        start[number] = used
    return used
