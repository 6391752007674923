"""Times of any kind as whole microseconds since 1970, so that gaps compare exactly."""

import dataclasses
import datetime
import math
import re
import zoneinfo

import numpy as np
import polars as pl

from tfsessionrec.checks import YEAR_10000, text
from tfsessionrec.data.time_checks import (
    MICROSECONDS,
    check_digits,
    check_unit,
    plausible_unit,
    warn_if_implausible,
    warn_if_years,
)

_LATEST = YEAR_10000 * 1_000_000
_GAP = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_GAP_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_HAS_YEAR = re.compile(r"%[-_0]?[YyCGgDFcxvs+]")
_HOUR_ALONE = re.compile(r"%[-_0]?[HI](?!.*%[-_0]?[MRTXcrs+])", re.DOTALL)
_ISO_FORMATS = (
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d %H:%M%#z",
)


@dataclasses.dataclass(frozen=True)
class TimeFormat:
    """How times are written.

    Args:
        unit: Unit of times that are numbers: `"s"` (default), `"ms"`, `"us"` or `"ns"` since 1970.
        format: Format of times as text, or as digits, in the codes of `strptime`, such as
            `"%d/%m/%Y %H:%M"`. Defaults to None: numbers or ISO 8601.
        zone: Time zone of dates and times that do not name one, such as `"Europe/Paris"`. Defaults
            to None: UTC. Where clocks go back, the first of the two hours is meant.

    Raises:
        ValueError: If the unit or the zone is unknown, or the format has `%Z` or no year.
    """

    unit: str = "s"
    format: str | None = None
    zone: str | None = None

    def __post_init__(self) -> None:
        text("time_format", self.format, optional=True)
        text("tz", self.zone, optional=True)
        if not isinstance(self.unit, str) or self.unit not in MICROSECONDS:
            raise ValueError(
                f"`time_unit` should be one of {', '.join(MICROSECONDS)}. "
                f"Received: `time_unit`={self.unit!r}"
            )
        if self.format is not None and "%Z" in self.format:
            raise ValueError(
                "`time_format` should not have %Z: names of zones are ambiguous. Use %z for "
                f"+02:00, or `tz`. Received: `time_format`={self.format!r}"
            )
        if self.format is not None and not _HAS_YEAR.search(self.format):
            raise ValueError(
                "`time_format` should have a year, such as %Y. Received: "
                f"`time_format`={self.format!r}"
            )
        if self.zone is not None:
            try:
                zoneinfo.ZoneInfo(self.zone)
            except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
                raise ValueError(
                    "`tz` should be a time zone, such as 'UTC' or 'Europe/Paris'. "
                    f"Received: `tz`={self.zone!r}"
                ) from error


def to_microseconds(
    values: pl.Series, argument: str, time_unit: str | TimeFormat = "s"
) -> pl.Series:
    """A column of times as Int64 microseconds since 1970 (UTC).

    Numbers count `time_unit`s; datetimes and dates without a time zone are UTC, or in the zone of
    the format; strings are numbers or ISO 8601, or of the format.

    Raises:
        ValueError: If a time cannot be read, with its column, row and value; if numbers are plainly
            dates written as digits, or of another unit.
    """
    how = time_unit if isinstance(time_unit, TimeFormat) else TimeFormat(time_unit)
    result = _read(values, argument, how)
    unread = result.is_null()
    if unread.any():
        row = unread.arg_max() or 0
        raise ValueError(
            f"`{argument}` should hold times: {_expected(how)}. Received: {values[row]!r} in "
            f"column {values.name!r}, row {row} (counted from 0){_hint(values, row, how)}"
        )
    late = result.abs() >= _LATEST
    if late.any():
        row = late.arg_max() or 0
        written = values[[row]].cast(pl.Float64, strict=False)[0]
        unit = None if written is None else plausible_unit(written)
        hint = f"Give `time_unit`={unit!r} (--time-unit {unit})" if unit else "Is it another unit?"
        raise ValueError(
            f"`{argument}` should hold times before the year 10000. Received: {values[row]!r} in "
            f"column {values.name!r}, row {row} (counted from 0), with `time_unit`={how.unit!r}. "
            f"{hint}"
        )
    if how.format is None and (values.dtype.is_numeric() or values.dtype == pl.String):
        check_unit(_numbers(values), argument, how.unit)
        warn_if_years(_numbers(values), argument)
    warn_if_implausible(result.alias(values.name), argument)
    return result


def _read(values: pl.Series, argument: str, how: TimeFormat) -> pl.Series:
    """Microseconds; null where a time cannot be read."""
    dtype = values.dtype
    if how.format is not None and (dtype.is_numeric() or dtype == pl.String):
        return _from_format(values, how)
    if how.zone is not None and dtype.is_numeric():
        raise ValueError(
            "`tz` is for dates and times without a zone: numbers count from 1970 in UTC. "
            f"Received: `tz`={how.zone!r}, {dtype} in column {values.name!r}"
        )
    if dtype.is_numeric() or dtype == pl.String:
        check_digits(_numbers(values), argument)
    if dtype.is_numeric():
        return _from_numbers(values, MICROSECONDS[how.unit])
    if dtype == pl.String:
        return _from_strings(values, how)
    if isinstance(dtype, (pl.Datetime, pl.Date)):
        zone = dtype.time_zone if isinstance(dtype, pl.Datetime) else None
        return _in_zone(values.cast(pl.Datetime("us", zone)), how)
    if dtype == pl.Null:
        return values.cast(pl.Int64)
    raise ValueError(
        f"`{argument}` should hold numbers, datetimes or ISO 8601 strings. "
        f"Received: {dtype} in column {values.name!r}"
    )


