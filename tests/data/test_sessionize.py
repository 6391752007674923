"""Events in, sessions out: literal tables, an oracle in plain Python, and what is refused."""

import datetime
import pathlib
from collections.abc import Callable

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from tfsessionrec.data import Sessions, sessionize

Table = Callable[[str], pl.DataFrame]
Show = Callable[..., list[str]]


def test_by_session_column(table: Table, show: Show) -> None:
    log = table("""
        user  session  item_id  timestamp
        bob   7        a        50
        ann   7        b        10          # another 7: a session belongs to its user
        ann   8        c        90
        bob   6        d        20          # bob's earlier session, later in the file
        ann   7        e        5           # before b
        ann   7        f        95          # 7 started before 8, so it stays before it
        bob   6        g        20          # tied with d, which came first
    """)
    sessions = sessionize(log, user="user", session="session")
    assert show(sessions) == [
        "bob 0: d g",
        "bob 1: a",
        "ann 0: e b f",
        "ann 1: c",
    ]
    assert sessions.events["session_id"].to_list() == [6, 6, 7, 7, 7, 7, 8]
    assert sessions.events["timestamp"].to_list() == [20, 20, 50, 5, 10, 95, 90]
    assert sessions.events["is_target"].all()
    assert sessions.events["label"].to_list() == [1.0] * 7


def test_sessions_that_start_together_keep_the_order_of_the_log(table: Table, show: Show) -> None:
    log = table("""
        user  session  item_id  timestamp
        ann   9        a        10
        ann   2        b        10
        ann   9        c        11
        ann   5        d        10
    """)
    assert show(sessionize(log, user="user", session="session")) == [
        "ann 0: a c",
        "ann 1: b",
        "ann 2: d",
    ]


def test_by_gap(table: Table, show: Show) -> None:
    log = table("""
        user  item_id  timestamp
        ann   a        0
        bob   b        1
        ann   c        1799
        ann   d        3599        # exactly half an hour after c: a new session
        ann   e        3600
        bob   f        1800        # one second short of it
    """)
    sessions = sessionize(log, user="user", gap="30m")
    assert show(sessions) == ["ann 0: a c", "ann 1: d e", "bob 0: b f"]
    assert sessions.events["session_id"].to_list() == [0, 0, 1, 1, 2, 2]


def test_gap_of_zero_makes_each_event_a_session(table: Table, show: Show) -> None:
    log = table("""
        user  item_id  timestamp
        ann   a        5
        ann   b        5
        ann   c        4
    """)
    assert show(sessionize(log, user="user", gap="0s")) == ["ann 0: c", "ann 1: a", "ann 2: b"]


@pytest.mark.parametrize("gap", ["30m", 1800, datetime.timedelta(minutes=30)])
def test_gap_is_exact_at_any_time(gap: object) -> None:
    starts = range(1_506_825_423_271, 1_506_825_423_271 + 500)
    log = pl.DataFrame(
        {
            "user": [user for user in starts for _ in range(2)],
            "item_id": 1,
            "timestamp": [time for start in starts for time in (start, start + 1_800_000)],
        }
    )
    sessions = sessionize(log, user="user", gap=gap, time_unit="ms")  # type: ignore[arg-type]
    assert sessions.num_sessions == 1_000
    shorter = log.with_columns(pl.col("timestamp") - pl.int_range(pl.len()) % 2)
    assert sessionize(shorter, user="user", gap=gap, time_unit="ms").num_sessions == 500  # type: ignore[arg-type]


def test_without_user_each_session_is_one(table: Table, show: Show) -> None:
    log = table("""
        session  item_id  timestamp
        9        a        30
        2        b        10
        9        c        20
    """)
    sessions = sessionize(log, session="session")
    assert show(sessions) == ["9 0: c a", "2 0: b"]
    assert sessions.events["session_id"].to_list() == [9, 9, 2]


def test_labels_are_kept_as_they_are(table: Table, show: Show) -> None:
    log = table("""
        user  item_id  timestamp  clicked
        ann   a        1          0
        ann   a        2          1
        ann   b        3          0
        ann   b        4          0
    """)
    sessions = sessionize(log, user="user", gap="1h", label="clicked")
    assert show(sessions) == ["ann 0: a- a b- b-"]
    assert sessions.has_negatives
    as_bool = log.with_columns(pl.col("clicked") == 1)
    assert_frame_equal(
        sessionize(as_bool, user="user", gap="1h", label="clicked").events, sessions.events
    )


