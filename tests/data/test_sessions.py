"""The table itself: what it counts, what it refuses."""

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tfsessionrec.data import Sessions, sessionize

Table = Callable[[str], pl.DataFrame]
Show = Callable[..., list[str]]


@pytest.fixture
def sessions(table: Table) -> Sessions:
    log = table("""
        user  session  item_id  timestamp  clicked
        ann   1        a        10         1
        bob   1        a        20         1
        ann   1        b        11         0
        ann   2        c        90         1
        cat   5        a        30         1
    """)
    return sessionize(log, user="user", session="session", label="clicked")


def test_counts(sessions: Sessions) -> None:
    assert repr(sessions) == (
        "Sessions(num_users=3, num_sessions=4, num_events=5, has_negatives=True)"
    )
    positives = Sessions(sessions.events.with_columns(label=pl.lit(1.0, pl.Float32)))
    assert not positives.has_negatives


def test_equal_session_index_of_neighbours_is_two_sessions(sessions: Sessions) -> None:
    # bob's only session and cat's are neighbors, both with index 0.
    assert sessions.filter_users(["bob", "cat"]).num_sessions == 2


def test_no_events_are_counted_too(sessions: Sessions) -> None:
    assert repr(Sessions(sessions.events.clear())) == (
        "Sessions(num_users=0, num_sessions=0, num_events=0, has_negatives=False)"
    )


def test_frozen(sessions: Sessions) -> None:
    with pytest.raises(AttributeError):
        sessions.events = sessions.events  # type: ignore[misc]


def test_filter_users(sessions: Sessions, show: Show) -> None:
    for some in (["cat", "ann"], np.array(["cat", "ann"]), pl.Series(["cat", "ann", "eve"])):
        assert show(sessions.filter_users(some)) == ["ann 0: a b-", "ann 1: c", "cat 0: a"]
    assert sessions.filter_users([]).num_events == 0


def test_filter_users_of_another_type(sessions: Sessions) -> None:
    with pytest.raises(ValueError, match=r"`user_ids` should be of the users' type, String.*Int64"):
        sessions.filter_users([1])


def test_concat(table: Table, show: Show, sessions: Sessions) -> None:
    later = sessionize(
        table("""
            user  session  item_id  timestamp  clicked
            eve   1        d        100        1
            ann   9        e        5          0
            ann   9        f        6          1
            bob   1        g        7          1    # the same name in another part
        """),
        user="user",
        session="session",
        label="clicked",
    )
    assert show(Sessions.concat([sessions, later])) == [
        "ann 0: a b-",
        "ann 1: c",
        "ann 2: e- f",  # of the later part, so after, whatever its time
        "bob 0: a",
        "bob 1: g",
        "cat 0: a",
        "eve 0: d",
    ]
    assert_frame_equal(Sessions.concat([sessions]).events, sessions.events)


def test_concat_of_nothing_and_of_unlike_parts(sessions: Sessions) -> None:
    with pytest.raises(ValueError, match="`parts` should hold at least one"):
        Sessions.concat([])
    other = Sessions(sessions.events.with_columns(city=pl.lit("rome")))
    with pytest.raises(ValueError, match=r"`parts` should have the same columns.*city"):
        Sessions.concat([sessions, other])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            pl.col("item_id").cast(pl.Categorical),
            r"'item_id' should be Int64 or String.*Categorical",
        ),
        (pl.col("timestamp").cast(pl.Int64), "'timestamp' should be Float64"),
        (pl.col("label") * 0.5, "only the labels 0 and 1"),
        (pl.when(pl.col("label") == 1).then("label"), "'label' should have no nulls. Received: 1"),
        (pl.col("user_id").sort_by("timestamp"), "the rows of each user together"),
        (pl.col("session_index") + 1, "`session_index` 0, 1, 2"),
        (pl.col("session_index") * 2, "`session_index` 0, 1, 2"),
        (-pl.col("session_index"), "`session_index` 0, 1, 2"),
        (pl.col("label").cast(pl.Boolean).alias("is_target"), "one value of `is_target`"),
    ],
)
def test_wrong_tables(sessions: Sessions, change: pl.Expr, message: str) -> None:
    with pytest.raises(ValueError, match=f"`events` .*{message}"):
        Sessions(sessions.events.with_columns(change))


def test_wrong_columns(sessions: Sessions) -> None:
    with pytest.raises(ValueError, match=r"`events` should have a column 'item_id'"):
        Sessions(sessions.events.drop("item_id"))
    with pytest.raises(ValueError, match=r"`events` should be a Polars DataFrame.*dict"):
        Sessions({})  # type: ignore[arg-type]
