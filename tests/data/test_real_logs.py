"""The three logs this package is measured on: known counts, known traps."""

import pathlib

import polars as pl
import pytest

from tfsessionrec.data import (
    Sessions,
    Vocabulary,
    expand_prefixes,
    flatten_sessions,
    leave_last_session_out,
    sessionize,
)


def yoochoose(path: pathlib.Path) -> Sessions:
    return sessionize(path, session="SessionId", item="ItemId", time="Time")


def test_yoochoose(shared_data: pathlib.Path) -> None:
    train = yoochoose(shared_data / "yoochoose-clicks-100k_train_full.txt")
    assert (train.num_events, train.num_sessions, train.num_users) == (70_278, 17_794, 17_794)
    vocabulary = Vocabulary.from_sessions(train)
    assert vocabulary.num_items == 2_933
    assert vocabulary.counts.sum() == 70_278

    test = yoochoose(shared_data / "yoochoose-clicks-100k_test.txt")
    assert (test.num_events, test.num_sessions) == (13_568, 3_416)
    assert (vocabulary.lookup(test.events["item_id"]) >= vocabulary.first_item_index).all()
    examples = expand_prefixes(test)
    assert len(examples) == 10_152
    assert examples.to_sessions().events["is_target"].sum() == 10_152

    flat = flatten_sessions(test)
    first = pl.col("session_index") == 0
    assert flat.events.filter(~first & pl.col("is_target")).height == 10_152


def test_globo(shared_data: pathlib.Path) -> None:
    sessions = sessionize(
        shared_data / "globo_clicks_hours_000_095.parquet",
        user="user_id",
        session="session_id",
        item="click_article_id",
        time="click_timestamp",
        time_unit="ms",
    )
    assert (sessions.num_events, sessions.num_sessions) == (901_032, 318_563)
    assert sessions.num_users == 175_775
    assert Vocabulary.from_sessions(sessions).num_items == 16_998

    train, test = leave_last_session_out(sessions)
    assert train.num_events + test.events["is_target"].sum() == sessions.num_events
    assert train.num_sessions + test.num_users == sessions.num_sessions


@pytest.fixture(scope="module")
def clickouts(shared_data: pathlib.Path) -> pl.DataFrame:
    log = pl.read_parquet(shared_data / "trivago_val_100k.parquet")
    return log.filter(pl.col("action_type") == "clickout item")


def test_trivago_each_clickout_a_session(clickouts: pl.DataFrame) -> None:
    sessions = sessionize(
        clickouts, user="user_id", gap=0, item="reference", impressions="impressions"
    )
    assert (sessions.num_sessions, sessions.num_users) == (13_597, 6_593)
    assert sessions.events["label"].sum() == 13_597
    # Nothing lost, nothing twice: every shown hotel, and those clicked that were not shown.
    shown = clickouts.select(
        shown=pl.col("impressions").str.split("|"), clicked=pl.col("reference")
    ).select(
        distinct=pl.col("shown").list.n_unique(),
        absent=~pl.col("shown").list.contains(pl.col("clicked")),
    )
    assert sessions.num_events == shown["distinct"].sum() + shown["absent"].sum()


def test_trivago_repeated_impressions_count_once(clickouts: pl.DataFrame) -> None:
    sessions = sessionize(
        clickouts, user="user_id", session="session_id", item="reference", impressions="impressions"
    )
    session = ("user_id", "session_index")
    events = sessions.events
    negatives = events.filter(pl.col("label") == 0)
    assert negatives.select(*session, "item_id").is_duplicated().sum() == 0
    positives = events.filter(pl.col("label") == 1)
    assert positives.height == 13_597
    assert negatives.join(positives, on=[*session, "item_id"], how="semi").is_empty()

    # As many as sets of plain Python count.
    shown: dict[tuple, set[str]] = {}
    clicked: dict[tuple, set[str]] = {}
    for user, name, hotel, hotels in clickouts.select(
        "user_id", "session_id", "reference", "impressions"
    ).rows():
        shown.setdefault((user, name), set()).update(hotels.split("|"))
        clicked.setdefault((user, name), set()).add(hotel)
    assert negatives.height == sum(len(shown[key] - clicked[key]) for key in shown)


def test_trivago_a_session_that_jumps_back_is_sorted_by_time(shared_data: pathlib.Path) -> None:
    log = pl.read_parquet(shared_data / "trivago_val_100k.parquet").with_row_index("row")
    log = log.with_columns(reference=pl.col("reference").fill_null("nothing"))
    sessions = sessionize(log, user="user_id", session="session_id", item="reference", keep=["row"])
    events = sessions.events.with_columns(
        pl.col("timestamp", "row").cast(pl.Float64).diff().over("user_id", "session_index")
    )
    assert events["row"].min() < 0  # the log does jump back
    assert events["timestamp"].min() == 0  # the sessions do not, and bursts keep the log's order
    assert events.filter(pl.col("timestamp") == 0)["row"].min() > 0