def test_impressions(table: Table, show: Show) -> None:
    log = table("""
        user  item_id  timestamp  shown
        ann   b        10         a|b|c      # in shown order
        ann   d        20         c|a|d|e    # c and a were negatives already
        ann   -        30         f|e|a      # no click: f is new
        ann   x        40         g|f        # clicked, though not shown: after them
        ann   y        50         -          # a plain interaction
        bob   -        60         f|f|b      # another session: all afresh, f once
        bob   h        70         h|z|h      # clicked once, no negative
    """)
    sessions = sessionize(log, user="user", gap="1h", impressions="shown")
    assert show(sessions) == ["ann 0: a- b c- d e- f- g- x y", "bob 0: f- b- h z-"]
    assert sessions.events["timestamp"].to_list() == [10] * 3 + [20] * 2 + [30, 40, 40, 50] + [
        60,
        60,
        70,
        70,
    ]


def test_an_item_clicked_anywhere_in_the_session_is_not_a_negative(
    table: Table, show: Show
) -> None:
    log = table("""
        user  session  item_id  timestamp  shown
        ann   1        a        10         b|a
        ann   1        b        20         b|a    # so b was no negative at 10, nor is a one now
        ann   1        a        30         a|b    # a positive as often as it was clicked
        ann   2        a        40         b|a    # in another session b is
    """)
    assert show(sessionize(log, user="user", session="session", impressions="shown")) == [
        "ann 0: a b a",
        "ann 1: b- a",
    ]


def test_each_request_a_session(table: Table, show: Show) -> None:
    log = table("""
        user  item_id  timestamp  shown
        ann   a        10         b|a
        ann   b        10         b|a
    """)
    assert show(sessionize(log, user="user", gap=0, impressions="shown")) == [
        "ann 0: b- a",
        "ann 1: b a-",
    ]


@pytest.mark.parametrize("item_type", [pl.Int64, pl.Int32, pl.String])
@pytest.mark.parametrize("shown_type", [pl.Int64, pl.Int16, pl.String])
def test_impressions_as_lists(item_type: type, shown_type: type, show: Show) -> None:
    log = pl.DataFrame(
        {
            "user": ["ann"] * 3,
            "item_id": pl.Series([2, None, 4]).cast(item_type),
            "timestamp": [1, 2, 3],
            "shown": pl.Series([[1, 2], [None, 3], []]).cast(pl.List(shown_type)),
        }
    )
    sessions = sessionize(log, user="user", gap="1h", impressions="shown")
    assert show(sessions) == ["ann 0: 1- 2 3- 4"]
    expected = pl.String if item_type == pl.String else pl.Int64
    assert sessions.events.schema["item_id"] == expected


def test_impressions_separator_and_blanks(table: Table, show: Show) -> None:
    log = table("""
        user  item_id  timestamp  shown
        ann   2        1          1;;2;3;
    """)
    sessions = sessionize(
        log, user="user", gap="1h", impressions="shown", impressions_separator=";"
    )
    assert show(sessions) == ["ann 0: 1- 2 3-"]


def test_a_shown_item_has_no_interaction_type(table: Table) -> None:
    log = table("""
        user  item_id  timestamp  shown  type   city
        ann   b        1          a|b    click  rome
        ann   c        2          -      buy    oslo
    """)
    sessions = sessionize(
        log, user="user", gap="1h", impressions="shown", interaction_type="type", keep=["city"]
    )
    assert sessions.events.select("item_id", "interaction_type", "city").rows() == [
        ("a", None, "rome"),
        ("b", "click", "rome"),
        ("c", "buy", "oslo"),
    ]


def test_columns_and_types(table: Table) -> None:
    log = table("""
        who  visit  what  when  how    age  unused
        1    2      3     4     click  5    6
    """)
    sessions = sessionize(
        log,
        user="who",
        session="visit",
        item="what",
        time="when",
        interaction_type="how",
        keep=["age", "when", "age"],
    )
    assert dict(sessions.events.schema) == {
        "user_id": pl.Int64,
        "session_id": pl.Int64,
        "session_index": pl.Int32,
        "item_id": pl.Int64,
        "timestamp": pl.Float64,
        "label": pl.Float32,
        "is_target": pl.Boolean,
        "interaction_type": pl.String,
        "age": pl.Int64,
        "when": pl.Int64,
    }
    assert sessions.events.row(0) == (1, 2, 0, 3, 4.0, 1.0, True, "click", 5, 4)


