"""Bad input is named: the file, the column, the argument, and what to do about it."""

import logging
import pathlib
import random
from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from tfsessionrec.cli.main import main
from tfsessionrec.data import (
    LogColumns,
    LogFormat,
    Vocabulary,
    item_features,
    read_events,
    sessionize,
)
from tfsessionrec.data.catalog import read_catalog
from tfsessionrec.data.row_filter import row_filter
from tfsessionrec.data.times import gap_in_microseconds

LOG = pl.DataFrame(
    {
        "n": [5, 10, 20, None],
        "x": [1.0, 2.5, float("nan"), 4.0],
        "kind": ["a", "b", "10", None],
        "when": ["2024-01-01", "2024-02-01", "2024-03-01", "2024-04-01"],
        "n in": [1, 2, 3, 4],
    }
).with_columns(at=pl.col("when").str.to_datetime("%Y-%m-%d"))


@pytest.mark.parametrize(
    ("conditions", "rows"),
    [
        (["n>=10"], [1, 2]),
        (["n > 10"], [2]),
        (["n<=10"], [0, 1]),
        (["n<5.5"], [0]),
        (["n=10.0"], [1]),
        (["n=1e1", "n=5"], [0, 1]),
        (["n!=10"], [0, 2, 3]),
        (["n!=10", "n!=5"], [2, 3]),
        (["n in 5, 20"], [0, 2]),
        (["n in=3"], [2]),  # a column may end in `in`
        (["x=1"], [0]),
        (["x>=2"], [1, 2, 3]),  # NaN is above every number in Polars
        (["kind in a,b", "n>5"], [1]),
        (["kind!=a"], [1, 2, 3]),
        (["kind>9"], [2]),  # a number is compared with the numbers
        (["when>=2024-02-15"], [2, 3]),
        (["at<2024-02-15T00:00Z"], [0, 1]),
    ],
)
def test_conditions(conditions: list[str], rows: list[int]) -> None:
    found = LOG.with_row_index("row").filter(row_filter(conditions, LOG.schema))
    assert found["row"].to_list() == rows


@pytest.mark.parametrize("condition", ["n", "m=1", "n~1", "n in", "n>=ten", "at>soon", "=1"])
def test_wrong_conditions(condition: str) -> None:
    with pytest.raises(ValueError, match=r"`--filter` should "):
        row_filter([condition], LOG.schema)


def test_a_gap_without_a_unit() -> None:
    with pytest.raises(ValueError, match=r"name its unit: '30s' for seconds, '30m' for minutes"):
        gap_in_microseconds("30")
    with pytest.raises(ValueError, match=r"'30m' for minutes"):
        LogFormat(LogColumns(user="u"), gap=" 30 ")


@pytest.mark.parametrize(
    ("make", "fields", "message"),
    [
        (LogColumns, {"user": 5}, "`user` should be text or None. Received: `user`=5"),
        (LogColumns, {"item": None}, "`item` should be text"),
        (LogColumns, {"session_context": "device"}, "`session_context` should be a list of texts"),
        (LogColumns, {"impression_features": {"p": 1}}, r"`impression_features\['p'\]` should be"),
        (LogFormat, {"filter": "a=1"}, "`filter` should be a list of texts"),
        (LogFormat, {"columns": {}}, "`columns` should be a LogColumns"),
        (LogFormat, {"drop_missing": "no"}, "`drop_missing` should be True or False"),
        (LogFormat, {"drop_duplicates": "all"}, "`drop_duplicates` should be one of"),
        (LogFormat, {"missing_users": None}, "`missing_users` should be one of"),
        (LogFormat, {"item_type": "text"}, "`item_type` should be one of"),
        (LogFormat, {"time_unit": ["s"]}, "`time_unit` should be one of"),
        (LogFormat, {"time_format": "%H:%M"}, "`time_format` should have a year"),
        (LogFormat, {"tz": 1}, "`tz` should be text or None"),
        (LogFormat, {"gap": []}, "`gap` should be seconds"),
        (LogFormat, {"separator": 5}, "`separator` should be text or None"),
    ],
)
def test_a_format_refuses_what_it_cannot_mean(
    make: Callable[..., object], fields: dict[str, object], message: str
) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        make(**fields)


