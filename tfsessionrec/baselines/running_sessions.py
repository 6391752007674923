"""The running session of each query and the time of its request."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

# A session batch as arrays: item_ids [B, S, I], labels [B, S, I], session_times [B, S], ...
Features = Mapping[str, object]


@dataclasses.dataclass(frozen=True)
class RunningSessions:
    """The positive items that each query knows and when it is asked.

    Args:
        items: [N] int32, the positive items of the running sessions, one query after another,
            oldest first.
        offsets: [Q + 1] int64, where each query's items start, and the end of the last one's.
        times: [Q] float64, unix seconds of the requests; NaN where unknown.
        sessions: [N] int64, the session of each item, from 0 on, where a query has several.
    """

    items: NDArray[np.int32]
    offsets: NDArray[np.int64]
    times: NDArray[np.float64]
    sessions: NDArray[np.int64] | None = None

    @property
    def queries(self) -> NDArray[np.int64]:
        """[N] int64, the query of each item."""
        return np.repeat(np.arange(len(self.times)), np.diff(self.offsets))


def last_sessions(item_ids: NDArray) -> NDArray[np.int64]:
    """[B], the last session of each row that holds an item, -1 for a row without items."""
    real = np.any(item_ids > 0, axis=2)
    return np.where(real.any(axis=1), real.shape[1] - 1 - real[:, ::-1].argmax(axis=1), -1)


def request_times(
    features: Features,
    rows: NDArray[np.int64],
    last: NDArray[np.int64],
    every_row: bool,
) -> NDArray[np.float64]:
    """[Q], unix seconds at which each query is asked.

    Args:
        features: A session batch. `request_times` gives the times; without them the time is that
            of the last interaction (`item_times`) or of the last session (`session_times`).
        rows: [Q], the row of each query.
        last: [Q], the last session that each query knows, -1 for none.
        every_row: Whether the queries are the rows with their whole histories. With
            `request_times` [B, S], a row without a history is asked at its first position.

    Returns:
        Unix seconds; NaN where unknown.
    """
    if "request_times" in features:
        asked = np.asarray(features["request_times"], np.float64)
        if asked.ndim == 1:
            return asked[rows]
        return np.where((last < 0) & (not every_row), np.nan, asked[rows, np.maximum(last, 0)])
    if "item_times" in features:
        times = np.asarray(features["item_times"], np.float64)[rows, last]
        items = np.asarray(features["item_ids"])[rows, last]
        times = np.where(items > 0, times, -np.inf).max(axis=1, initial=-np.inf)
    elif "session_times" in features:
        times = np.asarray(features["session_times"], np.float64)[rows, last]
    else:
        times = np.full(len(rows), np.nan)
    return np.where(last < 0, np.nan, times)


def read_queries(
    features: Features,
    first_item_index: int,
    vocabulary_size: int,
    rows: ArrayLike | None = None,
    positions: ArrayLike | None = None,
    whole_history: bool = False,
) -> RunningSessions:
    """The positive known items of each query; see `SessionBaseline.sparse_scores`.

    Args:
        features: A session batch.
        first_item_index: First vocabulary index of an item.
        vocabulary_size: Number of vocabulary indices.
        rows: [Q], or None.
        positions: [Q], or None.
        whole_history: Whether all sessions of a query count as one. False, the default, keeps the
            items of its last session.

    Raises:
        ValueError: If the shapes do not match, or an index is out of the vocabulary.
    """
    items = np.asarray(features["item_ids"])
    if items.ndim != 3:
        raise ValueError(
            "`item_ids` should have the shape [B, S, I]. Received: "
            f"`item_ids` of shape {items.shape}"
        )
    labels = np.asarray(features["labels"]) if "labels" in features else items > 0
    if labels.shape != items.shape:
        raise ValueError(
            f"`labels` should have the shape of `item_ids`, {items.shape}. "
            f"Received: `labels` of shape {labels.shape}"
        )
    if (rows is None) != (positions is None):
        raise ValueError("`rows` and `positions` should be given together. Received: one")
    if positions is None:
        row, last = np.arange(len(items)), last_sessions(items)
    else:
        row, last = np.asarray(rows, np.int64), np.asarray(positions, np.int64)
    which = row if whole_history else (row, last)
    held = items[which]
    kept = (labels[which] > 0) & (held >= first_item_index)
    if whole_history:
        kept &= (np.arange(items.shape[1]) <= last[:, None])[:, :, None]
    else:
        kept &= (last >= 0)[:, None]
    if held.size and held.max() >= vocabulary_size:
        raise ValueError(
            f"`item_ids` should be vocabulary indices below {vocabulary_size}. "
            f"Received: {held.max()}"
        )
    counts = kept.sum(axis=tuple(range(1, kept.ndim)))
    return RunningSessions(
        held[kept].astype(np.int32),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        request_times(features, row, last, every_row=positions is None),
        kept.nonzero()[1] if whole_history else None,
    )
