"""The columns of a log, cleaned: ids, times, labels, and what is missing or logged twice."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import polars as pl

from tfsessionrec.checks import boolean
from tfsessionrec.data.ids import IdType, check_id_type, clean_ids
from tfsessionrec.data.times import TimeFormat, to_microseconds

Duplicates = Literal["exact", "consecutive", "session"]
MissingUsers = Literal["error", "visitor"]

FLOAT32_MAX = 3.4028234663852886e38  # the largest number that a model reads
LOGGER = logging.getLogger("tfsessionrec.data")
"""Counts of what reading changes, such as rows that are left out, at the level INFO."""


@dataclasses.dataclass(frozen=True)
class Cleaning:
    """How the values of a log become those of `Sessions`.

    Args:
        times: How times are written.
        item_type: Type of the item ids. Defaults to None: as in the log.
        drop_missing: Whether to leave out rows without an id, a time or a label. Defaults to False:
            an error.
        drop_duplicates: Rows that count as logged twice: `"exact"`, `"consecutive"` or `"session"`,
            see `sessionize`. Defaults to None: none.
        missing_users: `"error"`, or `"visitor"`: a session without a user is a visitor of its own.
            Defaults to `"error"`.

    Raises:
        ValueError: If an argument is none of these.
    """

    times: TimeFormat
    item_type: IdType | None = None
    drop_missing: bool = False
    drop_duplicates: Duplicates | None = None
    missing_users: MissingUsers = "error"

    def __post_init__(self) -> None:
        boolean("drop_missing", self.drop_missing)
        check_id_type(self.item_type)
        if self.drop_duplicates not in (None, *get_args(Duplicates)):
            raise ValueError(
                f"`drop_duplicates` should be one of {', '.join(get_args(Duplicates))}, or None. "
                f"Received: `drop_duplicates`={self.drop_duplicates!r}"
            )
        if self.missing_users not in get_args(MissingUsers):
            raise ValueError(
                f"`missing_users` should be one of {', '.join(get_args(MissingUsers))}. "
                f"Received: `missing_users`={self.missing_users!r}"
            )

    def select_rows(self, raw: pl.DataFrame, given: Mapping[str, str]) -> pl.DataFrame:
        """The rows of a log without equal rows and without missing values, if so chosen.

        Args:
            raw: The columns of the log that are read.
            given: The log's columns, by argument of `sessionize`.

        Raises:
            ValueError: If values are missing and `drop_missing` is False.
        """
        if self.drop_duplicates == "exact":
            once = raw.unique(keep="first", maintain_order=True)
            note_dropped(len(raw) - len(once), "that repeat an earlier row exactly")
            raw = once
        required = {
            argument: missing(raw[name])
            for argument, name in given.items()
            if argument in ("session", "item", "time", "label", "order")
            or (argument == "user" and self.missing_users == "error")
        }
        if "impressions" in given:
            del required["item"]  # nothing that was shown was clicked
        wrong = {argument: where for argument, where in required.items() if where.any()}
        if not wrong:
            return raw
        if not self.drop_missing:
            raise ValueError(_missing_message(wrong, given))
        rows = pl.DataFrame(wrong).select(pl.any_horizontal(pl.all())).to_series()
        note_dropped(
            int(rows.sum()),
            "with missing values: "
            + ", ".join(
                f"{where.sum()} in column {given[name]!r}" for name, where in wrong.items()
            ),
        )
        if rows.all():
            raise ValueError(
                "`drop_missing` should leave at least one row. Received: a log without a row that "
                f"is whole. {_missing_message(wrong, given)}"
            )
        return raw.filter(~rows)

    def columns(self, raw: pl.DataFrame, given: Mapping[str, str]) -> dict[str, pl.Series]:
        """The columns of `Sessions` that a log has, without those of the shown items.

        Args:
            raw: Rows of `select_rows`.
            given: The log's columns, by argument of `sessionize`.
        """
        found = {argument: raw[name] for argument, name in given.items()}
        table = {
            "item_id": clean_ids(found["item"], "item", "impressions" in given, self.item_type),
            "_time": to_microseconds(found["time"], "time", self.times),
        }
        if "session" in found:
            table["session_id"] = clean_ids(found["session"], "session")
        if "user" in found:
            users = clean_ids(found["user"], "user", self.missing_users == "visitor")
            table["user_id"] = _visitors(users, table.get("session_id"))
        else:
            table["user_id"] = table["session_id"]
        if "interaction_type" in found:
            table["interaction_type"] = found["interaction_type"]
        if "label" in found:
            table["label"] = _clean_labels(found["label"])
        if "order" in found:
            table["_order"] = _clean_order(found["order"])
        return table

    def without_repeats(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Sorted rows without repeats of an item, if so chosen."""
        if self.drop_duplicates not in ("consecutive", "session"):
            return rows
        session = ("user_id", "session_index")
        item = [name for name in ("item_id", "label", "interaction_type") if name in rows.columns]
        if self.drop_duplicates == "consecutive":
            event = pl.struct(*session, *item)
            first = event.ne_missing(event.shift(1))
            why = "that repeat the item of the row before"
        else:
            first = pl.struct(*session, *item).is_first_distinct()
            why = "that repeat an item of their session"
        once = rows.filter(first)
        note_dropped(len(rows) - len(once), why)
        return once


