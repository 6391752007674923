"""Recent popularity and session popularity, against plain loops and figures of other code."""

import math

import numpy as np
import polars as pl
import pytest

from tfsessionrec import data
from tfsessionrec.baselines import RecentPopularity, SessionPopularity
from tfsessionrec.evaluation import evaluate


def counts(learned, moment, half_life=None, window=None, anchor="last"):
    """{item: count} by a loop over the interactions (item, time) before the moment."""
    if math.isnan(moment):
        moment = math.nextafter(max(time for _, time in learned), math.inf)
    before = [(item, time) for item, time in learned if time < moment]
    if not before:
        return {}
    end = max(time for _, time in before) if anchor == "last" else moment
    found = {}
    for item, time in before:
        if window is None or time >= end - window:
            weight = 1 if half_life is None else 2 ** (-(end - time) / half_life)
            found[item] = found.get(item, 0) + weight
    return found


def interactions(sessions, vocabulary):
    rows = sessions.events.filter(pl.col("label") == 1)
    items = vocabulary.lookup(rows["item_id"]).tolist()
    known = zip(items, rows["timestamp"].to_list())
    return [(item, time) for item, time in known if item >= vocabulary.first_item_index]


def dense(dictionaries, size):
    scores = np.zeros((len(dictionaries), size))
    for row, found in enumerate(dictionaries):
        for item, value in found.items():
            scores[row, item] = value
    return scores


SPANS = [
    {},
    {"half_life": 5 * 3600.0},
    {"half_life": 600.0},  # 700 half-lives to the end of the log: the unit changes on the way
    {"half_life": 9 * 3600.0, "anchor": "request"},
    {"window": 10 * 3600.0},
    {"window": 10 * 3600.0, "anchor": "request"},
]


@pytest.mark.parametrize("span", SPANS)
@pytest.mark.parametrize("string_ids", [False, True])
def test_recent_popularity_by_loops(random_sessions, random_queries, span, string_ids):
    sessions = random_sessions(0, string_ids=string_ids)
    vocabulary = data.Vocabulary.from_sessions(sessions, min_count=2)
    model = RecentPopularity(**span, top=None).fit(sessions, vocabulary)
    learned = interactions(sessions, vocabulary)
    for seed in range(3):  # each call goes back in time
        queries = random_queries(seed, vocabulary)
        queries["request_times"][0] = np.nan
        expected = dense(
            [counts(learned, time, **span) for time in queries["request_times"]], len(vocabulary)
        )
        np.testing.assert_allclose(model.score(queries), expected, rtol=1e-5, atol=1e-38)


@pytest.mark.parametrize("model", [RecentPopularity(window=36e3), SessionPopularity("recency")])
def test_update_is_fit(random_sessions, random_queries, split_log, model):
    sessions = random_sessions(1)
    vocabulary = data.Vocabulary.from_sessions(sessions)
    queries = random_queries(1, vocabulary)
    expected = model.fit(sessions, vocabulary).score(queries)
    first, rest = split_log(sessions)
    model.fit(first, vocabulary)
    for row in range(0, len(rest), 3):
        # Scores in between, so that the counts continue from their state.
        part = rest[row : row + 3]
        asked = {"item_ids": queries["item_ids"][:1], "request_times": part["timestamp"][:1]}
        model.score({**asked, "request_times": np.asarray(asked["request_times"])})
        model.update(part)
    np.testing.assert_array_equal(model.score(queries), expected)


def test_later_interactions_do_not_count(random_sessions, random_queries):
    sessions = random_sessions(2)
    vocabulary = data.Vocabulary.from_sessions(sessions)
    queries = random_queries(2, vocabulary)
    queries["request_times"][:] = 60 * 3600.0
    past = data.Sessions(sessions.events.filter(pl.col("timestamp") < 60 * 3600))
    for model in (RecentPopularity(half_life=7200), SessionPopularity(window=7200)):
        expected = model.fit(past, vocabulary).score(queries)
        assert expected.any()
        np.testing.assert_array_equal(model.fit(sessions, vocabulary).score(queries), expected)


def test_top_keeps_ties(random_sessions):
    sessions = random_sessions(3, num_users=8)
    vocabulary = data.Vocabulary.from_sessions(sessions)
    queries = {"item_ids": np.zeros((1, 1, 1), np.int32)}
    every = RecentPopularity(top=None).fit(sessions, vocabulary).score(queries)[0]
    for top in range(1, len(vocabulary)):
        found = RecentPopularity(top=top).fit(sessions, vocabulary).score(queries)[0]
        least = np.sort(every)[::-1][top - 1]
        np.testing.assert_array_equal(found, np.where(every >= least, every, 0))


