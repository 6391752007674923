"""When a session is asked for, and the order of rows by time."""

import numpy as np
import polars as pl
import pytest

from tfsessionrec.data import (
    Examples,
    Vocabulary,
    interaction_log,
    session_dataset,
    sessionize,
)
from tfsessionrec.history_spec import HistorySpec

LOG = pl.DataFrame(
    {
        "user": ["ann", "ann", "ann", "ann", "bob", "cat", "cat"],
        "visit": [1, 1, 2, 3, 4, 5, 6],
        "item_id": ["a", "b", "a", "c", "b", "a", "b"],
        "timestamp": [10.0, 20.9, 30.0, 50.0, 60.0, 70.0, 90.0],
        "label": [1, 0, 1, 1, 1, 1, 1],
    }
)
SESSIONS = sessionize(LOG, user="user", session="visit", label="label")
VOCABULARY = Vocabulary.from_sessions(SESSIONS)


def asked(when, targets=None):
    make = Examples.last_sessions if targets else Examples.sequences
    spec = HistorySpec(request_times=True)
    (batch,) = session_dataset(make(SESSIONS, asked=when), VOCABULARY, spec, targets=targets)
    return batch["request_times"].numpy().tolist()


def test_when_the_next_session_starts():
    # The newest session of a user has none after it: its own last interaction.
    assert asked("next_start") == [[30, 50, 50], [60, 0, 0], [90, 90, 0]]


def test_at_the_last_interaction():
    assert asked("last_interaction") == [[20, 30, 50], [60, 0, 0], [70, 90, 0]]


def test_a_held_out_session_is_asked_for_when_it_starts():
    """bob has no history: his only session is held out, and asked for at its start."""
    assert asked("next_start", "last") == [[30, 50], [60, 0], [90, 0]]
    assert asked("last_interaction", "last") == [[20, 30], [60, 0], [70, 0]]


def test_only_with_a_specification_that_reads_them():
    (batch,) = session_dataset(SESSIONS, VOCABULARY, HistorySpec())
    assert "request_times" not in batch


def test_the_log_of_positive_interactions():
    log = {name: column.tolist() for name, column in interaction_log(SESSIONS, VOCABULARY).items()}
    a, b, c = VOCABULARY.lookup(np.array(["a", "b", "c"], object)).tolist()
    assert log == {
        "item_ids": [a, a, c, b, a, b],
        "times": [10, 30, 50, 60, 70, 90],
        "session_ids": [0, 1, 2, 3, 4, 5],
    }


def test_a_window_keeps_batches_close_in_time():
    """Each epoch holds every row once; a batch's rows lie within the window and its neighbours."""
    times = np.random.default_rng(0).permutation(1000) * 10
    log = pl.DataFrame({"user": times, "visit": times, "item_id": times, "timestamp": times})
    many = sessionize(log, user="user", session="visit")
    dataset = session_dataset(
        many, Vocabulary.from_sessions(many), batch_size=50, seed=0, shuffle_window=100
    )
    orders = []
    for _ in range(2):
        epoch = [batch["session_times"].numpy()[:, 0] for batch in dataset]
        assert sorted(np.concatenate(epoch)) == sorted(times)
        assert max(np.ptp(batch) for batch in epoch) <= 500 + 2 * 100
        orders.append(np.concatenate(epoch).tolist())
    assert orders[0] != orders[1]
    assert orders[0] != sorted(times)
    plain = session_dataset(many, Vocabulary.from_sessions(many), batch_size=50, seed=0)
    assert min(np.ptp(batch["session_times"]) for batch in plain) > 5000


def test_newer_rows_are_drawn_more_often():
    """Visits of one and of two sessions, one every 10 s: each length by itself, halved in 100 s."""
    user = np.repeat(np.arange(200), 1 + np.arange(200) % 2)
    times = 10 + 10 * np.arange(len(user))
    log = pl.DataFrame({"user": user, "item_id": user, "timestamp": times, "visit": times})
    many = sessionize(log, user="user", session="visit")
    dataset = session_dataset(
        many, Vocabulary.from_sessions(many), batch_positions=400, seed=0, recency_half_life=100
    )
    drawn: dict[int, list[int]] = {1: [], 2: []}
    for _ in range(60):
        for batch in dataset:
            begun = batch["session_times"].numpy()
            assert begun.size <= 400
            for row in begun:
                drawn[int((row > 0).sum())].append(row.max())
    last = np.array([times[user == u][-1] for u in range(200)])
    for length, found in drawn.items():
        own = last[np.arange(200) % 2 == length - 1]
        assert len(found) == 60 * 100  # as many as there are, every epoch
        expected = 2.0 ** (-np.maximum(np.quantile(last, 0.99) - own, 0) / 100)
        share = np.array([found.count(time) for time in own]) / len(found)
        np.testing.assert_allclose(share, expected / expected.sum(), atol=0.02)


def test_a_clock_that_runs_ahead_has_not_all_the_draws():
    times = np.append(np.arange(999), 10**9)
    log = pl.DataFrame({"user": times, "item_id": times, "timestamp": times, "visit": times})
    many = sessionize(log, user="user", session="visit")
    dataset = session_dataset(
        many, Vocabulary.from_sessions(many), batch_size=1000, seed=0, recency_half_life=100
    )
    (batch,) = dataset
    assert (batch["session_times"].numpy() == 10**9).sum() < 25  # of 1,000; about 7 are expected
    assert np.median(batch["session_times"]) == pytest.approx(990 - 100, abs=15)


def test_rows_of_any_age_can_be_drawn():
    """A length whose rows are all ancient: 2 ** -age would be 0 for each."""
    log = pl.DataFrame(
        {"user": [1, 1, 2, 2, 3], "item_id": [1] * 5, "timestamp": [0, 1, 2, 3, 10**9]}
    )
    log = log.with_columns(visit=pl.col("timestamp"))
    many = sessionize(log, user="user", session="visit")
    dataset = session_dataset(
        many, Vocabulary.from_sessions(many), batch_size=1, seed=0, recency_half_life=1
    )
    begun = [tuple(b["session_times"].numpy()[0]) for _ in range(60) for b in dataset]
    assert set(begun) == {(0, 1), (2, 3), (10**9,)}
    assert begun.count((2, 3)) > begun.count((0, 1)) > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"recency_half_life": 0}, "`recency_half_life` should be a positive number of seconds"),
        ({"shuffle_window": -1}, "`shuffle_window` should be a number of seconds"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        session_dataset(SESSIONS, VOCABULARY, **arguments)