@pytest.mark.parametrize("name", ["item", "time"])
def test_columns_that_every_log_has(name: str) -> None:
    frame = pl.DataFrame({"u": [1], "item_id": [1], "timestamp": [1], "shown": ["a"]})
    arguments: dict[str, object] = {"user": "u", "gap": 1, "impressions": "shown", name: None}
    with pytest.raises(ValueError, match=f"`{name}` should name a column. Received: `{name}`=None"):
        sessionize(frame, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("indices", ["x", ["x"], [2.0], [None], [[2], [2, 2]], [True]])
def test_raw_of_what_is_no_index(indices: object) -> None:
    with pytest.raises(ValueError, match=r"`indices` should be integers from 2 .*to 3\. Received"):
        Vocabulary(["tea", "milk"]).raw(indices)  # type: ignore[arg-type]


def test_raw_of_nothing() -> None:
    assert Vocabulary(["tea"]).raw([]).tolist() == []


def test_parquet_with_flipped_bytes(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "log.parquet"
    pl.DataFrame({"u": range(300), "item_id": [f"i{n}" for n in range(300)]}).write_parquet(path)
    whole = path.read_bytes()
    generator, refused = random.Random(0), 0
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(generator.randint(1, 8)):
            damaged[generator.randrange(len(damaged))] ^= 1 << generator.randrange(8)
        path.write_bytes(damaged)
        message = ""
        try:
            read_events(path)
        except ValueError as error:
            message = str(error)
        refused += bool(message)
        assert not message or str(path) in message
    assert refused > 20


def test_item_features_without_an_id(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "items.csv").write_text("sku,price\na,1\n,2\nb,nan\n")
    (tmp_path / "log.csv").write_text("u,sku,timestamp\n1,a,1\n1,b,2\n")
    arguments = ["train", "--events", str(tmp_path / "log.csv"), "--user", "u", "--gap", "1h"]
    arguments += ["--item", "sku", "--model", "sasrec", "--output", str(tmp_path / "model")]
    arguments += ["--item-features", str(tmp_path / "items.csv"), "--dense", "price"]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert f"{tmp_path / 'items.csv'}, 1 missing in column 'sku', the first in row 1" in error
    assert "--drop-missing" in error
    assert not (tmp_path / "model").exists()
    table = read_catalog(tmp_path / "items.csv", "sku", drop_missing=True)
    assert table["sku"].to_list() == ["a", "b"]


def test_missing_numbers_of_items_are_alike(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    items, expected = ["a", "b", "c"], [[0, 1], [0, 1], [0, 0], [0, 1], [0, 1]]
    for missing in ([5.0, None, float("nan")], ["5", "", None], ["5e0", None, None]):
        frame = pl.DataFrame({"item_id": items, "price": missing}, strict=False)
        found = item_features(frame, Vocabulary(items), dense=["price"])["price"]
        np.testing.assert_array_equal(found, expected)
        assert "column 'price' has no number in 2 of 3 rows: 0, and a flag" in caplog.text
        caplog.clear()
    frame = pl.DataFrame({"item_id": items, "kind": [7.0, None, float("nan")]})
    found = item_features(frame, Vocabulary(items), categorical=["kind"])["kind"]
    assert found.tolist() == [0, 0, 1, 0, 0]
    assert "column 'kind' has no category in 2 of 3 rows" in caplog.text


def test_train_counts_missing_features(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "items.csv").write_text("item_id,price,kind\na,1,x\nb,,\nc,nan,y\n")
    (tmp_path / "log.csv").write_text("u,item_id,timestamp\n1,a,1\n1,b,2\n1,c,3\n")
    arguments = ["train", "--events", str(tmp_path / "log.csv"), "--user", "u", "--gap", "1h"]
    arguments += ["--model", "sasrec", "--output", str(tmp_path / "model"), "--epochs", "1"]
    arguments += ["--item-features", str(tmp_path / "items.csv"), "--embedding-dim", "4"]
    arguments += ["--dense", "price", "--categorical", "kind"]
    assert main([*arguments, "--set", "num_layers=1", "--set", "num_heads=1"]) == 0
    printed = capsys.readouterr().err
    assert "column 'price' has no number in 2 of 3 rows: 0, and a flag" in printed
    assert "column 'kind' has no category in 1 of 3 rows: 0, no category" in printed


def test_shown_ids_are_read_as_they_are_written() -> None:
    log = pl.DataFrame({"u": [1], "item_id": [7], "timestamp": [1], "shown": ["7|8"]})
    arguments = {"user": "u", "gap": "1h", "impressions": "shown"}
    assert sessionize(log, **arguments).events["item_id"].to_list() == [7, 8]  # type: ignore[arg-type]
    odd = log.with_columns(shown=pl.lit("7|007"))
    with pytest.raises(ValueError, match=r"`impressions`.*'007'.*'shown', row 0.*--item-type str"):
        sessionize(odd, **arguments)  # type: ignore[arg-type]
    as_text = sessionize(odd, item_type="string", **arguments)  # type: ignore[arg-type]
    assert as_text.events["item_id"].to_list() == ["7", "007"]


def test_missing_prices_are_counted_and_infinite_ones_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = pl.DataFrame(
        {
            "u": [1, 1],
            "item_id": ["a", "c"],
            "timestamp": [1, 2],
            "shown": ["a|b", "c"],
            "prices": ["1|nan", ""],
        }
    )
    arguments = {"user": "u", "gap": "1h", "impressions": "shown"}
    features = {"price": "prices"}
    caplog.set_level(logging.INFO)
    sessions = sessionize(log, impression_features=features, **arguments)  # type: ignore[arg-type]
    assert sessions.events["price"].to_list() == [1.0, None, None]
    assert "column 'prices' has no number for 1 shown items: a model reads 0" in caplog.text
    for value in ("inf", "1e39", "-1e300"):
        beyond = log.with_columns(prices=pl.Series([f"1|{value}", "2"]))
        with pytest.raises(ValueError, match=r"finite numbers.*column 'prices', row 0"):
            sessionize(beyond, impression_features=features, **arguments)  # type: ignore[arg-type]
