"""Simple orders on the real logs, against figures measured elsewhere with other code."""

import polars as pl
import pytest

from tfsessionrec import data
from tfsessionrec.baselines import Popularity
from tfsessionrec.evaluation import evaluate, evaluate_ranking
from tfsessionrec.history_spec import HistorySpec

COLUMNS = {"session": "SessionId", "item_id": "ItemId", "timestamp": "Time"}


@pytest.fixture(scope="module")
def yoochoose(shared_data):
    """Vocabulary of the training file, and the test file as one item a session."""
    train, test = (
        data.sessionize(
            data.read_events(shared_data / f"yoochoose-clicks-100k_{part}.txt", COLUMNS, "\t"),
            session="session",
        )
        for part in ("train_full", "test")
    )
    return data.Vocabulary.from_sessions(train), data.flatten_sessions(test)


def test_next_item_popularity_on_yoochoose(yoochoose):
    """Every position n >= 1 of every test session, all 2,933 items, seen items kept."""
    vocabulary, test = yoochoose
    dataset = data.session_dataset(test, vocabulary, max_sessions=200)
    report = evaluate(Popularity(vocabulary.counts), dataset, k=20, vocabulary=vocabulary)
    assert report.num_queries == 10_152
    assert report.num_candidates == 2_933
    assert report["hit_rate@20"] == pytest.approx(0.089, abs=5e-4)
    assert report["mrr@20"] == pytest.approx(0.026, abs=5e-4)
    assert report["ndcg@20"] == pytest.approx(0.040, abs=5e-4)
    assert report.baselines["popularity"] == report.metrics


def test_seen_items_on_yoochoose(yoochoose):
    """34 % of the targets are in their prefix; with the filter a perfect model misses them."""
    vocabulary, test = yoochoose
    seen = repeats = 0
    for batch in data.session_dataset(test, vocabulary, max_sessions=200):
        items = batch["item_ids"].numpy()[:, :, 0]
        for row in items:
            row = row[row > 0]
            seen += sum(item in row[:n] for n, item in enumerate(row) if n)
            repeats += len(row) - 1
    dataset = data.session_dataset(test, vocabulary, max_sessions=200)
    everything = evaluate(Popularity(vocabulary.counts), dataset, k=10**6, filter_seen=True)
    assert everything["recall@1000000"] == pytest.approx(1 - seen / repeats)
    assert everything["recall@1000000"] == pytest.approx(0.66, abs=5e-3)


def test_shown_hotels_on_trivago(shared_data):
    """6,754 clickouts of 8 November whose clicked hotel is shown: 0.451 as displayed."""
    clickouts = (
        pl.read_parquet(shared_data / "trivago_val_100k.parquet")
        .filter(pl.col("action_type") == "clickout item")
        .filter(pl.col("impressions").str.split("|").list.contains(pl.col("reference")))
    )
    sessions = data.sessionize(
        clickouts, user="user_id", gap=0, item="reference", impressions="impressions"
    )
    train, test = data.split_by_time(sessions, "2018-11-08T00:00:00")
    vocabulary = data.Vocabulary.from_sessions(train)
    dataset = data.session_dataset(test, vocabulary, max_sessions=100, max_items=25)
    model = Popularity(vocabulary.counts)
    report = evaluate_ranking(model, dataset, vocabulary=vocabulary, empty_history=True)
    assert report.num_queries == 6_754
    assert report.baselines["as displayed"]["mrr"] == pytest.approx(0.451, abs=5e-4)
    assert report.baselines["popularity"]["mrr"] == pytest.approx(0.360, abs=5e-4)
    # Ties against it, and half of the clickouts are the first of their users: no query, all tie.
    assert report["mrr"] < report.baselines["popularity"]["mrr"]


def test_next_click_popularity_on_globo(globo_next_click):
    """Train on 72 hours, test on the first 20,000 sessions after, articles of training only."""
    train, test = map(
        globo_next_click.sessions, (globo_next_click.training, globo_next_click.asked)
    )
    assert test.num_sessions == 19_291
    vocabulary = data.Vocabulary.from_sessions(train)
    dataset = data.session_dataset(data.flatten_sessions(test), vocabulary, max_sessions=200)
    report = evaluate(Popularity(vocabulary.counts), dataset, k=20)
    assert report.num_queries == 36_573
    assert report["hit_rate@20"] == pytest.approx(0.038, abs=6e-4)
    assert report["mrr@20"] == pytest.approx(0.006, abs=5e-4)


def test_repetition_on_ta_feng(shared_data):
    """The last basket of each user, counted from the rows alone: 18.8 % of it are repeat items."""
    rows = pl.read_parquet(shared_data / "tafeng_baskets.parquet")
    log = rows.with_columns(timestamp=pl.col("basket"), session=pl.col("basket"))
    sessions = data.sessionize(log, user="user_id", session="session")
    train, held_out = data.split_by_rule(sessions, "last-session")
    vocabulary = data.Vocabulary.from_sessions(train)
    spec = HistorySpec(max_sessions=2)  # of at least 3 baskets each
    batches = data.protocol_batches("next_session", held_out, vocabulary, spec)
    model = Popularity(vocabulary.counts)
    report = evaluate(model, batches, k=10, repetition=True, unknown_targets="miss")

    last = pl.col("basket") == pl.col("basket").max().over("user_id")
    before, targets = rows.filter(~last), rows.filter(last)
    counts = before["item_id"].value_counts(name="clicks")
    # The 10th and the 11th item have different counts: no tie decides about the list.
    order = counts.sort("clicks", descending=True)
    assert order["clicks"][9] > order["clicks"][10]
    best = order["item_id"][:10].implode()
    owned = before.select("user_id", "item_id").unique().with_columns(again=True)
    targets = targets.select("user_id", "item_id").unique()
    targets = targets.join(owned, on=["user_id", "item_id"], how="left").with_columns(
        pl.col("again").fill_null(value=False), hit=pl.col("item_id").is_in(best)
    )
    listed = owned.with_columns(hit=pl.col("item_id").is_in(best)).group_by("user_id")
    assert report["repetition_ratio@10"] == pytest.approx(
        listed.agg(pl.col("hit").sum() / 10)["hit"].mean()
    )
    for part, again in (("rep", True), ("expl", False)):
        users = targets.filter(pl.col("again") == again).group_by("user_id")
        users = users.agg(recall=pl.col("hit").mean(), hit=pl.col("hit").any())
        assert report[f"recall_{part}@10"] == pytest.approx(users["recall"].mean())
        assert report[f"hit_rate_{part}@10"] == pytest.approx(users["hit"].mean())
    found = report.targets["repetition"]
    assert (report.num_queries, found["queries_with_new"]) == (13_858, len(users))
    share = targets.group_by("user_id").agg(pl.col("again").mean())["again"].mean()
    assert found["repetition_ratio"] == pytest.approx(share)
    assert share == pytest.approx(0.188, abs=5e-4)
