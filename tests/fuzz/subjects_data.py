"""The public functions, constructors and methods of the data room."""

import datetime
import functools
import pathlib
import tempfile
from typing import Any

import polars as pl
import tensorflow as tf
from generator import Subject, Thing

from tfsessionrec import data

FRAME = pl.DataFrame(
    {
        "user_id": ["a", "a", "a", "b", "b", "c"],
        "item_id": ["x", "y", "z", "x", "y", "z"],
        "timestamp": [1, 2, 10_000, 3, 20_000, 30_000],
        "label": [1, 1, 1, 1, 1, 0],
        "shown": ["x|y", "y", "z|y", "x", "y|z", "z|x"],
        "prices": ["1|2", "2", "3|4", "1", "2|3", "5|6"],
        "kind": ["t", "u", "t", "u", "t", "u"],
        "price": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
    }
)
CATALOG = pl.DataFrame({"item_id": ["x", "y"], "kind": ["t", "u"], "price": [1.0, 2.0]})
COLUMNS = {"user": "user_id", "item": "item_id", "time": "timestamp", "gap": "30m"}
ODD_COLUMNS = [{"a": 1}, {1, 2}, [5], ["no such column"], [None]]
FOLDER = pathlib.Path(tempfile.mkdtemp())
# Values of kind "object" that name no file: their error says so.
NO_FILES = ["text"]


@functools.cache
def log() -> data.Sessions:
    return data.sessionize(FRAME, **COLUMNS, keep=["kind", "price"])  # type: ignore[arg-type]


@functools.cache
def vocabulary() -> data.Vocabulary:
    return data.Vocabulary.from_sessions(log())


def subjects() -> list[Subject]:
    from subjects_batches import subjects as others

    return [*_reading(), *_formats(), *_sessions(), *others()]


def _reading() -> list[Subject]:
    path = FOLDER / "log.csv"
    FRAME.write_csv(path)
    more_columns: dict[str, Any] = dict.fromkeys(
        ("user", "session", "label", "order", "interaction_type"), "text?"
    )
    return [
        Subject(
            "sessionize",
            data.sessionize,
            {"events": FRAME, **COLUMNS},
            {
                **more_columns,
                "events": "object",
                "item": "text",
                "time": "text",
                "time_unit": "choice",
                "keep": "list",
                "item_type": "choice?",
                "time_format": "text?",
                "tz": "text?",
                "missing_users": "choice",
                "drop_missing": "boolean",
                "drop_duplicates": "choice?",
                "gap": "object",
            },
            {"gap": ["x", -1, "", "30", b"1m"], "keep": ODD_COLUMNS, "item": ["no such"]},
            {"gap": [5], "events": NO_FILES},
        ),
        Subject(
            "sessionize of impressions",
            data.sessionize,
            {
                "events": FRAME,
                **COLUMNS,
                "impressions": "shown",
                "impression_features": {"p": "prices"},
            },
            {
                "impressions": "text?",
                "impressions_separator": "text",
                "impression_features": "map?",
            },
            {"impression_features": [{"p": "no such"}, {"p": 5}, {5: "price"}, {"label": "price"}]},
        ),
        Subject(
            "read_events",
            data.read_events,
            {"source": str(path), "columns": {"item": "item_id"}, "separator": ","},
            {"source": "object", "columns": "map?", "separator": "text?"},
            {
                "source": [[], {}, ["a", 5], pl.Series([1, 2])],
                "columns": [{"a": "no"}, {"a": 5}, {5: "item_id"}],
                "separator": [",,", "é"],
            },
            {"source": NO_FILES},
        ),
        Subject(
            "inspect_log",
            data.inspect_log,
            {"source": FRAME},
            {"source": "object", "log": "object?"},
            {},
            {"source": NO_FILES},
        ),
        Subject(
            "item_features",
            data.item_features,
            {"frame": CATALOG, "vocabulary": vocabulary(), "categorical": ["kind"]},
            {
                "frame": "object",
                "vocabulary": "object",
                "item": "text",
                "categorical": "list",
                "multi_hot": "list",
                "dense": "list",
                "multi_hot_separator": "text",
                "num_fitted": "size?",
            },
            dict.fromkeys(("categorical", "multi_hot", "dense"), ODD_COLUMNS),
            {"frame": NO_FILES},
        ),
        Subject(
            "sessions_from_tfds",
            data.sessions_from_tfds,
            {
                "dataset": tf.data.Dataset.from_tensor_slices(
                    {
                        "user_id": ["ann"],
                        "session_id": [1],
                        "item_ids": tf.ragged.constant([[11, 12]]),
                        "timestamps": tf.ragged.constant([[0, 5_000_000]], dtype=tf.int64),
                    }
                )
            },
            {"dataset": "object"},
            {"dataset": [FRAME, tf.data.Dataset.range(3)]},
        ),
        Subject(
            "interaction_log",
            data.interaction_log,
            {"sessions": log(), "vocabulary": vocabulary()},
            {"sessions": "object", "vocabulary": "object"},
        ),
    ]


