"""Times that are not what they look like are refused; formats, zones and ties are read."""

import datetime
import pathlib
import warnings
import zoneinfo

import polars as pl
import pytest

from tfsessionrec.cli.main import main
from tfsessionrec.data import LogColumns, LogFormat, Sessions, sessionize
from tfsessionrec.data.times import TimeFormat, to_microseconds, to_seconds

SECOND = 1_396_867_869  # 2014-04-07 10:51:09 UTC


def read(values: list, **how: str) -> list[float]:
    format_ = TimeFormat(**how)
    return (to_microseconds(pl.Series("t", values), "time", format_) / 1e6).to_list()


@pytest.mark.parametrize(
    ("digits", "format_"),
    [
        (20240131, "%Y%m%d"),
        ("20240131", "%Y%m%d"),
        (20240131.0, "%Y%m%d"),
        (2024013110, "%Y%m%d%H"),
        (202401311030, "%Y%m%d%H%M"),
        ("20240131103059", "%Y%m%d%H%M%S"),
    ],
)
def test_dates_as_digits_are_refused(digits: object, format_: str) -> None:
    for unit in ("s", "ms"):
        with pytest.raises(ValueError, match=r"20240131.* column 't'.*2024-01-31") as error:
            read([digits, digits], unit=unit)
        assert f"`time_format`={format_!r}" in str(error.value)
    minutes = "202401311000" if format_.endswith("%H") else str(digits).removesuffix(".0")
    plain = format_ + "%M" * format_.endswith("%H")
    moment = datetime.datetime.strptime(minutes, plain).replace(tzinfo=datetime.UTC)
    assert read([digits], format=format_) == [moment.timestamp()]
    if format_ == "%Y%m%d":
        with pytest.raises(ValueError, match="dates written as digits"):
            to_seconds(digits, "after")  # type: ignore[arg-type]


def test_numbers_that_are_no_dates_are_not() -> None:
    # 20241399 has no month 13: seconds, in August 1970.
    with pytest.warns(UserWarning, match=r"'t' were read as 1970-08-23 to 1970-08-23"):
        assert read([20241399, 20240131]) == [20241399, 20240131]


@pytest.mark.parametrize(
    ("value", "unit", "meant"),
    [
        (SECOND, "ms", "s"),
        (SECOND, "us", "s"),
        (SECOND * 10**3, "us", "ms"),
        (SECOND * 10**3, "s", "ms"),
        (SECOND * 10**6, "ms", "us"),
        (SECOND * 10**9, "us", "ns"),
    ],
)
def test_another_unit_is_refused(value: int, unit: str, meant: str) -> None:
    for values in ([value, value + 1], [str(value), "0"]):
        if values[-1] == "0" and MICRO[unit] > MICRO[meant]:
            continue  # a log that is late in part may have its reasons
        with pytest.raises(ValueError, match=rf"`time`.*{value}.*`time_unit`='{meant}' ") as error:
            read(values, unit=unit)
        assert f"--time-unit {meant}" in str(error.value)
    assert read([value], unit=meant) == [SECOND]


MICRO = {"s": 10**6, "ms": 10**3, "us": 1, "ns": 10**-3}


def test_seconds_as_milliseconds_would_join_sessions() -> None:
    log = pl.DataFrame({"u": 1, "item_id": [1, 2], "timestamp": [SECOND, SECOND + 7200]})
    assert sessionize(log, user="u", gap="30m").num_sessions == 2
    with pytest.raises(ValueError, match=r"`time_unit`='s' \(--time-unit s\)"):
        sessionize(log, user="u", gap="30m", time_unit="ms")


def test_small_times_of_toy_logs_are_fine() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read([0, 90, 150]) == [0, 90, 150]
        assert read([90, 150], unit="ms") == [0.09, 0.15]
        assert read([SECOND]) == [SECOND]
    with pytest.warns(UserWarning, match="were read as 1970-01-01 to 1970-01-17"):
        read([datetime.datetime(1970, 1, 1), datetime.datetime(1970, 1, 17)])
    with pytest.warns(UserWarning, match="read as 2200-01-01 to 2200-01-01"):
        read(["2200-01-01"])


