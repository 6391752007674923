"""How a user's log is read: its columns, and what it holds."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import TypeVar, get_args

from tfsessionrec import checks
from tfsessionrec.data.cleaning import Cleaning, Duplicates, MissingUsers
from tfsessionrec.data.ids import IdType
from tfsessionrec.data.reading import EventSource, collect_events, scan_events
from tfsessionrec.data.row_filter import row_filter
from tfsessionrec.data.sessionizing import sessionize
from tfsessionrec.data.sessions import Sessions
from tfsessionrec.data.splits import (
    Straddling,
    last_days,
    leave_last_session_out,
    sliding_windows,
    split_by_time,
)
from tfsessionrec.data.times import TimeFormat, gap_in_microseconds

_NUMBER = r"\d+(?:\.\d+)?"
_WINDOW = re.compile(rf"\d+/\d+,{_NUMBER},{_NUMBER}(?:,{_NUMBER})?")


@dataclasses.dataclass(frozen=True)
class LogColumns:
    """The columns of a log.

    Args:
        user: User. Defaults to None: every session is an anonymous visitor.
        session: Session. Defaults to None: `LogFormat.gap` ends sessions.
        item: Item. Defaults to `"item_id"`.
        time: Time. Defaults to `"timestamp"`.
        label: 1 for a positive interaction, 0 for an item that was shown but not clicked. Defaults
            to None: every event is positive.
        interaction_type: Kind of interaction. Defaults to None.
        impressions: The items shown, instead of `label`. Defaults to None.
        impression_features: Numbers shown with each item: name to column. Defaults to none.
        session_context: Features of a session as a whole. Defaults to none.
        order: Order of events of the same time. Defaults to None: that of the log.

    Raises:
        ValueError: If one of these is no name of a column.
    """

    user: str | None = None
    session: str | None = None
    item: str = "item_id"
    time: str = "timestamp"
    label: str | None = None
    interaction_type: str | None = None
    impressions: str | None = None
    impression_features: Mapping[str, str] = dataclasses.field(default_factory=dict)
    session_context: tuple[str, ...] = ()
    order: str | None = None

    def __post_init__(self) -> None:
        for name in ("user", "session", "label", "interaction_type", "impressions", "order"):
            checks.text(name, getattr(self, name), optional=True)
        checks.text("item", self.item)
        checks.text("time", self.time)
        checks.mapping("impression_features", self.impression_features, "columns")
        for name, column in self.impression_features.items():
            checks.text(f"impression_features[{name!r}]", column)
        context = checks.texts("session_context", self.session_context)
        object.__setattr__(self, "session_context", context)


@dataclasses.dataclass(frozen=True)
class LogFormat:
    """How a log is read.

    Args:
        columns: Its columns.
        gap: Inactivity that ends a session, such as `"30m"`. Give either this or
            `columns.session`.
        time_unit: Unit of numeric times: `"s"` (default), `"ms"`, `"us"` or `"ns"`.
        impressions_separator: Separates the items of an impressions text. Defaults to `"|"`.
        filter: Conditions such as `COLUMN=VALUE`, see `row_filter`; of the values that a column
            should equal, one is enough. Defaults to none.
        separator: Separates the fields of a text file. Defaults to None: by the file's ending.
        item_type: Type of the item ids: `"string"` or `"int64"`. Defaults to None: by the log; in
            the settings of a trained system that of its vocabulary.
        time_format: Format of times as text or digits, such as `"%d/%m/%Y %H:%M"`. Defaults to
            None: numbers or ISO 8601.
        tz: Time zone of dates and times that do not name one. Defaults to None: UTC.
        missing_users: `"error"` (default), or `"visitor"`: a session without a user is a visitor of
            its own.
        drop_missing: Whether to leave out rows with missing values. Defaults to False: an error.
        drop_duplicates: Rows to leave out: `"exact"`, `"consecutive"` or `"session"`, see
            `sessionize`. Defaults to None: none.

    Raises:
        ValueError: If an argument is out of its range or of another kind.
    """

    columns: LogColumns = LogColumns()
    gap: str | None = None
    time_unit: str = "s"
    impressions_separator: str = "|"
    filter: tuple[str, ...] = ()
    separator: str | None = None
    item_type: IdType | None = None
    time_format: str | None = None
    tz: str | None = None
    missing_users: MissingUsers = "error"
    drop_missing: bool = False
    drop_duplicates: Duplicates | None = None

    def __post_init__(self) -> None:
        checks.instance("columns", self.columns, LogColumns)
        object.__setattr__(self, "filter", checks.texts("filter", self.filter))
        checks.text("impressions_separator", self.impressions_separator, empty=False)
        checks.text("separator", self.separator, optional=True, empty=False)
        if self.gap is not None:
            gap_in_microseconds(self.gap)
        times = TimeFormat(self.time_unit, self.time_format, self.tz)
        Cleaning(times, self.item_type, self.drop_missing, self.drop_duplicates, self.missing_users)

    def to_json(self) -> dict[str, object]:
        """The format as JSON values: one flat object, columns first."""
        fields = dataclasses.asdict(self)
        return {**fields.pop("columns"), **fields}

    @classmethod
    def from_json(cls, content: Mapping[str, object]) -> "LogFormat":
        """The inverse of `to_json`."""
        checks.mapping("content", content, "JSON values")
        fields = {name: tuple(v) if isinstance(v, list) else v for name, v in content.items()}
        names = [field.name for field in dataclasses.fields(LogColumns)]
        columns = {name: fields.pop(name) for name in names if name in fields}
        return cls(LogColumns(**columns), **fields)  # type: ignore[arg-type]

    def joined(self, other: "LogFormat") -> "LogFormat":
        """A format that reads what either reads of one log.

        Raises:
            ValueError: If both differ in a column or a rule that neither leaves at its default.
        """
        checks.instance("other", other, LogFormat)
        return dataclasses.replace(
            _joined(self, other), columns=_joined(self.columns, other.columns)
        )

    def read(self, source: EventSource, keep: Sequence[str] = ()) -> Sessions:
        """Reads a log and cuts it into sessions.

        Args:
            source: Anything that `read_events` takes.
            keep: Further columns to keep, such as one of weights. Defaults to none.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If neither or both of `session` and `gap` are given, a column is missing, or
                a value cannot be read.
        """
        checks.sequence("keep", keep, "columns")
        columns = self.columns
        if (columns.session is None) == (self.gap is None):
            raise ValueError(
                "Exactly one of `--session` and `--gap` should be given. "
                f"Received: `--session`={columns.session}, `--gap`={self.gap}"
            )
        ids = [name for name in (columns.user, columns.session, columns.item) if name is not None]
        lazy = scan_events(source, self.separator, "events", ids)
        events = collect_events(lazy, "events", source)
        if self.filter:
            events = events.filter(row_filter(self.filter, events.schema))
            if events.is_empty():
                raise ValueError(
                    f"`--filter` should match at least one row. Received: {', '.join(self.filter)}"
                )
        return sessionize(
            events,
            user=columns.user,
            session=columns.session,
            gap=self.gap,
            item=columns.item,
            item_type=self.item_type,
            time=columns.time,
            time_unit=self.time_unit,
            time_format=self.time_format,
            tz=self.tz,
            order=columns.order,
            missing_users=self.missing_users,
            drop_missing=self.drop_missing,
            drop_duplicates=self.drop_duplicates,
            label=columns.label,
            impressions=columns.impressions,
            impressions_separator=self.impressions_separator,
            impression_features=None
            if columns.impressions is None
            else columns.impression_features,
            interaction_type=columns.interaction_type,
            keep=tuple(dict.fromkeys((*columns.session_context, *keep))),
        )


_Fields = TypeVar("_Fields", LogColumns, LogFormat)


def _joined(one: _Fields, other: _Fields) -> _Fields:
    """The fields of both, those at their default from the other; without `columns`."""
    usual, found = type(one)(), {}
    for field in dataclasses.fields(one):
        mine, theirs, default = (getattr(part, field.name) for part in (one, other, usual))
        if field.name == "columns":
            continue
        if mine != theirs and default not in (mine, theirs):
            raise ValueError(
                f"The models should read one log in one way. Received: `{field.name}`={mine!r} and "
                f"{theirs!r}"
            )
        found[field.name] = theirs if mine == default else mine
    return dataclasses.replace(one, **found)


def split_by_rule(sessions: Sessions, rule: str) -> tuple[Sessions, Sessions]:
    """Splits sessions into those to train on and those to evaluate on.

    Args:
        sessions: All sessions.
        rule: `"none"` (nothing is held out: both parts are everything), `"last-session"` (the last
            session of each user with two), `"after=TIME"` (what happens then or later),
            `"last-days=N"`, or `"window=I/N,TRAIN,TEST[,SHIFT]"` (window I of N, from 0, see
            `sliding_windows`). A rule of time may end in `",straddling=drop"` or
            `",straddling=cut"` (default), see `split_by_time`.

    Returns:
        The training sessions and the test sessions, which include what their users did before, as
        history.

    Raises:
        ValueError: If the rule is none of these.
    """
    checks.instance("sessions", sessions, Sessions)
    checks.text("rule", rule)
    period, option, given = rule.partition(",straddling=")
    name, _, value = period.partition("=")
    if option and given not in get_args(Straddling):
        raise ValueError(
            f"In `rule`, `straddling` should be 'cut' or 'drop'. Received: `rule`={rule!r}"
        )
    number = value.replace(".", "", 1).isdigit()
    straddling: Straddling = given if option else "cut"  # type: ignore[assignment]
    if rule == "none":
        return sessions, sessions
    if rule == "last-session":
        return leave_last_session_out(sessions)
    if name == "after" and value:
        return split_by_time(sessions, float(value) if number else value, True, straddling)
    if name == "last-days" and number:
        return last_days(sessions, float(value), True, straddling)
    if name == "window" and _WINDOW.fullmatch(value):
        place, _, days = value.partition(",")
        window, count = (int(part) for part in place.split("/"))
        if not window < count:
            raise ValueError(
                f"The window of `rule` should have I from 0 to {count - 1}. Received: {rule!r}"
            )
        train, test, *shift = (float(part) for part in days.split(","))
        windows = sliding_windows(
            sessions, count, train, test, shift[0] if shift else None, True, straddling
        )
        return windows[window]
    raise ValueError(
        "What is held out (`rule`) should be none, last-session, after=TIME, last-days=N or "
        "window=I/N,TRAIN,TEST[,SHIFT]; the last three may end in ,straddling=drop. "
        f"Received: {rule!r}"
    )