def test_any_source_gives_the_same(tmp_path: pathlib.Path, table: Table) -> None:
    log = table("""
        user  item_id  timestamp
        ann   3        1.5
        bob   4        2.5
        ann   5        9000
    """)
    expected = sessionize(log, user="user", gap="1h").events
    log.write_csv(tmp_path / "log.csv")
    log.write_parquet(tmp_path / "log.parquet")
    for source in (
        tmp_path / "log.csv",
        str(tmp_path / "log.parquet"),
        log.lazy(),
        log.to_pandas(),
        log.with_columns(pl.col("user").cast(pl.Categorical), pl.col("item_id").cast(pl.Float64)),
    ):
        assert_frame_equal(sessionize(source, user="user", gap="1h").events, expected)


def test_times_of_any_kind(table: Table) -> None:
    log = table("""
        user  item_id  timestamp
        ann   3        2014-04-07T10:51:09.277Z
        ann   4        2014-04-07T10:51:10Z
    """)
    assert sessionize(log, user="user", gap="1h").events["timestamp"].to_list() == [
        1_396_867_869.277,
        1_396_867_870.0,
    ]


def test_a_single_event(table: Table) -> None:
    log = table("""
        session  item_id  timestamp
        1        a        1
    """)
    sessions = sessionize(log, session="session")
    assert (sessions.num_users, sessions.num_sessions, sessions.num_events) == (1, 1, 1)


# -- properties ------------------------------------------------------------------------------------

EVENTS = st.lists(
    st.tuples(
        st.integers(0, 3),  # user
        st.integers(0, 2),  # session
        st.integers(0, 12),  # time: many ties
        st.sampled_from([None, [], [0], [1, 0], [2, 1, 2], [3, 0, 1]]),  # shown
        st.one_of(st.none(), st.integers(0, 3)),  # clicked
    ),
    min_size=1,
    max_size=25,
)


def frame(events: list[tuple], as_strings: bool = False) -> pl.DataFrame:
    log = pl.DataFrame(
        [event[:3] for event in events], schema=["user", "session", "timestamp"], orient="row"
    )
    ids = pl.String if as_strings else pl.Int64
    return log.with_row_index("item_id").with_columns(
        pl.col("user", "session", "item_id").cast(ids)
    )


def oracle(events: list[tuple], gap: int | None) -> list[list[int]]:
    """Rows of the log by session, users by first appearance."""
    result = []
    for user in dict.fromkeys(event[0] for event in events):
        rows = [row for row, event in enumerate(events) if event[0] == user]
        groups: list[list[int]] = []
        if gap is None:
            for name in dict.fromkeys(events[row][1] for row in rows):
                groups.append(
                    sorted((r for r in rows if events[r][1] == name), key=lambda r: events[r][2])
                )
            groups.sort(key=lambda group: events[group[0]][2])
        else:
            for row in sorted(rows, key=lambda r: events[r][2]):
                if groups and events[row][2] - events[groups[-1][-1]][2] < gap:
                    groups[-1].append(row)
                else:
                    groups.append([row])
        result += groups
    return result


def cut(sessions: Sessions) -> list[list[int]]:
    groups = sessions.events.group_by("user_id", "session_index", maintain_order=True)
    return [[int(item) for item in items] for items in groups.agg("item_id")["item_id"]]


@given(EVENTS, st.one_of(st.none(), st.integers(0, 6)), st.booleans())
def test_sessionize_is_the_oracle(events: list[tuple], gap: int | None, strings: bool) -> None:
    session = "session" if gap is None else None
    sessions = sessionize(frame(events, strings), user="user", session=session, gap=gap)
    assert cut(sessions) == oracle(events, gap)


@given(EVENTS, st.data())
@settings(max_examples=30)
def test_chunks_of_the_frame_do_not_matter(events: list[tuple], data: st.DataObject) -> None:
    log = frame(events)
    at = data.draw(st.integers(0, len(events)))
    chunked = pl.concat([log[:at], log[at:]], rechunk=False)
    for how in ({"session": "session"}, {"gap": 3}):
        assert_frame_equal(
            sessionize(chunked, user="user", **how).events,  # type: ignore[arg-type]
            sessionize(log, user="user", **how).events,  # type: ignore[arg-type]
        )


