"""The whole history as one session."""

from collections.abc import Callable

import polars as pl
import pytest

from tfsessionrec.data import Sessions, merge_sessions, sessionize

Show = Callable[..., list[str]]


@pytest.fixture
def sessions(table: Callable[[str], pl.DataFrame]) -> Sessions:
    log = table("""
        user  session  item_id  timestamp  taken
        ann   1        a        1          1
        ann   1        b        2          0
        ann   2        c        3          1
        ann   3        d        4          1
        ann   3        e        5          0
        bob   4        f        6          1
    """)
    return sessionize(log, user="user", session="session", label="taken")


def test_one_session_a_user(sessions: Sessions, show: Show) -> None:
    merged = merge_sessions(sessions)
    assert show(merged, True) == ["ann 0: a b- c d e- *", "bob 0: f *"]
    assert merged.events["session_id"].to_list() == [1, 1, 2, 3, 3, 4]


def test_the_last_one_stays_apart(sessions: Sessions, show: Show) -> None:
    assert show(merge_sessions(sessions, except_last=True), True) == [
        "ann 0: a b- c *",
        "ann 1: d e- *",
        "bob 0: f *",
    ]


def test_a_target_only_where_all_were(sessions: Sessions, show: Show) -> None:
    late = pl.col("session_index") > 0
    some = Sessions(sessions.events.with_columns(is_target=late))
    assert show(merge_sessions(some), True) == ["ann 0: a b- c d e-", "bob 0: f"]
    assert show(merge_sessions(some, except_last=True), True) == [
        "ann 0: a b- c",
        "ann 1: d e- *",
        "bob 0: f",
    ]