@pytest.mark.parametrize(
    ("values", "format_", "first"),
    [
        ([2024, 2023], "%Y", "2024-01-01"),
        (["202402", "202312"], "%Y%m", "2024-02-01"),
        ([2024, 2101], None, None),
        ([202402, 202413], None, None),
        ([2024.5], None, None),
    ],
)
def test_years_and_months_are_said(values: list, format_: str | None, first: str | None) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert read(values) == [float(value) for value in values]
    said = [str(warning.message) for warning in caught]
    if format_ is None or first is None:
        assert said == []
        return
    assert len(said) == 1
    assert f"such as {values[0]}, were read as seconds in 1970" in said[0]
    assert f"`time_format`={format_!r}" in said[0]
    expected = datetime.datetime.fromisoformat(first).replace(tzinfo=datetime.UTC)
    assert read(values, format=format_)[0] == expected.timestamp()


def test_formats_without_a_year() -> None:
    for text, format_ in (("10:20", "%H:%M"), ("31/01 10:20", "%d/%m %H:%M")):
        with pytest.raises(ValueError, match="`time_format` should have a year, such as %Y"):
            read([text], format=format_)
    for text, format_ in (("01/31/24", "%D"), ("2024-01-31", "%F"), ("31.01.24", "%d.%m.%y")):
        assert read([text], format=format_) == [1_706_659_200]


def test_text_in_another_unit_is_named() -> None:
    with pytest.raises(ValueError, match=r"'1\.7e12' .*`time_unit`='ms' \(--time-unit ms\)"):
        read(["1.7e12", "1.7e12"])
    with pytest.warns(UserWarning, match="read as 1940-01-01 to 1960-01-01"):
        read(["1940-01-01", "1960-01-01"])


def test_sessions_in_milliseconds_are_refused() -> None:
    log = pl.DataFrame({"u": [1, 1], "item_id": [1, 2], "timestamp": [SECOND, SECOND + 1]})
    events = sessionize(log, user="u", gap="1h").events
    for times in (pl.col("timestamp") * 1000, pl.lit(float("nan")), pl.lit(float("-inf"))):
        with pytest.raises(ValueError, match=r"`timestamp` in unix seconds, before the year 10000"):
            Sessions(events.with_columns(timestamp=times))
    assert Sessions(events).num_events == 2


@pytest.mark.parametrize(
    "text",
    ["2019-10-01 00:00:00 UTC", "2019-10-01T00:00:00 gmt", "2019-10-01 UTC", "2019-10-01 00:00Z"],
)
def test_utc_by_name(text: str) -> None:
    assert read([text]) == [1_569_888_000]  # `date -u -d 2019-10-01 +%s`


def test_a_stated_format() -> None:
    with pytest.raises(ValueError, match=r"'31/03/2024 10:00' in column 't', row 0 .*time_format"):
        read(["31/03/2024 10:00"])
    assert read(["31/03/2024 10:00"], format="%d/%m/%Y %H:%M") == [1_711_879_200]
    assert read(["31/03/2024 10:00 +0200"], format="%d/%m/%Y %H:%M %z") == [1_711_872_000]
    with pytest.raises(ValueError, match=r"text of the format '%d/%m/%Y'\. Received: '03/31/2024'"):
        read(["03/31/2024"], format="%d/%m/%Y")
    with pytest.raises(ValueError, match="`time_format` should be a format of dates and times"):
        read(["10"], format="%Y %M")
    with pytest.raises(ValueError, match="`time_format` should not have %Z"):
        read(["10"], format="%Y %Z")


