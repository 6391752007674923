"""One example a position."""

from collections.abc import Callable

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsessionrec.data import Sessions, expand_prefixes, leave_last_session_out, sessionize

Table = Callable[[str], pl.DataFrame]
Show = Callable[..., list[str]]


def test_anonymous(table: Table, show: Show) -> None:
    log = table("""
        session  item_id  timestamp
        s        a        1
        s        b        2
        s        c        2
        t        d        3          # nothing follows it
        u        e        4
        u        e        5          # a repeat is a target like any other
    """)
    examples = expand_prefixes(sessionize(log, session="session"))
    assert show(examples, True) == [
        "0 0: a",
        "0 1: b *",
        "1 0: a b",
        "1 1: c *",
        "2 0: e",
        "2 1: e *",
    ]
    assert examples.to_sessions().events["session_id"].to_list() == ["s"] * 5 + ["u"] * 2


@pytest.fixture
def sessions(table: Table) -> Sessions:
    log = table("""
        user  session  item_id  timestamp  clicked
        ann   1        a        1          1
        ann   1        b        2          1
        ann   2        c        3          0
        ann   2        d        4          1
        ann   2        e        5          0
        ann   2        f        6          1
        bob   3        g        7          1
    """)
    return sessionize(log, user="user", session="session", label="clicked")


def test_history_and_negatives(sessions: Sessions, show: Show) -> None:
    _, test = leave_last_session_out(sessions)
    assert show(expand_prefixes(test), True) == [
        "0 0: a b",
        "0 1: c-",
        "0 2: d *",
        "1 0: a b",
        "1 1: c- d e-",
        "1 2: f *",
    ]


def test_sessions_between_targets_are_history(sessions: Sessions, show: Show) -> None:
    assert show(expand_prefixes(sessions), True) == [
        "0 0: a",
        "0 1: b *",
        "1 0: a b",
        "1 1: c-",
        "1 2: d *",
        "2 0: a b",
        "2 1: c- d e-",
        "2 2: f *",
    ]


def test_nothing_to_expand(sessions: Sessions) -> None:
    with pytest.raises(ValueError, match="`sessions` should hold a target session with a positive"):
        expand_prefixes(sessions.filter_users(["bob"]))


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 9), st.integers(0, 1)),
        min_size=1,
        max_size=20,
    )
)
@settings(max_examples=50)
def test_against_plain_python(events: list[tuple]) -> None:
    log = pl.DataFrame(events, schema=["user", "session", "timestamp", "clicked"], orient="row")
    sessions = sessionize(
        log.with_row_index("item_id"), user="user", session="session", label="clicked"
    )
    expected = []
    for user in sessions.events["user_id"].unique(maintain_order=True):
        history: list[list[int]] = []
        for _, session in sessions.filter_users([user]).events.group_by(
            "session_index", maintain_order=True
        ):
            items, labels = session["item_id"].to_list(), session["label"].to_list()
            expected += [
                [*history, items[:n], [items[n]]] for n in range(1, len(items)) if labels[n]
            ]
            history.append(items)
    if expected:
        rows = expand_prefixes(sessions).to_sessions().events
        rows = rows.group_by("user_id", "session_index").agg("item_id")
        rows = rows.sort("user_id", "session_index").group_by("user_id", maintain_order=True)
        assert rows.agg("item_id")["item_id"].to_list() == expected


def test_the_rest_of_the_session(sessions: Sessions, show: Show) -> None:
    # the same prefixes as for the next item, and all that was shown from there on
    assert show(expand_prefixes(sessions, target="rest"), True) == [
        "0 0: a",
        "0 1: b *",
        "1 0: a b",
        "1 1: c-",
        "1 2: d e- f *",
        "2 0: a b",
        "2 1: c- d e-",
        "2 2: f *",
    ]


def test_the_rest_of_an_anonymous_session(table: Table, show: Show) -> None:
    log = table("""
        session  item_id  timestamp
        s        a        1
        s        b        2
        s        a        3
        t        c        4
    """)
    assert show(expand_prefixes(sessionize(log, session="session"), target="rest"), True) == [
        "0 0: a",
        "0 1: b a *",
        "1 0: a b",
        "1 1: a *",
    ]


@pytest.mark.parametrize("target", ["next", "rest"])
def test_the_newest_sessions_of_a_history(sessions: Sessions, show: Show, target: str) -> None:
    rest = "d e- f" if target == "rest" else "d"
    assert show(expand_prefixes(sessions, target, max_sessions=1), True) == [
        "0 0: a",
        "0 1: b *",
        "1 0: c-",
        f"1 1: {rest} *",
        "2 0: c- d e-",
        "2 1: f *",
    ]
    whole = expand_prefixes(sessions, target)
    assert show(expand_prefixes(sessions, target, max_sessions=2)) == show(whole)


def test_bad_arguments(sessions: Sessions) -> None:
    with pytest.raises(ValueError, match=r"`target` should be 'next' or 'rest'. .*'all'"):
        expand_prefixes(sessions, target="all")
    with pytest.raises(ValueError, match=r"`max_sessions` should be a positive integer. .*=0"):
        expand_prefixes(sessions, max_sessions=0)
