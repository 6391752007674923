"""Guesses of the columns of a log and of the format of its times."""

import dataclasses
import re
from collections.abc import Sequence
from typing import Final

import polars as pl

from tfsessionrec.data.log_format import LogColumns, LogFormat
from tfsessionrec.data.time_checks import plausible_unit
from tfsessionrec.data.times import TimeFormat, to_microseconds

# Names of columns, without marks between the words; the best first.
_NAMES: Final = {
    "time": r"timestamp|ts|datetime|(event|click|visit|created|unix|view)?(time|at)(stamp)?|date|"
    r"\w*(timestamp|datetime)|\w*time|\w*date",
    "session": r"sessionid|session|visitid|visit|sid|\w*sessionid|\w*sessionkey|basketid|orderid|"
    r"basket",
    "user": r"userid|user|uid|visitorid|visitor|customerid|customer|clientid|memberid|"
    r"household(id|key)?|accountid|\w*userid",
    "item": r"itemid|item|productid|product|sku|articleid|article|movieid|trackid|songid|asin|"
    r"contentid|newsid|reference|\w*itemid|\w*articleid|\w*productid",
}
# Columns that order the events of a log without times; sessions of a log without better names.
_ORDER: Final = r"position|pos|step|sequence|seq|rank|order|index|\w*(position|order|step|rank)"
_LISTS: Final = r"queryid|query|listid|list|cartid|cart|sequenceid|sequence"
_LABEL: Final = r"label|(is)?(clicked|click|taken|positive)"
_FORMATS: Final = (
    "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y",
    "%d-%m-%Y %H:%M:%S",
    "%d-%m-%Y %H:%M",
    "%d-%m-%Y",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d",
    "%Y%m%d",
    "%Y%m%d%H%M",
    "%Y%m%d%H%M%S",
)
_GAP: Final = "30m"


def guess_format(frame: pl.DataFrame, log: LogFormat) -> tuple[LogFormat, list[str]]:
    """The format of a log, with guesses for the columns and times that it does not name.

    Args:
        frame: The log.
        log: The part of it that is certain.

    Returns:
        The format, and what deserves attention.
    """
    remarks: list[str] = []
    taken: dict[str, str | None] = {
        "time": log.columns.time if log.columns.time in frame.columns else None,
        "session": log.columns.session,
        "user": log.columns.user,
        "item": log.columns.item if log.columns.item in frame.columns else None,
    }
    for role, pattern in _NAMES.items():
        if taken[role] is None and not (role == "session" and log.gap is not None):
            free = [name for name in frame.columns if name not in taken.values()]
            taken[role] = _best_name(free, pattern)
    numbers = [name for name in frame.columns if frame.schema[name].is_integer()]
    _without_names(numbers, taken, log, remarks)
    for role in ("item", "time"):
        if taken[role] is None:
            remarks.append(f"No column looks like the {role}: name it with --{role}")
    if taken["session"] is None and taken["user"] is None:
        remarks.append("No column looks like a user or a session: name one with --user, --session")
    gap = log.gap or (_GAP if taken["session"] is None and taken["user"] is not None else None)
    columns = dataclasses.replace(
        log.columns,
        user=taken["user"],
        session=taken["session"],
        item=taken["item"] or log.columns.item,
        time=taken["time"] or log.columns.time,
    )
    columns = dataclasses.replace(columns, label=_label(frame, columns))
    log = dataclasses.replace(log, columns=columns, gap=gap)
    if taken["time"] is not None and (log.time_unit, log.time_format) == ("s", None):
        log = _guess_times(frame[taken["time"]], log, remarks)
    return log, remarks


def _label(frame: pl.DataFrame, columns: LogColumns) -> str | None:
    """A column of ones and zeros whose name says that the ones are clicks."""
    if columns.label is not None or columns.impressions is not None:
        return columns.label
    taken = [*dataclasses.astuple(columns), *columns.session_context]
    free = [
        name
        for name in frame.columns
        if name not in taken and frame.schema[name].is_numeric() and _is_binary(frame[name])
    ]
    return _best_name(free, _LABEL)


def _is_binary(values: pl.Series) -> bool:
    return set(values.unique().drop_nulls().to_list()) == {0, 1}


def _without_names(
    numbers: Sequence[str], taken: dict[str, str | None], log: LogFormat, remarks: list[str]
) -> None:
    """Columns of whole numbers for the session and the time, where no name says which they are."""
    free = [name for name in numbers if name not in taken.values()]
    if taken["session"] is None and taken["user"] is None and log.gap is None:
        taken["session"] = _best_name(free, _LISTS)
        free = [name for name in free if name != taken["session"]]
    if taken["time"] is not None or taken["item"] is None:
        return
    session = taken["session"]
    taken["time"] = _best_name(free, _ORDER) or (session if session in numbers else None)
    if taken["time"] is not None:
        remarks.append(
            f"No column looks like the time: {taken['time']!r} gives the order of the events. "
            "Differences of these numbers are no times: hold out no days, and choose no model that "
            "reads times"
        )


def _best_name(names: Sequence[str], pattern: str) -> str | None:
    """The column whose name matches an early alternative of the pattern."""
    alternatives = re.split(r"\|(?![^(]*\))", pattern)
    for alternative in alternatives:
        for name in names:
            if re.fullmatch(alternative, re.sub(r"[^a-z0-9]", "", name.lower())):
                return name
    return None


def _guess_times(values: pl.Series, log: LogFormat, remarks: list[str]) -> LogFormat:
    values = values.drop_nulls()
    if values.dtype == pl.String:
        values = values.filter(values != "")
    if values.is_empty() or _is_readable(values, TimeFormat(zone=log.tz)):
        return log
    number = values.cast(pl.Float64, strict=False).median() if _is_plain(values) else None
    unit = plausible_unit(number) if isinstance(number, float) else None
    if unit is not None and _is_readable(values, TimeFormat(unit)):
        return dataclasses.replace(log, time_unit=unit)
    fitting = [f for f in _FORMATS if _is_readable(values, TimeFormat(format=f, zone=log.tz))]
    if not fitting:
        remarks.append(
            f"The times in column {values.name!r}, such as {values[0]!r}, are of no known format: "
            "name it with --time-format"
        )
        return log
    if len(fitting) > 1 and fitting[0].startswith("%d/%m"):
        remarks.append(
            f"The dates in column {values.name!r}, such as {values[0]!r}, may have the day or the "
            f"month first: check --time-format {fitting[0]!r}"
        )
    return dataclasses.replace(log, time_format=fitting[0])


def _is_plain(values: pl.Series) -> bool:
    return values.dtype.is_numeric() or values.dtype == pl.String


def _is_readable(values: pl.Series, how: TimeFormat) -> bool:
    try:
        to_microseconds(values, "time", how)
    except ValueError:
        return False
    return True
