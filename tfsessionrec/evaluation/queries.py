"""From session batches to queries: which position is asked, for which targets."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfsessionrec.evaluation.ranks import Slices


@dataclass(frozen=True)
class Queries:
    """The queries of one batch.

    Args:
        rows: [Q], the row of the batch that each query is of.
        positions: [Q], the last session that each query knows; None when queries know their row's
            whole history.
        targets: [Q, T] vocabulary indices, each once in a row, 0 for padding.
        seen: The items of each query's history, vocabulary indices.
        misses: [Q], how many targets beside these are unknown and count as misses.
        num_skipped: Sessions with positives that are no query.
        num_unknown: Positives that are no known item, these sessions' and the others'.
        num_repeated: Targets that are left out because the history holds them.
    """

    rows: NDArray[np.int64]
    positions: NDArray[np.int64] | None
    targets: NDArray[np.int64]
    seen: Slices
    misses: NDArray[np.int64]
    num_skipped: int
    num_unknown: int
    num_repeated: int = 0

    def without_repeats(self) -> "Queries":
        """The queries whose targets are new to the history, each with these targets alone."""
        row, item = self.seen.pairs(0, len(self.rows))
        size = 1 + max(int(item.max(initial=0)), int(self.targets.max(initial=0)))
        own = self.targets + np.arange(len(self.rows))[:, None] * size
        again = (self.targets > 0) & np.isin(own, row * size + item)
        targets = -np.sort(-np.where(again, 0, self.targets), axis=1)
        asked = np.any(targets > 0, axis=1) | (self.misses > 0)
        return dataclasses.replace(
            self,
            rows=self.rows[asked],
            positions=None if self.positions is None else self.positions[asked],
            targets=targets[asked],
            seen=Slices(self.seen.items, self.seen.start[asked], self.seen.stop[asked]),
            misses=self.misses[asked],
            num_skipped=self.num_skipped + int((~asked).sum()),
            num_repeated=int(again.sum()),
        )


@dataclass(frozen=True)
class NextSessions:
    """The next sessions to predict in one batch.

    Args:
        rows: [Q], row of the batch.
        positions: [Q], position t; the session to predict is t + 1 (the first one is after -1).
        items: [Q, I], what that session holds, 0 for padding.
        labels: [Q, I], 1 positive.
    """

    rows: NDArray[np.int64]
    positions: NDArray[np.int64]
    items: NDArray[np.int64]
    labels: NDArray[np.float32]


def next_sessions(
    batch: Mapping[str, Any], vocabulary_size: int, empty_history: bool = False
) -> NextSessions:
    """Every session that may be predicted, positives or not; the first ones only if asked for."""
    items = item_ids(batch, vocabulary_size)
    labels = np.asarray(batch["labels"]) if "labels" in batch else (items > 0).astype(np.float32)
    _same_shape("labels", labels, items.shape)
    wanted = np.any(items > 0, axis=2)
    if "is_target" in batch:
        is_target = np.asarray(batch["is_target"])
        _same_shape("is_target", is_target, items.shape[:2])
        wanted &= is_target.astype(bool)
    wanted[:, :1] &= empty_history
    rows, predicted = wanted.nonzero()
    return NextSessions(rows, predicted - 1, items[rows, predicted], labels[rows, predicted])


def next_session_queries(
    batch: Mapping[str, Any],
    vocabulary_size: int,
    first_item_index: int,
    unknown_as_misses: bool = False,
) -> Queries:
    """Every position whose next session holds positives: their known items are the targets."""
    sessions = next_sessions(batch, vocabulary_size)
    positives = np.where(sessions.labels > 0, sessions.items, 0)
    asked, targets, misses = _known(positives, first_item_index, unknown_as_misses)
    rows, positions = sessions.rows[asked], sessions.positions[asked]
    seen = _histories(item_ids(batch, vocabulary_size), rows, positions)
    left_out = _left_out(positives, rows, first_item_index)
    return Queries(rows, positions, targets, seen, misses, *left_out)


def target_id_queries(
    batch: Mapping[str, Any],
    vocabulary_size: int,
    first_item_index: int,
    unknown_as_misses: bool = False,
) -> Queries:
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
    _in_vocabulary("target_ids", positives, vocabulary_size)
    rows, targets, misses = _known(positives, first_item_index, unknown_as_misses)
    seen = _histories(items, rows, np.full(len(rows), items.shape[1]))
    left_out = _left_out(positives, rows, first_item_index)
    return Queries(rows, None, targets, seen, misses, *left_out)


def item_ids(batch: Mapping[str, Any], vocabulary_size: int) -> NDArray[np.int64]:
    """The batch's item indices [B, S, I], checked."""
    if not isinstance(batch, Mapping) or "item_ids" not in batch:
        received = sorted(batch) if isinstance(batch, Mapping) else type(batch).__name__
        raise ValueError(
            f"`dataset` should give session batches: dicts with `item_ids`. Received: {received}"
        )
    items = np.asarray(batch["item_ids"]).astype(np.int64)
    if items.ndim != 3:
        raise ValueError(
            "`item_ids` should have the shape [B, S, I]. Received: "
            f"`item_ids` of shape {items.shape}"
        )
    _in_vocabulary("item_ids", items, vocabulary_size)
    return items


def _in_vocabulary(name: str, indices: NDArray[np.int64], vocabulary_size: int) -> None:
    wrong = (indices < 0) | (indices >= vocabulary_size)
    if wrong.any():
        raise ValueError(
            f"`{name}` should be vocabulary indices below {vocabulary_size}, the rows of "
            f"`model.candidate_embeddings()`. Received: {indices[wrong][0]}"
        )


def _same_shape(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(
            f"`{name}` should have the shape {shape}, as `item_ids` has it. "
            f"Received: `{name}` of shape {array.shape}"
        )


def _known(
    positives: NDArray[np.int64], first_item_index: int, unknown_as_misses: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Rows that are asked, their known items (each once, then zeros), and their misses beside."""
    items = -np.sort(-np.where(positives >= first_item_index, positives, 0), axis=1)
    again = np.zeros(items.shape, bool)
    again[:, 1:] = items[:, 1:] == items[:, :-1]
    items = -np.sort(-np.where(again, 0, items), axis=1)
    misses = np.zeros(len(items), np.int64)
    if unknown_as_misses:
        misses = ((positives > 0) & (positives < first_item_index)).sum(axis=1)
    rows = np.flatnonzero(np.any(items > 0, axis=1) | (misses > 0))
    width = int((items > 0).sum(axis=1).max(initial=0))
    return rows, items[rows, :width], misses[rows]


def _left_out(
    positives: NDArray[np.int64], asked: NDArray[np.int64], first_item_index: int
) -> tuple[int, int]:
    """How many rows with positives are not asked, and how many positives are not known."""
    skipped = int(np.any(positives > 0, axis=1).sum()) - len(asked)
    return skipped, int(((positives > 0) & (positives < first_item_index)).sum())


def _histories(
    items: NDArray[np.int64], rows: NDArray[np.int64], positions: NDArray[np.int64]
) -> Slices:
    """The items of each query's sessions 0 .. position: one array a row, by first session."""
    batch, session, place = items.nonzero()
    start = np.searchsorted(batch, rows)
    # `nonzero` goes row by row, session by session: what a query has seen is a slice.
    key = batch * (items.shape[1] + 1) + session
    stop = np.searchsorted(key, rows * (items.shape[1] + 1) + positions, side="right")
    return Slices(items[batch, session, place], start, stop)
