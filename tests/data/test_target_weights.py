"""Weights of targets: events in, weights of the batch out."""

import numpy as np
import polars as pl
import pytest

from tfsessionrec.data import (
    TargetWeights,
    Vocabulary,
    expand_prefixes,
    session_dataset,
    sessionize,
)

EVENTS = pl.DataFrame(
    {
        "user": ["ann"] * 5 + ["bob"] * 3,
        "visit": [1, 1, 2, 2, 2, 3, 4, 4],
        "item_id": ["tea", "cup", "tea", "pot", "cup", "cup", "tea", "pot"],
        "timestamp": [0, 1, 2, 3, 4, 5, 6, 7],
        "clicked": [1, 1, 1, 0, 1, 1, 1, 1],
        "kind": ["view", "buy", "buy", None, "view", "view", "view", "view"],
        "price": [1.0, 2.0, 0.5, 3.0, 4.0, 0.0, 5.0, 6.0],
    }
)


@pytest.fixture(scope="module")
def sessions():
    return sessionize(
        EVENTS,
        user="user",
        session="visit",
        label="clicked",
        interaction_type="kind",
        keep=["price"],
    )


def weights_of(sessions, weights, examples=None, **options):
    vocabulary = Vocabulary.from_sessions(sessions)
    dataset = session_dataset(
        sessions if examples is None else examples, vocabulary, weights=weights, **options
    )
    (batch,) = dataset
    assert batch["sample_weight"].dtype == "float32"
    assert batch["sample_weight"].shape == batch["item_ids"].shape
    return batch["sample_weight"].numpy().tolist()


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ("price", [[[1, 2, 0], [0.5, 3, 4]], [[0, 0, 0], [5, 6, 0]]]),
        (
            TargetWeights(by_type={"buy": 5, "view": 2}),  # the negative has no type
            [[[2, 5, 0], [5, 1, 2]], [[2, 0, 0], [2, 2, 0]]],
        ),
        (
            TargetWeights("price", {"buy": 10}),
            [[[1, 20, 0], [5, 3, 4]], [[0, 0, 0], [5, 6, 0]]],
        ),
        # Bob has no target of the type: he is left out. A negative stays one.
        (TargetWeights(types=("buy",)), [[[0, 1, 0], [1, 1, 0]]]),
    ],
)
def test_weights_of_events(sessions, weights, expected):
    assert weights_of(sessions, weights) == expected


def test_examples_whose_target_weighs_nothing_are_left_out(sessions):
    examples = expand_prefixes(sessions)
    only = TargetWeights(types=("buy",))
    # Of the items after the first of their session, only Ann's cup was bought.
    assert weights_of(sessions, only, examples) == [[[0.0], [1.0]]]
    assert len(examples) == 3


def test_without_weights_there_is_no_key(sessions):
    (batch,) = session_dataset(sessions, Vocabulary.from_sessions(sessions))
    assert "sample_weight" not in batch


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("cost", r"`weights` should name a column of the sessions .*'cost'"),
        ("item_id", r"`weights` should name a column of numbers.*'item_id'"),
        (TargetWeights(types=("bought",)), "should be among those of the log: buy, view.*bought"),
        (TargetWeights(by_type={"sold": 2}), "should be among those of the log: buy, view.*sold"),
        (5, "`weights` should be a column, a `TargetWeights` or None. Received: 5"),
    ],
)
def test_weights_that_the_log_does_not_have(sessions, weights, message):
    with pytest.raises(ValueError, match=message):
        weights_of(sessions, weights)


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), None])
def test_numbers_that_are_no_weights(value):
    log = EVENTS.with_columns(price=pl.Series([value, *EVENTS["price"][1:]], dtype=pl.Float64))
    refused = r"`weights` should be finite numbers.*1 such rows"
    if value == float("inf"):  # no number that is kept may be infinite
        refused = r"`keep` should name columns of finite numbers.*'price', row 0"
    with pytest.raises(ValueError, match=refused):
        weights_of(sessionize(log, user="user", session="visit", keep=["price"]), "price")


def test_weights_need_something_that_weighs():
    log = EVENTS.with_columns(price=pl.lit(0))
    sessions = sessionize(log, user="user", session="visit", keep=["price"])
    with pytest.raises(ValueError, match="at least one target a weight above 0"):
        weights_of(sessions, "price")
    with pytest.raises(ValueError, match=r"`targets` should be None with.*them.*'last'"):
        weights_of(sessions, "price", targets="last")
    with pytest.raises(ValueError, match=r"`by_type\['buy'\]`=-1"):
        TargetWeights(by_type={"buy": -1})
    with pytest.raises(ValueError, match="`types` should be a list of interaction types"):
        TargetWeights(types="buy")
    plain = sessionize(log, user="user", session="visit")
    with pytest.raises(ValueError, match="need sessions with interaction types"):
        weights_of(plain, TargetWeights(types=("buy",)))


def test_each_iteration_of_a_dataset_is_its_next_epoch(sessions):
    """As documented: the order follows from the seed and the number of the iteration."""
    users = pl.DataFrame({"u": np.arange(40), "item_id": np.arange(40), "timestamp": np.arange(40)})
    many = sessionize(users, user="u", gap=1)
    vocabulary = Vocabulary.from_sessions(many)

    def dataset(seed):
        return session_dataset(many, vocabulary, batch_size=8, seed=seed)

    def epoch(batches):
        return np.concatenate([batch["item_ids"].numpy().ravel() for batch in batches])

    one, same, other = dataset(1), dataset(1), dataset(2)
    first, second = epoch(one), epoch(one)
    assert np.any(first != second)
    np.testing.assert_array_equal(epoch(same), first)
    np.testing.assert_array_equal(epoch(same), second)
    assert np.any(epoch(other) != first)