@given(EVENTS)
@settings(max_examples=30)
def test_sessionizing_twice_changes_nothing(events: list[tuple]) -> None:
    once = sessionize(frame(events), user="user", session="session")
    again = sessionize(once.events, user="user_id", session="session_id")
    assert_frame_equal(once.events, again.events)


@given(EVENTS)
def test_impressions_are_the_oracle(events: list[tuple]) -> None:
    events = [event for event in events if event[3] or event[4] is not None] or [(0, 0, 0, [1], 1)]
    log = frame(events).with_columns(
        shown=pl.Series([event[3] for event in events], dtype=pl.List(pl.Int64)),
        item_id=pl.Series([event[4] for event in events], dtype=pl.Int64),
    )
    sessions = sessionize(log, user="user", session="session", impressions="shown")

    expected = []
    for rows in oracle(events, None):
        clicked = {events[row][4] for row in rows} - {None}
        seen: set[int] = set()
        for row in rows:
            shown, item = events[row][3] or [], events[row][4]
            todo = [*shown, item] if item is not None and item not in shown else shown
            done = False
            for candidate in todo:
                if candidate == item and not done:
                    expected.append((candidate, 1.0))
                    done = True
                elif candidate not in clicked | seen:
                    expected.append((candidate, 0.0))
                    seen.add(candidate)
    assert sessions.events.select("item_id", "label").rows() == expected


# -- bad input -------------------------------------------------------------------------------------

LOG = pl.DataFrame(
    {
        "user": ["ann", "ann", "bob"],
        "session": [1, 1, 2],
        "item_id": [5, 6, 7],
        "timestamp": [1, 2, 3],
        "shown": ["5|6", "6|7", "7"],
        "clicked": [1, 0, 1],
    }
)


def test_exactly_one_of_session_and_gap() -> None:
    for arguments in ({}, {"session": "session", "gap": "1h"}):
        with pytest.raises(ValueError, match="Exactly one of `session` and `gap` should be given"):
            sessionize(LOG, user="user", **arguments)  # type: ignore[arg-type]


def test_gap_needs_user() -> None:
    with pytest.raises(ValueError, match="`gap` needs `user`"):
        sessionize(LOG, gap="1h")


def test_unknown_gap() -> None:
    with pytest.raises(ValueError, match=r"`gap` should be seconds, .*Received: `gap`='soon'"):
        sessionize(LOG, user="user", gap="soon")


def test_label_and_impressions() -> None:
    with pytest.raises(ValueError, match="`label` and `impressions` should not both be given"):
        sessionize(LOG, user="user", gap="1h", label="clicked", impressions="shown")


def test_unknown_argument() -> None:
    with pytest.raises(TypeError, match="items"):
        sessionize(LOG, user="user", gap="1h", items="item_id")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "argument",
    ["user", "session", "item", "time", "label", "interaction_type", "impressions", "keep"],
)
def test_missing_column(argument: str) -> None:
    arguments: dict = {"user": "user", "session": "session"}
    arguments[argument] = ["nope"] if argument == "keep" else "nope"
    with pytest.raises(
        ValueError,
        match=f"`{argument}` should name a column of the events. Received: `{argument}`='nope'. "
        "Columns: user, session, item_id, timestamp, shown, clicked",
    ):
        sessionize(LOG, **arguments)


@pytest.mark.parametrize("column", ["user", "session", "item_id"])
@pytest.mark.parametrize("as_strings", [False, True])
def test_missing_ids(column: str, as_strings: bool) -> None:
    missing = pl.int_range(pl.len()) > 0
    value = pl.lit("") if as_strings else None
    log = LOG.with_columns(
        pl.when(missing).then(value).otherwise(pl.col(column).cast(pl.String)).alias(column)
    )
    if not as_strings and column != "user":
        log = log.with_columns(pl.col(column).cast(pl.Int64))
    argument = column.removesuffix("_id")
    with pytest.raises(
        ValueError,
        match=f"`{argument}` should have no missing ids. Received: 2 missing in column "
        f"'{column}', the first in row 1 ",
    ):
        sessionize(log, user="user", session="session")


def test_nan_is_a_missing_id() -> None:
    log = LOG.with_columns(item_id=pl.Series([1.0, 2.0, float("nan")]))
    with pytest.raises(ValueError, match=r"`item` .*1 missing in column 'item_id', .*row 2 "):
        sessionize(log, user="user", session="session")


