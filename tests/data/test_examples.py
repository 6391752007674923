"""Histories and targets as row ranges of a log."""

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tfsessionrec.data import Examples, Sessions, expand_prefixes, expand_targets, sessionize

Table = Callable[[str], pl.DataFrame]
Show = Callable[..., list[str]]
Ranges = list[tuple[int, int, int]]


@pytest.fixture
def sessions(table: Table) -> Sessions:
    log = table("""
        user  session  item_id  timestamp  clicked
        ann   1        a        1          1       # row 0
        ann   1        b        2          1
        ann   2        c        3          0       # row 2
        ann   2        d        4          1
        ann   2        e        5          1
        ann   3        f        6          1       # row 5
        bob   4        g        7          1       # row 6
        bob   4        h        8          1
    """)
    return sessionize(log, user="user", session="session", label="clicked")


def ranges(examples: Examples) -> Ranges:
    columns = (examples.begin, examples.target, examples.end)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_sequences(sessions: Sessions) -> None:
    examples = Examples.sequences(sessions)
    assert ranges(examples) == [(0, 6, 6), (6, 8, 8)]
    assert not examples.has_targets
    assert repr(examples) == ("Examples(num_examples=2, kind='sequences', asked='next_start')")


def test_last_sessions(sessions: Sessions) -> None:
    examples = Examples.last_sessions(sessions, asked="last_interaction")
    assert ranges(examples) == [(0, 5, 6), (6, 6, 8)]
    assert repr(examples) == ("Examples(num_examples=2, kind='queries', asked='last_interaction')")
    # A last session that may not be predicted is not in the history either.
    events = sessions.events.with_columns(is_target=pl.col("user_id") == "bob")
    assert ranges(Examples.last_sessions(Sessions(events))) == [(0, 5, 5), (6, 6, 8)]


@pytest.mark.parametrize(
    ("target", "max_sessions", "expected"),
    [
        ("next", None, [(0, 1, 2), (0, 3, 4), (0, 4, 5), (6, 7, 8)]),
        ("rest", None, [(0, 1, 2), (0, 3, 5), (0, 4, 5), (6, 7, 8)]),
        ("next", 1, [(0, 1, 2), (2, 3, 4), (2, 4, 5), (6, 7, 8)]),
    ],
)
def test_prefixes(
    sessions: Sessions, target: str, max_sessions: int | None, expected: Ranges
) -> None:
    examples = expand_prefixes(sessions, target, max_sessions)
    assert ranges(examples) == expected
    assert examples.asked == "last_interaction"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [(0, 2, 5), (0, 5, 6)]),
        ({"max_sessions": 1}, [(0, 2, 5), (2, 5, 6)]),
        ({"empty_history": True}, [(0, 0, 2), (0, 2, 5), (0, 5, 6), (6, 6, 8)]),
    ],
)
def test_targets(sessions: Sessions, options: dict, expected: Ranges) -> None:
    examples = expand_targets(sessions, **options)
    assert ranges(examples) == expected
    assert examples.asked == "next_start"


def test_the_log_is_shared(sessions: Sessions) -> None:
    examples = expand_prefixes(sessions)
    assert examples.log is sessions.events
    assert examples.filter(examples.target > 3).newest(1).log is sessions.events


def test_filter(sessions: Sessions) -> None:
    examples = expand_prefixes(sessions)
    some = examples.filter(np.array([False, True, False, True]))
    assert ranges(some) == [(0, 3, 4), (6, 7, 8)]
    assert some.asked == examples.asked
    none = examples.filter(np.zeros(4, bool))
    assert len(none) == 0
    assert_frame_equal(none.to_sessions().events, examples.to_sessions().events.clear())


def test_newest(sessions: Sessions) -> None:
    # A target inside a session has the start of that session as its newest history.
    assert ranges(expand_prefixes(sessions).newest(1)) == ranges(
        expand_prefixes(sessions, "next", 1)
    )
    assert ranges(expand_targets(sessions).newest(1)) == ranges(expand_targets(sessions, 1))
    assert ranges(expand_targets(sessions).newest(9)) == ranges(expand_targets(sessions))
    assert ranges(Examples.sequences(sessions).newest(2)) == [(2, 6, 6), (6, 8, 8)]
    empty = expand_targets(sessions, empty_history=True).newest(1)
    assert ranges(empty) == [(0, 0, 2), (0, 2, 5), (2, 5, 6), (6, 6, 8)]


def test_to_sessions(sessions: Sessions, show: Show) -> None:
    examples = expand_targets(sessions, empty_history=True)
    assert show(examples.to_sessions(), True) == [
        "0 0: a b *",
        "1 0: a b",
        "1 1: c- d e *",
        "2 0: a b",
        "2 1: c- d e",
        "2 2: f *",
        "3 0: g h *",
    ]
    # A target that cuts a session is a session of its own; the numbers start at 0.
    assert show(expand_prefixes(sessions, "next", 1).to_sessions(), True) == [
        "0 0: a",
        "0 1: b *",
        "1 0: c-",
        "1 1: d *",
        "2 0: c- d",
        "2 1: e *",
        "3 0: g",
        "3 1: h *",
    ]


def test_no_rows(sessions: Sessions) -> None:
    nothing = Sessions(sessions.events.clear())
    for examples in (Examples.sequences(nothing), Examples.last_sessions(nothing)):
        assert len(examples) == 0
        assert examples.to_sessions().num_events == 0


def test_events_warn(sessions: Sessions) -> None:
    examples = expand_targets(sessions)
    with pytest.warns(FutureWarning, match=r"`Examples.events` goes away: use `to_sessions\(\)"):
        events = examples.events
    assert_frame_equal(events, examples.to_sessions().events)
