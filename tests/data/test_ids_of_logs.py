"""Ids are read as they are written, and alike in every file of a log."""

import gzip
import json
import pathlib

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tfsessionrec import systems
from tfsessionrec.cli.main import main
from tfsessionrec.data import (
    LogColumns,
    LogFormat,
    Vocabulary,
    inspect_log,
    item_features,
    read_events,
)
from tfsessionrec.data import sessionize as to_sessions
from tfsessionrec.data.columns import category_indices
from tfsessionrec.data.ids import IdType, exact_ids

TRAPS = ["007", "7", "0108775015", "1e5", "100000", "+5", "5", "-0", "1_0", "99999999999999999999"]


def write(path: pathlib.Path, header: str, *rows: str) -> pathlib.Path:
    path.write_text("\n".join([header, *rows, ""]))
    return path


@pytest.mark.parametrize("trap", [id_ for id_ in TRAPS if id_ not in ("7", "100000", "5")])
def test_each_spelling_is_an_id_of_its_own(tmp_path: pathlib.Path, trap: str) -> None:
    path = write(tmp_path / "log.csv", "u,item_id,timestamp", f"{trap},{trap},1", "5,7,2")
    sessions = to_sessions(path, user="u", gap="1h")
    assert sessions.events["user_id"].to_list() == [trap, "5"]
    assert sessions.events["item_id"].to_list() == [trap, "7"]


def test_integers_as_usual_stay_integers(tmp_path: pathlib.Path) -> None:
    ids = [0, -7, 10, 9_223_372_036_854_775_807]
    path = write(tmp_path / "log.csv", "item", *map(str, ids))
    assert read_events(path)["item"].to_list() == ids


def test_whole_floats_of_pandas_are_integers(tmp_path: pathlib.Path) -> None:
    frame = pd.DataFrame({"u": [3, None, 4], "item_id": [1, 2, 3], "timestamp": [1, 2, 3]})
    frame.to_csv(tmp_path / "log.csv", index=False)
    assert "3.0" in (tmp_path / "log.csv").read_text()
    events = read_events(tmp_path / "log.csv").drop_nulls()
    assert to_sessions(events, user="u", gap=1).events["user_id"].to_list() == [3, 4]
    as_text = to_sessions(events, user="item_id", item="u", gap=1, item_type="string")
    assert as_text.events["item_id"].to_list() == ["3", "4"]


def test_fractions_are_numbers_but_never_ids(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path / "log.csv", "item_id,u,timestamp,price", "1.10,1,1,1e5", "1.1,1,2,2.5")
    events = read_events(path)
    assert events["price"].to_list() == [100_000.0, 2.5]
    assert to_sessions(path, user="u", gap=1).events["item_id"].to_list() == ["1.10", "1.1"]


def test_files_of_one_log_agree(tmp_path: pathlib.Path) -> None:
    first = write(tmp_path / "a.csv", "item_id,u,timestamp", "7,1,1")
    second = write(tmp_path / "b.csv", "u,item_id,timestamp", "1,007,2")
    for source in ([first, second], tmp_path, str(tmp_path / "*.csv")):
        sessions = to_sessions(source, user="u", gap="1h")
        assert sessions.events["item_id"].to_list() == ["7", "007"]
        assert sessions.events["user_id"].to_list() == [1, 1]


def test_whole_floats_of_one_file_are_the_ids_of_another(tmp_path: pathlib.Path) -> None:
    """A column that pandas wrote as 7.0 in one file, and that is text in another."""
    first = write(tmp_path / "a.csv", "item_id,u,timestamp", "7.0,1,1", "8.0,1,2", "8.0,,3")
    for other, expected in (("x", ["7", "8", "8", "x", "7"]), ("9", [7, 8, 8, 9, 7])):
        second = write(tmp_path / "b.csv", "item_id,u,timestamp", f"{other},1,4", "7,1,5")
        sessions = to_sessions([first, second], user="u", gap="1h", missing_users="visitor")
        assert sessions.events["item_id"].to_list()[:2] == expected[:2]
        assert sorted(sessions.events["item_id"]) == sorted(expected)


