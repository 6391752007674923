"""One door for files and frames, and what it refuses."""

import pathlib

import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tfsessionrec.data import read_events

LOG = pl.DataFrame({"user": [1, 1, 2], "article": ["a", "b", "a"], "at": [0.5, 1.5, 2.0]})


@pytest.mark.parametrize(
    ("name", "separator"),
    [("log.csv", ","), ("log.tsv", "\t"), ("log.TXT", "\t"), ("log.txt", ",")],
)
def test_text_files(tmp_path: pathlib.Path, name: str, separator: str) -> None:
    LOG.write_csv(tmp_path / name, separator=separator)
    assert_frame_equal(read_events(tmp_path / name), LOG)
    assert_frame_equal(read_events(str(tmp_path / name)), LOG)


def test_separator_given(tmp_path: pathlib.Path) -> None:
    LOG.write_csv(tmp_path / "log.csv", separator=";")
    assert_frame_equal(read_events(tmp_path / "log.csv", separator=";"), LOG)


def test_parquet(tmp_path: pathlib.Path) -> None:
    LOG.write_parquet(tmp_path / "log.parquet")
    assert_frame_equal(read_events(tmp_path / "log.parquet"), LOG)


def test_frames() -> None:
    assert_frame_equal(read_events(LOG), LOG)
    assert_frame_equal(read_events(LOG.lazy()), LOG)
    assert_frame_equal(read_events(LOG.to_pandas()), LOG)


def test_pandas_missing_values_are_nulls() -> None:
    frame = pd.DataFrame({"item": ["a", None], "number": [1, None]})
    assert read_events(frame).null_count().row(0) == (1, 1)


def test_the_whole_file_decides_a_type(tmp_path: pathlib.Path) -> None:
    ids = [str(number) for number in range(20_000)] + ["x"]
    pl.DataFrame({"item": ids}).write_csv(tmp_path / "log.csv")
    assert read_events(tmp_path / "log.csv")["item"].to_list() == ids


def test_columns_rename_and_keep_the_rest() -> None:
    events = read_events(LOG, columns={"user_id": "user", "item_id": "article"})
    assert events.columns == ["user_id", "item_id", "at"]
    assert events["item_id"].to_list() == ["a", "b", "a"]


def test_columns_may_swap_and_serve_twice() -> None:
    assert read_events(LOG, columns={"user": "article", "article": "user"})["user"][1] == "b"
    events = read_events(LOG, columns={"user_id": "user", "session_id": "user"})
    assert events["user_id"].equals(events["session_id"])


def test_columns_missing() -> None:
    with pytest.raises(
        ValueError,
        match=r"`columns\['item_id'\]` should name .*'movie'.*Columns: user, article, at",
    ):
        read_events(LOG, columns={"item_id": "movie"})


def test_columns_taken() -> None:
    with pytest.raises(ValueError, match=r"`columns` should give names .*\['user'\]"):
        read_events(LOG, columns={"user": "article"})


def test_no_such_file(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"`source` should be a file .*none\.csv"):
        read_events(tmp_path / "none.csv")


def test_unknown_suffix(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=r"`source` should end in \.csv.*log\.json"):
        read_events(tmp_path / "log.json")


@pytest.mark.parametrize("content", ["", "user,item\n"])
def test_empty_file(tmp_path: pathlib.Path, content: str) -> None:
    (tmp_path / "log.csv").write_text(content)
    with pytest.raises(ValueError, match="`source` should hold at least one event"):
        read_events(tmp_path / "log.csv")


def test_empty_frame() -> None:
    with pytest.raises(ValueError, match=r"`source` should hold at least one event.*no rows"):
        read_events(LOG.clear())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("log.csv", b"\n"),
        ("ragged.csv", b"a,b\n1,2,3\n"),
        ("latin.csv", b"a,b\n\xff\xfe,3\n"),
        ("quote.csv", b'a,b\n"x,3\ny,4\n'),
        ("log.parquet", b"no parquet"),
    ],
)
def test_broken_file(tmp_path: pathlib.Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match="`source` cannot be read") as error:
        read_events(tmp_path / name)
    assert "\n" not in str(error.value)  # no advice on arguments that are not ours


def test_wrong_source() -> None:
    with pytest.raises(ValueError, match=r"`source` should be a path.*list"):
        read_events([1, 2])  # type: ignore[arg-type]


def test_wrong_separator(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=r"`separator` should be a single character.*'\|\|'"):
        read_events(tmp_path / "log.csv", separator="||")
