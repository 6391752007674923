"""From items to the sessions that hold them, the most recent first."""

import zlib
from typing import NamedTuple

import numba
import numpy as np
import polars as pl
from numpy.typing import NDArray

from tfsessionrec.baselines.session_log import SessionLog, grown


class IndexArrays(NamedTuple):
    """The arrays that a search reads. The *number* of a session grows with its last interaction.

    Args:
        head: [items], each item's last entry, -1 for none.
        entry_session: [entries], the number of the session that holds the item.
        entry_previous: [entries], the item's entry before, of a smaller number, or -1.
        alive: [numbers], False for a session that continues under a larger number.
        priority: [numbers] int64; a sample prefers sessions of larger priority.
        time: [numbers] float64, unix seconds of the last interaction.
        start: [numbers + 1], where the session's distinct items start in the two that follow.
        items: int32, distinct items.
        places: int32, the last place of the item in the session, from 1.
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


class NeighborIndex:
    """An index of sessions by item and by time that learns incrementally.

    Sessions are numbered by (time of the last interaction, user id, session index), so that the
    order equals that of an index made of everything at once. A session that grows takes a new
    number at the end, together with the few that ended at the same moment; its old number is dead.
    When more numbers are dead than alive the index is rebuilt: the amortized cost of learning is
    constant for each item of the sessions that grow.

    Args:
        size: Number of item indices.
        seed: Seed of the priorities of a random sample; None for a sample of recent sessions.
    """

    def __init__(self, size: int, seed: int | None) -> None:
        self._size = size
        self._seed = seed
        self._number_of = np.empty(0, np.int64)  # of each slot, -1 for none
        self._clear()

    def _clear(self) -> None:
        self.num_alive = 0
        self.slots = np.empty(0, np.int64)
        """[numbers], the session's slot in the log."""
        self._number_of[:] = -1
        self._numbers = 0
        self._entries = 0
        self._arrays = IndexArrays(
            head=np.full(self._size, -1, np.int64),
            entry_session=np.empty(0, np.int64),
            entry_previous=np.empty(0, np.int64),
            alive=np.empty(0, np.bool_),
            priority=np.empty(0, np.int64),
            time=np.empty(0, np.float64),
            start=np.zeros(1, np.int64),
            items=np.empty(0, np.int32),
            places=np.empty(0, np.int32),
        )

    def arrays(self) -> IndexArrays:
        """The current state."""
        n, arrays = self._numbers, self._arrays
        return arrays._replace(
            alive=arrays.alive[:n], priority=arrays.priority[:n], time=arrays.time[:n]
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
        self._arrays.alive[dead] = False
        self.num_alive -= len(dead)
        every = np.union1d(slots, self.slots[again])
        if self._numbers - self.num_alive > max(self.num_alive + len(every), 1024):
            self._clear()
            every = np.arange(log.num_sessions)
        self._append(log, every)

    def _suffix(self, time: float) -> NDArray[np.int64]:
        """The numbers alive of sessions that did not end before `time`."""
        alive = self._arrays.alive
        first = _first_not_before(alive, self._arrays.time, self._numbers, time)
        return first + np.flatnonzero(alive[first : self._numbers])

    def _append(self, log: SessionLog, slots: NDArray[np.int64]) -> None:
        slots = _in_order(log, slots)
        begin, end = self._numbers, self._numbers + len(slots)
        self._reserve(end, self._entries + int((log.stop - log.start)[slots].sum()))
        arrays = self._arrays
        self.slots[begin:end] = slots
        arrays.alive[begin:end] = True
        arrays.time[begin:end] = log.times[slots]
        arrays.priority[begin:end] = (
            np.arange(begin, end) if self._seed is None else self._random(log, slots)
        )
        self._entries = _append(arrays, log.items, log.start, log.stop, slots, begin, self._entries)
        self._number_of[slots] = np.arange(begin, end)
        self._numbers = end
        self.num_alive += len(slots)

    def _reserve(self, numbers: int, entries: int) -> None:
        """Makes room for so many numbers and entries."""
        self.slots = grown(self.slots, numbers)
        arrays = self._arrays
        self._arrays = IndexArrays(
            head=arrays.head,
            entry_session=grown(arrays.entry_session, entries),
            entry_previous=grown(arrays.entry_previous, entries),
            alive=grown(arrays.alive, numbers),
            priority=grown(arrays.priority, numbers),
            time=grown(arrays.time, numbers),
            start=grown(arrays.start, numbers + 1),
            items=grown(arrays.items, entries),
            places=grown(arrays.places, entries),
        )

    def _random(self, log: SessionLog, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        """Priorities that depend only on the seed, the user id and the session index."""
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
    # Sorting a few rows takes less time than making a data frame.
    return np.array([row[-1] for row in sorted(zip(*columns.values()))], np.int64)


@numba.njit(cache=True, nogil=True)
def _first_not_before(
    alive: NDArray[np.bool_], times: NDArray[np.float64], numbers: int, time: float
) -> int:
    """The number after the last one alive of a session that ended before `time`."""
    while numbers > 0 and not (alive[numbers - 1] and times[numbers - 1] < time):
        numbers -= 1
    return numbers


@numba.njit(cache=True, nogil=True)
def _append(
    arrays: IndexArrays,
    log_items: NDArray[np.int32],
    log_start: NDArray[np.int64],
    log_stop: NDArray[np.int64],
    slots: NDArray[np.int64],
    number: int,
    used: int,
) -> int:
    """Adds sessions from `number` on; returns the number of entries used."""
    head, entry_session = arrays.head, arrays.entry_session
    for slot in slots:
        begin = log_start[slot]
        arrays.start[number] = used
        for place in range(log_stop[slot] - begin, 0, -1):
            item = log_items[begin + place - 1]
            if head[item] >= 0 and entry_session[head[item]] == number:
                continue  # the item has a later place in the session
            arrays.items[used], arrays.places[used] = item, place
            entry_session[used], arrays.entry_previous[used] = number, head[item]
            head[item] = used
            used += 1
        number += 1
        arrays.start[number] = used
    return used
