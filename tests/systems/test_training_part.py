"""What systems learn is of the training part alone, unless the protocol is streaming."""

import dataclasses

import numpy as np
import polars as pl
import pytest

import tfsessionrec as sr
from tfsessionrec.systems import known_events, train
from tfsessionrec.systems.ensemble import EnsembleSystem
from tfsessionrec.systems.log_parts import LogParts

# user, session, item and time; "later" and "new" first appear after 100, in a session from before.
EVENTS = [
    ("ann", 1, "a", 10),
    ("ann", 1, "old", 20),
    ("ann", 2, "b", 80),
    ("ann", 2, "later", 150),
    ("ann", 3, "a", 170),
    ("ann", 3, "b", 180),
    ("bob", 4, "a", 40),
    ("bob", 4, "b", 50),
    ("bob", 5, "a", 120),
    ("bob", 5, "new", 130),
    ("bob", 5, "b", 140),
]
COLUMNS = {"user": "user", "session": "session"}


@pytest.fixture
def log() -> pl.DataFrame:
    return pl.DataFrame(EVENTS, ["user", "session", "item_id", "timestamp"], orient="row")


def counted(system: sr.systems.TrainedSystem, item: str) -> float:
    """The score of an item, which for popularity is its number of events."""
    scores = dict(system.recommend(["a"], k=10, time=1000))
    return scores.get(item, 0.0)


@pytest.mark.parametrize("rule", ["after=100", "last-days=0.000810", "window=0/1,1,0.000810"])
def test_vocabulary_and_counts_are_of_the_training_part(log: pl.DataFrame, rule: str) -> None:
    """The last session starts at 170: 0.00081 days, 70 seconds, cut at 100."""
    system = sr.systems.fit("popularity", log, **COLUMNS, holdout=rule)
    assert sorted(system.vocabulary.ids) == ["a", "b", "old"]
    assert system.vocabulary.counts[system.vocabulary.first_item_index :].tolist() == [2, 2, 1]
    assert [counted(system, item) for item in ("a", "b", "old")] == [2, 2, 1]
    dropped = sr.systems.fit("popularity", log, **COLUMNS, holdout=f"{rule},straddling=drop")
    assert [counted(dropped, item) for item in ("a", "b", "old")] == [2, 1, 1]
    # What is asked: later and new are unknown; the positions of a and b after a session's first.
    report = system.evaluate(log, "next_item", k=[5])
    assert report.num_queries == 2


def test_a_baseline_learns_nothing_from_before_since(log: pl.DataFrame) -> None:
    """Users return: what they did before is no history of a baseline, it would be learned."""
    system = sr.systems.fit("popularity", log, **COLUMNS, since="100")
    assert "old" in system.vocabulary.ids
    items = ("a", "b", "old", "later", "new")
    assert [counted(system, item) for item in items] == [2, 2, 0, 1, 1]
    sessions = system.read(log)
    assert system.sessions_since(sessions).events["timestamp"].min() == 120
    # So in the order of time: at 180 the events since 100 are two of a, and one of each other.
    assert system.events_learned(sessions).events["timestamp"].min() == 120


def test_streaming_with_since_learns_nothing_from_before_it(log: pl.DataFrame) -> None:
    """A request at 170 for b: `old` and the earlier events of b and a count, or they do not."""
    more = pl.DataFrame(
        [("cat", 9, "old", time) for time in range(30, 35)], log.schema, orient="row"
    )
    ann = pl.DataFrame(
        [("ann", 1, "old", time) for time in range(21, 30)], log.schema, orient="row"
    )
    whole = pl.concat([log, more, ann])
    found = {}
    for since in (None, "100"):
        system = sr.systems.fit("popularity", whole, **COLUMNS, holdout="after=160", since=since)
        live = system.evaluate(whole, "next_item", k=[1], streaming=sr.systems.Streaming())
        assert live.num_queries == 1
        found[since] = live["hit_rate@1"]
        asked = system.events_learned(system.read(whole)).events
        assert asked.filter(item_id="old").height == (15 if since is None else 0)
    assert found[None] == 0  # old is the most frequent


