"""Missing values, sessions without users, rows logged twice."""

import logging
import pathlib
import re
from collections.abc import Callable

import polars as pl
import pytest

from tfsessionrec import systems
from tfsessionrec.cli.main import main
from tfsessionrec.data import sessionize

Table = Callable[[str], pl.DataFrame]
Show = Callable[..., list[str]]
HOLES = """
    user  visit  item_id  timestamp  clicked
    -     1      a        10         1
    ann   -      b        -          1
    ann   2      -        30         -
    ann   2      c        40         1
    -     3      d        50         1
"""


def test_all_missing_values_are_reported_at_once(table: Table) -> None:
    with pytest.raises(ValueError, match="drop-missing") as error:
        sessionize(table(HOLES), user="user", session="visit", label="clicked")
    message = str(error.value)
    assert "`user` should have no missing ids. Received: 2 missing in column 'user'" in message
    assert "`session` should have no missing ids. Received: 1 missing in column 'visit'" in message
    assert "`item` should have no missing ids. Received: 1 missing in column 'item_id'" in message
    assert "1 missing in column 'timestamp', the first in row 1 (counted from 0)" in message
    assert "`label` should have no missing values. Received: 1 missing in column 'click" in message
    assert "--missing-users visitor" in message


def test_drop_missing(table: Table, show: Show, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    arguments = {"user": "user", "session": "visit", "label": "clicked"}
    sessions = sessionize(table(HOLES), drop_missing=True, **arguments)  # type: ignore[arg-type]
    assert show(sessions) == ["ann 0: c"]
    assert "4 rows left out with missing values: 2 in column 'user', 1 in" in caplog.text
    with pytest.raises(ValueError, match=r"`drop_missing` should leave at least one row"):
        sessionize(table(HOLES)[:3], drop_missing=True, **arguments)  # type: ignore[arg-type]


def test_sessions_without_a_user_are_visitors(table: Table) -> None:
    log = table("""
        user  number  visit  item_id  timestamp
        -     -       1      a        10
        ann   -5      2      b        20
        -     -       1      c        30
        -     -       3      d        40
        bob   4       4      e        50
    """)
    for user, known in (("user", {"ann", "bob"}), ("number", {-5, 4})):
        sessions = sessionize(log, user=user, session="visit", missing_users="visitor")
        found = sessions.events.group_by("user_id", maintain_order=True).agg("item_id")
        assert found["item_id"].to_list() == [["a", "c"], ["b"], ["d"], ["e"]]
        assert len(set(found["user_id"]) - known) == 2
        with pytest.raises(ValueError, match="3 missing in column"):
            sessionize(log, user=user, session="visit")
    by_gap = sessionize(log, user="user", gap="1h", missing_users="visitor")
    assert (by_gap.num_users, by_gap.num_sessions) == (5, 5)


def test_the_name_of_a_visitor_is_no_users(table: Table) -> None:
    log = pl.DataFrame(
        {"u": ["visitor 1", None], "s": [1, 2], "item_id": ["a", "b"], "timestamp": [1, 2]}
    )
    assert sessionize(log, user="u", session="s", missing_users="visitor").num_users == 2


TWICE = """
    user  item_id  timestamp  kind
    ann   a        10         view
    ann   a        10         view    # the same row
    ann   a        20         view    # the same item at once
    ann   b        30         view
    ann   a        40         view    # again later in the session
    ann   a        50         cart    # of another type
    ann   a        9000       view    # of another session
"""


@pytest.mark.parametrize(
    ("rule", "expected", "dropped"),
    [
        (None, ["ann 0: a a a b a a", "ann 1: a"], 0),
        ("exact", ["ann 0: a a b a a", "ann 1: a"], 1),
        ("consecutive", ["ann 0: a b a a", "ann 1: a"], 2),
        ("session", ["ann 0: a b a", "ann 1: a"], 3),
    ],
)
def test_rows_logged_twice(
    table: Table,
    show: Show,
    caplog: pytest.LogCaptureFixture,
    rule: str | None,
    expected: list[str],
    dropped: int,
) -> None:
    caplog.set_level(logging.INFO)
    sessions = sessionize(
        table(TWICE),
        user="user",
        gap="1h",
        interaction_type="kind",
        drop_duplicates=rule,  # type: ignore[arg-type]
    )
    assert show(sessions) == expected
    assert (f"{dropped} rows left out that repeat" in caplog.text) == (dropped > 0)


def test_train_prints_what_is_left_out(
    table: Table, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table(TWICE).write_csv(tmp_path / "log.csv")
    arguments = ["--events", str(tmp_path / "log.csv"), "--user", "user", "--gap", "1h"]
    arguments += ["--drop-duplicates", "session", "--model", "popularity"]
    assert main(["train", *arguments, "--output", str(tmp_path / "model")]) == 0
    assert "4 rows left out that repeat an item of their session" in capsys.readouterr().err


def test_wrong_choices(table: Table) -> None:
    log = table(TWICE)
    for name in ("missing_users", "drop_duplicates"):
        with pytest.raises(ValueError, match=f"`{name}` should be one of .*'all'"):
            sessionize(log, user="user", gap="1h", **{name: "all"})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`drop_duplicates` should be 'exact' with `impressions`"):
        sessionize(log, user="user", gap="1h", impressions="kind", drop_duplicates="session")


def test_numbers_that_are_missing_or_infinite(
    table: Table, caplog: pytest.LogCaptureFixture
) -> None:
    log = table(TWICE)[:3].with_columns(price=pl.Series([1.0, float("nan"), None]))
    caplog.set_level(logging.INFO)
    sessions = sessionize(log, user="user", gap="1h", keep=["price"])
    assert sessions.events["price"].to_list() == [1.0, None, None]
    assert "column 'price' has no value in 2 of 3 rows: a model reads 0 there" in caplog.text
    for value in (float("inf"), 1e39, -1e300):
        beyond = log.with_columns(rate=pl.Series([1.0, value, 2.0]))
        message = re.escape(f"Received: {value} in column 'rate', row 1")
        with pytest.raises(ValueError, match=f"finite numbers.*{message}"):
            sessionize(beyond, user="user", gap="1h", keep=["rate"])


def test_rows_logged_twice_make_a_log_easy(shared_data: pathlib.Path) -> None:
    """Session kNN on YooChoose: a log with each row twice repeats the last item, 0.357 to 0.668."""
    train, test = (
        pl.read_csv(shared_data / f"yoochoose-clicks-100k_{part}.txt", separator="\t")
        for part in ("train_full", "test")
    )
    twice = test.select(pl.all().repeat_by(2).explode())
    columns = {"session": "SessionId", "item": "ItemId", "time": "Time"}
    system = systems.fit("vsknn", sessionize(train, **columns))  # type: ignore[arg-type]

    def mrr(log: pl.DataFrame, rule: str | None = None) -> float:
        sessions = sessionize(log, drop_duplicates=rule, **columns)  # type: ignore[arg-type]
        return system.evaluate(sessions, "next_item", [20]).metrics["mrr@20"]

    assert mrr(twice) == pytest.approx(0.6683, abs=1e-4)
    assert mrr(test) == pytest.approx(0.3565, abs=1e-4)
    assert mrr(twice, "exact") == mrr(test)
