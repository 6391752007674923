"""From session batches to queries: which positions are asked, and for which targets."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tfsessionrec.evaluation.ranks import Slices
from tfsessionrec.evaluation.seen_items import are_seen
from tfsessionrec.session_batch import check_padding
from tfsessionrec.types import Features


@dataclass(frozen=True)
class TargetSets:
    """The queries of one batch, each with its set of targets.

    Args:
        rows: [Q], the batch row of each query.
        positions: [Q], the last session that each query knows; None when each query knows the whole
            history of its row.
        targets: [Q, T] vocabulary indices, each once in a row, 0 for padding.
        seen: The items of each query's history, vocabulary indices.
        misses: [Q], number of further targets that are unknown and count as misses.
        num_skipped: Sessions with positives that give no query.
        num_unknown: Positives that are unknown items, in all sessions that may be predicted.
        unknown: [Q], number of unknown targets that are left out.
        num_missed: Sets that give no query and hold an unknown target.
        num_repeated: Targets that are left out because the history holds them.
        repeated: [Q, T], which targets the history holds; all False unless asked for.
        repeated_misses: [Q], number of further targets that are unknown, count as misses and are in
            the history; 0 unless asked for.
    """

    rows: NDArray[np.int64]
    positions: NDArray[np.int64] | None
    targets: NDArray[np.int64]
    seen: Slices
    misses: NDArray[np.int64]
    num_skipped: int
    num_unknown: int
    unknown: NDArray[np.int64]
    num_missed: int
    num_repeated: int
    repeated: NDArray[np.bool_]
    repeated_misses: NDArray[np.int64]


@dataclass(frozen=True)
class NextSessions:
    """The next sessions to predict in one batch.

    Args:
        rows: [Q], row of the batch.
        positions: [Q], position t; the session to predict is t + 1 (the first one follows -1).
        items: [Q, I], the items of that session, 0 for padding.
        labels: [Q, I], 1 positive.
    """

    rows: NDArray[np.int64]
    positions: NDArray[np.int64]
    items: NDArray[np.int64]
    labels: NDArray[np.float32]


def next_sessions(
    batch: Features, vocabulary_size: int, empty_history: bool = False
) -> NextSessions:
    """Every session that may be predicted, with positives or without.

    Args:
        batch: A session batch.
        vocabulary_size: Bound of the indices.
        empty_history: Whether first sessions are among them. False by default.
    """
    items = item_ids(batch, vocabulary_size)
    labels = np.asarray(batch["labels"]) if "labels" in batch else (items > 0).astype(np.float32)
    _check_shape("labels", labels, items.shape)
    wanted = np.any(items > 0, axis=2)
    if "is_target" in batch:
        is_target = np.asarray(batch["is_target"])
        _check_shape("is_target", is_target, items.shape[:2])
        wanted &= is_target.astype(bool)
    wanted[:, :1] &= empty_history
    rows, predicted = wanted.nonzero()
    return NextSessions(rows, predicted - 1, items[rows, predicted], labels[rows, predicted])


@dataclass(frozen=True)
class Asked:
    """Which targets of a set are asked for.

    Args:
        first_item_index: First vocabulary index that is an item. Lower ones are unknown items of a
            bucket; negative ones unknown items that have a number each.
        unknown_as_misses: Whether unknown targets are asked for, and are misses.
        repeats: Whether targets that the history holds are asked for.
        repetition: Whether the targets that the history holds are marked.
    """

    first_item_index: int
    unknown_as_misses: bool = False
    repeats: bool = True
    repetition: bool = False


def next_session_sets(batch: Features, vocabulary_size: int, asked: Asked) -> TargetSets:
    """Every position whose next session holds positives: its known ones are the targets."""
    sessions = next_sessions(batch, vocabulary_size)
    whole = _Whole.of(batch, vocabulary_size)
    rows, positions = sessions.rows, sessions.positions
    if whole is not None:
        positives = whole.positives(rows, positions + 1)
        seen = whole.before(rows, positions + 1)
    else:
        positives = np.where(sessions.labels > 0, sessions.items, 0)
        seen = _histories(item_ids(batch, vocabulary_size), rows, positions)
    return _target_sets(rows, positions, positives, seen, asked)


def target_id_sets(batch: Features, vocabulary_size: int, asked: Asked) -> TargetSets:
    """Every row whose `target_ids` hold a known item: these are the targets."""
    items = item_ids(batch, vocabulary_size)
    if "target_ids" not in batch:
        raise ValueError(f"Every batch should have `target_ids` or none. Received: {sorted(batch)}")
    positives = np.asarray(batch["target_ids"]).astype(np.int64)
    if positives.ndim != 2 or len(positives) != len(items):
        raise ValueError(
            f"`target_ids` should have the shape [{len(items)}, T]. "
            f"Received: `target_ids` of shape {positives.shape}"
        )
    _check_indices("target_ids", positives, vocabulary_size, numbered=True)
    rows = np.arange(len(items))
    whole = _Whole.of(batch, vocabulary_size)
    if whole is not None:
        seen = whole.before(rows)
    else:
        seen = _histories(items, rows, np.full(len(rows), items.shape[1]))
    return _target_sets(rows, None, positives, seen, asked)


def _target_sets(
    rows: NDArray[np.int64],
    positions: NDArray[np.int64] | None,
    positives: NDArray[np.int64],
    seen: Slices,
    asked: Asked,
) -> TargetSets:
    """The sets that give a query.

    Args:
        rows: [sets].
        positions: [sets], or None.
        positives: [sets, I] indices, 0 for padding.
        seen: The items of each set's history.
        asked: Which of them are asked for.
    """
    first = asked.first_item_index
    items = _distinct(positives, first)
    again = np.zeros(items.shape, bool)
    if asked.repetition or not asked.repeats:
        # Unknown items of a bucket have no number of their own: they are never in a history.
        again = ((items < 0) | (items >= first)) & are_seen(items, seen)
    num_repeated = 0
    if not asked.repeats:
        num_repeated = int(again.sum())
        items = np.where(again, 0, items)
    known = np.where(items >= first, items, 0)
    order = np.argsort(-known, axis=1, kind="stable")
    known = np.take_along_axis(known, order, axis=1)
    repeated = np.take_along_axis(again, order, axis=1) & (known > 0)
    unknown = ((items != 0) & (items < first)).sum(axis=1)
    misses = unknown if asked.unknown_as_misses else np.zeros_like(unknown)
    left_out = unknown - misses
    kept = np.any(known > 0, axis=1) | (misses > 0)
    width = int((known > 0).sum(axis=1).max(initial=0))
    return TargetSets(
        rows[kept],
        None if positions is None else positions[kept],
        known[kept, :width],
        Slices(seen.items, seen.start[kept], seen.stop[kept]),
        misses[kept],
        num_skipped=int((np.any(positives != 0, axis=1) & ~kept).sum()),
        num_unknown=int(unknown.sum()),
        unknown=left_out[kept],
        num_missed=int((left_out[~kept] > 0).sum()),
        num_repeated=num_repeated,
        repeated=repeated[kept, :width],
        repeated_misses=np.minimum((again & (items < 0)).sum(axis=1), misses)[kept],
    )


def _distinct(positives: NDArray[np.int64], first: int) -> NDArray[np.int64]:
    """The same with each item once in a row; items of a bucket are all kept."""
    items = np.sort(positives, axis=1)
    again = np.zeros(items.shape, bool)
    again[:, 1:] = items[:, 1:] == items[:, :-1]
    return np.where(again & ((items < 0) | (items >= first)), 0, items)


@dataclass(frozen=True)
class _Whole:
    """The whole histories of a batch, of which `item_ids` holds a part.

    Args:
        batch: The batch.
        items: [B, N] vocabulary indices, 0 for padding, which comes last; negative numbers of
            unknown items.
    """

    batch: Features
    items: NDArray[np.int64]

    @classmethod
    def of(cls, batch: Features, vocabulary_size: int) -> "_Whole | None":
        """The histories of a batch; None where `item_ids` holds them whole."""
        if "history_ids" not in batch:
            return None
        items = np.asarray(batch["history_ids"]).astype(np.int64)
        rows = len(np.asarray(batch["item_ids"]))
        if items.ndim != 2 or len(items) != rows:
            raise ValueError(
                f"`history_ids` should have the shape [{rows}, N]. "
                f"Received: `history_ids` of shape {items.shape}"
            )
        _check_indices("history_ids", items, vocabulary_size, numbered=True)
        return cls(batch, items)

    def before(self, rows: NDArray[np.int64], sessions: NDArray[np.int64] | None = None) -> Slices:
        """The items of a row before one of its sessions; by default all of them."""
        real = self.items != 0
        lengths = real.sum(axis=1)
        start = (np.cumsum(lengths) - lengths)[rows]
        if sessions is None:
            return Slices(self.items[real], start, start + lengths[rows])
        return Slices(self.items[real], start, start + self._places("begin")[rows, sessions])

    def positives(self, rows: NDArray[np.int64], sessions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The positive items [Q, I] of some sessions, 0 for padding."""
        begin = self._places("begin")[rows, sessions]
        lengths = self._places("end")[rows, sessions] - begin
        column = np.arange(max(1, int(lengths.max(initial=0))))
        places = np.minimum(begin[:, None] + column, self.items.shape[1] - 1)
        taken = np.asarray(self.batch["history_labels"])[rows[:, None], places] > 0
        inside = column < lengths[:, None]
        return np.where(inside & taken, self.items[rows[:, None], places], 0)

    def _places(self, name: str) -> NDArray[np.int64]:
        return np.asarray(self.batch[f"history_{name}"]).astype(np.int64)