def to_seconds(time: float | str | datetime.date, argument: str) -> float:
    """One point in time as unix seconds, read as `to_microseconds` reads a column."""
    message = (
        f"`{argument}` should be unix seconds, a datetime or an ISO 8601 string, before the year "
        "10000."
    )
    if isinstance(time, bool) or not isinstance(time, (int, float, np.number, str, datetime.date)):
        raise ValueError(f"{message} Received: `{argument}`={time!r}")
    read = _read(pl.Series(argument, [time]), argument, TimeFormat())
    if read[0] is None or abs(read[0]) >= _LATEST:
        raise ValueError(f"{message} Received: `{argument}`={time!r}")
    return float(read[0]) / 1e6


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
        if isinstance(gap, str) and gap.strip().isdigit():
            text = gap.strip()
            raise ValueError(
                f"`gap` should name its unit: '{text}s' for seconds, '{text}m' for minutes, "
                f"'{text}h' or '{text}d'. It should be seconds, a timedelta, or such a string. "
                f"Received: `gap`={gap!r}"
            )
        raise ValueError(
            "`gap` should be seconds, a timedelta, or a string like '45s', '30m', '1h' or '1d', "
            f"and not negative. Received: `gap`={gap!r}"
        )
    return round(seconds * 1e6)


def _numbers(values: pl.Series) -> pl.Series:
    """The finite numbers of a column of numbers or text, Float64."""
    numbers = values.cast(pl.Float64, strict=False)
    return numbers.filter(numbers.is_finite())


def _from_numbers(values: pl.Series, factor: float) -> pl.Series:
    # Exact below 2^53: microseconds until the year 2255.
    microseconds = (values.cast(pl.Float64) * factor).round()
    return microseconds.clip(-_LATEST, _LATEST).cast(pl.Int64, strict=False)


def _from_strings(values: pl.Series, how: TimeFormat) -> pl.Series:
    result = _from_numbers(values.cast(pl.Float64, strict=False), MICROSECONDS[how.unit])
    text = (
        values.str.strip_chars()
        .str.replace(r"^(\d{4}-\d{2}-\d{2})[Tt]", "${1} ")
        .str.replace(r"(?i) ?(?:Z|UTC|GMT)$", "+00:00")
        .str.replace(r"^(\d{4}-\d{2}-\d{2})(\+00:00)?$", "${1} 00:00${2}")
    )
    for iso_format in _ISO_FORMATS:
        if not result.null_count():
            break
        parsed = text.str.to_datetime(iso_format, time_unit="us", strict=False)
        result = result.zip_with(result.is_not_null(), _in_zone(parsed, how))
    return result


def _from_format(values: pl.Series, how: TimeFormat) -> pl.Series:
    assert how.format is not None
    text = values
    if values.dtype.is_float():
        text = values.cast(pl.Int64, strict=False)
        text = text.set((text != values).fill_null(True), None)
    try:
        # Without minutes Polars does not read an hour.
        minutes, suffix = (" 00", " %M") if _HOUR_ALONE.search(how.format) else ("", "")
        written = text.cast(pl.String) + minutes
        parsed = written.str.to_datetime(how.format + suffix, time_unit="us", strict=False)
    except pl.exceptions.PolarsError as error:
        raise ValueError(
            "`time_format` should be a format of dates and times, such as '%d/%m/%Y %H:%M'. "
            f"Received: `time_format`={how.format!r}: {str(error).partition(chr(10))[0]}"
        ) from error
    return _in_zone(parsed, how)


def _in_zone(times: pl.Series, how: TimeFormat) -> pl.Series:
    """Datetimes as microseconds; null for a local time that clocks jump over."""
    named = isinstance(times.dtype, pl.Datetime) and times.dtype.time_zone is not None
    if how.zone is not None and not named:
        times = times.dt.replace_time_zone(how.zone, ambiguous="earliest", non_existent="null")
    return times.dt.epoch("us")


def _expected(how: TimeFormat) -> str:
    if how.format is not None:
        return f"text of the format {how.format!r}"
    return "numbers, datetimes or ISO 8601 strings"


def _hint(values: pl.Series, row: int, how: TimeFormat) -> str:
    """What a time that is not read may need."""
    missing = values[row] is None or values[row] == ""
    if not missing and how.zone is not None and _read(values[[row]], "", _utc(how))[0] is not None:
        return f": clocks of {how.zone} jump over this time"
    if not missing and how.format is None and values.dtype == pl.String:
        return ". Another format is given by `time_format` (--time-format '%d/%m/%Y %H:%M')"
    return ""


def _utc(how: TimeFormat) -> TimeFormat:
    return dataclasses.replace(how, zone=None)
