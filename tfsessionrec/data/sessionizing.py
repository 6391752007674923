"""Events to sessions."""

import datetime
from collections.abc import Mapping, Sequence

import polars as pl

from tfsessionrec.checks import mapping, sequence, text
from tfsessionrec.data.cleaning import Cleaning, Duplicates, MissingUsers, clean_kept
from tfsessionrec.data.ids import IdType
from tfsessionrec.data.impressions import clean_impressions, clean_values, expand_impressions
from tfsessionrec.data.reading import (
    EventSource,
    check_column,
    collect_events,
    column_names,
    scan_events,
)
from tfsessionrec.data.sessions import COLUMNS, Sessions, session_index_from
from tfsessionrec.data.times import TimeFormat, gap_in_microseconds

_RESERVED = (*COLUMNS, "interaction_type")


def sessionize(
    events: EventSource,
    *,
    user: str | None = None,
    item: str = "item_id",
    time: str = "timestamp",
    session: str | None = None,
    gap: str | float | datetime.timedelta | None = None,
    label: str | None = None,
    interaction_type: str | None = None,
    impressions: str | None = None,
    impressions_separator: str = "|",
    impression_features: Mapping[str, str] | None = None,
    time_unit: str = "s",
    keep: Sequence[str] = (),
    item_type: IdType | None = None,
    time_format: str | None = None,
    tz: str | None = None,
    order: str | None = None,
    missing_users: MissingUsers = "error",
    drop_missing: bool = False,
    drop_duplicates: Duplicates | None = None,
) -> Sessions:
    """Groups a log's events into the sessions of its users.

    The `session` column names the session of each event, within one user; or, with `gap`, a session
    ends where the user's next event comes `gap` or more after the last. Users are in the order of
    their first event in the log, their sessions in order of the first event, events in order of
    time. Every sort is stable: events of the same time keep the log's order.

    An event with impressions gives one row for each item shown, in shown order: label 1 for the
    clicked item (after the others, if it was not shown), label 0 for the rest. Within a session an
    item is a negative once at most, where it was first shown, and never if it was clicked anywhere
    in the session. The `interaction_type` of a negative is null.

    Args:
        events: The log, of any kind that `read_events` reads.
        user: Column of user ids. Defaults to `None`: each session is a user of its own (then
            `session` is required).
        item: Column of item ids. Defaults to `"item_id"`. With `impressions`, a missing id means
            that no shown item was clicked.
        time: Column of times: numbers since 1970 in `time_unit`s, datetimes (UTC unless they have
            a time zone) or ISO 8601 strings. Defaults to `"timestamp"`.
        session: Column of session ids. Defaults to `None`.
        gap: Inactivity that ends a session: `"45s"`, `"30m"`, `"1h"`, `"1d"`, a timedelta, or
            seconds. 0 makes each event a session of its own. Defaults to `None`. Exactly one of
            `session` and `gap` is required.
        label: Column of labels, 1 for a positive interaction and 0 for an item that was shown but
            not clicked, kept as they are. Defaults to `None`: every event is positive.
        interaction_type: Column of types such as click, cart, purchase. Defaults to `None`.
        impressions: Column of the items shown, as lists or as strings. Defaults to `None`.
        impressions_separator: Separator of the ids in an impressions string. Defaults to `"|"`.
        impression_features: Columns aligned with `impressions`, such as `{"price": "prices"}`: one
            number for each item shown, as lists or strings. They become columns of the sessions
            under the names given (Float64; null in rows that were not shown, or without a number),
            together with `position`: the place in the shown list from 1 on, 0 in rows that were not
            part of one. `{}` gives `position` alone. Defaults to `None`: neither.
        time_unit: `"s"`, `"ms"`, `"us"` or `"ns"`: the unit of times that are numbers. Defaults to
            `"s"`.
        keep: Further columns to keep, under their own names. Defaults to none.
        item_type: `"string"` or `"int64"`: type of the item ids. Defaults to `None`: as the log,
            where a column of a text file holds integers if each is written as Python writes it.
        time_format: Format of times as text or digits, in the codes of `strptime`, such as
            `"%d/%m/%Y %H:%M"` or `"%Y%m%d"`. Defaults to `None`: numbers or ISO 8601.
        tz: Time zone of dates and times that do not name one, such as `"Europe/Paris"`. Where
            clocks go back, the first of the two hours is meant. Defaults to `None`: UTC.
        order: Column that orders events of the same time, such as a step. Defaults to `None`: the
            order of the log.
        missing_users: `"visitor"`: each session without a user is a visitor of its own (with `gap`,
            each event); `"error"` (default): such rows are missing values.
        drop_missing: Whether to leave out rows without an id, a time, a label or an order. Defaults
            to `False`: an error that counts them.
        drop_duplicates: Rows to leave out: `"exact"`, equal to an earlier row in every column that
            is read; `"consecutive"`, the item of the row before in the session; `"session"`, an
            earlier item of the session (both with equal label and type). Defaults to `None`: none.

    What reading leaves out or fills is logged with counts, by the logger `tfsessionrec.data`.

    Returns:
        `Sessions`, each session a target.

    Raises:
        FileNotFoundError: If `events` names a file that does not exist.
        ValueError: If a column is missing or holds an unreadable time, a missing id or a label
            other than 0 and 1, or if arguments contradict each other.

    Example:

    >>> import polars as pl
    >>> from tfsessionrec.data import sessionize
    >>> log = pl.DataFrame(
    ...     {
    ...         "user_id": ["ann", "bob", "ann", "ann"],
    ...         "item_id": [11, 12, 13, 14],
    ...         "timestamp": [0, 10, 60, 7200],
    ...     }
    ... )
    >>> sessions = sessionize(log, user="user_id", gap="30m")
    >>> sessions.events.select("user_id", "session_index", "item_id").rows()
    [('ann', 0, 11), ('ann', 0, 13), ('ann', 1, 14), ('bob', 0, 12)]
    """
    columns = {
        "user": user,
        "session": session,
        "item": item,
        "time": time,
        "order": order,
        "label": label,
        "interaction_type": interaction_type,
        "impressions": impressions,
    }
    given = {argument: name for argument, name in columns.items() if name is not None}
    _check_arguments(given, gap, impression_features, drop_duplicates)
    times = TimeFormat(time_unit, time_format, tz)
    cleaning = Cleaning(times, item_type, drop_missing, drop_duplicates, missing_users)
    aligned = _impression_features(impression_features, keep, impressions_separator)
    gap_us = None if gap is None else gap_in_microseconds(gap)
    sources = {f"impression_features[{name!r}]": source for name, source in aligned.items()}
    raw = cleaning.select_rows(_read(events, given | sources, keep), given)

    # Every column is cleaned in the order of the log, so that errors name the row.
    table = clean_kept(raw, keep) | cleaning.columns(raw, given)
    if impressions is not None:
        table |= _shown_columns(raw, impressions, impressions_separator, table["item_id"], aligned)
    rows = pl.DataFrame(table)
    rows = _sort_by_session(rows) if gap_us is None else _sort_by_gap(rows, gap_us)
    rows = cleaning.without_repeats(rows)
    optional = ["interaction_type"] if interaction_type is not None else []
    if impressions is not None:
        rows = expand_impressions(rows, tuple(aligned))
        if impression_features is not None:
            rows = rows.rename({"_position": "position"})
            optional += ["position", *aligned]
    elif label is None:
        rows = rows.with_columns(label=pl.lit(1.0, dtype=pl.Float32))
    seconds = pl.col("_time").cast(pl.Float64) / 1e6
    rows = rows.with_columns(timestamp=seconds, is_target=pl.lit(True))
    return Sessions(rows.select(*COLUMNS, *optional, *dict.fromkeys(keep)))


