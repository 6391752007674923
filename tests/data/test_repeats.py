"""Repeat rates against a count in plain Python."""

import numpy as np
import polars as pl
import pytest

from tfsessionrec.data import Vocabulary, repeat_rates, sessionize


def test_against_a_count() -> None:
    random = np.random.default_rng(0)
    size = 600
    log = pl.DataFrame(
        {
            "user_id": random.integers(0, 30, size),
            "visit": random.integers(0, 8, size),
            "item_id": random.integers(0, 25, size),
            "label": (random.random(size) < 0.7).astype(np.int64),
            "timestamp": np.arange(size),
        }
    ).with_columns(visit=pl.col("user_id") * 8 + pl.col("visit"), timestamp=pl.col("visit"))
    sessions = sessionize(log, user="user_id", session="visit", label="label")
    vocabulary = Vocabulary.from_sessions(sessions, min_count=15)
    found = repeat_rates(sessions, vocabulary, prior=4)
    takings: dict[int, list[bool]] = {}
    for user in range(30):
        own = log.filter(pl.col("user_id") == user)
        visits = sorted(set(own["visit"]))
        taken = [
            set(own.filter((pl.col("visit") == visit) & (pl.col("label") == 1))["item_id"])
            for visit in visits
        ]
        for number, items in enumerate(taken[:-1]):
            for item in items:
                again = any(item in later for later in taken[number + 1 :])
                takings.setdefault(item, []).append(again)
    known = vocabulary.ids.tolist()
    assert 0 < len(known) < 25
    every = [again for item in known for again in takings[item]]
    mean = sum(every) / len(every)
    right = [(sum(takings[i]) + 4 * mean) / (len(takings[i]) + 4) for i in known]
    np.testing.assert_allclose(found[vocabulary.first_item_index :], right, rtol=1e-6)
    assert not found[: vocabulary.first_item_index].any()


def test_no_later_session_has_no_rate() -> None:
    log = {"user_id": [1, 2], "item_id": ["a", "b"], "timestamp": [1, 2]}
    sessions = sessionize(pl.DataFrame(log), user="user_id", gap="1h")
    vocabulary = Vocabulary.from_sessions(sessions)
    assert not repeat_rates(sessions, vocabulary).any()
    assert not repeat_rates(sessions, vocabulary, prior=0).any()


def test_prior_is_checked() -> None:
    log = {"user_id": [1, 2], "item_id": ["a", "b"], "timestamp": [1, 2]}
    sessions = sessionize(pl.DataFrame(log), user="user_id", gap="1h")
    with pytest.raises(ValueError, match="`prior` should be"):
        repeat_rates(sessions, Vocabulary.from_sessions(sessions), prior=-1)
