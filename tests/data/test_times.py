"""Times of any kind become the same microseconds."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tfsessionrec.data.times import gap_in_microseconds, to_microseconds, to_seconds

# 2014-04-07 10:51:09 UTC, as `date -u -d @1396867869` says.
SECOND = 1_396_867_869


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2014-04-07T10:51:09.277Z", SECOND + 0.277),
        ("2014-04-07 10:51:09", SECOND),
        (" 2014-04-07t10:51:09z ", SECOND),
        ("2014-04-07T12:51:09+02:00", SECOND),
        ("2014-04-07T08:51:09-0200", SECOND),
        ("2014-04-07T12:51:09.5+02", SECOND + 0.5),
        ("2014-04-07T10:51", SECOND - 9),
        ("2014-04-07T10:51Z", SECOND - 9),
        ("2014-04-07", SECOND - 9 - 60 * 51 - 3600 * 10),
        ("1396867869.277", SECOND + 0.277),
    ],
)
def test_strings(text: str, expected: float) -> None:
    column = pl.Series("t", [text, "1396867869"])  # kinds may mix in a column
    assert to_microseconds(column, "time").to_list() == [round(expected * 1e6), SECOND * 10**6]
    assert to_seconds(text, "at") == expected


@pytest.mark.parametrize(
    ("unit", "value"), [("s", SECOND), ("ms", SECOND * 10**3), ("us", SECOND * 10**6)]
)
def test_units(unit: str, value: int) -> None:
    assert to_microseconds(pl.Series([value]), "time", unit).to_list() == [SECOND * 10**6]
    assert to_microseconds(pl.Series([float(value)]), "time", unit).to_list() == [SECOND * 10**6]


def test_milliseconds_are_exact() -> None:
    values = np.arange(1_506_825_423_271, 1_506_825_423_271 + 10_000)
    assert (to_microseconds(pl.Series(values), "time", "ms").to_numpy() == values * 1000).all()


def test_seconds_as_floats_are_exact_to_the_microsecond() -> None:
    microseconds = np.arange(SECOND * 10**6, SECOND * 10**6 + 10_000)
    assert (to_microseconds(pl.Series(microseconds / 1e6), "time") == microseconds).all()


def test_datetimes() -> None:
    plain = datetime.datetime(2014, 4, 7, 10, 51, 9)
    aware = datetime.datetime(
        2014, 4, 7, 12, 51, 9, tzinfo=datetime.timezone(datetime.timedelta(hours=2))
    )
    for time in (plain, aware, pd.Timestamp(plain)):
        assert to_microseconds(pl.Series([time]), "time").to_list() == [SECOND * 10**6]
        assert to_seconds(time, "at") == SECOND
    nanoseconds = pl.Series([plain]).cast(pl.Datetime("ns"))
    assert to_microseconds(nanoseconds, "time").to_list() == [SECOND * 10**6]
    assert to_seconds(datetime.date(1970, 1, 2), "at") == 86_400


@pytest.mark.parametrize(
    ("values", "row", "value"),
    [
        (["2014-04-07", "oops"], 1, "'oops'"),
        # A column of numbers with one bad row is a column of strings: the bad row is the fault.
        (["1396867869", "1396867870", "n/a"], 2, "'n/a'"),
        (["2014-13-01"], 0, "'2014-13-01'"),
        (["2014-04-07", ""], 1, "''"),
        ([1.0, None], 1, "None"),
        ([1.0, float("nan")], 1, "nan"),
    ],
)
def test_unreadable(values: list, row: int, value: str) -> None:
    with pytest.raises(
        ValueError, match=f"`time` should hold times.*{value} in column 't', row {row} "
    ):
        to_microseconds(pl.Series("t", values), "time")


@pytest.mark.parametrize("value", [SECOND * 1000, SECOND * 10**6, float("inf")])
def test_wrong_unit(value: float) -> None:
    with pytest.raises(ValueError, match=r"before the year 10000.*row 0.*`time_unit`='s'"):
        to_microseconds(pl.Series("t", [value]), "time")


def test_wrong_types() -> None:
    with pytest.raises(ValueError, match=r"`time` should hold numbers, .*Boolean in column 't'"):
        to_microseconds(pl.Series("t", [True]), "time")
    with pytest.raises(ValueError, match=r"`time_unit` should be one of s, ms, us.*'min'"):
        to_microseconds(pl.Series("t", [1]), "time", "min")


@pytest.mark.parametrize("value", ["never", None, True, [1], float("nan")])
def test_wrong_point(value: object) -> None:
    with pytest.raises(ValueError, match=r"`at` should be unix seconds, .*Received: `at`="):
        to_seconds(value, "at")  # type: ignore[arg-type]


def test_numpy_point() -> None:
    assert to_seconds(np.int64(5), "at") == to_seconds(np.float32(5), "at") == 5.0


@pytest.mark.parametrize(
    ("gap", "seconds"),
    [
        ("500ms", 0.5),
        ("45s", 45),
        ("30m", 1_800),
        ("1.5h", 5_400),
        ("2 d", 172_800),
        ("0s", 0),
        (0, 0),
        (12.5, 12.5),
        (np.int64(60), 60),
        (datetime.timedelta(minutes=30), 1_800),
        (np.timedelta64(30, "m"), 1_800),
    ],
)
def test_gap(gap: object, seconds: float) -> None:
    assert gap_in_microseconds(gap) == seconds * 1e6  # type: ignore[arg-type]


@pytest.mark.parametrize("gap", ["half an hour", "-5s", "30M", -1, float("nan"), True, [1]])
def test_wrong_gap(gap: object) -> None:
    with pytest.raises(ValueError, match=r"`gap` should be seconds, .*Received: `gap`="):
        gap_in_microseconds(gap)  # type: ignore[arg-type]
