"""Sessions of one item, and one session of all items."""

from collections.abc import Callable

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from tfsessionrec.data import (
    Sessions,
    flatten_sessions,
    leave_last_session_out,
    merge_sessions,
    sessionize,
)

Table = Callable[[str], pl.DataFrame]
Show = Callable[..., list[str]]


@pytest.fixture
def sessions(table: Table) -> Sessions:
    log = table("""
        user  session  item_id  timestamp  clicked
        ann   1        a        10         1
        ann   1        b        10         0
        ann   1        c        10         1
        ann   2        d        5          0
        bob   3        e        20         0
        cat   4        f        20         1
        cat   4        g        21         1
        cat   4        h        21         0
        ann   5        i        30         1
        ann   5        j        31         1
    """)
    return sessionize(log, user="user", session="session", label="clicked")


def test_negatives_dropped(sessions: Sessions, show: Show) -> None:
    flat = flatten_sessions(sessions)
    assert show(flat) == [
        "ann 0: a",
        "ann 1: c",
        "ann 2: i",
        "ann 3: j",
        "cat 0: f",
        "cat 1: g",
    ]
    assert flat.events["session_id"].to_list() == [1, 1, 5, 5, 4, 4]
    assert flat.events["timestamp"].to_list() == [10, 10, 30, 31, 20, 21]


def test_negatives_kept(sessions: Sessions, show: Show) -> None:
    assert show(flatten_sessions(sessions, negatives="keep")) == [
        "ann 0: d-",
        "ann 1: a",
        "ann 2: b-",
        "ann 3: c",
        "ann 4: i",
        "ann 5: j",
        "bob 0: e-",
        "cat 0: f",
        "cat 1: g",
        "cat 2: h-",
    ]


def test_except_last(sessions: Sessions, show: Show) -> None:
    assert show(flatten_sessions(sessions, except_last=True)) == [
        "ann 0: a",
        "ann 1: c",
        "ann 2: i j",
        "bob 0: e-",
        "cat 0: f g h-",
    ]
    assert show(flatten_sessions(sessions, negatives="keep", except_last=True)) == [
        "ann 0: d-",
        "ann 1: a",
        "ann 2: b-",
        "ann 3: c",
        "ann 4: i j",
        "bob 0: e-",
        "cat 0: f g h-",
    ]


def test_a_target_gives_targets(sessions: Sessions, show: Show) -> None:
    _, test = leave_last_session_out(sessions)
    assert show(flatten_sessions(test), True) == [
        "ann 0: a",
        "ann 1: c",
        "ann 2: i *",
        "ann 3: j *",
    ]
    assert show(flatten_sessions(test, except_last=True), True) == [
        "ann 0: a",
        "ann 1: c",
        "ann 2: i j *",
    ]


def test_no_positives(sessions: Sessions) -> None:
    with pytest.raises(ValueError, match="`sessions` should hold a positive interaction"):
        flatten_sessions(sessions.filter_users(["bob"]))


def test_wrong_negatives(sessions: Sessions) -> None:
    with pytest.raises(ValueError, match=r"`negatives` should be 'drop' or 'keep'.*'hide'"):
        flatten_sessions(sessions, negatives="hide")  # type: ignore[arg-type]


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 9)), min_size=1, max_size=25
    )
)
@settings(max_examples=50)
def test_only_session_index_changes(events: list[tuple]) -> None:
    log = pl.DataFrame(events, schema=["user", "session", "timestamp"], orient="row")
    sessions = sessionize(log.with_row_index("item_id"), user="user", session="session")
    flat = flatten_sessions(sessions)
    assert_frame_equal(flat.events.drop("session_index"), sessions.events.drop("session_index"))
    assert flat.num_sessions == flat.num_events
    assert_frame_equal(flatten_sessions(flat).events, flat.events)


@pytest.fixture
def three_visits(table: Table) -> Sessions:
    log = table("""
        user  session  item_id  timestamp  clicked
        ann   1        a        1          1
        ann   1        b        2          0
        ann   2        c        3          1
        ann   3        d        4          1
        ann   3        e        5          0
        bob   4        f        6          1
    """)
    return sessionize(log, user="user", session="session", label="clicked")


def test_one_session_a_user(three_visits: Sessions, show: Show) -> None:
    merged = merge_sessions(three_visits)
    assert show(merged, True) == ["ann 0: a b- c d e- *", "bob 0: f *"]
    assert merged.events["session_id"].to_list() == [1, 1, 2, 3, 3, 4]


def test_the_last_one_stays_apart(three_visits: Sessions, show: Show) -> None:
    assert show(merge_sessions(three_visits, except_last=True), True) == [
        "ann 0: a b- c *",
        "ann 1: d e- *",
        "bob 0: f *",
    ]


def test_a_target_only_where_all_were(three_visits: Sessions, show: Show) -> None:
    late = pl.col("session_index") > 0
    some = Sessions(three_visits.events.with_columns(is_target=late))
    assert show(merge_sessions(some), True) == ["ann 0: a b- c d e-", "bob 0: f"]
    assert show(merge_sessions(some, except_last=True), True) == [
        "ann 0: a b- c",
        "ann 1: d e- *",
        "bob 0: f",
    ]
