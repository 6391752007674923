"""The arguments that say how a log is read."""

import argparse
import contextlib
import dataclasses
import logging
import pathlib
import shlex
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from tfsessionrec.cli.output import say

if TYPE_CHECKING:
    from tfsessionrec.data import Sessions
    from tfsessionrec.data.log_format import LogFormat


LogPath: TypeAlias = pathlib.Path | Sequence[pathlib.Path]


class _Files(argparse.Action):
    """One path, or a list of several."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[object] | None,
        option_string: str | None = None,
    ) -> None:
        paths = [pathlib.Path(str(value)) for value in values or ()]
        setattr(namespace, self.dest, paths[0] if len(paths) == 1 else paths)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds one argument per column and format; an argument that is not given is None."""
    add_files(parser, "--events", required=True)
    add_format_arguments(parser)


def add_files(parser: argparse._ActionsContainer, name: str, **options: Any) -> None:
    """Adds the argument that names the files of a log."""
    parser.add_argument(
        name,
        metavar="FILE",
        nargs="+",
        action=_Files,
        help="the log, one row per event: .csv, .tsv, .txt (also .gz), .jsonl or .parquet; several "
        "files, a folder or a pattern in quotes",
        **options,
    )


def add_format_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `add_arguments` without the files."""
    log = parser.add_argument_group("the log")
    _add_columns(log)
    _add_shown_items(log)
    log.add_argument(
        "--filter",
        metavar="CONDITION",
        action="append",
        help="keep only the rows with COLUMN=VALUE (or !=, >=, <=, >, <, 'COLUMN in VALUE,VALUE'); "
        "repeatable",
    )
    _add_rules(log)
    log.add_argument(
        "--separator",
        metavar="TEXT",
        help="field separator of a text file (default: by the file extension)",
    )


def _add_rules(log: argparse._ActionsContainer) -> None:
    log.add_argument(
        "--missing-users",
        choices=("error", "visitor"),
        help="rows without a user: an error (default), or each session a visitor of its own",
    )
    log.add_argument(
        "--drop-missing",
        action="store_const",
        const=True,
        help="leave out rows without an id, a time or a label (default: an error)",
    )
    log.add_argument(
        "--drop-duplicates",
        choices=("exact", "consecutive", "session"),
        help="leave out rows equal to an earlier row; or with the item of the row before; or with "
        "an item of their session (default: none)",
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


def quoted(events: LogPath) -> str:
    """The paths of a log as words of a command."""
    paths = [events] if isinstance(events, pathlib.Path) else events
    return shlex.join(map(str, paths))


def title(events: LogPath) -> str:
    """The names of the files of a log."""
    paths = [events] if isinstance(events, pathlib.Path) else events
    return ", ".join(path.name for path in paths)


def read(log: "LogFormat", path: LogPath, keep: Sequence[str] = ()) -> "Sessions":
    """Reads a log, with the further columns `keep`, and prints its size."""
    from tfsessionrec.data.time_checks import span

    say(f"Reading {path if isinstance(path, pathlib.Path) else title(path)}")
    with notes():
        sessions = log.read(path, keep)
    times = sessions.events["timestamp"]
    dates = span(float(times.min()), float(times.max()))  # type: ignore[arg-type]
    say(
        f"  {sessions.num_users:,} users, {sessions.num_sessions:,} sessions, "
        f"{sessions.num_events:,} events" + (f", {dates}" if dates else "")
    )
    return sessions


@contextlib.contextmanager
def notes() -> Iterator[None]:
    """Prints what reading leaves out or fills, then its warnings."""
    with counts(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for warning in caught:
        say(f"  warning: {warning.message}")


@contextlib.contextmanager
def counts() -> Iterator[None]:
    """Prints what reading leaves out or fills, and what training chooses."""

    class Printer(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            say(f"  {record.getMessage()}")

    loggers = [logging.getLogger(f"tfsessionrec.{room}") for room in ("data", "systems")]
    before = [(logger, logger.level, logger.propagate) for logger in loggers]
    printer = Printer()
    for logger in loggers:
        logger.addHandler(printer)
        logger.setLevel(logging.INFO)
        logger.propagate = False  # a handler of another library would print it again
    try:
        yield
    finally:
        for logger, level, propagate in before:
            logger.removeHandler(printer)
            logger.setLevel(level)
            logger.propagate = propagate


def read_optional(log: "LogFormat", path: LogPath | None) -> "Sessions | None":
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
        "--time-unit", choices=("s", "ms", "us", "ns"), help="unit of numeric times (default s)"
    )
    log.add_argument(
        "--time-format",
        metavar="FORMAT",
        help="format of times as text or digits, such as %%d/%%m/%%Y or %%Y%%m%%d (default: "
        "numbers or ISO 8601)",
    )
    log.add_argument(
        "--tz",
        metavar="ZONE",
        help="time zone of times that do not name one, such as Europe/Paris (default UTC)",
    )
    log.add_argument(
        "--order",
        metavar="COLUMN",
        help="column that orders events of the same time (default: the order of the log)",
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