def test_time_zones_and_changes_of_clocks() -> None:
    local = ["2024-03-31 01:59:59", "2024-03-31 03:00:00", "2024-10-27 02:30:00", "2024-07-01"]
    paris = zoneinfo.ZoneInfo("Europe/Paris")
    oracle = [datetime.datetime.fromisoformat(t).replace(tzinfo=paris).timestamp() for t in local]
    assert oracle[1] - oracle[0] == 1  # an hour does not exist
    assert read(local, zone="Europe/Paris") == oracle  # of the hour that exists twice, the first
    assert read([datetime.datetime.fromisoformat(t) for t in local], zone="Europe/Paris") == oracle
    assert read(["2024-07-01T00:00:00Z"], zone="Europe/Paris") == [oracle[3] + 7200]
    with pytest.raises(ValueError, match=r"'2024-03-31 02:30'.*clocks of Europe/Paris jump over"):
        read(["2024-03-31 02:30"], zone="Europe/Paris")
    with pytest.raises(ValueError, match=r"`tz` is for dates and times without a zone.*Int64"):
        read([SECOND], zone="Europe/Paris")
    with pytest.raises(ValueError, match=r"`tz` should be a time zone, .*'Paris'"):
        read(["2024-01-01"], zone="Paris")


def test_a_column_breaks_ties_of_time() -> None:
    log = pl.DataFrame(
        {
            "u": 1,
            "s": [1, 1, 1, 1],
            "item_id": ["d", "c", "b", "a"],
            "timestamp": [20, 10, 10, 10],
            "step": ["1", "10", "9", "8"],
        }
    )
    for sessions in ({"session": "s"}, {"gap": "1h"}):
        found = sessionize(log, user="u", order="step", **sessions)  # type: ignore[arg-type]
        assert found.events["item_id"].to_list() == ["a", "b", "c", "d"]
        log_format = LogFormat(
            LogColumns("u", sessions.get("session"), order="step"), gap=sessions.get("gap")
        )
        assert log_format.read(log).events["item_id"].to_list() == ["a", "b", "c", "d"]
        assert LogFormat.from_json(log_format.to_json()) == log_format
    with pytest.raises(ValueError, match=r"`order` should name a column of numbers.*'item_id'"):
        sessionize(log, user="u", order="item_id", gap="1h")


def test_flags(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_text("u,item_id,at,n\n1,x,01/02/2024,2\n1,y,01/02/2024,1\n")
    (tmp_path / "b.csv").write_text("u,item_id,at,n\n1,z,02/02/2024,1\n1,,02/02/2024,1\n")
    files = [str(tmp_path / name) for name in ("a.csv", "b.csv")]
    arguments = ["--user", "u", "--gap", "1h", "--time", "at", "--time-format", "%d/%m/%Y", "--tz"]
    arguments += ["America/Sao_Paulo", "--order", "n", "--drop-missing", "--model", "popularity"]
    out, result = tmp_path / "model", tmp_path / "result.json"
    output = ["--output", str(out), "--json", str(result)]
    assert main(["train", "--events", *files, *arguments, *output]) == 0
    printed = capsys.readouterr().err
    assert "1 rows left out with missing values: 1 in column 'item_id'" in printed
    assert "1 users, 2 sessions, 3 events" in printed
    assert '"tz": "America/Sao_Paulo"' in (out / "config.json").read_text()
    evaluated = ["--protocol", "next_item", "--targets", "all"]
    assert main(["evaluate", "--model", str(out), "--events", *files, *evaluated]) == 0


def test_settings_of_an_earlier_version_load() -> None:
    old = {"user": "u", "item": "i", "gap": "30m", "time_unit": "ms", "filter": ["a=1"]}
    log = LogFormat.from_json(old)
    assert log == LogFormat(LogColumns("u", item="i"), "30m", "ms", filter=("a=1",))


@pytest.mark.parametrize("odd", ["99999999999999999999", "inf"])
def test_one_number_beyond_all_dates_is_named(odd: str) -> None:
    with pytest.raises(ValueError, match=rf"before the year 10000.*{odd}.*'t', row 1"):
        read(["1700000000", odd])
