"""The sessions that a baseline has learned, in arrays that grow."""

from typing import Any, TypeVar

import numba
import numpy as np
import polars as pl
from numpy.typing import NDArray

Id = str | int
Ids = NDArray[np.int64] | NDArray[np.object_]  # raw ids: int64, or str objects
Arrays = dict[str, NDArray[Any]]  # of a file

DTYPE = TypeVar("DTYPE", bound=np.generic)


class SessionLog:
    """The positive interactions of known items, session by session.

    Sessions are numbered by their first interaction; the number, a *slot*, never changes.
    Its items are `items[start[slot] : stop[slot]]`, oldest first.

    Attributes:
        num_sessions: Number of slots.
        users: [num_sessions or more], user ids, int64 or str objects.
        session_ids: Likewise, session ids.
        session_indices: Likewise, int64: user and index identify the session.
        start: Likewise, int64, where the session's items start.
        stop: Likewise, where they end.
        times: Likewise, float64, unix seconds of the session's last interaction.
        items: int32 vocabulary indices; some may belong to no session any more.
    """

    def __init__(self) -> None:
        self.num_sessions = 0
        self.users: Ids = np.empty(0, object)
        self.session_ids: Ids = np.empty(0, object)
        self.session_indices = np.empty(0, np.int64)
        self.start = np.empty(0, np.int64)
        self.stop = np.empty(0, np.int64)
        self.times = np.empty(0, np.float64)
        self.items = np.empty(0, np.int32)
        self._used = 0
        self._live = 0
        self._slots: dict[tuple[Id, int], int] | None = None

    def extend(
        self,
        users: Ids,
        session_ids: Ids,
        session_indices: NDArray[np.int64],
        items: NDArray[np.int32],
        times: NDArray[np.float64],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Appends interactions, in the order of each session, to their sessions.

        Returns:
            The slots that have grown, each once, and the length of each before.

        Raises:
            ValueError: If an interaction is older than a known one of its session.
        """
        new = np.ones(len(users), bool)
        new[1:] = (users[1:] != users[:-1]) | (session_indices[1:] != session_indices[:-1])
        firsts = np.flatnonzero(new)
        slots = self._find(users[firsts], session_indices[firsts])
        fresh = slots >= self.num_sessions
        _, once = np.unique(slots[fresh], return_index=True)
        rows = firsts[fresh][once]
        touched, which = np.unique(slots, return_inverse=True)
        of_event = which[np.cumsum(new) - 1]
        order = np.argsort(of_event, kind="stable")
        counts = np.bincount(of_event, minlength=len(touched))
        first_times = times[order[np.cumsum(counts) - counts]]
        known = touched < self.num_sessions
        late = first_times[known] < self.times[touched[known]]
        within = np.diff(times[order]) < 0
        within[(np.cumsum(counts) - 1)[:-1]] = False
        if late.any() or within.any():
            raise ValueError(
                "`events` should continue each session in order of time. "
                "Received: an interaction older than one before it"
            )
        if len(rows):
            self._add_sessions(users[rows], session_ids[rows], session_indices[rows])
        old = (self.stop - self.start)[touched]
        self._reserve(int(old.sum()) + len(items))
        self._used = _append(
            self.items, self._used, self.start, self.stop, touched, counts, items[order]
        )
        self._live += len(items)
        self.times[touched] = times[order[np.cumsum(counts) - 1]]
        return touched, old

    def extend_by(self, events: pl.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """`extend` by rows of `SessionBaseline.positives`."""
        users, session_ids = (
            column if column.dtype == np.int64 else column.astype(object)
            for column in (events["user_id"].to_numpy(), events["session_id"].to_numpy())
        )
        return self.extend(
            users,
            session_ids,
            events["session_index"].cast(pl.Int64).to_numpy(),
            events["item_ids"].to_numpy(),
            events["timestamp"].cast(pl.Float64).to_numpy(),
        )

    def _find(self, users: Ids, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Slots of the sessions by user and index; unknown ones get the next numbers."""
        if not self.num_sessions:
            keys = zip(users.tolist(), indices.tolist())
            table: dict[tuple[Id, int], int] = {}
            return np.array([table.setdefault(key, len(table)) for key in keys], np.int64)
        if self._slots is None:  # made late: a log that is never extended needs no table
            n = self.num_sessions
            names = zip(self.users[:n].tolist(), self.session_indices[:n].tolist())
            self._slots = {name: slot for slot, name in enumerate(names)}
        table = self._slots
        keys = zip(users.tolist(), indices.tolist())
        return np.array([table.setdefault(key, len(table)) for key in keys], np.int64)

    def _add_sessions(self, users: Ids, session_ids: Ids, indices: NDArray[np.int64]) -> None:
        begin, end = self.num_sessions, self.num_sessions + len(users)
        if not begin:
            self.users, self.session_ids = users[:0], session_ids[:0]
        for field in ("users", "session_ids", "session_indices", "start", "stop", "times"):
            setattr(self, field, grown(getattr(self, field), end))
        self.users[begin:end] = users
        self.session_ids[begin:end] = session_ids
        self.session_indices[begin:end] = indices
        self.start[begin:end] = self.stop[begin:end] = 0
        self.times[begin:end] = -np.inf
        self.num_sessions = end

    def _reserve(self, more: int) -> None:
        """Makes room for more items; drops those of no session once they are the majority."""
        if self._used + more <= len(self.items):
            return
        if self._used > 2 * self._live:
            n = self.num_sessions
            lengths = (self.stop - self.start)[:n]
            ends = np.cumsum(lengths)
            places = np.repeat(self.start[:n] - (ends - lengths), lengths) + np.arange(self._live)
            self.items = self.items[places]
            self.start[:n], self.stop[:n] = ends - lengths, ends
            self._used = self._live
        self.items = grown(self.items, self._used + more)

    def arrays(self) -> Arrays:
        """The arrays that `restore` reads: only live items, no array of objects."""
        n = self.num_sessions
        lengths = (self.stop - self.start)[:n]
        ends = np.cumsum(lengths)
        places = np.repeat(self.start[:n] - (ends - lengths), lengths) + np.arange(lengths.sum())
        return {
            "users": plain(self.users[:n]),
            "session_ids": plain(self.session_ids[:n]),
            "session_indices": self.session_indices[:n],
            "lengths": lengths,
            "times": self.times[:n],
            "items": self.items[places],
        }

    @classmethod
    def restore(cls, arrays: Arrays) -> "SessionLog":
        """The log that `arrays` describes."""
        log = cls()
        ends = np.cumsum(arrays["lengths"])
        log.num_sessions = len(ends)
        log.users = as_ids(arrays["users"])
        log.session_ids = as_ids(arrays["session_ids"])
        log.session_indices = arrays["session_indices"]
        log.start, log.stop = ends - arrays["lengths"], ends
        log.times, log.items = arrays["times"], arrays["items"]
        log._used = log._live = len(log.items)
        return log


def grown(array: NDArray[DTYPE], size: int) -> NDArray[DTYPE]:
    """The array itself if it holds `size` elements, else a copy of at least twice its length."""
    if size <= len(array):
        return array
    larger = np.empty(max(size, 2 * len(array)), array.dtype)
    larger[: len(array)] = array
    return larger


def plain(ids: Ids) -> NDArray:
    """Ids as a file without pickled objects stores them."""
    return ids if ids.dtype != object else np.array(ids.tolist(), dtype=np.str_)


def as_ids(array: NDArray) -> Ids:
    """Ids as in `Sessions`: int64 or str objects."""
    return array if array.dtype == np.int64 else array.astype(object)


@numba.njit(cache=True, nogil=True)
def _append(
    pool: NDArray[np.int32],
    used: int,
    start: NDArray[np.int64],
    stop: NDArray[np.int64],
    slots: NDArray[np.int64],
    counts: NDArray[np.int64],
    items: NDArray[np.int32],
) -> int:
    """Appends `counts[i]` items to each slot's session; returns the used length of the pool."""
    place = 0
    for i in range(len(slots)):
        slot = slots[i]
        if stop[slot] != used:  # the session is not last in the pool: move it to the end
            length = stop[slot] - start[slot]
            for offset in range(length):
                pool[used + offset] = pool[start[slot] + offset]
            start[slot] = used
            used += length
        for _ in range(counts[i]):
            pool[used] = items[place]
            used += 1
            place += 1
        stop[slot] = used
    return used