def clean_kept(raw: pl.DataFrame, keep: Sequence[str]) -> dict[str, pl.Series]:
    """Further columns; NaN becomes null, and what is missing is counted.

    Raises:
        ValueError: If a number is infinite, or is in float32.
    """
    kept = {}
    for name in keep:
        values = raw[name]
        if values.dtype.is_float():
            values = values.fill_nan(None)
            wrong = values.abs() > FLOAT32_MAX
            if wrong.any():
                row = wrong.arg_max() or 0
                raise ValueError(
                    "`keep` should name columns of finite numbers, within float32. Received: "
                    f"{values[row]} in column {name!r}, row {row} (counted from 0)"
                )
        if values.null_count():
            LOGGER.info(
                "column %r has no value in %d of %d rows: a model reads 0 there",
                name,
                values.null_count(),
                len(values),
            )
        kept[name] = values
    return kept


def missing(values: pl.Series) -> pl.Series:
    """Where a value is null, NaN or ""."""
    where = values.is_null()
    if values.dtype.is_float():
        return where | values.is_nan().fill_null(False)
    if values.dtype == pl.String:
        return where | (values == "").fill_null(False)
    return where


def note_dropped(count: int, why: str) -> None:
    """Logs how many rows are left out."""
    if count:
        LOGGER.info("%s left out %s", f"{count:,} rows", why)


def _missing_message(wrong: Mapping[str, pl.Series], given: Mapping[str, str]) -> str:
    parts = []
    for argument, where in wrong.items():
        kind = "ids" if argument in ("user", "session", "item") else "values"
        parts.append(
            f"`{argument}` should have no missing {kind}. Received: {where.sum()} missing in "
            f"column {given[argument]!r}, the first in row {where.arg_max()} (counted from 0)"
        )
    advice = "`drop_missing=True` (--drop-missing) leaves such rows out"
    if "user" in wrong:
        advice += "; `missing_users='visitor'` (--missing-users visitor) makes visitors of them"
    return f"{'; '.join(parts)}. {advice}"


def _visitors(users: pl.Series, sessions: pl.Series | None) -> pl.Series:
    """Users; where one is missing, the session (without sessions, the row) is a user."""
    where = users.is_null()
    if not where.any():
        return users
    known = users.drop_nulls()
    source = sessions if sessions is not None else pl.Series(range(len(users)), dtype=pl.Int64)
    numbers = source.filter(where).rank("dense").cast(pl.Int64)
    LOGGER.info("%d visitors are sessions without a user", int(numbers.max()))  # type: ignore[arg-type]
    if users.dtype == pl.Int64:
        lowest = known.min() if len(known) else 0
        names = min(int(lowest), 0) - numbers  # type: ignore[arg-type]
    else:
        prefix = "visitor "
        while known.str.starts_with(prefix).any():
            prefix = f"_{prefix}"
        names = prefix + numbers.cast(pl.String)
    return users.scatter(where.arg_true(), names)


def _clean_order(order: pl.Series) -> pl.Series:
    if order.dtype.is_numeric() or order.dtype.is_temporal():
        return order
    numbers = order.cast(pl.Float64, strict=False) if order.dtype == pl.String else None
    if numbers is None or numbers.null_count():
        raise ValueError(
            "`order` should name a column of numbers or times. Received: column "
            f"{order.name!r} of {order.dtype}"
        )
    return numbers


def _clean_labels(labels: pl.Series) -> pl.Series:
    if not (labels.dtype.is_numeric() or labels.dtype in (pl.Boolean, pl.String, pl.Null)):
        raise ValueError(
            f"`label` should hold only 0 and 1. Received: {labels.dtype} in column {labels.name!r}"
        )
    numbers = labels.cast(pl.Float64, strict=False)
    wrong = ~numbers.is_in([0.0, 1.0]).fill_null(False)
    if wrong.any():
        row = wrong.arg_max() or 0
        raise ValueError(
            f"`label` should hold only 0 and 1. Received: {labels[row]!r} in column "
            f"{labels.name!r}, row {row} (counted from 0)"
        )
    return numbers.cast(pl.Float32)