def _check_arguments(
    given: Mapping[str, str],
    gap: str | float | datetime.timedelta | None,
    impression_features: Mapping[str, str] | None,
    drop_duplicates: Duplicates | None,
) -> None:
    """Raises where arguments contradict each other."""
    for name in ("item", "time"):
        if name not in given:
            raise ValueError(f"`{name}` should name a column. Received: `{name}`=None")
    session, label, impressions = map(given.get, ("session", "label", "impressions"))
    if (session is None) == (gap is None):
        raise ValueError(
            "Exactly one of `session` and `gap` should be given. "
            f"Received: `session`={session!r}, `gap`={gap!r}"
        )
    if "user" not in given and session is None:
        raise ValueError("`gap` needs `user`, whose inactivity it measures. Received: `user`=None")
    if label is not None and impressions is not None:
        raise ValueError(
            "`label` and `impressions` should not both be given: impressions make the labels. "
            f"Received: `label`={label!r}, `impressions`={impressions!r}"
        )
    if impression_features is not None and impressions is None:
        raise ValueError(
            "`impression_features` needs `impressions`, with which they are aligned. "
            f"Received: `impression_features`={impression_features!r}"
        )
    if impressions is not None and drop_duplicates not in (None, "exact"):
        raise ValueError(
            "`drop_duplicates` should be 'exact' with `impressions`: other rows may show other "
            f"items. Received: `drop_duplicates`={drop_duplicates!r}"
        )


