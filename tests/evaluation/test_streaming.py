"""Streaming evaluation against refitting before each request, by plain loops."""

import numpy as np
import polars as pl
import pytest

from tfsessionrec import data
from tfsessionrec.baselines import (
    VSKNN,
    AssociationRules,
    Popularity,
    RecentPopularity,
    SequentialRules,
    SessionPopularity,
)
from tfsessionrec.evaluation import evaluate_streaming


def log(seed, num_users=12, num_items=8, by="user"):
    """Users of one or two sessions that overlap in time, many events of one moment."""
    generator = np.random.default_rng(seed)
    rows = []
    for user in range(num_users):
        time = int(generator.integers(0, 30))
        for session in range(generator.integers(1, 3)):
            for _ in range(generator.integers(2, 6)):
                rows.append((user, session, int(generator.integers(0, num_items)), time))
                time += int(generator.integers(0, 4))
            time += 5
    events = pl.DataFrame(rows, ["user", "visit", "item_id", "timestamp"], orient="row")
    return data.sessionize(
        events.with_columns(visit=pl.format("{}-{}", "user", "visit")), user=by, session="visit"
    )


def batches(sessions, vocabulary, sizes=5):
    return data.session_dataset(
        data.expand_prefixes(sessions),
        vocabulary,
        targets="last",
        request_times="last_interaction",
        batch_size=sizes,
    )


def one_by_one(model, sessions, vocabulary, tick=None):
    """Ranks of the targets, the model fitted again before each request."""
    ranks = []
    for batch in batches(sessions, vocabulary, 1):
        batch = {key: value.numpy() for key, value in batch.items()}
        last = np.flatnonzero((batch["item_ids"][0] > 0).any(axis=1)).max()
        time = batch["request_times"][0, last]
        if tick is not None:
            time = time // tick * tick
        past = sessions.events.filter(pl.col("timestamp") < time)
        model.fit(data.Sessions(past), vocabulary)
        stored = model.sparse_scores({**batch, "request_times": np.array([time])}).toarray()[0]
        scores = np.where(stored > 0, stored, -1)[vocabulary.first_item_index :]
        (target,) = batch["target_ids"][0] - vocabulary.first_item_index
        ranks.append(int((scores >= scores[target]).sum()))
    return ranks


SYSTEMS = [
    AssociationRules,
    SequentialRules,
    lambda: VSKNN(k=5, idf_weighting=1.0),
    lambda: RecentPopularity(half_life=5.0),
    lambda: RecentPopularity(window=6.0, anchor="request"),
    SessionPopularity,
]


@pytest.mark.parametrize("tick", [None, 4])
@pytest.mark.parametrize("make", SYSTEMS)
def test_as_if_fitted_again_before_each_request(make, tick):
    sessions = log(0)
    vocabulary = data.Vocabulary.from_sessions(sessions)
    if tick is not None and make().__class__ in (RecentPopularity, SessionPopularity):
        tick = None  # these go by the time of the request itself
    ranks = one_by_one(make(), sessions, vocabulary, tick)
    report = evaluate_streaming(
        make(), batches(sessions, vocabulary), sessions, 3, vocabulary=vocabulary, tick=tick
    )
    assert report.num_queries == len(ranks)
    assert report["hit_rate@3"] == pytest.approx(np.mean(np.array(ranks) <= 3))
    assert report["mrr@3"] == pytest.approx(np.mean([1 / r if r <= 3 else 0 for r in ranks]))


@pytest.mark.parametrize("make", [SequentialRules, lambda: RecentPopularity(window=6.0)])
def test_an_event_at_the_request_or_later_changes_nothing(make):
    sessions = log(1)
    vocabulary = data.Vocabulary.from_sessions(sessions)
    at = 20
    asked = sessions.events["timestamp"] <= at
    (dataset,) = [
        {key: value.numpy() for key, value in batch.items()}
        for batch in batches(data.Sessions(sessions.events.filter(asked)), vocabulary, 1000)
    ]

    def ranks(events):
        report = evaluate_streaming(
            make(), [dataset], events, 3, vocabulary=vocabulary, keep_queries=True
        )
        return report.queries.ranks["model"]

    before = pl.col("timestamp") < at
    expected = ranks(data.Sessions(sessions.events.filter(before)))
    for time, changes in ((at, False), (at + 1, False), (at - 8, True)):
        more = pl.concat([sessions.events[:1]] * 40).with_columns(
            user_id=pl.lit(99, pl.Int64),
            session_index=pl.lit(0, pl.Int32),
            item_id=pl.Series([5, 3, 1, 7, 2, 0, 4, 6] * 5),
            timestamp=pl.lit(float(time)),
        )
        events = data.Sessions(pl.concat([sessions.events.filter(before), more]))
        assert (ranks(events) != expected).any() == changes
        # Nor does the whole future change what systems know of the past.
    np.testing.assert_array_equal(ranks(sessions), expected)


