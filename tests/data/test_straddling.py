"""Sessions that run across a cut in time: nothing at the cut or later is trained on."""

import pathlib
from collections.abc import Callable

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from tfsessionrec.data import (
    Sessions,
    Vocabulary,
    expand_prefixes,
    expand_targets,
    flatten_sessions,
    last_days,
    merge_sessions,
    protocol_batches,
    session_dataset,
    sessionize,
    sliding_windows,
    split_by_rule,
    split_by_time,
)
from tfsessionrec.data.examples.objectives import training_examples
from tfsessionrec.data.splits import DAY
from tfsessionrec.history_spec import HistorySpec

Table = Callable[[str], pl.DataFrame]
Show = Callable[..., list[str]]

VISITS = """
    user  session  item_id  timestamp
    ann   1        a        90
    ann   1        b        95
    ann   1        c        150     # ann's first session goes on after 100
    ann   1        d        160
    ann   2        e        97      # and another one runs meanwhile
    ann   3        f        200
    bob   4        a        120
"""


@pytest.fixture
def sessions(table: Table) -> Sessions:
    return sessionize(table(VISITS), user="user", session="session")


@pytest.fixture
def test(sessions: Sessions) -> Sessions:
    return split_by_time(sessions, at=100, history=True)[1]


def test_an_item_of_the_test_period_is_not_trained_on(show: Show) -> None:
    columns = {"s": [1, 1, 2], "item_id": ["a", "later", "a"], "timestamp": [90, 150, 120]}
    log = pl.DataFrame(columns)
    train, test = split_by_time(sessionize(log, session="s"), at=100)
    assert show(train, True) == ["1 0: a *"]
    assert show(test, True) == ["1 0: later *", "2 0: a *"]


def test_the_earlier_part_is_context_of_the_rest(test: Sessions, show: Show) -> None:
    assert show(test, True) == ["ann 0: a b | c d *", "ann 1: e", "ann 2: f *", "bob 0: a *"]
    # Within the session each item is asked after what came before it, the first after the cut too.
    asked = expand_prefixes(test)
    assert show(asked, True) == ["0 0: a b", "0 1: c *", "1 0: a b c", "1 1: d *"]
    # The rest is a session to predict, and the part before the cut is the newest of the history
    # but for a session that started after that part did.
    assert show(expand_targets(test), True) == [
        "0 0: a b",
        "0 1: e",
        "0 2: c d *",
        "1 0: a b",
        "1 1: e",
        "1 2: c d",
        "1 3: f *",
    ]


def test_other_layouts_of_the_test(test: Sessions, show: Show) -> None:
    assert show(flatten_sessions(test), True)[:4] == [
        "ann 0: a",
        "ann 1: b",
        "ann 2: c *",
        "ann 3: d *",
    ]
    divided = test.split_targets()
    assert show(divided, True)[:4] == ["ann 0: a b", "ann 1: e", "ann 2: c d *", "ann 3: f *"]
    assert divided.events["session_id"].to_list()[:5] == [1, 1, 2, 1, 1]
    assert divided.split_targets() is divided
    first = test.events.filter(pl.col("session_id") == 1)
    assert show(flatten_sessions(Sessions(first), except_last=True), True) == [
        "ann 0: a",
        "ann 1: b",
        "ann 2: c d *",
    ]
    assert show(merge_sessions(Sessions(first), except_last=True), True) == [
        "ann 0: a b",
        "ann 1: c d *",
    ]
    assert show(test.targets(), True) == ["ann 0: c d *", "ann 1: f *", "bob 0: a *"]


def test_batches_of_the_test(test: Sessions) -> None:
    vocabulary = Vocabulary(["a", "b", "c", "d", "e", "f"])
    (batch,) = session_dataset(test, vocabulary)
    assert batch["item_ids"][0].numpy().tolist() == [[2, 3], [6, 0], [4, 5], [7, 0]]
    assert batch["is_target"][0].numpy().tolist() == [False, False, True, True]
    assert batch["session_times"][0].numpy().tolist() == [90, 97, 150, 200]
    first = Sessions(test.events.filter(pl.col("session_id") == 1))
    (batch,) = session_dataset(first, vocabulary, targets="last")
    assert batch["item_ids"].numpy().tolist() == [[[2, 3]]]
    assert batch["target_ids"].numpy().tolist() == [[4, 5]]


