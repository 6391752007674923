"""One example a session that is to be predicted."""

from collections.abc import Callable

import polars as pl
import pytest

from tfsessionrec.data import Sessions, expand_targets, sessionize

Show = Callable[..., list[str]]


@pytest.fixture
def sessions(table: Callable[[str], pl.DataFrame]) -> Sessions:
    log = table("""
        user  session  item_id  timestamp
        ann   1        a        1
        ann   1        b        2
        ann   2        c        3
        ann   3        d        4
        ann   3        e        5
        bob   4        f        6
    """)
    return sessionize(log, user="user", session="session")


def test_each_target_after_what_went_before(sessions: Sessions, show: Show) -> None:
    expected = ["0 0: a b", "0 1: c *", "1 0: a b", "1 1: c", "1 2: d e *"]
    assert show(expand_targets(sessions, max_sessions=9), True) == expected


def test_the_newest_of_it(sessions: Sessions, show: Show) -> None:
    expected = ["0 0: a b", "0 1: c *", "1 0: c", "1 1: d e *"]
    assert show(expand_targets(sessions, max_sessions=1), True) == expected


def test_empty_histories_if_asked_for(sessions: Sessions, show: Show) -> None:
    examples = expand_targets(sessions, max_sessions=1, empty_history=True)
    assert show(examples, True) == [
        "0 0: a b *",
        "1 0: a b",
        "1 1: c *",
        "2 0: c",
        "2 1: d e *",
        "3 0: f *",
    ]


def test_only_targets(sessions: Sessions, show: Show) -> None:
    last = Sessions(sessions.events.with_columns(is_target=pl.col("session_index") == 2))
    expected = ["0 0: a b", "0 1: c", "0 2: d e *"]
    assert show(expand_targets(last, max_sessions=9), True) == expected
    with pytest.raises(ValueError, match="after another session of the same user"):
        expand_targets(sessions.filter_users(["bob"]), max_sessions=1)
