"""Training and test sessions."""

import datetime
from collections.abc import Callable

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from tfsessionrec.data import (
    Sessions,
    last_days,
    leave_last_session_out,
    sessionize,
    sliding_windows,
    split_by_time,
)

Table = Callable[[str], pl.DataFrame]
Show = Callable[..., list[str]]


@pytest.fixture
def sessions(table: Table) -> Sessions:
    log = table("""
        user  session  item_id  timestamp
        ann   1        a        10
        ann   2        b        20
        ann   2        c        120      # ann's second session goes on after the cut
        ann   3        d        100
        bob   4        e        100
        cat   5        f        50
        ann   6        g        130
    """)
    return sessionize(log, user="user", session="session")


def test_by_time(sessions: Sessions, show: Show) -> None:
    train, test = split_by_time(sessions, at=100)
    assert show(train, True) == ["ann 0: a *", "ann 1: b *", "cat 0: f *"]
    assert show(test, True) == ["ann 0: c *", "ann 1: d *", "ann 2: g *", "bob 0: e *"]


def test_by_time_with_history(sessions: Sessions, show: Show) -> None:
    train, test = split_by_time(sessions, at=100, history=True)
    assert show(train, True) == ["ann 0: a *", "ann 1: b *", "cat 0: f *"]
    assert show(test, True) == [
        "ann 0: a",
        "ann 1: b | c *",
        "ann 2: d *",
        "ann 3: g *",
        "bob 0: e *",
    ]


def test_by_time_without_the_sessions_that_straddle(sessions: Sessions, show: Show) -> None:
    train, test = split_by_time(sessions, at=100, history=True, straddling="drop")
    assert show(train, True) == ["ann 0: a *", "cat 0: f *"]
    assert show(test, True) == ["ann 0: a", "ann 1: d *", "ann 2: g *", "bob 0: e *"]


@pytest.mark.parametrize(
    "at",
    [
        100.0,
        "1970-01-01T00:01:40Z",
        datetime.datetime(1970, 1, 1, 0, 1, 40),
        datetime.datetime(1970, 1, 1, 0, 1, 40, tzinfo=datetime.UTC),
    ],
)
def test_points_in_time(sessions: Sessions, at: object) -> None:
    for part, expected in zip(split_by_time(sessions, at), split_by_time(sessions, 100)):  # type: ignore[arg-type]
        assert_frame_equal(part.events, expected.events)


def test_a_side_without_sessions(sessions: Sessions) -> None:
    for at in (10, 131):
        with pytest.raises(
            ValueError, match=rf"`at` should leave .*`at`={at}.*from 10\.0 to 130\.0"
        ):
            split_by_time(sessions, at)
    with pytest.raises(ValueError, match="`at` should be unix seconds"):
        split_by_time(sessions, "soon")


def test_last_days(table: Table, show: Show) -> None:
    log = table("""
        session  item_id  timestamp
        1        a        100000
        2        b        113600    # exactly a day before the last session starts
        3        c        113599
        4        d        200000
        4        e        290000    # and when that ends does not matter
    """)
    train, test = last_days(sessionize(log, session="session"), days=1)
    assert show(train) == ["1 0: a", "3 0: c"]
    assert show(test) == ["2 0: b", "4 0: d e"]
    train, test = last_days(sessionize(log, session="session"), days=0.5)
    assert show(test) == ["4 0: d e"]


def test_last_days_with_history(table: Table, show: Show) -> None:
    log = table("""
        user  item_id  timestamp
        ann   a        1
        bob   b        2
        ann   c        90000
    """)
    train, test = last_days(sessionize(log, user="user", gap="1h"), days=1, history=True)
    assert show(train, True) == ["ann 0: a *", "bob 0: b *"]
    assert show(test, True) == ["ann 0: a", "ann 1: c *"]


@pytest.mark.parametrize("days", [0, -1, float("nan"), True, "1"])
def test_wrong_days(sessions: Sessions, days: object) -> None:
    with pytest.raises(ValueError, match="`days` should be a positive number"):
        last_days(sessions, days)  # type: ignore[arg-type]


def test_more_days_than_the_log(sessions: Sessions) -> None:
    with pytest.raises(ValueError, match="should leave interactions on both sides"):
        last_days(sessions, 1)
    with pytest.raises(ValueError, match="`sessions` should hold at least one session"):
        last_days(Sessions(sessions.events.clear()), 1)