@pytest.mark.parametrize("kind", ["real", "item"])
def test_a_position_knows_the_part_before_the_cut(test: Sessions, kind: str) -> None:
    """The same two questions, whether a model answers one at a time or all positions at once."""
    vocabulary = Vocabulary(["a", "b", "c", "d", "e", "f"])
    spec = HistorySpec(session=kind, first_item_index=vocabulary.first_item_index)  # type: ignore[arg-type]
    questions = []
    for batch in protocol_batches("next_item", test, vocabulary, spec):
        for row, items in enumerate(batch["item_ids"].numpy()):
            if kind == "item":
                asked = batch["is_target"].numpy()[row].nonzero()[0]
                questions += [(items[:at].ravel().tolist(), items[at, 0]) for at in asked]
            else:
                known = items[items > 0].tolist()
                questions.append((known, batch["target_ids"].numpy()[row, 0]))
    assert sorted(questions) == [([2, 3], 4), ([2, 3, 4], 5)]


def test_the_rest_of_a_session_is_trained_on_from_the_cut(test: Sessions, show: Show) -> None:
    """As with `since`: earlier interactions are read, not predicted."""
    sequences = training_examples(test, "next_session", HistorySpec())
    assert sequences.log["is_target"].to_list()[:6] == [False, False, False, True, True, True]
    rests = training_examples(test, "rest_of_session", HistorySpec(max_sessions=1))
    assert show(rests, True) == ["0 0: a b", "0 1: c d *", "1 0: a b c", "1 1: d *"]


def test_last_days(table: Table, show: Show) -> None:
    log = table("""
        session  item_id  timestamp
        1        a        100000
        1        b        113600    # exactly a day before the last session starts
        2        c        200000
    """)
    train, test = last_days(sessionize(log, session="session"), 1)
    assert show(train) == ["1 0: a"]
    assert show(test) == ["1 0: b", "2 0: c"]
    with pytest.raises(ValueError, match="`straddling`='drop', interactions from 100000"):
        last_days(sessionize(log, session="session"), 1, straddling="drop")


WINDOWS = """
    session  item_id  timestamp
    1        a        -86300    # runs from before the first window to its end
    1        b        100
    2        c        86399
    2        d        86401     # past the first cut: the test of window 0
    2        e        172801    # past its end: the test of window 1
    3        f        90000
    4        g        172800
    5        h        259200    # the last session starts: days are counted from here
    5        i        259300
"""


def test_windows(table: Table, show: Show) -> None:
    sessions = sessionize(table(WINDOWS), session="session")
    cut = sliding_windows(sessions, 2, train_days=1, test_days=1)
    assert [(show(train), show(test)) for train, test in cut] == [
        (["1 0: b", "2 0: c"], ["2 0: d", "3 0: f", "4 0: g"]),
        (["2 0: d", "3 0: f", "4 0: g"], ["2 0: e", "5 0: h i"]),
    ]
    ((_, test),) = sliding_windows(sessions, 1, 10, 1, history=True)
    assert show(test, True) == ["2 0: c d | e *", "5 0: h i *"]
    # A session that is whole in one window is tested as a whole.
    drop = sliding_windows(sessions, 2, train_days=2.5, test_days=1, straddling="drop")
    assert [(show(train), show(test)) for train, test in drop] == [
        (["1 0: a b"], ["3 0: f", "4 0: g"]),
        (["3 0: f", "4 0: g"], ["5 0: h i"]),
    ]


def test_rules_of_the_command_line(sessions: Sessions) -> None:
    for rule, straddling in (("", "cut"), (",straddling=cut", "cut"), (",straddling=drop", "drop")):
        found = split_by_rule(sessions, f"after=100{rule}")
        expected = split_by_time(sessions, 100, True, straddling)  # type: ignore[arg-type]
        for one, other in zip(found, expected, strict=True):
            assert_frame_equal(one.events, other.events)
    days = 50 / DAY  # the last session starts at 200: a cut at 150
    found = split_by_rule(sessions, f"last-days={days:.10f},straddling=drop")
    assert found[0].events["item_id"].to_list() == ["e", "a"]
    found = split_by_rule(sessions, f"window=0/1,{days:.10f},{days:.10f},straddling=drop")
    assert found[0].events["item_id"].to_list() == ["a"]
    for wrong in ("after=100,straddling=", "after=100,straddling=half"):
        with pytest.raises(ValueError, match=r"`straddling` should be 'cut' or 'drop'\. Received"):
            split_by_rule(sessions, wrong)
    for wrong in ("last-session,straddling=drop", "none,straddling=cut", "straddling=cut"):
        with pytest.raises(ValueError, match=r"What is held out .* may end in ,straddling=drop"):
            split_by_rule(sessions, wrong)


