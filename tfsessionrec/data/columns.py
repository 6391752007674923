"""The columns of a log as arrays, with the vocabulary's indices for items."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tfsessionrec.checks import instance
from tfsessionrec.data.sessions import Sessions, starting_rows
from tfsessionrec.data.vocabulary import Vocabulary
from tfsessionrec.history_spec import HISTORY, Category, HistorySpec, distinct

Column = NDArray[np.generic]

_OWN_KEYS = (
    "item_ids",
    "labels",
    "is_target",
    "sample_weight",
    "session_times",
    "request_times",
    "interaction_types",
    "item_times",
    "match_ids",
    "target_ids",
    *HISTORY,
)
ORIGINS = ("origin", "running_length", "earlier_sessions")
"""Keys of a batch with the origin of its items: the user, and the place in the sessions."""


def item_columns(
    log: pl.DataFrame,
    vocabulary: Vocabulary,
    spec: HistorySpec,
    context: Sequence[str] = (),
    match_ids: bool = False,
) -> dict[str, Column]:
    """The keys of a batch with one value an item, each [rows of the log].

    Args:
        log: Rows of a `Sessions`.
        vocabulary: Gives each item its index.
        spec: The part of a history that the model reads.
        context: Further numeric columns. Defaults to none.
        match_ids: Whether to add `match_ids` though the specification has no relation. Defaults to
            False.
    """
    columns: dict[str, Column] = {
        "item_ids": vocabulary.lookup(log["item_id"]).astype(np.int32),
        "labels": log["label"].to_numpy().astype(np.float32),
    }
    if spec.interaction_types:
        if "interaction_type" not in log.columns:
            raise ValueError(
                "`interaction_types` needs sessions with interaction types: give "
                "`sessionize(interaction_type=...)`. "
                f"Received: `interaction_types`={spec.interaction_types!r}"
            )
        columns["interaction_types"] = category_indices(
            log["interaction_type"], spec.interaction_types
        )
    if spec.item_times:
        columns["item_times"] = seconds(log)
    if match_ids or spec.relation is not None:
        columns["match_ids"] = log["item_id"].rank("dense").cast(pl.Int64).to_numpy()
    if spec.relation is not None:
        context = tuple(dict.fromkeys(("position", *spec.relation, *context)))
    for name in context:
        columns[name] = context_column(log, name, "context")
    return columns


def numbered_ids(
    log: pl.DataFrame, item_ids: NDArray[np.signedinteger], first_item_index: int
) -> NDArray[np.int32]:
    """The indices of items; those of unknown items are negative, a number for each distinct one.

    Args:
        log: Rows of a `Sessions`.
        item_ids: Their vocabulary indices.
        first_item_index: Vocabulary index of the first item.
    """
    unknown = (item_ids > 0) & (item_ids < first_item_index)
    numbers = np.zeros(len(item_ids), np.int32)
    numbers[unknown] = log["item_id"].filter(pl.Series(unknown)).rank("dense").to_numpy()
    return np.where(unknown, -numbers, item_ids).astype(np.int32)


def interaction_log(sessions: Sessions, vocabulary: Vocabulary) -> dict[str, NDArray[np.int64]]:
    """The positive interactions of the sessions, for `layers.TrendFeatures.set_events`.

    Args:
        sessions: The sessions. Items that were shown but not clicked are left out.
        vocabulary: Gives each item its index.

    Returns:
        `item_ids` (vocabulary indices), `times` (unix seconds, rounded down) and `session_ids`
        (a number a session), each int64 [E], in the order of the sessions.

    Example:

    >>> import polars as pl
    >>> from tfsessionrec.data import Vocabulary, sessionize
    >>> events = pl.DataFrame(
    ...     {"visit": [7, 7, 8], "item_id": ["tea", "cup", "tea"], "timestamp": [10.0, 20.5, 30.0]}
    ... )
    >>> sessions = sessionize(events, session="visit")
    >>> log = interaction_log(sessions, Vocabulary.from_sessions(sessions))
    >>> {name: column.tolist() for name, column in log.items()}
    {'item_ids': [2, 3, 2], 'times': [10, 20, 30], 'session_ids': [0, 0, 1]}
    """
    instance("sessions", sessions, Sessions)
    instance("vocabulary", vocabulary, Vocabulary)
    log = sessions.events
    columns = {
        "item_ids": vocabulary.lookup(log["item_id"]).astype(np.int64),
        "times": seconds(log),
        "session_ids": np.cumsum(starting_rows(log), dtype=np.int64) - 1,
    }
    positive = log["label"].to_numpy() > 0
    return {name: column[positive] for name, column in columns.items()}


def session_columns(log: pl.DataFrame, spec: HistorySpec) -> dict[str, Column]:
    """The context features of sessions, each [rows of the log]."""
    return {
        name: context_column(log, name, "session_context", categories)
        for name, categories in spec.session_context.items()
    }


def origin_columns(log: pl.DataFrame) -> dict[str, Column]:
    """`ORIGINS`: the user's number, the positive items of the session so far, its number."""
    positives = (pl.col("label") == 1).cum_sum().over("user_id", "session_index")
    found = log.select(
        origin=pl.col("user_id").rank("dense").cast(pl.Int64),
        running_length=positives.cast(pl.Int64),
        earlier_sessions=pl.col("session_index").cast(pl.Int64),
    )
    return {name: found[name].to_numpy() for name in ORIGINS}


