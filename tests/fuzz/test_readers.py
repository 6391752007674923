"""Readers and `sessionize` on damaged and odd logs: a result, or an error in the words of the
package, which name an argument, a column or the file."""

import datetime
import gzip
import io
import pathlib
import random
import re
import tempfile
import warnings
from collections.abc import Callable

import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tfsessionrec.data import LogColumns, LogFormat, Sessions, inspect_log, read_events, sessionize

CASES = settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
HEADER = "user,visit,item_id,timestamp,clicked,shown,prices,price"
ROWS = (
    "ann,1,a,1700000000,1,a|b,1|2,0.5",
    "ann,1,b,1700000010,0,b,3,1.5",
    "bob,2,007,1700000020,1,,,",
    "bob,3,1e5,1700900020,1,a|c|b,1|2|3,nan",
)
LOG = "\n".join((HEADER, *ROWS, ""))
ODD = (
    "", " ", "NaN", "inf", "-inf", "null", "None", "0", "-1", "+5", "007", "1e400", "1e5", "1.0",
    "99999999999999999999", "9223372036854775808", "-9223372036854775809", "20240131",
    "2024-01-31", "31/01/2024 10:00", "2024-02-30T25:61:00Z", "1700000000000", "true", "a|b||",
    "|", '"', '""', "'", ",", "\x00", "\ufeff", "é", "日本", "🙂", "a" * 300, "[1, 2]", "-0", "1_0",
)  # fmt: skip
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
# Words of an error that belong to other libraries: their arguments, types and advice.
FOREIGN = re.compile(
    r"infer_schema|ignore_errors|schema_overrides|strict=False|Arrow(Invalid|Type)"
)


def outcome(call: Callable[[], object], path: pathlib.Path | None = None) -> object:
    """The result of a call, or None after an error that says enough."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return call()
    except (ValueError, FileNotFoundError) as error:
        message = str(error)
    assert re.match(
        r"(`--?\w[\w-]*`|`\w+(\[.*?\])?`|A log|Exactly one|The type of ids) ", message
    ), message
    assert "Received: " in message or "cannot be read: " in message, message
    assert not FOREIGN.search(message), message
    if "cannot be read" in message and path is not None:
        assert str(path) in message
    return None


def check(sessions: object, rows: int) -> None:
    """What `Sessions` does not check itself."""
    if sessions is not None:
        assert isinstance(sessions, Sessions)
        assert sessions.num_events > 0
        if "position" not in sessions.events.columns:
            assert sessions.num_events <= rows


def mutate(data: bytes, numbers: random.Random) -> bytes:
    """A few flipped, removed, inserted, doubled bytes or odd fields."""
    changed = bytearray(data)
    for _ in range(numbers.randint(1, 4)):
        at = numbers.randrange(len(changed)) if changed else 0
        kind = numbers.randrange(6)
        if kind == 0 and changed:
            changed[at] ^= 1 << numbers.randrange(8)
        elif kind == 1:
            del changed[at : at + numbers.randint(1, 20)]
        elif kind == 2:
            changed[at:at] = numbers.choice(ODD).encode()
        elif kind == 3:
            changed[at:at] = changed[at : at + numbers.randint(1, 40)]
        elif kind == 4:
            del changed[max(at, 1) :]
        else:
            fields = changed.split(b",")
            fields[numbers.randrange(len(fields))] = numbers.choice(ODD).encode()
            changed = bytearray(b",".join(fields))
    return bytes(changed)


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
@seed(0)
@settings(CASES, max_examples=60)
@given(number=st.integers(0, 2**32), option=st.sampled_from(OPTIONS))
def test_damaged_files(name: str, number: int, option: dict) -> None:
    data = mutate(FILES[name], random.Random(number))
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / name
        path.write_bytes(data)
        frame = outcome(lambda: read_events(path), path)
        rows = frame.height if isinstance(frame, pl.DataFrame) else 10**6
        check(outcome(lambda: sessionize(path, **option), path), rows)


@seed(0)
@CASES
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


@seed(0)
@CASES
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


@seed(0)
@CASES
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
