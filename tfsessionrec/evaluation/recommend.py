"""Recommendations for every user of a log."""

import os
from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import polars as pl
import tensorflow as tf
from numpy.typing import NDArray
from tqdm.auto import tqdm

from tfsessionrec import checks
from tfsessionrec.baselines import SessionBaseline
from tfsessionrec.data import Sessions, Vocabulary
from tfsessionrec.data.history_batches import history_batches
from tfsessionrec.data.ids import clean_ids, ids_series
from tfsessionrec.data.sessions import user_bounds
from tfsessionrec.evaluation.best_items import BestItems
from tfsessionrec.evaluation.list_file import ListFile
from tfsessionrec.evaluation.list_search import Lists
from tfsessionrec.evaluation.ranks import Slices
from tfsessionrec.evaluation.system import EmbeddingSystem, read_systems
from tfsessionrec.history_spec import HistorySpec
from tfsessionrec.types import Features

_WINDOW = 2**15  # users whose lists are held at a time
_COLUMNS = ("rank", "item", "score")
_TIMES = ("request_times", "session_times", "item_times")


def recommend(
    model: object,
    sessions: Sessions,
    vocabulary: Vocabulary,
    output: str | os.PathLike[str],
    k: int = 10,
    *,
    spec: HistorySpec | None = None,
    filter_seen: bool = False,
    exclude: Sequence[str | int] = (),
    allow: Sequence[str | int] = (),
    time: float | None = None,
    key: str = "user",
    progress: bool = False,
) -> int:
    """Writes the k best items for every user of a log to a file.

    Every item of the vocabulary is ranked, exactly, after the whole history of each user; of equal
    scores the item that comes first in the vocabulary. The answers are those of an export
    and of `TrainedSystem.recommend` for the same history: where it holds no known item, popularity
    in training decides. A system of sparse scores lists the items that it scores.

    The file has one row for each user and item: `user` (the id in the log), `rank` (int32, from 1),
    `item` (raw id) and `score` (float32, the model's own; for a history without a known item
    `log((count + 1) / sum(count + 1))`). Users are in the order of `sessions`. It is written while
    the lists are made, under a hidden name, and renamed when it is whole; memory holds the sessions
    and the lists of 32,768 users.

    Args:
        model: What `evaluate` takes as its model.
        sessions: The histories, all sessions of each user.
        vocabulary: The items.
        output: The file: `.parquet`, `.csv`, `.jsonl` or `.ndjson`; an earlier one is replaced.
        k: Length of a list, 10 by default. More than there are items means all.
        spec: What the model reads of a history. Defaults to None: `model.history_spec`, or
            `HistorySpec()` with the vocabulary's first item.
        filter_seen: Whether to leave out the items of the user's history, however far back, clicked
            or not. False by default.
        exclude: Raw ids that are never listed; unknown ones change nothing. None by default.
        allow: The only raw ids that are listed. Defaults to none: all.
        time: Unix seconds of the requests, for systems that read it. Defaults to None: after the
            user's last event; for baselines the latest time that they learned.
        key: Name of the first column. `"user"` by default.
        progress: Whether to show a progress bar. False by default.

    Returns:
        The number of rows.

    Raises:
        ValueError: If an argument is out of its range, or `exclude` and `allow` leave no item.

    Example:

    >>> import pathlib, tempfile
    >>> import polars as pl
    >>> import tfsessionrec as sr
    >>> log = pl.DataFrame({"u": ["ann", "ann", "bob"], "item_id": ["tea", "cup", "tea"],
    ...                     "timestamp": [0, 10, 20]})
    >>> sessions = sr.data.sessionize(log, user="u", gap=60)
    >>> vocabulary = sr.data.Vocabulary.from_sessions(sessions)
    >>> model = sr.baselines.RecentPopularity().fit(sessions, vocabulary)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "recs.csv"
    ...     rows = sr.evaluation.recommend(model, sessions, vocabulary, path, k=1)
    ...     print(path.read_text())
    user,rank,item,score
    ann,1,tea,2.0
    bob,1,tea,2.0
    <BLANKLINE>
    """
    k = checks.positive_integer("k", k)
    checks.instance("sessions", sessions, Sessions)
    checks.instance("vocabulary", vocabulary, Vocabulary)
    checks.path("output", output)
    if spec is not None:
        checks.instance("spec", spec, HistorySpec)
    checks.boolean("filter_seen", filter_seen)
    checks.boolean("progress", progress)
    checks.text("key", key, empty=False)
    if key in _COLUMNS:
        raise ValueError(f"`key` should be none of {', '.join(_COLUMNS)}. Received: `key`={key!r}")
    if time is not None:
        time = checks.unix_seconds("time", time)
    items = _items(vocabulary, exclude, allow)
    first = vocabulary.first_item_index
    (system,) = read_systems([model], first, default_size=len(vocabulary))
    if system.vocabulary_size != len(vocabulary):
        raise ValueError(
            "`vocabulary` should be the one that the model was made for, of "
            f"{system.vocabulary_size} entries. Received: {len(vocabulary)}"
        )
    if isinstance(system, EmbeddingSystem):
        system.use_popularity(np.asarray(vocabulary.counts))
    best = BestItems(system, items)
    histories = _Histories(sessions, vocabulary, spec or _spec_of(model, first), items)

    def lists() -> Iterator[tuple[NDArray[np.int64], Lists]]:
        with tqdm(total=len(histories), unit=" users", disable=not progress) as bar:
            for users, batch in histories.batches():
                seen = histories.seen(users) if filter_seen else None
                yield users, best(_asked(model, batch, time), k, seen)
                bar.update(len(users))

    ids, rows = pl.Series(vocabulary.ids[items - first]), 0
    with ListFile(output) as file:
        for begin, found in _in_order(lists(), len(histories)):
            frame = _rows(histories.users[begin : begin + len(found[0])], ids, found, key)
            file.write(frame)
            rows += len(frame)
    return rows