def test_systems_know_the_events_before_each_request():
    """A system that records its updates."""

    class Listener:
        def __init__(self):
            self.known, self.asked = 0, []

        def fit(self, sessions, vocabulary):
            self.known = len(sessions.events)

        def update(self, events):
            assert events["timestamp"].is_sorted()
            self.known += len(events)

        def sparse_scores(self, features, rows=None, positions=None):
            assert rows is not None
            for row, position in zip(rows, positions):
                self.asked.append((features["request_times"][row, position], self.known))
            return np.ones((len(rows), 10), np.float32)

    sessions = log(2)
    vocabulary = data.Vocabulary.from_sessions(sessions)
    dataset = data.session_dataset(
        data.flatten_sessions(sessions), vocabulary, request_times="last_interaction", batch_size=4
    )
    listener = Listener()
    report = evaluate_streaming(
        listener,
        dataset,
        sessions,
        3,
        vocabulary=vocabulary,
        baselines={"counts": Popularity(vocabulary.counts)},
        bootstrap=10,
    )
    times = sessions.events["timestamp"].to_numpy()
    assert len(listener.asked) == report.num_queries == len(times) - 12  # all but each user's first
    assert listener.asked == sorted(listener.asked)
    assert all(known == (times < time).sum() for time, known in listener.asked)
    assert "of 12 rows with all their queries" in report.options["intervals"]
    assert report.options["streaming"] == "every event before the request is known"
    assert report.options["events known to model"] == "events, learned one step after another"
    assert report.options["events known to counts"] == "nothing"


def test_a_trend_gets_the_events():
    class Trend:
        def set_events(self, item_ids, times, session_ids):
            self.events = len(item_ids), times.max()

    class Model(Popularity):
        trend = Trend()

    sessions = log(3)
    vocabulary = data.Vocabulary.from_sessions(sessions)
    model = Model(vocabulary.counts)
    report = evaluate_streaming(
        model, batches(sessions, vocabulary), sessions, 3, vocabulary=vocabulary
    )
    assert model.trend.events == (sessions.num_events, sessions.events["timestamp"].max())
    assert report.options["events known to model"] == "events, as its trend"


def test_without_refitting_what_was_learned_stays():
    sessions = log(4, by=None)
    vocabulary = data.Vocabulary.from_sessions(sessions)
    new = pl.col("timestamp") >= 15
    later = data.Sessions(
        sessions.events.with_columns(is_target=new.all().over("user_id", "session_index"))
    )
    dataset = list(batches(later, vocabulary))
    known = AssociationRules().fit(data.Sessions(sessions.events.filter(~new)), vocabulary)
    refitted, kept = (
        evaluate_streaming(model, dataset, events, 3, vocabulary=vocabulary, refit=refit)
        for model, events, refit in (
            (AssociationRules(), sessions, True),
            (known, data.Sessions(sessions.events.filter(new)), False),
        )
    )
    assert refitted.num_queries > 20
    assert refitted.metrics == kept.metrics


def test_errors():
    sessions = log(5)
    vocabulary = data.Vocabulary.from_sessions(sessions)
    model, dataset = AssociationRules(), list(batches(sessions, vocabulary))
    with pytest.raises(ValueError, match="`tick` should be a positive number of seconds"):
        evaluate_streaming(model, dataset, sessions, vocabulary=vocabulary, tick=0)
    dataset = [{key: value for key, value in dataset[0].items() if key != "request_times"}]
    with pytest.raises(ValueError, match="`dataset` should give `request_times`"):
        evaluate_streaming(model, dataset, sessions, vocabulary=vocabulary)