DAYS = """
    user  item_id  timestamp
    ann   a        0
    bob   b        86400
    ann   c        172800
    bob   d        172900     # of bob's second session
    ann   e        259200     # the last session starts: three days after the first
    ann   f        259900     # and goes on
"""


def test_windows_slide_over_the_log(table: Table, show: Show) -> None:
    log = sessionize(table(DAYS), user="user", gap="1h")
    windows = sliding_windows(log, num_windows=2, train_days=1, test_days=1)
    # (0, 1], (1, 2] and (1, 2], (2, 3] days; what started at 172,900 is in the last day.
    assert [(show(train), show(test)) for train, test in windows] == [
        (["bob 0: b"], ["ann 0: c"]),
        (["ann 0: c"], ["ann 0: e f", "bob 0: d"]),
    ]
    (train, test), *others = sliding_windows(log, 1, train_days=10, test_days=1, history=True)
    assert not others
    assert show(train) == ["ann 0: a", "ann 1: c", "bob 0: b"]
    assert show(test, True) == ["ann 0: a", "ann 1: c", "ann 2: e f *", "bob 0: b", "bob 1: d *"]


def test_windows_may_overlap_or_leave_gaps(table: Table, show: Show) -> None:
    log = sessionize(table(DAYS), user="user", gap="1h")
    windows = sliding_windows(log, 2, train_days=1.5, test_days=0.5, shift_days=1)
    assert [(show(train), show(test)) for train, test in windows] == [
        (["bob 0: b"], ["ann 0: c"]),
        (["ann 0: c", "bob 0: d"], ["ann 0: e f"]),
    ]


def test_windows_that_hold_nothing_are_named(table: Table) -> None:
    log = sessionize(table(DAYS), user="user", gap="1h")
    with pytest.raises(ValueError, match=r"Window 0 of `num_windows`=4 .* Received: 0 in"):
        sliding_windows(log, 4, train_days=1, test_days=1)
    with pytest.raises(ValueError, match="`num_windows` should be a positive integer"):
        sliding_windows(log, 0, 1, 1)
    for name in ("train_days", "test_days", "shift_days"):
        days = {"train_days": 1, "test_days": 1, "shift_days": 1, name: 0}
        with pytest.raises(ValueError, match=f"`{name}` should be a positive number"):
            sliding_windows(log, 1, **days)


def test_leave_last_session_out(sessions: Sessions, show: Show) -> None:
    train, test = leave_last_session_out(sessions)
    assert show(train, True) == [
        "ann 0: a *",
        "ann 1: b c *",
        "ann 2: d *",
        "bob 0: e *",
        "cat 0: f *",
    ]
    assert show(test, True) == ["ann 0: a", "ann 1: b c", "ann 2: d", "ann 3: g *"]


def test_leave_out_where_users_have_one_session(sessions: Sessions) -> None:
    with pytest.raises(
        ValueError, match=r"`sessions` should hold a user with at least two sessions.*2 users"
    ):
        leave_last_session_out(sessions.filter_users(["bob", "cat"]))


LOGS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 50)), min_size=1, max_size=30
)


def made(events: list[tuple]) -> Sessions:
    log = pl.DataFrame(events, schema=["user", "session", "timestamp"], orient="row")
    return sessionize(log.with_row_index("item_id"), user="user", session="session")


@given(LOGS)
@settings(max_examples=50)
def test_leave_last_session_out_partitions(events: list[tuple]) -> None:
    sessions = made(events)
    users = sessions.events.group_by("user_id").agg(pl.col("session_index").max())
    several = users.filter(pl.col("session_index") > 0)["user_id"].to_list()
    if not several:
        return
    train, test = leave_last_session_out(sessions)
    held_out = test.events.filter("is_target")
    items = train.events["item_id"].to_list() + held_out["item_id"].to_list()
    assert sorted(items) == list(range(len(events)))
    assert set(test.events["user_id"]) == set(several) == set(held_out["user_id"])
    assert_frame_equal(
        test.events.drop("is_target"), sessions.filter_users(several).events.drop("is_target")
    )
    # What is held out is the end of what is tested.
    last = pl.col("session_index").max().over("user_id") == pl.col("session_index")
    assert_frame_equal(held_out, test.events.filter(last))