def _impression_features(
    features: Mapping[str, str] | None, keep: Sequence[str], separator: str
) -> dict[str, str]:
    """Columns by the names they get."""
    sequence("keep", keep, "columns")
    text("impressions_separator", separator, empty=False)
    features = {} if features is None else features
    mapping("impression_features", features, "columns")
    aligned = dict(features)
    for name in aligned:
        if name in (*_RESERVED, "position", *keep) or name.startswith("_"):
            raise ValueError(
                "`impression_features` should not use the name of a column of `Sessions`. "
                f"Received: {name!r}"
            )
    return aligned


def _shown_columns(
    raw: pl.DataFrame,
    impressions: str,
    separator: str,
    items: pl.Series,
    aligned: Mapping[str, str],
) -> dict[str, pl.Series]:
    """The columns of the shown items, as lists."""
    shown = clean_impressions(raw[impressions], separator, items.dtype)
    _check_something_shown(items, shown)
    columns = {"_shown": shown}
    for name, source in aligned.items():
        columns[f"_shown_{name}"] = clean_values(raw[source], raw[impressions], separator, shown)
    return columns


def _read(events: EventSource, columns: dict[str, str], keep: Sequence[str]) -> pl.DataFrame:
    """The columns that are asked for, and no others."""
    ids = [columns[name] for name in ("user", "session", "item") if name in columns]
    lazy = scan_events(events, argument="events", ids=ids)
    names = column_names(lazy, "events", events)
    for argument, name in columns.items():
        check_column(names, name, argument)
    for name in keep:
        check_column(names, name, "keep")
        if name in _RESERVED or name.startswith("_"):
            raise ValueError(
                "`keep` should not hold the name of a column of `Sessions` "
                f"({', '.join(_RESERVED)}) or a name that starts with _. Received: {name!r}"
            )
    wanted = dict.fromkeys((*columns.values(), *keep))
    return collect_events(lazy.select(*wanted), "events", events)


def _sort_by_session(table: pl.DataFrame) -> pl.DataFrame:
    session = ("user_id", "session_id")
    table = table.with_row_index("_row").with_columns(
        _user=pl.col("_row").min().over("user_id"),
        _start=pl.col("_time").min().over(session),
        _session=pl.col("_row").min().over(session),
    )
    table = _sort(table, "_user", "_start", "_session", "_time")
    starts = pl.col("_session").ne_missing(pl.col("_session").shift(1))
    return table.with_columns(session_index_from(starts))


def _sort_by_gap(table: pl.DataFrame, gap: int) -> pl.DataFrame:
    table = table.with_row_index("_row").with_columns(_user=pl.col("_row").min().over("user_id"))
    table = _sort(table, "_user", "_time")
    new_user = pl.col("_user").ne_missing(pl.col("_user").shift(1))
    starts = new_user | (pl.col("_time").diff() >= gap)
    return table.with_columns(
        session_index_from(starts), session_id=starts.cum_sum().cast(pl.Int64) - 1
    )


def _sort(table: pl.DataFrame, *keys: str) -> pl.DataFrame:
    """Sorts by the keys, ties by `_order` and the row. The sort moves the keys alone."""
    ties = ("_order", "_row") if "_order" in table.columns else ("_row",)
    return table[table.select(*keys, *ties).sort(*keys, *ties)["_row"]]


def _check_something_shown(items: pl.Series, shown: pl.Series) -> None:
    empty = items.is_null() & (shown.list.len() == 0)
    if empty.any():
        raise ValueError(
            "`item` and `impressions` should not both be missing in a row. Received: "
            f"{empty.sum()} such rows, the first in row {empty.arg_max()} (counted from 0)"
        )
