"""Training and test sessions."""

import datetime

import numpy as np
import polars as pl

from tfsessionrec.checks import instance, positive_integer
from tfsessionrec.data.sessions import Sessions, session_index_from, starts_session
from tfsessionrec.data.times import to_seconds

DAY = 86_400


def split_by_time(
    sessions: Sessions, at: float | str | datetime.date, history: bool = False
) -> tuple[Sessions, Sessions]:
    """Splits at a point in time: a session belongs to the side of its start.

    Args:
        sessions: Sessions to split.
        at: Unix seconds, a datetime (UTC unless it has a time zone) or an ISO 8601 string.
        history: If True, the test also has the earlier sessions of its users, as history that is
            not a target. Defaults to `False`.

    Returns:
        `(train, test)`: the sessions that started before `at`, and those that did not.

    Raises:
        ValueError: If `at` is not a time, or leaves one side without sessions.

    Example:

    >>> import polars as pl
    >>> from tfsessionrec.data import sessionize, split_by_time
    >>> log = pl.DataFrame({"u": [1, 1, 2], "item_id": [5, 6, 7], "timestamp": [0, 100, 50]})
    >>> train, test = split_by_time(sessionize(log, user="u", gap=60), at=100)
    >>> train.events["item_id"].to_list(), test.events["item_id"].to_list()
    ([5, 7], [6])
    """
    instance("sessions", sessions, Sessions)
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
    instance("sessions", sessions, Sessions)
    _check_days("days", days)
    return split_by_time(sessions, _last_start(sessions) - days * DAY, history=history)


def sliding_windows(
    sessions: Sessions,
    num_windows: int,
    train_days: float,
    test_days: float,
    shift_days: float | None = None,
    history: bool = False,
) -> list[tuple[Sessions, Sessions]]:
    """Cuts a log into several windows of time, each with sessions to train on and to test on.

    With `T` the start of the last session, window i of n (0 is the oldest) tests the sessions that
    start in `(e - test_days, e]`, `e = T - (n - 1 - i) shift_days`, and trains on those that start
    in `(e - test_days - train_days, e - test_days]`. A difference that one split shows by chance is
    rarely in all n.

    Args:
        sessions: Sessions to split.
        num_windows: n.
        train_days: Days of 24 hours to train on.
        test_days: Days to test on.
        shift_days: Days from one window to the next. Defaults to None: `test_days`, so that no
            session is tested twice.
        history: As for `split_by_time`: earlier sessions of a test session's user, of the same
            window. Defaults to `False`.

    Returns:
        `(train, test)` of each window, the oldest first.

    Raises:
        ValueError: If a number is not positive, or a window leaves one side without sessions.

    Example:

    >>> import polars as pl
    >>> from tfsessionrec.data import sessionize, sliding_windows
    >>> day = [0, 1, 2, 3]
    >>> log = pl.DataFrame({"u": day, "item_id": day, "timestamp": [86_400 * n for n in day]})
    >>> for train, test in sliding_windows(sessionize(log, user="u", gap=60), 2, 2, 1):
    ...     print(train.events["item_id"].to_list(), test.events["item_id"].to_list())
    [0, 1] [2]
    [1, 2] [3]

    References:
        Evaluation of session-based recommendation algorithms (Ludewig & Jannach, 2018), section 4.
    """
    instance("sessions", sessions, Sessions)
    positive_integer("num_windows", num_windows)
    shift = test_days if shift_days is None else shift_days
    days = {"train_days": train_days, "test_days": test_days, "shift_days": shift}
    for name, value in days.items():
        _check_days(name, value)
    last = _last_start(sessions)
    windows = []
    for number in range(num_windows):
        end = last - (num_windows - 1 - number) * shift * DAY
        cut = end - test_days * DAY
        starts = sessions.events.with_columns(_at=_start())
        within = (pl.col("_at") > cut - train_days * DAY) & (pl.col("_at") <= end)
        window = _renumbered(starts.filter(within).drop("_at"))
        late = window.events.select((_start() > cut).alias("late"))["late"]
        if late.all() or not late.any():
            raise ValueError(
                f"Window {number} of `num_windows`={num_windows} should have sessions to train on "
                f"and to test on. Received: {len(late) - int(late.sum()):,} events in the "
                f"`train_days`={train_days} days until {cut:.0f} (unix seconds), "
                f"{int(late.sum()):,} in the `test_days`={test_days} days after it"
            )
        first_late = window.events.filter(late).select(_start().min()).item()
        windows.append(split_by_time(window, first_late, history=history))
    return windows


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
    instance("sessions", sessions, Sessions)
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


def _check_days(name: str, days: float) -> None:
    if isinstance(days, bool) or not isinstance(days, (int, float, np.number)) or not days > 0:
        raise ValueError(f"`{name}` should be a positive number. Received: `{name}`={days!r}")


def _last_start(sessions: Sessions) -> float:
    """When the last session started."""
    last = sessions.events.select(_start().max()).item()
    if last is None:
        raise ValueError("`sessions` should hold at least one session. Received: none")
    return last


def _start() -> pl.Expr:
    """The time of the session's first interaction, on each of its rows."""
    return pl.when(starts_session()).then("timestamp").forward_fill()


def _renumbered(events: pl.DataFrame) -> Sessions:
    return Sessions(events.with_columns(session_index_from(starts_session())))
