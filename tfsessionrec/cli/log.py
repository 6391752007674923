"""How a user's log is read: the arguments that name its columns, and what they make of it."""

import argparse
import dataclasses
import pathlib
import re
from typing import TYPE_CHECKING

from tfsessionrec.cli.output import say

if TYPE_CHECKING:
    import polars as pl

    from tfsessionrec.data import Sessions

_NUMBER = r"\d+(?:\.\d+)?"
_WINDOW = re.compile(rf"\d+/\d+,{_NUMBER},{_NUMBER}(?:,{_NUMBER})?")


@dataclasses.dataclass(frozen=True)
class LogFormat:
    """Where things stand in a log, as `--user`, `--session` and their like say it.

    Args:
        user: Column of the user; None makes every session an anonymous visitor of its own.
        session: Column of the session. Give either this or `gap`.
        gap: Inactivity that ends a session, such as `30m`.
        item: Column of the item.
        time: Column of the time.
        time_unit: Unit of numeric times: `s`, `ms` or `us`.
        label: Column of 1 (taken) and 0 (shown but not taken).
        impressions: Column of the items shown.
        impressions_separator: What separates the items in that column.
        impression_feature: Numbers shown beside each item, `NAME=COLUMN`.
        interaction_type: Column of the kind of interaction.
        session_context: Columns of what is known of a session as a whole.
        filter: Conditions `COLUMN=VALUE`: rows are kept that meet one of each column's.
        separator: What separates the fields of a text file.
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
        """Adds one argument a field; each is None where the user did not give it."""
        log = parser.add_argument_group("the log")
        log.add_argument(
            "--events",
            metavar="FILE",
            type=pathlib.Path,
            required=True,
            help="the log: .csv, .tsv, .txt or .parquet, one row an event",
        )
        log.add_argument(
            "--user",
            metavar="COLUMN",
            help="user; without it every session is an anonymous visitor of its own",
        )
        sessions = log.add_mutually_exclusive_group()
        sessions.add_argument("--session", metavar="COLUMN", help="session")
        sessions.add_argument(
            "--gap",
            metavar="TIME",
            help="instead of --session: inactivity that ends one, such as 30m",
        )
        log.add_argument("--item", metavar="COLUMN", help="item (default item_id)")
        log.add_argument(
            "--time",
            metavar="COLUMN",
            help="time: a number, or date and time as text (default timestamp)",
        )
        log.add_argument(
            "--time-unit", choices=("s", "ms", "us"), help="unit of numeric times (default s)"
        )
        shown = log.add_mutually_exclusive_group()
        shown.add_argument("--label", metavar="COLUMN", help="1 taken, 0 shown but not taken")
        shown.add_argument(
            "--impressions",
            metavar="COLUMN",
            help="instead of --label: the items shown, as a list or as text",
        )
        log.add_argument(
            "--impressions-separator",
            metavar="TEXT",
            help="what separates the items in --impressions (default |)",
        )
        log.add_argument(
            "--impression-feature",
            metavar="NAME=COLUMN",
            action="append",
            help="numbers shown beside each item of --impressions, such as price=prices; may be "
            "given several times",
        )
        log.add_argument("--interaction-type", metavar="COLUMN", help="click, cart, purchase ...")
        log.add_argument(
            "--session-context",
            metavar="COLUMN",
            action="append",
            help="what is known of a session as a whole, such as its device: a category, that of "
            "its first row; may be given several times",
        )
        log.add_argument(
            "--filter",
            metavar="COLUMN=VALUE",
            action="append",
            help="keep only rows with this value; may be given several times",
        )
        log.add_argument(
            "--separator",
            metavar="TEXT",
            help="field separator of a text file (default by its ending)",
        )

    @classmethod
    def from_arguments(
        cls, arguments: argparse.Namespace, default: "LogFormat | None" = None
    ) -> "LogFormat":
        """What the arguments say, and what `default` says where they are silent."""
        given = {
            field.name: value
            for field in dataclasses.fields(cls)
            if (value := getattr(arguments, field.name)) is not None
        }
        for name in ("filter", "impression_feature", "session_context"):
            if name in given:
                given[name] = tuple(given[name])
        for one, other in (("session", "gap"), ("label", "impressions")):
            if one in given:
                given[other] = None
            elif other in given:
                given[one] = None
        return dataclasses.replace(default or cls(), **given)

    def impression_features(self) -> dict[str, str]:
        """Columns by name.

        Raises:
            ValueError: If one is not NAME=COLUMN.
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
        """Reads a log and cuts it into sessions.

        Raises:
            FileNotFoundError: If there is no such file.
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
                    f"`--filter` should leave some rows. Received: {', '.join(self.filter)}"
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
    """Cuts sessions into what is trained on and what is held out.

    Args:
        sessions: All sessions.
        rule: `none` (nothing is held out: both parts are everything), `last-session` (the last
            session of each user with two), `after=TIME` (sessions that start then or later),
            `last-days=N` or `window=I/N,TRAIN,TEST[,SHIFT]` (window I of N, from 0, see
            `data.sliding_windows`).

    Returns:
        The sessions to train on, and those to evaluate on. These hold their users' earlier
        sessions too, as history.

    Raises:
        ValueError: If the rule is none of these.
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
            raise ValueError(f"Windows count from 0 to {count - 1}. Received: {rule!r}")
        train, test, *shift = (float(part) for part in days.split(","))
        windows = data.sliding_windows(
            sessions, count, train, test, shift[0] if shift else None, history=True
        )
        return windows[number]
    raise ValueError(
        "What is held out should be none, last-session, after=TIME, last-days=N or "
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
