"""Training and test sessions."""

import datetime
import math
from typing import Literal, get_args

import numpy as np
import polars as pl

from tfsessionrec.checks import boolean, instance, positive_integer
from tfsessionrec.data.sessions import Sessions, renumbered, starts_session
from tfsessionrec.data.times import to_seconds

DAY = 86_400

Straddling = Literal["cut", "drop"]
"""What happens to a session that a cut in time divides: see `split_by_time`."""


def split_by_time(
    sessions: Sessions,
    at: float | str | datetime.date,
    history: bool = False,
    straddling: Straddling = "cut",
) -> tuple[Sessions, Sessions]:
    """Splits at a point in time: nothing that happened at that time or later is trained on.

    Args:
        sessions: Sessions to split.
        at: Unix seconds, a datetime (UTC unless it has a time zone) or an ISO 8601 string.
        history: If True, the test also has what its users did before `at`, as history that is not
            a target. Defaults to `False`.
        straddling: What happens to a session with interactions before `at` and after. `"cut"`
            (default): those before `at` are trained on, and the rest is a target; with `history`
            both parts are one session of the test, whose column `is_target` is False, then True.
            `"drop"`: it is left out of both parts.

    Returns:
        `(train, test)`: the interactions before `at`, and those at `at` or later.

    Raises:
        ValueError: If `at` is not a time, or leaves one side without interactions, or `straddling`
            is unknown.

    Example:

    >>> import polars as pl
    >>> from tfsessionrec.data import sessionize, split_by_time
    >>> log = pl.DataFrame({"u": [1, 1, 2], "item_id": [5, 6, 7], "timestamp": [0, 100, 50]})
    >>> train, test = split_by_time(sessionize(log, user="u", gap=60), at=100)
    >>> train.events["item_id"].to_list(), test.events["item_id"].to_list()
    ([5, 7], [6])
    """
    instance("sessions", sessions, Sessions)
    boolean("history", history)
    second = to_seconds(at, "at")
    parted = _parted(sessions.events, pl.col("timestamp") >= second, straddling)
    if _one_sided(parted):
        time = pl.col("timestamp")
        first, last = sessions.events.select(time.min(), time.max().alias("last")).row(0)
        raise ValueError(
            "`at` should leave interactions on both sides. "
            f"Received: `at`={at!r} ({second}), `straddling`={straddling!r}, interactions from "
            f"{first} to {last}"
        )
    return _train_and_test(parted, history)


def last_days(
    sessions: Sessions, days: float, history: bool = False, straddling: Straddling = "cut"
) -> tuple[Sessions, Sessions]:
    """Holds out what happened in the last days of the log.

    Args:
        sessions: Sessions to split.
        days: The test begins this many times 24 hours before the start of the last session.
        history: As for `split_by_time`. Defaults to `False`.
        straddling: As for `split_by_time`. Defaults to `"cut"`.

    Returns:
        `(train, test)`.

    Raises:
        ValueError: If `days` is not positive, or leaves one side without interactions, or
            `straddling` is unknown.

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
    return split_by_time(sessions, _last_start(sessions) - days * DAY, history, straddling)


def sliding_windows(
    sessions: Sessions,
    num_windows: int,
    train_days: float,
    test_days: float,
    shift_days: float | None = None,
    history: bool = False,
    straddling: Straddling = "cut",
) -> list[tuple[Sessions, Sessions]]:
    """Cuts a log into several windows of time, each with interactions to train on and to test on.

    With `T` the start of the last session, window i of n (0 is the oldest) tests what happened in
    `(e - test_days, e]`, `e = T - (n - 1 - i) shift_days`, and trains on what happened in
    `(e - test_days - train_days, e - test_days]`; the last window also tests how the sessions that
    run at `T` go on. A difference that one split shows by chance is rarely in all n.

    Args:
        sessions: Sessions to split.
        num_windows: n.
        train_days: Days of 24 hours to train on.
        test_days: Days to test on.
        shift_days: Days from one window to the next. Defaults to None: `test_days`, so that no
            interaction is tested twice.
        history: As for `split_by_time`: what the users of the test did earlier in the same window.
            Defaults to `False`.
        straddling: What happens to a session that goes on after the end of a period. `"cut"`
            (default): each period has the interactions within it. `"drop"`: a session belongs to
            the window in which it starts, and one with interactions to train on and to test on is
            left out of both.

    Returns:
        `(train, test)` of each window, the oldest first.

    Raises:
        ValueError: If a number is not positive, or a window leaves one side without interactions,
            or `straddling` is unknown.

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
        _check_days(name, value, infinite=name == "train_days")
    boolean("history", history)
    last = _last_start(sessions)
    windows = []
    for number in range(num_windows):
        later = num_windows - 1 - number
        end = last - later * shift * DAY
        cut = end - test_days * DAY
        time = _start() if straddling == "drop" else pl.col("timestamp")
        events = sessions.events.with_columns(_at=time)
        within = (pl.col("_at") > cut - train_days * DAY) & ((pl.col("_at") <= end) | (later == 0))
        window = events.filter(within).drop("_at")
        parted = _parted(window, pl.col("timestamp") > cut, straddling)
        if _one_sided(parted):
            num_late = int(parted["_late"].sum())
            raise ValueError(
                f"Window {number} of `num_windows`={num_windows} should have interactions to train "
                f"on and to test on. Received: {len(parted) - num_late:,} in the "
                f"`train_days`={train_days} days until {cut:.0f} (unix seconds), {num_late:,} in "
                f"the `test_days`={test_days} days after it"
            )
        windows.append(_train_and_test(parted, history))
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


def _check_days(name: str, days: float, infinite: bool = False) -> None:
    is_number = isinstance(days, (int, float, np.number)) and not isinstance(days, bool)
    if not is_number or not days > 0 or (math.isinf(days) and not infinite):
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


def _parted(events: pl.DataFrame, late: pl.Expr, straddling: Straddling) -> pl.DataFrame:
    """The interactions that are trained on or tested, with the column `_late` for the latter."""
    if straddling not in get_args(Straddling):
        raise ValueError(
            f"`straddling` should be 'cut' or 'drop'. Received: `straddling`={straddling!r}"
        )
    events = events.with_columns(_late=late)
    if straddling == "cut":
        return events
    late = pl.col("_late")
    session = ("user_id", "session_index")
    return events.filter(late.all().over(session) | ~late.any().over(session))


def _one_sided(parted: pl.DataFrame) -> bool:
    return parted["_late"].all() or not parted["_late"].any()


def _train_and_test(parted: pl.DataFrame, history: bool) -> tuple[Sessions, Sessions]:
    late = pl.col("_late")
    test = parted.filter(late)
    if history:
        test = parted.filter(late.any().over("user_id"))
        test = test.with_columns(is_target=pl.col("is_target") & late)
    return renumbered(parted.filter(~late).drop("_late")), renumbered(test.drop("_late"))
