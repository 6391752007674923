"""What a log holds, before anything is trained on it."""

import dataclasses
import shlex
from collections.abc import Mapping, Sequence

import polars as pl

from tfsessionrec import checks
from tfsessionrec.data.cleaning import missing
from tfsessionrec.data.guessing import guess_format
from tfsessionrec.data.log_format import LogFormat
from tfsessionrec.data.reading import EventSource, collect_events, scan_events
from tfsessionrec.data.sessions import Sessions, starts_session

BOT_EVENTS = 1000
"""A session with this many events is hardly a person's."""


@dataclasses.dataclass(frozen=True)
class Column:
    """One column of a log.

    Args:
        name: Its name.
        type: The type that it is read as.
        role: The argument of `sessionize` that it was taken for. None: none.
        missing: Rows without a value.
        distinct: Distinct values.
        example: Its first value, as text.
    """

    name: str
    type: str
    role: str | None
    missing: int
    distinct: int
    example: str


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What a log holds.

    Args:
        rows: Rows of the log.
        columns: Its columns.
        log: How it was read: what was given, and guesses for the rest.
        sessions: Counts of users, sessions and items, lengths of sessions, repeats, bots and the
            range of times, by name. Empty if the log cannot be read so.
        duplicates: Rows that repeat an earlier row in every column.
        remarks: What deserves attention, one sentence each.

    Raises:
        ValueError: If a field is of another kind.
    """

    rows: int
    columns: tuple[Column, ...]
    log: LogFormat
    sessions: Mapping[str, float | str]
    duplicates: int
    remarks: tuple[str, ...]

    def __post_init__(self) -> None:
        checks.non_negative_integer("rows", self.rows)
        checks.sequence("columns", self.columns, "columns")
        checks.instance("log", self.log, LogFormat)
        checks.mapping("sessions", self.sessions, "counts")
        checks.non_negative_integer("duplicates", self.duplicates)
        checks.sequence("remarks", self.remarks, "sentences")

    def command(self, events: str = "log.csv") -> str:
        """The `tfsessionrec train` command that reads the log so.

        Args:
            events: The paths of the log, as a shell takes them.
        """
        checks.text("events", events, empty=False)
        words = ["tfsessionrec", "train", "--events", *shlex.split(events)]
        default = LogFormat().to_json()
        for name, value in self.log.to_json().items():
            if value == default[name]:
                continue
            flag = f"--{name.replace('_', '-')}"
            if isinstance(value, bool):
                words.append(flag)
            for word in value if isinstance(value, tuple) else (value,):
                words += [flag, word] if isinstance(word, str) else []
        several = float(self.sessions.get("sessions_per_user", 0)) > 1
        model = "sessionrec-sasrec" if several else "sasrec"
        return shlex.join([*words, "--model", model, "--output", "model"])

    def to_dict(self) -> dict[str, object]:
        """The inspection as JSON values."""
        return {**dataclasses.asdict(self), "log": self.log.to_json()}


def inspect_log(source: EventSource, log: LogFormat | None = None) -> Inspection:
    """Guesses the columns and formats of a log, and counts what may go wrong in it.

    Args:
        source: Anything that `read_events` takes.
        log: The part of its format that is certain. Defaults to None: nothing. Columns of
            user, session, item, time and label, the format of times and the separator are guessed
            where it does not name them.

    Returns:
        An `Inspection`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the source cannot be read.

    Example:

    >>> import polars as pl
    >>> from tfsessionrec.data import inspect_log
    >>> log = pl.DataFrame(
    ...     {"user": [1, 1, 2], "sku": ["a", "a", "b"], "ts": [1396867869000, 1396867870000, None]}
    ... )
    >>> found = inspect_log(log)
    >>> found.log.columns.item, found.log.time_unit, found.log.gap, found.log.drop_missing
    ('sku', 'ms', '30m', True)
    >>> found.command().split(" --")[:4]
    ['tfsessionrec train', 'events log.csv', 'user user', 'item sku']
    >>> found.sessions["sessions"], found.sessions["consecutive_repeats"]
    (1, 1)
    """
    log = LogFormat() if log is None else log
    checks.instance("log", log, LogFormat)
    frame = _read(source, log.separator)
    if log.separator is None and len(frame.columns) == 1:
        separator = next((mark for mark in ";\t|" if mark in frame.columns[0]), None)
        if separator is not None:
            log = dataclasses.replace(log, separator=separator)
            frame = _read(source, separator)
    log, remarks = guess_format(frame, log)
    roles = {
        name: role
        for role, name in dataclasses.asdict(log.columns).items()
        if isinstance(name, str) and name in frame.columns
    }
    columns = tuple(_column(frame[name], roles.get(name)) for name in frame.columns)
    duplicates = len(frame) - len(frame.unique())
    log = _with_remedies(log, columns, duplicates, len(frame), remarks)
    found: dict[str, float | str] = {}
    try:
        found = _session_counts(log.read(source))
    except ValueError as error:
        remarks.append(f"The log cannot be read so: {error}")
    if found.get("bots"):
        remarks.append(
            f"{found['bots']} sessions have {BOT_EVENTS:,} events or more, "
            f"{found['bot_events']} in all: bots?"
        )
    return Inspection(len(frame), columns, log, found, duplicates, tuple(remarks))


def _read(source: EventSource, separator: str | None) -> pl.DataFrame:
    return collect_events(scan_events(source, separator), "source", source)


def _column(values: pl.Series, role: str | None) -> Column:
    whole = values.filter(~missing(values))
    nested = values.dtype.is_nested()
    return Column(
        name=values.name,
        type=str(values.dtype),
        role=role,
        missing=len(values) - len(whole),
        distinct=0 if nested else whole.n_unique(),
        example=str(whole[0]) if len(whole) else "",
    )


def _with_remedies(
    log: LogFormat, columns: Sequence[Column], duplicates: int, rows: int, remarks: list[str]
) -> LogFormat:
    """The format that leaves out what cannot be read, with a remark on each."""
    by_role = {column.role: column for column in columns if column.role is not None}
    users = by_role.get("user")
    if users is not None and users.missing and log.columns.session is not None:
        remarks.append(f"{users.missing} of {rows} rows have no user: visitors of their own")
        log = dataclasses.replace(log, missing_users="visitor")
    required = [by_role[role] for role in ("session", "item", "time", "label") if role in by_role]
    if users is not None and log.missing_users == "error":
        required.append(users)
    for column in required:
        if column.missing and log.columns.impressions is None:
            remarks.append(f"{column.missing} of {rows} rows have no value in {column.name!r}")
            log = dataclasses.replace(log, drop_missing=True)
    if duplicates:
        remarks.append(f"{duplicates} of {rows} rows repeat an earlier row in every column")
        if log.drop_duplicates is None:
            log = dataclasses.replace(log, drop_duplicates="exact")
    return log


def _session_counts(sessions: Sessions) -> dict[str, float | str]:
    events = sessions.events
    session = ("user_id", "session_index")
    lengths = events.group_by(session, maintain_order=True).len()["len"]
    per_user = events.group_by("user_id").agg(pl.col("session_index").n_unique())["session_index"]
    item = pl.col("item_id")
    again = events.select(
        repeats=(~pl.struct(*session, "item_id").is_first_distinct()).sum(),
        consecutive=((item == item.shift(1)) & ~starts_session()).sum(),
    ).row(0, named=True)
    span = events.select(
        pl.from_epoch((pl.col("timestamp") * 1e6).cast(pl.Int64), time_unit="us").alias("time")
    )["time"]
    bots = lengths.filter(lengths >= BOT_EVENTS)
    return {
        "users": sessions.num_users,
        "sessions": sessions.num_sessions,
        "items": events["item_id"].n_unique(),
        "events": sessions.num_events,
        "first": str(span.min()),
        "last": str(span.max()),
        "length_mean": float(lengths.cast(pl.Float64).to_numpy().mean()),
        "length_median": float(lengths.quantile(0.5, "nearest") or 0),
        "length_95": float(lengths.quantile(0.95, "nearest") or 0),
        "length_max": int(lengths.to_numpy().max()),
        "sessions_of_one_event": int((lengths == 1).sum()),
        "sessions_per_user": float(per_user.cast(pl.Float64).to_numpy().mean()),
        "repeats": int(again["repeats"]),
        "consecutive_repeats": int(again["consecutive"]),
        "bots": len(bots),
        "bot_events": int(bots.sum()),
    }