LOGS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 50)), min_size=1, max_size=30
)


def made(events: list[tuple]) -> Sessions:
    log = pl.DataFrame(events, schema=["user", "session", "timestamp"], orient="row")
    return sessionize(log.with_row_index("item_id"), user="user", session="session")


@given(LOGS, st.integers(1, 50), st.booleans(), st.sampled_from(["cut", "drop"]))
@settings(max_examples=100)
def test_a_split_by_time_partitions(
    events: list[tuple], at: int, history: bool, straddling: str
) -> None:
    """Items are numbered by row: an item is an interaction."""
    times: dict[tuple, list[int]] = {}
    for user, session, time in events:
        times.setdefault((user, session), []).append(time)
    sessions = made(events)
    whole = {name for name, own in times.items() if not min(own) < at <= max(own)}
    kept = {n for n, event in enumerate(events) if straddling == "cut" or event[:2] in whole}
    late = {n for n in kept if events[n][2] >= at}
    if not late or late == kept:
        with pytest.raises(ValueError, match="`at` should leave interactions on both sides"):
            split_by_time(sessions, at, history, straddling)  # type: ignore[arg-type]
        return
    train, test = split_by_time(sessions, at, history, straddling)  # type: ignore[arg-type]
    assert train.events["timestamp"].max() < at
    assert sorted(train.events["item_id"]) == sorted(kept - late)
    assert train.events["is_target"].all()
    targets = test.events.filter("is_target")["item_id"]
    assert sorted(targets) == sorted(late)
    users = {events[n][0] for n in late}
    before = {n for n in kept - late if history and events[n][0] in users}
    assert sorted(test.events.filter(~pl.col("is_target"))["item_id"]) == sorted(before)
    for part in (train, test, test.split_targets()):
        names = part.events.group_by("user_id", "session_index").agg(
            pl.col("session_id").n_unique()
        )
        assert (names["session_id"] == 1).all()
    divided = test.split_targets().events
    assert sorted(divided["item_id"]) == sorted(test.events["item_id"])
    uniform = divided.group_by("user_id", "session_index").agg(pl.col("is_target").n_unique())
    assert (uniform["is_target"] == 1).all()


@given(
    LOGS,
    st.integers(1, 3),
    st.integers(1, 20),
    st.integers(1, 20),
    st.sampled_from(["cut", "drop"]),
)
@settings(max_examples=100)
def test_windows_test_nothing_twice(
    events: list[tuple], number: int, train: int, test: int, straddling: str
) -> None:
    last = max(
        made(events)
        .events.group_by("user_id", "session_id")
        .agg(pl.col("timestamp").min())["timestamp"]
    )
    try:
        windows = sliding_windows(
            made(events), number, train / DAY, test / DAY, None, True, straddling
        )  # type: ignore[arg-type]
    except ValueError:
        return
    tested: list[int] = []
    for place, (learned, asked) in enumerate(windows):
        cut = last - (number - 1 - place) * test - test
        assert learned.events["timestamp"].max() <= cut + 1e-6
        targets = asked.events.filter("is_target")
        assert targets["timestamp"].min() > cut - 1e-6
        assert not set(learned.events["item_id"]) & set(targets["item_id"])
        tested += targets["item_id"].to_list()
    assert len(tested) == len(set(tested))


def test_no_click_of_the_test_hours_of_globo_is_trained_on(shared_data: pathlib.Path) -> None:
    """1,678 were, of sessions that began before; they brought in 353 articles of the test."""
    sessions = sessionize(
        shared_data / "globo_clicks_hours_000_095.parquet",
        user="user_id",
        session="session_id",
        item="click_article_id",
        time="click_timestamp",
        time_unit="ms",
    )
    at = "2017-10-04T03:00:00"  # of hour 72
    late = pl.col("timestamp") >= 1507086000
    start = pl.col("timestamp").min().over("user_id", "session_index")
    straddle = sessions.events.filter(late & (start < 1507086000))
    assert len(straddle) == 1678
    for straddling, left_out in (("cut", 0), ("drop", 1678)):
        train, test = split_by_rule(sessions, f"after={at},straddling={straddling}")
        assert train.events.filter(late).is_empty()
        assert len(test.targets().events) == 222_650 + 1678 - left_out
        new = set(straddle["item_id"]) - set(train.events["item_id"])
        assert len(new) == 353 or straddling == "drop"