def test_networks_read_the_history_before_since(log: pl.DataFrame) -> None:
    sessions = sr.data.sessionize(log, **COLUMNS)
    settings = train.default_settings("sessionrec-gru")
    later = dataclasses.replace(
        settings, training=dataclasses.replace(settings.training, since="100")
    )
    assert settings.trained_on(sessions) is sessions
    both = later.trained_on(sessions).events
    assert both.height == len(EVENTS)
    assert both.filter("is_target")["timestamp"].min() == 120
    assert later.trained_on(sessions, history=False).events["timestamp"].min() == 120


class Seen:
    """Notes the latest event that a trend is given, in each of its calls."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.times: list[list[int]] = []
        original = sr.layers.TrendFeatures.set_events

        def set_events(
            trend: sr.layers.TrendFeatures, item_ids: np.ndarray, times: np.ndarray, *more: object,
            **further: object,
        ) -> None:  # fmt: skip
            self.times.append(sorted(times.tolist()))
            original(trend, item_ids, times, *more, **further)  # type: ignore[arg-type]

        patch.setattr(sr.layers.TrendFeatures, "set_events", set_events)


TIMES = sorted(time for *_, time in EVENTS)


def test_a_trend_counts_training_events_alone(
    log: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With each user's last session held out, those of other users are not counted."""
    seen = Seen(monkeypatch)
    options = {"embedding_dim": 4, "epochs": 1, "trend": {"half_lives": [60], "refresh": 1}}
    system = sr.systems.fit("sessionrec-gru", log, **COLUMNS, **options, holdout="last-session")
    held_out = [time for _, session, _, time in EVENTS if session in (3, 5)]
    training = sorted(set(TIMES) - set(held_out))
    assert seen.times == [training]
    report = system.evaluate(log, "next_session", k=[2])
    assert report.options["trend"] == (
        "counts training events before each request, none that are held out"
    )
    assert "trend: counts training events" in str(report)
    report = system.evaluate(log, "next_session", k=[2], targets="all")
    assert seen.times == [training] * 3
    report = system.evaluate(log, "next_session", k=[2], events_before="all")
    assert seen.times[3] == TIMES
    assert report.options["trend"] == (
        "counts every event before each request, held-out ones of other users too"
    )
    with pytest.raises(ValueError, match="`events_before` should be 'training', 'all' or sessions"):
        system.evaluate(log, "next_session", k=[2], events_before="none")  # type: ignore[arg-type]
    system.evaluate(log, "next_session", k=[2], streaming=sr.systems.Streaming())
    assert seen.times[4] == TIMES
    report = system.evaluate(log, "next_session", k=[2], events_before=system.read(log[:3]))
    assert seen.times[5] == [10, 20, 80]
    assert report.options["trend"] == "counts the given events before each request"
    baseline = sr.systems.fit("popularity", log, **COLUMNS, holdout="last-session")
    assert "trend" not in baseline.evaluate(log, "next_session", k=[2]).options
    both = EnsembleSystem(baseline, system)
    assert "training events" in both.evaluate(log, "next_session", k=[2]).options["trend"]
    assert seen.times[6] == training
    # With `since` a trend counts earlier events too, in the order of time as well.
    assert both.events_learned(system.read(log)).num_events == len(EVENTS)


@pytest.mark.slow
def test_in_the_order_of_time_a_trend_counts_what_happened_before_since(
    log: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cat never returns: her events are no history of anything predicted, and count."""
    log = pl.concat([log, pl.DataFrame([("cat", 9, "a", 30)], log.schema, orient="row")])
    times = sorted([*TIMES, 30])
    seen = Seen(monkeypatch)
    options = {"embedding_dim": 4, "epochs": 1, "trend": {"half_lives": [60], "refresh": 1}}
    rules = {"holdout": "after=160", "since": "100"}
    system = sr.systems.fit("sessionrec-gru", log, **COLUMNS, **options, **rules)
    system.evaluate(log, "next_session", k=[2], streaming=sr.systems.Streaming())
    assert seen.times == [[time for time in times if time < 160], times]


def test_known_events_of_a_log_of_which_nothing_is_held_out(log: pl.DataFrame) -> None:
    sessions = sr.data.sessionize(log, **COLUMNS)
    known = known_events.Known.of(None, sessions, LogParts())
    assert known.sessions is sessions
    assert "nothing of the log is held out" in known.words
    cut = known_events.Known.of("training", sessions, LogParts("after=100"))
    assert cut.sessions.events["timestamp"].max() == 80
    with pytest.raises(ValueError, match="The log should hold the events that the model was"):
        known_events.Known.of("training", sessions, LogParts("after=1000"))
