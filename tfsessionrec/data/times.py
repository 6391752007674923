"""Times of any kind as whole microseconds since 1970, so that gaps compare exactly."""

import datetime
import math
import re
from typing import Final

import numpy as np
import polars as pl

MICROSECONDS: Final = {"s": 1_000_000, "ms": 1_000, "us": 1}

_LATEST = 253_402_300_800 * 1_000_000  # the year 10000
_GAP = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_GAP_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_ISO_FORMATS = (
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d %H:%M%#z",
)


def to_microseconds(values: pl.Series, argument: str, time_unit: str = "s") -> pl.Series:
    """A column of times as Int64 microseconds since 1970 (UTC).

    Numbers count `time_unit`s; datetimes and dates without a time zone are UTC; strings are numbers
    or ISO 8601.

    Raises:
        ValueError: If `time_unit` is unknown or a time cannot be read, with its column, row and
            value.
    """
    if time_unit not in MICROSECONDS:
        raise ValueError(
            f"`time_unit` should be one of {', '.join(MICROSECONDS)}. "
            f"Received: `time_unit`={time_unit!r}"
        )
    factor = MICROSECONDS[time_unit]
    dtype = values.dtype
    if dtype.is_numeric():
        result = _from_numbers(values, factor)
    elif dtype == pl.String:
        result = _from_strings(values, factor)
    elif isinstance(dtype, (pl.Datetime, pl.Date)):
        zone = dtype.time_zone if isinstance(dtype, pl.Datetime) else None
        result = values.cast(pl.Datetime("us", zone)).dt.epoch("us")
    elif dtype == pl.Null:
        result = values.cast(pl.Int64)
    else:
        raise ValueError(
            f"`{argument}` should hold numbers, datetimes or ISO 8601 strings. "
            f"Received: {dtype} in column {values.name!r}"
        )
    unread = result.is_null()
    if unread.any():
        row = unread.arg_max() or 0
        raise ValueError(
            f"`{argument}` should hold times: numbers, datetimes or ISO 8601 strings. "
            f"Received: {values[row]!r} in column {values.name!r}, row {row} (counted from 0)"
        )
    late = result.abs() >= _LATEST
    if late.any():
        row = late.arg_max() or 0
        raise ValueError(
            f"`{argument}` should hold times before the year 10000. Received: {values[row]!r} in "
            f"column {values.name!r}, row {row} (counted from 0), with `time_unit`={time_unit!r}. "
            "Is it another unit?"
        )
    return result


def to_seconds(time: float | str | datetime.date, argument: str) -> float:
    """One point in time as unix seconds, read as `to_microseconds` reads a column."""
    message = (
        f"`{argument}` should be unix seconds, a datetime or an ISO 8601 string, before the year "
        "10000."
    )
    if isinstance(time, bool) or not isinstance(time, (int, float, np.number, str, datetime.date)):
        raise ValueError(f"{message} Received: `{argument}`={time!r}")
    try:
        return float(to_microseconds(pl.Series(argument, [time]), argument)[0]) / 1e6
    except ValueError as error:
        raise ValueError(f"{message} Received: `{argument}`={time!r}") from error


def gap_in_microseconds(gap: str | float | datetime.timedelta) -> int:
    """An inactivity gap, as `"30m"`, seconds or a timedelta, in whole microseconds."""
    seconds = math.nan
    if isinstance(gap, datetime.timedelta):
        seconds = gap.total_seconds()
    elif isinstance(gap, str):
        match = _GAP.fullmatch(gap.strip())
        if match:
            seconds = float(match[1]) * _GAP_SECONDS[match[2]]
    elif isinstance(gap, np.timedelta64):
        seconds = float(gap / np.timedelta64(1, "s"))
    elif isinstance(gap, (int, float, np.number)) and not isinstance(gap, bool):
        seconds = float(gap)
    if not 0 <= seconds < math.inf:
        raise ValueError(
            "`gap` should be seconds, a timedelta, or a string like '45s', '30m', '1h' or '1d', "
            f"and not negative. Received: `gap`={gap!r}"
        )
    return round(seconds * 1e6)


def _from_numbers(values: pl.Series, factor: int) -> pl.Series:
    # Exact below 2^53: microseconds until the year 2255.
    microseconds = (values.cast(pl.Float64) * factor).round()
    return microseconds.clip(-_LATEST, _LATEST).cast(pl.Int64, strict=False)


def _from_strings(values: pl.Series, factor: int) -> pl.Series:
    result = _from_numbers(values.cast(pl.Float64, strict=False), factor)
    text = (
        values.str.strip_chars()
        .str.replace(r"^(\d{4}-\d{2}-\d{2})[Tt]", "${1} ")
        .str.replace(r"[Zz]$", "+00:00")
        .str.replace(r"^(\d{4}-\d{2}-\d{2})$", "${1} 00:00")
    )
    for iso_format in _ISO_FORMATS:
        if not result.null_count():
            break
        parsed = text.str.to_datetime(iso_format, time_unit="us", strict=False)
        result = result.zip_with(result.is_not_null(), parsed.dt.epoch("us"))
    return result