@runtime_checkable
class _MadeForHistories(Protocol):
    """A model that knows which histories it reads."""

    history_spec: HistorySpec | None


def _spec_of(model: object, first_item_index: int) -> HistorySpec:
    spec = model.history_spec if isinstance(model, _MadeForHistories) else None
    if spec is not None:
        return spec
    items = 200 if isinstance(model, SessionBaseline) else HistorySpec.max_items
    return HistorySpec(max_items=items, first_item_index=first_item_index)


def _items(
    vocabulary: Vocabulary, exclude: Sequence[str | int], allow: Sequence[str | int]
) -> NDArray[np.int64]:
    """The vocabulary indices that may be listed, ascending."""
    first = vocabulary.first_item_index
    items = np.arange(first, len(vocabulary))
    for name, ids, kept in (("allow", allow, True), ("exclude", exclude, False)):
        checks.sequence(name, ids, "raw ids")
        if len(ids):
            series = clean_ids(ids_series(ids, name), name)
            if (series.dtype == pl.Int64) != (vocabulary.dtype == "int64"):
                raise ValueError(
                    f"`{name}` should hold ids of type {vocabulary.dtype}. Received: {series.dtype}"
                )
            items = items[np.isin(items, vocabulary.lookup(list(ids))) == kept]
    if not len(items):
        raise ValueError(
            "`exclude` and `allow` should leave an item to recommend. Received: "
            f"{len(exclude)} and {len(allow)} ids, which leave none of {vocabulary.num_items:,}"
        )
    return items


class _Histories:
    """The users of a log, in batches of histories of about equal length.

    Args:
        sessions: The log.
        vocabulary: Gives each item its index.
        spec: What the model reads.
        items: [C] vocabulary indices that may be listed.
    """

    def __init__(
        self,
        sessions: Sessions,
        vocabulary: Vocabulary,
        spec: HistorySpec,
        items: NDArray[np.int64],
    ) -> None:
        self._sessions, self._vocabulary, self._spec = sessions, vocabulary, spec
        self._begin, self._end = user_bounds(sessions.events)
        self.users = sessions.events["user_id"][self._begin]
        place = np.full(len(vocabulary), -1)
        place[items] = np.arange(len(items))
        self._place_of_row = place[vocabulary.lookup(sessions.events["item_id"])]

    def __len__(self) -> int:
        return len(self._begin)

    def batches(self) -> Iterator[tuple[NDArray[np.int64], Features]]:
        """Batches, and the number of the user of each row: by length within each window."""
        length = self._sessions.events["session_index"].to_numpy()[self._end - 1]
        if self._spec.session == "item":
            length = self._end - self._begin
        users = np.lexsort([length, np.arange(len(self)) // _WINDOW])
        first = 0
        for batch in history_batches(self._sessions, self._vocabulary, self._spec, users):
            last = first + len(batch["item_ids"])
            yield users[first:last], batch
            first = last

    def seen(self, users: NDArray[np.int64]) -> Slices:
        """The places in `items` of all that each user has seen."""
        return Slices(self._place_of_row, self._begin[users], self._end[users])


def _asked(model: object, batch: Features, time: float | None) -> Features:
    """A batch, asked at a time; without one a baseline takes the latest that it learned."""
    asked = dict(batch)
    is_baseline = isinstance(model, SessionBaseline)
    if time is not None:
        shape = np.shape(batch["item_ids"])[: 1 if is_baseline else 2]
        asked["request_times"] = tf.fill(shape, tf.constant(int(time), tf.int64))
    elif is_baseline:
        for name in _TIMES:
            asked.pop(name, None)
    return asked


def _in_order(
    parts: Iterator[tuple[NDArray[np.int64], Lists]], num_users: int
) -> Iterator[tuple[int, Lists]]:
    """The lists of one window after another, in the order of the users, each with its first user.

    Args:
        parts: Numbers of some users, which are of one window after another, and their lists.
        num_users: Of the log.
    """
    first = filled = 0
    lists: Lists | None = None
    for users, (found, values) in parts:
        at = 0
        while at < len(users):
            size = min(_WINDOW, num_users - first)
            if lists is None:
                lists = (
                    np.empty((size, found.shape[1]), np.int64),
                    np.empty_like(values, shape=(size, found.shape[1])),
                )
            some = slice(at, at + min(len(users) - at, size - filled))
            lists[0][users[some] - first] = found[some]
            lists[1][users[some] - first] = values[some]
            filled, at = filled + some.stop - some.start, some.stop
            if filled == size:
                yield first, lists
                first, filled, lists = first + size, 0, None


def _rows(users: pl.Series, ids: pl.Series, lists: Lists, key: str) -> pl.DataFrame:
    """One row for each user and item of the lists."""
    found, values = lists
    user, place = (found >= 0).nonzero()
    return pl.DataFrame(
        {
            key: users.gather(user),
            "rank": pl.Series(place + 1, dtype=pl.Int32),
            "item": ids.gather(found[user, place]),
            "score": values[user, place],
        }
    )
