"""Training and test sessions."""

import datetime

import numpy as np
import polars as pl

from tfsessionrec.data.sessions import Sessions, session_index_from, starts_session
from tfsessionrec.data.times import to_seconds


def split_by_time(
    sessions: Sessions, at: float | str | datetime.date, history: bool = False
) -> tuple[Sessions, Sessions]:
    """Splits at a point in time: a session belongs to the side where it started.

    Args:
        sessions: Sessions to split.
        at: Unix seconds, a datetime (UTC unless it says otherwise) or an ISO 8601 string.
        history: If True, the test sessions' users bring their earlier sessions along, as history
            that is not a target. Defaults to `False`.

    Returns:
        `(train, test)`: the sessions that started before `at`, and those that did not.

    Raises:
        ValueError: If `at` is no time, or leaves one side without sessions.

    Example:

    >>> import polars as pl
    >>> from tfsessionrec.data import sessionize, split_by_time
    >>> log = pl.DataFrame({"u": [1, 1, 2], "item_id": [5, 6, 7], "timestamp": [0, 100, 50]})
    >>> train, test = split_by_time(sessionize(log, user="u", gap=60), at=100)
    >>> train.events["item_id"].to_list(), test.events["item_id"].to_list()
    ([5, 7], [6])
    """
    second = to_seconds(at, "at")
    events = sessions.events.with_columns(_late=_start() >= second)
    late = events["_late"]
    if late.all() or not late.any():
        first, last = events.select(_start().min(), _start().max().alias("last")).row(0)
        raise ValueError(
            "`at` should leave sessions on both sides. "
            f"Received: `at`={at!r} ({second}), sessions that start from {first} to {last}"
        )
    train = events.filter(~late)
    if history:
        test = events.with_columns(is_target=pl.col("is_target") & pl.col("_late")).filter(
            pl.col("_late").any().over("user_id")
        )
    else:
        test = events.filter(late)
    return _renumbered(train.drop("_late")), _renumbered(test.drop("_late"))


def last_days(sessions: Sessions, days: float, history: bool = False) -> tuple[Sessions, Sessions]:
    """Holds out the sessions that started in the last days of the log.

    Args:
        sessions: Sessions to split.
        days: The test begins this many times 24 hours before the start of the last session.
        history: As for `split_by_time`. Defaults to `False`.

    Returns:
        `(train, test)`.

    Raises:
        ValueError: If `days` is not positive, or leaves one side without sessions.

    Example:

    >>> import polars as pl
    >>> from tfsessionrec.data import last_days, sessionize
    >>> log = pl.DataFrame({"u": [1, 1, 2], "item_id": [5, 6, 7], "timestamp": [0, 90000, 90001]})
    >>> train, test = last_days(sessionize(log, user="u", gap="1h"), days=1)
    >>> train.num_sessions, test.num_sessions
    (1, 2)
    """
    if isinstance(days, bool) or not isinstance(days, (int, float, np.number)) or not days > 0:
        raise ValueError(f"`days` should be a positive number. Received: `days`={days!r}")
    last = sessions.events.select(_start().max()).item()
    if last is None:
        raise ValueError("`sessions` should hold at least one session. Received: none")
    return split_by_time(sessions, last - days * 86_400, history=history)


def leave_last_session_out(sessions: Sessions) -> tuple[Sessions, Sessions]:
    """Holds out the last session of every user who has at least two.

    Args:
        sessions: Sessions to split.

    Returns:
        `(train, test)`: all sessions but those held out; and all sessions of the users with at
        least two, of which only the last is a target.

    Raises:
        ValueError: If no user has two sessions.

    Example:

    >>> import polars as pl
    >>> from tfsessionrec.data import leave_last_session_out, sessionize
    >>> log = pl.DataFrame({"u": [1, 1, 2], "item_id": [5, 6, 7], "timestamp": [0, 100, 50]})
    >>> train, test = leave_last_session_out(sessionize(log, user="u", gap=60))
    >>> train.events["item_id"].to_list(), test.events["item_id"].to_list()
    ([5, 7], [5, 6])
    >>> test.events["is_target"].to_list()
    [False, True]
    """
    index = pl.col("session_index")
    last = index.max().over("user_id")
    if not sessions.events.select((index > 0).any()).item():
        raise ValueError(
            "`sessions` should hold a user with at least two sessions. "
            f"Received: {sessions.num_users} users with one"
        )
    train = sessions.events.filter((index < last) | (last == 0))
    test = sessions.events.filter(last > 0).with_columns(is_target=index == last)
    return Sessions(train), Sessions(test)


def _start() -> pl.Expr:
    """The time of the session's first interaction, on each of its rows."""
    return pl.when(starts_session()).then("timestamp").forward_fill()


def _renumbered(events: pl.DataFrame) -> Sessions:
    return Sessions(events.with_columns(session_index_from(starts_session())))