def seconds(log: pl.DataFrame) -> NDArray[np.int64]:
    """The time of each row, unix seconds, rounded down."""
    return np.floor(log["timestamp"].to_numpy()).astype(np.int64)


def category_indices(values: pl.Series, categories: Sequence[Category]) -> NDArray[np.int32]:
    """1..n for the categories in order, 0 for null or another value."""
    if not categories:
        return np.zeros(len(values), np.int32)
    indices = _as_categories(values, categories).replace_strict(
        list(categories),
        list(range(1, len(categories) + 1)),
        default=0,
        return_dtype=pl.Int32,
    )
    return indices.fill_null(0).to_numpy()


def _as_categories(values: pl.Series, categories: Sequence[Category]) -> pl.Series:
    """The values as the type of the categories: a later log may hold digits where text was."""
    if isinstance(categories[0], str):
        if values.dtype.is_float() and (values == values.round()).all():
            values = values.cast(pl.Int64, strict=False)
        return values.cast(pl.String)
    if values.dtype in (pl.String, pl.Null) or isinstance(values.dtype, (pl.Categorical, pl.Enum)):
        text = values.cast(pl.String)
        numbers = text.cast(pl.Int64, strict=False)
        return numbers.set(numbers.cast(pl.String) != text, None)
    return values


def context_column(
    log: pl.DataFrame,
    name: str,
    argument: str,
    categories: Sequence[Category] | None = None,
) -> Column:
    """A context feature as numbers: null and NaN are 0; so is a category not in the list."""
    if name in _OWN_KEYS:
        raise ValueError(
            f"`{argument}` should not use the name of a key of the batch. Received: {name!r}"
        )
    if name not in log.columns:
        raise ValueError(
            f"`{argument}` should name columns of the sessions (keep them with "
            f"`sessionize(keep=...)`). Received: {name!r}; columns: {log.columns}"
        )
    column = log[name]
    if categories is not None:
        return category_indices(column, distinct(f"{argument}[{name!r}]", categories))
    if not (column.dtype.is_numeric() or column.dtype == pl.Boolean):
        raise ValueError(
            f"`{argument}` columns should be numeric. Received: {name!r} of type {column.dtype}"
        )
    if column.dtype.is_float():
        column = column.fill_nan(None)
    return column.fill_null(False if column.dtype == pl.Boolean else 0).to_numpy()


def target_sets(
    log: pl.DataFrame,
    item_ids: Column,
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
) -> tuple[Column, NDArray[np.int64]]:
    """The distinct positive items of each range of rows.

    Returns:
        Their indices [N], in order, and the offsets [E + 1] of each range's items.
    """
    lengths = end - begin
    ends = np.cumsum(lengths)
    rows = np.arange(ends[-1] if len(ends) else 0) + np.repeat(begin - ends + lengths, lengths)
    positives = (
        pl.DataFrame(
            {
                "example": np.repeat(np.arange(len(begin)), lengths),
                "raw": log["item_id"][rows],
                "id": item_ids[rows],
                "label": log["label"].to_numpy()[rows],
            }
        )
        .filter((pl.col("label") > 0) & (pl.col("id") != 0))
        .unique(["example", "raw"], keep="first", maintain_order=True)
    )
    counts = np.bincount(positives["example"].to_numpy(), minlength=len(begin))
    return positives["id"].to_numpy(), np.concatenate([[0], np.cumsum(counts)])