@pytest.mark.parametrize(
    ("values", "received"),
    [
        ([1.5, 2.0, 3.0], "fractions"),
        ([1.0, 2.0, 1e17], "inexact floats"),
        ([1.0, 2.0, float("inf")], "inexact floats"),
        ([True, False, True], "Boolean"),
        ([[1], [2], [3]], "List"),
    ],
)
def test_ids_of_a_wrong_type(values: list, received: str) -> None:
    with pytest.raises(
        ValueError, match=f"`item` should hold integers or strings. Received: {received}"
    ):
        sessionize(LOG.with_columns(item_id=pl.Series(values)), user="user", session="session")


def test_ids_beyond_64_bits() -> None:
    log = LOG.with_columns(item_id=pl.Series([1, 2, 2**63], dtype=pl.UInt64))
    with pytest.raises(ValueError, match=r"`item` .*numbers beyond 64 bits in column 'item_id'"):
        sessionize(log, user="user", session="session")


def test_unreadable_time() -> None:
    log = LOG.with_columns(timestamp=pl.Series(["1", "later", "3"]))
    with pytest.raises(ValueError, match=r"`time` .*'later' in column 'timestamp', row 1 "):
        sessionize(log, user="user", session="session")


@pytest.mark.parametrize(
    ("labels", "row", "value"),
    [
        ([1, 0, 2], 2, "2"),
        (["1", "0", "yes"], 2, "'yes'"),
        ([0.5, 1, 0], 0, "0.5"),
    ],
)
def test_labels_other_than_0_and_1(labels: list, row: int, value: str) -> None:
    log = LOG.with_columns(clicked=pl.Series(labels))
    with pytest.raises(
        ValueError,
        match=f"`label` should hold only 0 and 1. Received: {value} in .* 'clicked', row {row} ",
    ):
        sessionize(log, user="user", session="session", label="clicked")


def test_labels_of_a_wrong_type() -> None:
    with pytest.raises(ValueError, match=r"`label` should hold only 0 and 1.*List"):
        sessionize(
            LOG.with_columns(clicked=pl.Series([[1], [0], [1]])),
            user="user",
            gap=1,
            label="clicked",
        )


def test_nothing_shown_and_nothing_clicked() -> None:
    log = LOG.with_columns(item_id=pl.Series([5, None, 7]), shown=pl.Series(["5|6", "", None]))
    with pytest.raises(
        ValueError,
        match=r"`item` and `impressions` should not both be missing in a row\. Received: 1 such "
        r"rows, the first in row 1 ",
    ):
        sessionize(log, user="user", session="session", impressions="shown")


def test_impressions_of_another_type_than_items() -> None:
    log = LOG.with_columns(shown=pl.Series(["5|6", "6|x", "7"]))
    with pytest.raises(ValueError, match=r"`impressions` should hold ids of .*Int64.*'x'.*row 1 "):
        sessionize(log, user="user", session="session", impressions="shown")


def test_impressions_that_are_no_lists() -> None:
    for column in ("clicked", "halves"):
        log = LOG.with_columns(halves=pl.Series([[0.5], [1.0], [2.0]]))
        with pytest.raises(ValueError, match="`impressions` should hold lists of ids, or strings"):
            sessionize(log, user="user", session="session", impressions=column)


def test_empty_separator() -> None:
    with pytest.raises(ValueError, match="`impressions_separator` should be text, and not empty"):
        sessionize(
            LOG, user="user", session="session", impressions="shown", impressions_separator=""
        )


@pytest.mark.parametrize("keep", [["label"], ["_mine"]])
def test_keep_reserved(keep: list[str]) -> None:
    log = LOG.with_columns(label=1, _mine=2)
    with pytest.raises(ValueError, match=f"`keep` should not hold the name .*'{keep[0]}'"):
        sessionize(log, user="user", session="session", keep=keep)


def test_keep_one_name() -> None:
    with pytest.raises(ValueError, match="`keep` should be a list of columns"):
        sessionize(LOG, user="user", session="session", keep="clicked")


def test_empty_log(tmp_path: pathlib.Path) -> None:
    LOG.clear().write_csv(tmp_path / "log.csv")
    for source in (tmp_path / "log.csv", LOG.clear()):
        with pytest.raises(ValueError, match="`events` should hold at least one event"):
            sessionize(source, user="user", session="session")
    with pytest.raises(FileNotFoundError, match="`events` should be a file that exists"):
        sessionize(tmp_path / "none.csv", user="user", session="session")
