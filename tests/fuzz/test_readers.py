"""Readers and `sessionize` on damaged and odd logs: a result, or an error in the words of the
package, which name an argument, a column or the file."""

import dataclasses
import datetime
import gzip
import io
import json
import pathlib
import random
import sys
import tempfile
from typing import Any

import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(pathlib.Path(__file__).parent))  # as pytest does without importlib

from damage import ODD, TRIED, cases, mutate, outcome

from tfsessionrec.data import LogColumns, LogFormat, Sessions, inspect_log, read_events, sessionize

HEADER = "user,visit,item_id,timestamp,clicked,shown,prices,price"
ROWS = (
    "ann,1,a,1700000000,1,a|b,1|2,0.5",
    "ann,1,b,1700000010,0,b,3,1.5",
    "bob,2,007,1700000020,1,,,",
    "bob,3,1e5,1700900020,1,a|c|b,1|2|3,nan",
)
LOG = "\n".join((HEADER, *ROWS, ""))
OPTIONS: tuple[dict[str, object], ...] = (
    {"user": "user", "session": "visit"},
    {"user": "user", "gap": "30m"},
    {"session": "visit", "label": "clicked"},
    {"user": "user", "gap": "1h", "keep": ["price"], "drop_missing": True},
    {"user": "user", "session": "visit", "missing_users": "visitor", "drop_duplicates": "session"},
    {"user": "user", "session": "visit", "order": "price", "drop_duplicates": "consecutive"},
    {"user": "user", "gap": "1h", "impressions": "shown", "impression_features": {"p": "prices"}},
    {"user": "user", "gap": "1h", "time_format": "%Y%m%d", "drop_duplicates": "exact"},
    {"user": "user", "gap": "1h", "tz": "Europe/Paris", "item_type": "string"},
    {"user": "user", "gap": "1h", "time_unit": "ms", "item_type": "int64"},
)


def check(sessions: object, rows: int) -> None:
    """What `Sessions` does not check itself."""
    if sessions is not None:
        assert isinstance(sessions, Sessions)
        assert sessions.num_events > 0
        if "position" not in sessions.events.columns:
            assert sessions.num_events <= rows


def _parquet() -> bytes:
    buffer = io.BytesIO()
    pl.read_csv(io.StringIO(LOG), infer_schema_length=None).write_parquet(buffer)
    return buffer.getvalue()


def _json_lines() -> bytes:
    return pl.read_csv(io.StringIO(LOG), infer_schema_length=None).write_ndjson().encode()


FILES = {
    "log.csv": LOG.encode(),
    "log.txt": LOG.replace(",", "\t").encode(),
    "log.csv.gz": gzip.compress(LOG.encode(), mtime=0),
    "log.jsonl": _json_lines(),
    "log.parquet": _parquet(),
}


@pytest.mark.parametrize("name", FILES)
@cases(60)
@given(number=st.integers(0, 2**32), option=st.sampled_from(OPTIONS))
def test_damaged_files(name: str, number: int, option: dict) -> None:
    data = mutate(FILES[name], random.Random(number))
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / name
        path.write_bytes(data)
        frame = outcome(lambda: read_events(path), path)
        rows = frame.height if isinstance(frame, pl.DataFrame) else 10**6
        check(outcome(lambda: sessionize(path, **option), path), rows)


@cases(120)
@given(
    cells=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 7), st.sampled_from(ODD)), max_size=6
    ),
    option=st.sampled_from(OPTIONS),
)
def test_odd_cells(cells: list[tuple[int, int, str]], option: dict) -> None:
    """The same cells as a file and as columns of text: one of them may be read, none crashes."""
    table = [row.split(",") for row in ROWS]
    for row, column, text in cells:
        table[row][column] = text
    names = HEADER.split(",")
    frame = pl.DataFrame({name: [row[i] for row in table] for i, name in enumerate(names)})
    check(outcome(lambda: sessionize(frame, **option)), len(frame))
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "log.csv"
        frame.write_csv(path)
        check(outcome(lambda: sessionize(path, **option), path), len(frame))
        outcome(lambda: inspect_log(path), path)
        columns = {n: option[n] for n in ("user", "session", "label") if n in option}
        log = LogFormat(LogColumns(**columns), option.get("gap"), filter=("price!=9", "user>a"))  # type: ignore[arg-type]
        outcome(lambda: log.read(path), path)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from(ODD),
    st.binary(max_size=4),
    st.datetimes(),
    st.lists(st.integers(0, 3), max_size=2),
)


@cases(120)
@given(
    values=st.lists(VALUES, min_size=4, max_size=4),
    column=st.sampled_from(HEADER.split(",")),
    option=st.sampled_from(OPTIONS),
)
def test_odd_columns_of_pandas(values: list, column: str, option: dict) -> None:
    table = [row.split(",") for row in ROWS]
    frame = pd.DataFrame(dict(zip(HEADER.split(","), map(list, zip(*table)), strict=True)))
    frame[column] = pd.Series(values, dtype=object)
    check(outcome(lambda: sessionize(frame, **option)), len(frame))