def _formats() -> list[Subject]:
    optional = ("user", "session", "label", "interaction_type", "impressions", "order")
    columns = data.LogColumns(user="user_id")
    found = data.inspect_log(FRAME)
    read = data.LogFormat(columns, gap="30m")
    return [
        Subject(
            "LogColumns",
            data.LogColumns,
            {},
            {
                **dict.fromkeys(optional, "text?"),
                "item": "text",
                "time": "text",
                "impression_features": "map",
                "session_context": "list",
            },
            {"impression_features": [{"a": 5}, {5: "a"}], "session_context": [[5], {"a"}]},
            # The name of a column of a text file may be empty.
            {name: [""] for name in (*optional, "item", "time")},
        ),
        Subject(
            "LogFormat",
            data.LogFormat,
            {"columns": columns, "gap": "30m"},
            {
                "columns": "object",
                "gap": "object?",
                "time_unit": "choice",
                "impressions_separator": "text",
                "filter": "list",
                "separator": "text?",
                "item_type": "choice?",
                "time_format": "text?",
                "tz": "text?",
                "missing_users": "choice",
                "drop_missing": "boolean",
                "drop_duplicates": "choice?",
            },
            {"filter": [[5], {"a"}], "gap": ["x", -1]},
            {"gap": [5]},
        ),
        Subject(
            "LogFormat.read",
            read.read,
            {"source": FRAME, "keep": ["price"]},
            {"keep": "list"},
            {"keep": ODD_COLUMNS},
        ),
        Subject("LogFormat.joined", read.joined, {"other": read}, {"other": "object"}),
        Subject(
            "LogFormat.from_json",
            data.LogFormat.from_json,
            {"content": {"user": "user_id"}},
            {"content": "map"},
        ),
        Subject(
            "Inspection",
            data.Inspection,
            {
                "rows": 3,
                "columns": found.columns,
                "log": found.log,
                "sessions": {},
                "duplicates": 0,
                "remarks": (),
            },
            {
                "rows": "count",
                "columns": "list",
                "log": "object",
                "sessions": "map",
                "duplicates": "count",
                "remarks": "list",
            },
        ),
        Subject("Inspection.command", found.command, {"events": "a.csv"}, {"events": "text"}),
        Subject(
            "TargetWeights",
            data.TargetWeights,
            {},
            {"column": "text?", "by_type": "map", "types": "list"},
            {"by_type": [{"a": -1}, {"a": "x"}, {"a": True}], "types": [{"a"}, [True], [None]]},
            {"column": [""]},
        ),
    ]


def _sessions() -> list[Subject]:
    days = [0, 86_400, 2 * 86_400, 3 * 86_400]
    long = data.sessionize(
        pl.DataFrame({"u": [0, 1, 2, 3], "item_id": [0, 1, 2, 3], "timestamp": days}),
        user="u",
        gap=60,
    )
    period = {"history": "boolean", "straddling": "choice"}
    return [
        Subject("Sessions", data.Sessions, {"events": log().events}, {"events": "object"}),
        Subject(
            "Sessions.filter_users",
            log().filter_users,
            {"user_ids": ["a"]},
            {"user_ids": "list"},
            {"user_ids": [[5], [1.5], [True], {"a": 1}, {1, 2}, [Thing()]]},
            {"user_ids": ["text"]},  # An array of any shape is right, such as one id.
        ),
        Subject(
            "Sessions.concat",
            data.Sessions.concat,
            {"parts": [log(), log()]},
            {"parts": "list"},
            {"parts": [[], [5], log(), {"a": log()}]},
        ),
        Subject(
            "split_by_time",
            data.split_by_time,
            {"sessions": log(), "at": 9_000},
            {"sessions": "object", "at": "object", **period},
            {"at": [float("nan"), "2024-13-01", datetime.timedelta(1), 1e300]},
            {"at": [5]},
        ),
        Subject(
            "split_by_rule",
            data.split_by_rule,
            {"sessions": log(), "rule": "last-session"},
            {"sessions": "object", "rule": "choice"},
            {"rule": ["after=", "last-days=x", "window=3/2,1,1", "after=9000,straddling=x"]},
        ),
        Subject(
            "last_days",
            data.last_days,
            {"sessions": long, "days": 1},
            {"sessions": "object", "days": "positive", **period},
        ),
        Subject(
            "sliding_windows",
            data.sliding_windows,
            {"sessions": long, "num_windows": 2, "train_days": 2, "test_days": 1},
            {
                "sessions": "object",
                "num_windows": "size",
                "train_days": "positive",
                "test_days": "positive",
                "shift_days": "positive?",
                **period,
            },
            {},
            {"train_days": [float("inf")]},  # All that is earlier.
        ),
        Subject(
            "leave_last_session_out",
            data.leave_last_session_out,
            {"sessions": log()},
            {"sessions": "object"},
        ),
        Subject(
            "flatten_sessions",
            data.flatten_sessions,
            {"sessions": log()},
            {"sessions": "object", "negatives": "choice", "except_last": "boolean"},
        ),
        Subject(
            "merge_sessions",
            data.merge_sessions,
            {"sessions": log()},
            {"sessions": "object", "except_last": "boolean"},
        ),
    ]