def item_ids(batch: Features, vocabulary_size: int) -> NDArray[np.int64]:
    """The item indices [B, S, I] of the batch, checked."""
    items = np.asarray(batch["item_ids"]).astype(np.int64)
    _check_indices("item_ids", items, vocabulary_size)
    check_padding(items)
    return items


def _check_indices(
    name: str, indices: NDArray[np.int64], vocabulary_size: int, numbered: bool = False
) -> None:
    """Checks indices; with `numbered`, unknown items may have negative numbers."""
    wrong = (indices >= vocabulary_size) | ((indices < 0) & (not numbered))
    if wrong.any():
        raise ValueError(
            f"`{name}` should be vocabulary indices below {vocabulary_size}, the rows of "
            f"`model.candidate_embeddings()`. Received: {indices[wrong][0]}"
        )


def _check_shape(name: str, array: NDArray[np.generic], shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(
            f"`{name}` should have the shape {shape}, as `item_ids` has it. "
            f"Received: `{name}` of shape {array.shape}"
        )


def _histories(
    items: NDArray[np.int64], rows: NDArray[np.int64], positions: NDArray[np.int64]
) -> Slices:
    """The items of sessions 0 .. position of each query: slices of one array of all rows."""
    batch, session, place = items.nonzero()
    start = np.searchsorted(batch, rows)
    # `nonzero` goes row by row, session by session, so that a history is one slice.
    key = batch * (items.shape[1] + 1) + session
    stop = np.searchsorted(key, rows * (items.shape[1] + 1) + positions, side="right")
    return Slices(items[batch, session, place], start, stop)