@pytest.mark.parametrize("order", ["count", "recency"])
def test_session_popularity_by_loops(random_sessions, random_queries, running, order):
    sessions = random_sessions(4)
    vocabulary = data.Vocabulary.from_sessions(sessions)
    model = SessionPopularity(order, window=20 * 3600.0).fit(sessions, vocabulary)
    learned = interactions(sessions, vocabulary)
    queries = random_queries(4, vocabulary, num_queries=60)
    expected = []
    for items, time in zip(running(queries, vocabulary), queries["request_times"]):
        popular = counts(learned, time, window=20 * 3600.0)
        largest = max(popular.values(), default=1)
        found = {item: value / largest for item, value in popular.items()}
        latest = {item: place for place, item in enumerate(items)}

        def key(item, items=items, found=found, latest=latest):
            if order == "recency":
                return latest[item]
            return items.count(item), found.get(item, 0), latest[item]

        own = {item: 2.0 + place for place, item in enumerate(sorted(latest, key=key))}
        expected.append(found | own)
    np.testing.assert_allclose(model.score(queries), dense(expected, len(vocabulary)), rtol=1e-6)


@pytest.mark.parametrize("model", [RecentPopularity(half_life=60.0), SessionPopularity(window=9e9)])
def test_save_and_load(random_sessions, random_queries, tmp_path, model):
    sessions = random_sessions(5)
    vocabulary = data.Vocabulary.from_sessions(sessions)
    queries = random_queries(5, vocabulary)
    model.fit(sessions, vocabulary).save(tmp_path / "model.npz")
    again = type(model).load(tmp_path / "model.npz")
    assert again.get_config() == model.get_config()
    np.testing.assert_array_equal(again.score(queries), model.score(queries))


def test_errors():
    with pytest.raises(ValueError, match=r"`half_life` should be a positive number of seconds. R"):
        RecentPopularity(half_life=0)
    with pytest.raises(ValueError, match=r"`window` should be .* Received: `window`=nan"):
        RecentPopularity(window=math.nan)
    with pytest.raises(ValueError, match="`half_life` and `window` should not both be given"):
        RecentPopularity(half_life=1, window=1)
    with pytest.raises(ValueError, match="`anchor` should be one of last, request"):
        RecentPopularity(anchor="first")
    with pytest.raises(ValueError, match="`top` should be a positive integer"):
        RecentPopularity(top=0)
    with pytest.raises(ValueError, match="`order` should be one of count, recency"):
        SessionPopularity("time")


def test_session_popularity_on_yoochoose(shared_data):
    """Other code: 0.414 / 0.268 / 0.302; its ties at the 20th place favor the targets."""
    columns = {"session": "SessionId", "item_id": "ItemId", "timestamp": "Time"}
    train, test = (
        data.sessionize(
            data.read_events(shared_data / f"yoochoose-clicks-100k_{part}.txt", columns, "\t"),
            session="session",
        )
        for part in ("train_full", "test")
    )
    vocabulary = data.Vocabulary.from_sessions(train)
    dataset = data.session_dataset(
        data.expand_prefixes(test),
        vocabulary,
        targets="last",
        max_items=200,
        batch_size=2048,
        request_times="last_interaction",
    )
    model = SessionPopularity(window=86_400).fit(train, vocabulary)
    report = evaluate(model, dataset, k=20)
    assert report.num_queries == 10_152
    assert report["hit_rate@20"] == pytest.approx(0.414, abs=1.1e-3)
    assert report["mrr@20"] == pytest.approx(0.268, abs=5e-4)
    assert report["ndcg@20"] == pytest.approx(0.302, abs=5e-4)


def test_recent_popularity_on_globo(globo_next_click):
    """Trained on clicks of sessions that start at most 6 h or 1 h before the test."""
    training, later, asked = globo_next_click
    sessionize = globo_next_click.sessions
    vocabulary = data.Vocabulary.from_sessions(sessionize(training))
    examples = data.expand_prefixes(sessionize(asked))
    layout = {"targets": "last", "max_items": 100, "batch_size": 4096}
    static = data.session_dataset(examples, vocabulary, **layout)
    begin = later["click_timestamp"].min()
    for hours, hit_rate, mrr in ((6, 0.142, 0.027), (1, 0.241, 0.048)):
        recent = training.filter(pl.col("click_timestamp") >= begin - hours * 3_600_000)
        # Without request times, everything learned counts.
        batches = [{"item_ids": b["item_ids"], "target_ids": b["target_ids"]} for b in static]
        model = RecentPopularity().fit(sessionize(recent), vocabulary)
        report = evaluate(model, batches, k=20)
        assert report.num_queries == 36_573
        assert report["hit_rate@20"] == pytest.approx(hit_rate, abs=5e-4)
        assert report["mrr@20"] == pytest.approx(mrr, abs=5e-4)
    # All clicks of the last 15 minutes before each request, with the test's clicks learned too.
    live = data.session_dataset(examples, vocabulary, request_times="last_interaction", **layout)
    model = RecentPopularity(window=900, anchor="request")
    model.fit(sessionize(pl.concat([training, later])), vocabulary)
    report = evaluate(model, live, k=20, filter_seen=True)
    assert report["hit_rate@20"] == pytest.approx(0.568, abs=5e-4)
    assert report["mrr@20"] == pytest.approx(0.203, abs=5e-4)