@pytest.mark.parametrize(
    ("ids", "id_type", "expected"),
    [
        (["7", 8, np.int64(-9), b"0"], "int64", [7, 8, -9, 0]),
        (["007", 8, b"x", np.str_("y"), ""], "string", ["007", "8", "x", "y", ""]),
        (["007"], "int64", None),
        (["+5"], "int64", None),
        (["1_0"], "int64", None),
        (["x"], "int64", None),
        ([3.7], "int64", None),
        ([True], "int64", None),
        ([None], "string", None),
        ([1.0], "string", None),
    ],
)
def test_ids_of_a_request(ids: list, id_type: IdType, expected: list | None) -> None:
    if expected is not None:
        assert exact_ids(ids, "history", id_type) == expected
    else:
        with pytest.raises(ValueError, match=r"`history` should be (texts|integers such as 7), as"):
            exact_ids(ids, "history", id_type)


def test_requests_have_the_ids_of_training(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`007` asked of a model with integer ids is not 7."""
    log = write(tmp_path / "log.csv", "u,item_id,timestamp", "1,7,1", "1,8,2", "2,7,1", "2,9,2")
    model = ["--output", str(tmp_path / "m"), "--model", "popularity"]
    assert main(["train", "--events", str(log), "--user", "u", "--gap", "1h", *model]) == 0
    system = systems.load(tmp_path / "m")
    assert system.recommend(["7"], filter_seen=True) == system.recommend([7], filter_seen=True)
    assert system.recommend(np.array([7]), filter_seen=True) == system.recommend([[7]])[1:]
    with pytest.raises(ValueError, match=r"`history` should be integers such as 7.*'007'"):
        system.recommend(["007"])
    ask = ["recommend", "--saved-model", str(tmp_path / "m"), "--items"]
    for further, name in ((["007"], "--items"), (["7", "--exclude", "08"], "--exclude")):
        assert main([*ask, *further]) == 2
        assert f"`{name}` should be integers such as 7" in capsys.readouterr().err
    assert main([*ask, "7", "--exclude", "8,9", "--json", str(tmp_path / "r.json")]) == 0
    found = json.loads((tmp_path / "r.json").read_text())["recommended"]
    assert [row["item"] for row in found] == [7]


def test_categories_of_a_later_log_have_the_type_of_training() -> None:
    for values, categories, expected in (
        (pl.Series([1, 2, 3]), ("1", "2", "x"), [1, 2, 0]),
        (pl.Series([1.0, None, 2.0]), ("1", "2", "x"), [1, 0, 2]),
        (pl.Series(["1", "007", "x", None]), (1, 7), [1, 0, 0, 0]),
        (pl.Series([True, False]), ("false", "true"), [2, 1]),
        (pl.Series([None, None]), ("a",), [0, 0]),
        (pl.Series([None, None]), (1,), [0, 0]),
        (pl.Series(["a"]), (), [0]),
    ):
        assert category_indices(values, categories).tolist() == expected, (values, categories)


def test_parquet_keeps_its_own_types(tmp_path: pathlib.Path) -> None:
    pl.DataFrame({"item": ["7", "8"]}).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame({"item": [9]}).write_parquet(tmp_path / "b.parquet")
    assert read_events(tmp_path / "a.parquet")["item"].to_list() == ["7", "8"]
    assert read_events(tmp_path / "b.parquet")["item"].to_list() == [9]
    assert read_events(tmp_path)["item"].to_list() == ["7", "8", "9"]


def test_a_later_log_is_read_as_in_training(tmp_path: pathlib.Path) -> None:
    train = write(tmp_path / "train.csv", "u,item_id,timestamp", "1,7,1", "1,x,2", "2,x,1", "2,7,2")
    later = write(tmp_path / "later.csv", "u,item_id,timestamp", "1,7,1", "1,7,2")
    directory = tmp_path / "model"
    arguments = ["--events", str(train), "--user", "u", "--gap", "1h", "--output", str(directory)]
    assert main(["train", "--model", "popularity", *arguments]) == 0
    config = json.loads((directory / "config.json").read_text())
    assert config["log"]["item_type"] == "string"
    system = systems.load(directory)
    assert system.read(later).events["item_id"].to_list() == ["7", "7"]
    # A directory of an earlier version does not name the type: the vocabulary does.
    del config["log"]["item_type"]
    (directory / "config.json").write_text(json.dumps(config))
    assert systems.load(directory).read(later).events["item_id"].to_list() == ["7", "7"]


def test_integers_on_request(tmp_path: pathlib.Path) -> None:
    log = LogFormat(LogColumns(user="u"), gap="1h", item_type="int64")
    frame = pl.DataFrame({"u": [1, 1], "item_id": ["7", "8"], "timestamp": [1, 2]})
    assert log.read(frame).events["item_id"].to_list() == [7, 8]
    with pytest.raises(ValueError, match=r"`item` should hold integers .*'007' .*'item_id', row 1"):
        log.read(frame.with_columns(item_id=pl.Series(["7", "007"])))
    with pytest.raises(ValueError, match=r"`item_type` should be one of string, int64.*'text'"):
        to_sessions(frame, user="u", gap=1, item_type="text")  # type: ignore[arg-type]


def test_a_catalog_of_digits_for_items_of_text(tmp_path: pathlib.Path) -> None:
    catalog = write(tmp_path / "items.csv", "item_id,kind", "7,hot", "8,cold")
    features = item_features(catalog, Vocabulary(["7", "x"]), categorical=["kind"])
    assert features["kind"].tolist() == [0, 0, 2, 0]


def test_mixed_objects_of_pandas() -> None:
    frame = pd.DataFrame({"item": [1, "b", None]})
    assert read_events(frame)["item"].to_list() == ["1", "b", None]
    frame = pd.DataFrame({"item": [1.5, "b"]})
    with pytest.raises(ValueError, match=r"one type in a column.*float, str in column 'item'"):
        read_events(frame)
    with pytest.raises(ValueError, match=r"several columns named 'a'"):
        read_events(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(ValueError, match=r"columns with names.*column 0"):
        read_events(pd.DataFrame([[1, 2]]))


def test_compressed_text_and_json_lines(tmp_path: pathlib.Path) -> None:
    text = b"user,item\n007,a\n1,b\n"
    (tmp_path / "log.csv.gz").write_bytes(gzip.compress(text))
    (tmp_path / "log.txt.gz").write_bytes(gzip.compress(text.replace(b",", b"\t")))
    (tmp_path / "log.jsonl").write_text('{"user": "007", "item": "a"}\n{"user": "1", "item": "b"}')
    for name in ("log.csv.gz", "log.txt.gz", "log.jsonl"):
        assert read_events(tmp_path / name).rows() == [("007", "a"), ("1", "b")], name


def test_files_that_do_not_belong_together(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "a.csv", "user,item", "1,2")
    write(tmp_path / "b.csv", "user,article", "1,2")
    with pytest.raises(ValueError, match=r"same columns.*a\.csv with user, item; .*b\.csv"):
        read_events(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"a pattern that a file matches.*\*\.tsv"):
        read_events(str(tmp_path / "*.tsv"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="a folder with a file that ends in"):
        read_events(tmp_path / "empty")
    with pytest.raises(ValueError, match=r"at least one file.*empty list"):
        read_events([])
    pl.DataFrame({"user": [1], "item": [2]}).write_parquet(tmp_path / "c.parquet")
    with pytest.raises(ValueError, match=r"files of one kind.*\.csv, \.parquet"):
        read_events([tmp_path / "a.csv", tmp_path / "c.parquet"])
    pl.DataFrame({"user": [True], "item": [2]}).write_parquet(tmp_path / "d.parquet")
    with pytest.raises(ValueError, match=r"same types.*'user' of Boolean, Int64"):
        read_events(str(tmp_path / "?.parquet"))


def test_damaged_files_are_named(tmp_path: pathlib.Path) -> None:
    whole = gzip.compress(b"user,item\n" + b"1,2\n" * 500)
    (tmp_path / "log.csv.gz").write_bytes(whole[:-12])
    with pytest.raises(ValueError, match=r"`source` cannot be read: .*log\.csv\.gz"):
        read_events(tmp_path / "log.csv.gz")
    write(tmp_path / "twice.csv", "user,item,user", "1,2,3")
    with pytest.raises(ValueError, match=r"different names.*twice\.csv .*named 'user'"):
        read_events(tmp_path / "twice.csv")
    (tmp_path / "twice.jsonl").write_text('{"user": 1, "item": 2, "user": 3}\n')
    with pytest.raises(ValueError, match=r"different names.*twice\.jsonl .*named 'user'"):
        read_events(tmp_path / "twice.jsonl")
    (tmp_path / "no.csv.gz").write_bytes(b"no gzip")
    with pytest.raises(ValueError, match=r"no rows in .*no\.csv\.gz"):
        read_events(tmp_path / "no.csv.gz")
    for read in (read_events, inspect_log, lambda log: to_sessions(log, user="user", gap=1)):
        with pytest.raises(
            ValueError, match=r"`(source|events)` cannot be read: the frame: No such"
        ):
            read(pl.scan_parquet(tmp_path / "none.parquet"))
    write(tmp_path / "not.csv", "user,user_duplicated_0", "1,2")
    assert read_events(tmp_path / "not.csv").columns == ["user", "user_duplicated_0"]
