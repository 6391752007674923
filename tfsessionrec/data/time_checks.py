"""Times that are not what they look like: dates in digits, and numbers of another unit."""

import datetime
import warnings
from typing import Final

import polars as pl

MICROSECONDS: Final = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}
"""Microseconds of one unit."""
EARLIEST: Final = 631_152_000 * 1_000_000  # 1990
LATEST: Final = 4_102_444_800 * 1_000_000  # 2100
_COUNTED_FROM_ZERO: Final = 1_000_000 * 1_000_000  # toy logs: seconds below a million
_DIGITS: Final = {8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}


def check_digits(values: pl.Series, argument: str) -> None:
    """Raises if all numbers are dates written as digits, such as 20240131.

    Args:
        values: Numbers, Float64.
        argument: Their name, for messages.
    """
    first = values[0] if len(values) else None
    if first is None or not 19_000_101 <= first < 21_010_000_000_000 or first != first // 1:
        return
    time_format = _DIGITS.get(len(str(int(first))))
    if time_format is None or (values != values.floor()).any() or (values.abs() > 1e15).any():
        return
    text = values.cast(pl.Int64).cast(pl.String)
    # Without minutes Polars does not read an hour.
    minutes, read_as = ("00", time_format + "%M") if time_format.endswith("%H") else ("", "")
    dates = (text + minutes).str.to_datetime(read_as or time_format, strict=False)
    if dates.null_count() or not dates.dt.year().is_between(1900, 2100).all():
        return
    raise ValueError(
        f"`{argument}` should hold unix times, not dates written as digits. Received: {text[0]} in "
        f"column {values.name!r}. If this is {dates[0]:%Y-%m-%d}, give `time_format`="
        f"{time_format!r} (--time-format)"
    )


def check_unit(numbers: pl.Series, argument: str, time_unit: str) -> None:
    """Raises if numbers of one unit are plainly counts of another.

    That is so where a number is a time before 1990 in its unit and one between 1990 and 2100 in a
    larger unit, or where all numbers are times after 2100 in their unit and between 1990 and 2100
    in a smaller one.
    """
    if numbers.is_empty():
        return
    factor = MICROSECONDS[time_unit]
    for unit, other in MICROSECONDS.items():
        plausible = (numbers * other).is_between(EARLIEST, LATEST)
        if other > factor:
            wrong = plausible & (numbers * factor < EARLIEST)
        elif other < factor:
            late = numbers * factor >= LATEST
            wrong = plausible & late if late.all() else late & False
        else:
            continue
        if wrong.any():
            row = wrong.arg_max() or 0
            raise ValueError(
                f"`{argument}` should hold times that count `time_unit`s. Received: "
                f"{numbers[row]:.0f} in column {numbers.name!r}, which is "
                f"{_date(numbers[row] * factor)} with `time_unit`={time_unit!r} and "
                f"{_date(numbers[row] * other)} with `time_unit`={unit!r} (--time-unit {unit})"
            )


def warn_if_implausible(times: pl.Series, argument: str) -> None:
    """Warns if all times lie before 1990 or after 2100; times below 10⁶ seconds are a toy log's.

    Args:
        times: Microseconds since 1970.
        argument: Their name, for the message.
    """
    if not len(times):
        return
    first, last = int(times.min()), int(times.max())  # type: ignore[arg-type]
    counted_from_zero = max(-first, last) < _COUNTED_FROM_ZERO
    if (last < EARLIEST and not counted_from_zero) or first >= LATEST:
        warnings.warn(
            f"`{argument}`: the times of column {times.name!r} were read as {_date(first)} to "
            f"{_date(last)}. If that is wrong, give `time_unit` or `time_format`",
            UserWarning,
            stacklevel=2,
        )


def warn_if_years(numbers: pl.Series, argument: str) -> None:
    """Warns if all numbers may be years (2024) or months (202401), which were read as seconds.

    Args:
        numbers: Finite numbers, Float64.
        argument: Their name, for the message.
    """
    if numbers.is_empty() or (numbers != numbers.floor()).any():
        return
    is_year = numbers.is_between(1990, 2100).all()
    months = numbers % 100
    is_month = (numbers.is_between(199001, 210012) & months.is_between(1, 12)).all()
    if is_year or is_month:
        time_format = "%Y" if is_year else "%Y%m"
        warnings.warn(
            f"`{argument}`: the numbers of column {numbers.name!r}, such as {numbers[0]:.0f}, were "
            f"read as seconds in 1970. If they are {'years' if is_year else 'months'}, give "
            f"`time_format`={time_format!r}",
            UserWarning,
            stacklevel=2,
        )


def span(first: float, last: float) -> str:
    """Two unix seconds as dates; "" for those of a toy log, counted from 0.

    Example:

    >>> span(1_396_867_869, 1_396_967_869)
    '2014-04-07 to 2014-04-08'
    """
    if max(abs(first), abs(last)) * 1e6 < _COUNTED_FROM_ZERO:
        return ""
    return f"{_date(first * 1e6)} to {_date(last * 1e6)}"


def plausible_unit(number: float) -> str | None:
    """The unit in which a number is a time between 1990 and 2100."""
    for unit, factor in MICROSECONDS.items():
        if EARLIEST <= number * factor < LATEST:
            return unit
    return None


def _date(microseconds: float) -> str:
    try:
        start = datetime.datetime(1970, 1, 1)
        return f"{start + datetime.timedelta(microseconds=microseconds):%Y-%m-%d}"
    except OverflowError:
        return "a time beyond the calendar"
