"""The arguments that say how a log is read."""

import argparse
import dataclasses
import pathlib
from typing import TYPE_CHECKING, Any

from tfsessionrec.cli.output import say

if TYPE_CHECKING:
    from tfsessionrec.data import Sessions
    from tfsessionrec.data.log_format import LogFormat


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds one argument per column and format; an argument that is not given is None."""
    log = parser.add_argument_group("the log")
    log.add_argument(
        "--events",
        metavar="FILE",
        type=pathlib.Path,
        required=True,
        help="the log: .csv, .tsv, .txt or .parquet, one row per event",
    )
    _add_columns(log)
    _add_shown_items(log)
    log.add_argument(
        "--filter",
        metavar="COLUMN=VALUE",
        action="append",
        help="keep only the rows with this value; repeatable",
    )
    log.add_argument(
        "--separator",
        metavar="TEXT",
        help="field separator of a text file (default: by the file extension)",
    )


def log_format(arguments: argparse.Namespace, default: "LogFormat | None" = None) -> "LogFormat":
    """The format that the arguments say, and `default` where an argument was not given."""
    from tfsessionrec.data.log_format import LogColumns, LogFormat

    default = default or LogFormat()
    columns = _given(arguments, LogColumns)
    if arguments.session_context is not None:
        columns["session_context"] = tuple(arguments.session_context)
    if arguments.impression_feature is not None:
        columns["impression_features"] = _impression_features(arguments.impression_feature)
    formats = _given(arguments, LogFormat)
    if arguments.filter is not None:
        formats["filter"] = tuple(arguments.filter)
    # Each of these replaces the other of its pair.
    if "session" in columns:
        formats["gap"] = None
    if "gap" in formats and formats["gap"] is not None:
        columns["session"] = None
    for one, other in (("label", "impressions"), ("impressions", "label")):
        if columns.get(one) is not None:
            columns[other] = None
    return dataclasses.replace(
        default, columns=dataclasses.replace(default.columns, **columns), **formats
    )


def read(log: "LogFormat", path: pathlib.Path) -> "Sessions":
    """Reads a log and prints its size."""
    say(f"Reading {path}")
    sessions = log.read(path)
    say(
        f"  {sessions.num_users:,} users, {sessions.num_sessions:,} sessions, "
        f"{sessions.num_events:,} events"
    )
    return sessions


def read_optional(log: "LogFormat", path: pathlib.Path | None) -> "Sessions | None":
    """Reads a log, if there is one."""
    return None if path is None else read(log, path)


def _given(arguments: argparse.Namespace, kind: type) -> dict[str, Any]:
    names = (field.name for field in dataclasses.fields(kind))
    found = ((name, getattr(arguments, name, None)) for name in names)
    return {name: value for name, value in found if value is not None}


def _impression_features(texts: list[str]) -> dict[str, str]:
    features = {}
    for text in texts:
        name, equals, column = text.partition("=")
        if not (name and equals and column):
            raise ValueError(f"`--impression-feature` should be NAME=COLUMN. Received: {text!r}")
        features[name] = column
    return features


def _add_columns(log: argparse._ActionsContainer) -> None:
    log.add_argument(
        "--user",
        metavar="COLUMN",
        help="column of the user id (default: each session has its own anonymous user)",
    )
    sessions = log.add_mutually_exclusive_group()
    sessions.add_argument("--session", metavar="COLUMN", help="column of the session id")
    sessions.add_argument(
        "--gap",
        metavar="TIME",
        help="for logs without session ids: inactivity that ends a session, such as 30m",
    )
    log.add_argument("--item", metavar="COLUMN", help="column of the item id (default item_id)")
    log.add_argument(
        "--item-type",
        choices=("string", "int64"),
        help="type of the item ids (default: int64 if each id is written like 7, not 007)",
    )
    log.add_argument(
        "--time",
        metavar="COLUMN",
        help="column of the time: numbers, or dates and times as text (default timestamp)",
    )
    log.add_argument(
        "--time-unit", choices=("s", "ms", "us"), help="unit of numeric times (default s)"
    )
    log.add_argument(
        "--interaction-type",
        metavar="COLUMN",
        help="column of the interaction type: click, cart, purchase ...",
    )
    log.add_argument(
        "--session-context",
        metavar="COLUMN",
        action="append",
        help="column of a session attribute, such as the device; the first row of the session "
        "gives its value; repeatable",
    )


def _add_shown_items(log: argparse._ActionsContainer) -> None:
    shown = log.add_mutually_exclusive_group()
    shown.add_argument(
        "--label", metavar="COLUMN", help="column of labels: 1 clicked, 0 shown but not clicked"
    )
    shown.add_argument(
        "--impressions",
        metavar="COLUMN",
        help="for logs without labels: column of the shown items, as a list or as text",
    )
    log.add_argument(
        "--impressions-separator",
        metavar="TEXT",
        help="separator of the items in a text column of --impressions (default |)",
    )
    log.add_argument(
        "--impression-feature",
        metavar="NAME=COLUMN",
        action="append",
        help="column with one number per item of --impressions, such as price=prices; repeatable",
    )
