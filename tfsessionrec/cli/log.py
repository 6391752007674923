"""Reads a user's log: the arguments that describe it, its format, and its split."""

import argparse
import dataclasses
import pathlib
import re
from typing import TYPE_CHECKING

from tfsessionrec.cli.output import say

if TYPE_CHECKING:
    import polars as pl

    from tfsessionrec.data import Sessions


def add_log_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds `--events` and one argument per field of `LogFormat`; their defaults are None."""
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
    """The format that the arguments give; `default` fills in the arguments that are absent."""
    values = vars(arguments)
    given = {
        field.name: values[field.name]
        for field in dataclasses.fields(LogFormat)
        if values[field.name] is not None
    }
    for name in ("filter", "impression_feature", "session_context"):
        if name in given:
            given[name] = tuple(given[name])
    for one, other in (("session", "gap"), ("label", "impressions")):
        if one in given:
            given[other] = None
        elif other in given:
            given[one] = None
    return dataclasses.replace(default or LogFormat(), **given)


def _add_columns(log: argparse._ArgumentGroup) -> None:
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


def _add_shown_items(log: argparse._ArgumentGroup) -> None:
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


_NUMBER = r"\d+(?:\.\d+)?"
_WINDOW = re.compile(rf"\d+/\d+,{_NUMBER},{_NUMBER}(?:,{_NUMBER})?")


@dataclasses.dataclass(frozen=True)
class LogFormat:
    """The columns of a log and how to read them; one field per argument of the command.

    Args:
        user: Column of the user. Defaults to None: each session has its own anonymous user.
        session: Column of the session. Either `session` or `gap` is required.
        gap: Inactivity that ends a session, such as `30m`.
        item: Column of the item.
        time: Column of the time.
        time_unit: Unit of numeric times: `s`, `ms` or `us`.
        label: Column of labels: 1 clicked, 0 shown but not clicked.
        impressions: Column of the shown items.
        impressions_separator: Separator of the items in a text column of `impressions`.
        impression_feature: Columns with one number per shown item, as `NAME=COLUMN`.
        interaction_type: Column of the interaction type.
        session_context: Columns of session attributes.
        filter: Conditions `COLUMN=VALUE`; a row is kept if every named column has one of its
            values.
        separator: Field separator of a text file.
    """

    user: str | None = None
    session: str | None = None
    gap: str | None = None
    item: str = "item_id"
    time: str = "timestamp"
    time_unit: str = "s"
    label: str | None = None
    impressions: str | None = None
    impressions_separator: str = "|"
    impression_feature: tuple[str, ...] = ()
    interaction_type: str | None = None
    session_context: tuple[str, ...] = ()
    filter: tuple[str, ...] = ()
    separator: str | None = None

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """`add_log_arguments`."""
        add_log_arguments(parser)

    @classmethod
    def from_arguments(
        cls, arguments: argparse.Namespace, default: "LogFormat | None" = None
    ) -> "LogFormat":
        """`log_format`."""
        return log_format(arguments, default)

    def impression_features(self) -> dict[str, str]:
        """The columns of `impression_feature` by name.

        Raises:
            ValueError: If an entry is not NAME=COLUMN.
        """
        features = {}
        for text in self.impression_feature:
            name, equals, column = text.partition("=")
            if not (name and equals and column):
                raise ValueError(
                    f"`--impression-feature` should be NAME=COLUMN. Received: {text!r}"
                )
            features[name] = column
        return features

    def read(self, path: pathlib.Path) -> "Sessions":
        """Reads a log and splits it into sessions.

        Raises:
            FileNotFoundError: If the file does not exist.
            ValueError: If neither or both of `session` and `gap` are given, a column is missing,
                or a value cannot be read.
        """
        if (self.session is None) == (self.gap is None):
            raise ValueError(
                "Exactly one of `--session` and `--gap` should be given. "
                f"Received: `--session`={self.session}, `--gap`={self.gap}"
            )
        from tfsessionrec import data

        say(f"Reading {path}")
        events = data.read_events(path, separator=self.separator)
        if self.filter:
            events = events.filter(_conditions(self.filter, events.columns))
            if events.is_empty():
                raise ValueError(
                    f"`--filter` should match at least one row. Received: {', '.join(self.filter)}"
                )
        sessions = data.sessionize(
            events,
            user=self.user,
            session=self.session,
            gap=self.gap,
            item=self.item,
            time=self.time,
            time_unit=self.time_unit,
            label=self.label,
            impressions=self.impressions,
            impressions_separator=self.impressions_separator,
            impression_features=None if self.impressions is None else self.impression_features(),
            interaction_type=self.interaction_type,
            keep=self.session_context,
        )
        say(
            f"  {sessions.num_users:,} users, {sessions.num_sessions:,} sessions, "
            f"{sessions.num_events:,} events"
        )
        return sessions


def split(sessions: "Sessions", rule: str) -> "tuple[Sessions, Sessions]":
    """Splits sessions into a training part and a held-out part.

    Args:
        sessions: All sessions.
        rule: Which sessions are held out: `none` (both parts contain all sessions),
            `last-session` (the last session of each user with at least two), `after=TIME`
            (sessions that start at that time or later), `last-days=N`, or
            `window=I/N,TRAIN,TEST[,SHIFT]` (window I of N, counted from 0, see
            `data.sliding_windows`).

    Returns:
        The sessions to train on and those to evaluate on. The latter include earlier sessions of
        the same users as history.

    Raises:
        ValueError: If the rule is not one of these.
    """
    from tfsessionrec import data

    name, _, value = rule.partition("=")
    if rule == "none":
        return sessions, sessions
    if rule == "last-session":
        return data.leave_last_session_out(sessions)
    if name == "after" and value:
        at = float(value) if value.replace(".", "", 1).isdigit() else value
        return data.split_by_time(sessions, at, history=True)
    if name == "last-days" and value.replace(".", "", 1).isdigit():
        return data.last_days(sessions, float(value), history=True)
    if name == "window" and _WINDOW.fullmatch(value):
        place, _, days = value.partition(",")
        number, count = (int(part) for part in place.split("/"))
        if not number < count:
            raise ValueError(
                f"`window=I/N` should have I from 0 to {count - 1}. Received: {rule!r}"
            )
        train, test, *shift = (float(part) for part in days.split(","))
        windows = data.sliding_windows(
            sessions, count, train, test, shift[0] if shift else None, history=True
        )
        return windows[number]
    raise ValueError(
        "The holdout should be none, last-session, after=TIME, last-days=N or "
        f"window=I/N,TRAIN,TEST[,SHIFT]. Received: {rule!r}"
    )


def _conditions(conditions: tuple[str, ...], columns: list[str]) -> "pl.Expr":
    import polars as pl

    wanted: dict[str, list[str]] = {}
    for condition in conditions:
        column, equals, value = condition.partition("=")
        if not equals or column not in columns:
            raise ValueError(
                "`--filter` should be COLUMN=VALUE with a column of the log. "
                f"Received: {condition!r}. Columns: {', '.join(columns)}"
            )
        wanted.setdefault(column, []).append(value)
    return pl.all_horizontal(
        pl.col(column).cast(pl.String).is_in(values) for column, values in wanted.items()
    )