SPANS = st.timedeltas(datetime.timedelta(days=-9999), datetime.timedelta(days=9999))
TYPED = (
    st.lists(st.integers(-(2**63), 2**63 - 1) | st.none(), min_size=4, max_size=4),
    st.lists(st.floats() | st.none(), min_size=4, max_size=4),
    st.lists(st.booleans() | st.none(), min_size=4, max_size=4),
    st.lists(st.datetimes() | st.none(), min_size=4, max_size=4),
    st.lists(SPANS | st.none(), min_size=4, max_size=4),
    st.lists(st.lists(st.sampled_from(ODD), max_size=3), min_size=4, max_size=4),
    st.lists(st.lists(st.floats() | st.none(), max_size=3), min_size=4, max_size=4),
    st.lists(st.binary(max_size=3), min_size=4, max_size=4),
)


@cases(120)
@given(
    values=st.one_of(*TYPED),
    column=st.sampled_from(HEADER.split(",")),
    option=st.sampled_from(OPTIONS),
)
def test_odd_types(values: list, column: str, option: dict) -> None:
    table = [row.split(",") for row in ROWS]
    frame = pl.DataFrame(dict(zip(HEADER.split(","), map(list, zip(*table)), strict=True)))
    frame = frame.with_columns(pl.Series(column, values))
    check(outcome(lambda: sessionize(frame, **option)), len(frame))
    outcome(lambda: inspect_log(frame))


FLAGS: dict[str, tuple[object, ...]] = {
    "user": (None, "user", "visit", "price", "no", ""),
    "session": (None, "visit", "user", "no"),
    "item": ("item_id", "shown", "price", ""),
    "time": ("timestamp", "price", "item_id"),
    "label": (None, None, "clicked", "price"),
    "interaction_type": (None, "shown", "clicked"),
    "impressions": (None, None, "shown", "prices"),
    "impression_features": ({}, {"p": "prices"}, {"label": "prices"}, {"p": "no"}),
    "session_context": ((), ("price",), ("shown", "price"), ("user_id",)),
    "order": (None, None, "price", "visit", "shown"),
    "gap": (None, "30m", "30", "", "-1s", "1e9d", "1 h"),
    "time_unit": ("s", "ms", "ns", "m"),
    "time_format": (None, None, "%Y%m%d", "%H:%M", "%", "%Q", "%d/%m/%Y %H:%M", "%s"),
    "tz": (None, None, "UTC", "Europe/Paris", "Paris", ""),
    "separator": (None, None, ",", ";", "é", ""),
    "impressions_separator": ("|", "", "||"),
    "item_type": (None, "string", "int64", "text"),
    "missing_users": ("error", "visitor", "no"),
    "drop_missing": (False, True),
    "drop_duplicates": (None, "exact", "consecutive", "session", "all"),
    "filter": ((), ("price>0",), ("user in ann,bob", "item_id!=a"), ("price",), ("no=1",), ("=",)),
}
COLUMN_NAMES = {field.name for field in dataclasses.fields(LogColumns)}


@cases(120)
@given(
    flags=st.dictionaries(st.sampled_from(sorted(FLAGS)), st.integers(0, 11), max_size=8),
    number=st.integers(0, 2**32),
)
def test_formats(flags: dict[str, int], number: int) -> None:
    """Every field of a format, right or wrong, on logs of one or two files of which one is odd."""
    chosen: dict[str, Any] = {name: FLAGS[name][n % len(FLAGS[name])] for name, n in flags.items()}
    chosen = {"user": "user", "session": "visit", **chosen}
    columns = LogColumns(**{n: v for n, v in chosen.items() if n in COLUMN_NAMES})
    formats = {n: v for n, v in chosen.items() if n not in COLUMN_NAMES}
    log = outcome(lambda: LogFormat(columns, **formats))
    if not isinstance(log, LogFormat):
        return
    assert LogFormat.from_json(json.loads(json.dumps(log.to_json()))) == log
    numbers = random.Random(number)
    with tempfile.TemporaryDirectory() as folder:
        paths = [pathlib.Path(folder) / name for name in ("a.csv", "b.csv.gz")]
        paths[0].write_text(LOG)
        paths[1].write_bytes(gzip.compress(mutate(LOG.encode(), numbers), mtime=0))
        for source in (paths[0], paths[: numbers.randint(1, 2)], pathlib.Path(folder)):
            sessions = outcome(lambda: log.read(source))  # noqa: B023
            check(sessions, 8 + 10**6 * (source != paths[0]))
        outcome(lambda: inspect_log(paths[0], log))


def test_enough_was_tried() -> None:
    """The counts of this file; a result is as good as an error that says what is wrong."""
    print(", ".join(f"{number:,} of readers: {end}" for end, number in sorted(TRIED.items())))
    assert TRIED["result"] > 100
    assert TRIED["named error"] > 100
