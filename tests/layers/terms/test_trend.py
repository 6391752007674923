"""Candidates that know the time, against counts made one by one."""

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec.layers import TrendFeatures

VOCABULARY = 12
OPTIONS = {
    "half_lives": [30, 200],
    "age_half_lives": [300],
    "follow_half_lives": [100, 500],
    "follow_steps": 2,
    "refresh": 7,
    "follow_events": 1000,
}


@pytest.fixture(scope="module")
def log() -> dict[str, np.ndarray]:
    """400 events of 60 sessions within 1,000 seconds, sessions in time order."""
    random = np.random.default_rng(0)
    times, sessions = random.integers(1000, 2000, 400), random.integers(0, 60, 400)
    order = np.lexsort((times, sessions))
    items = random.integers(0, VOCABULARY, 400)
    return {"item_ids": items, "times": times[order], "session_ids": sessions[order]}


def expected(log: dict[str, np.ndarray], time: int, last: int, candidate: int) -> list[float]:
    """The features of one candidate, from their definition."""
    items, times, sessions = log.values()
    tick = time // 7 * 7
    before = [t for item, t in zip(items, times, strict=True) if item == candidate and t < tick]
    if candidate < 2:
        before = []
    values = [np.log1p(10 * sum(2.0 ** (-(tick - t) / h) for t in before)) for h in (30, 200)]
    values.append(2.0 ** (-(tick - min(before)) / 300) if before else 0.0)
    followed = [
        times[second]
        for first in range(len(items))
        for second in (first + 1, first + 2)
        if second < len(items)
        and sessions[first] == sessions[second]
        and items[first] == last
        and items[second] == candidate
        and times[second] < tick
        and min(last, candidate) >= 2
    ]
    return values + [
        np.log1p(10 * sum(2.0 ** (-(tick - t) / h) for t in followed)) for h in (100, 500)
    ]


@pytest.fixture(scope="module")
def requests() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    return random.integers(900, 2200, 30), random.integers(0, VOCABULARY, 30)


@pytest.mark.parametrize("static_shapes", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_equals_counting(log, requests, static_shapes, shared):
    layer = TrendFeatures(VOCABULARY, **OPTIONS)
    layer.set_events(**log)
    times, last = requests
    shape = (9,) if shared else (30, 4)
    candidates = np.random.default_rng(2).integers(0, VOCABULARY, shape)
    found = layer.features(*map(tf.constant, (times, last, candidates)), static_shapes)
    rows = np.broadcast_to(candidates, (30, shape[-1]))
    wanted = [
        [expected(log, time, item, candidate) for candidate in row]
        for time, item, row in zip(times, last, rows, strict=True)
    ]
    np.testing.assert_allclose(found, np.swapaxes(wanted, 1, 2), atol=2e-6)
    assert np.max(wanted) > 3  # there was something to count


@pytest.mark.parametrize("static_shapes", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_no_request_has_no_features(log, static_shapes, shared):
    """A step in which nothing is to predict; the features are as many as ever."""
    layer = TrendFeatures(VOCABULARY, **OPTIONS)
    layer.set_events(**log)
    candidates = tf.ones([9] if shared else [0, 9], tf.int32)
    nothing = tf.zeros([0], tf.int64), tf.zeros([0], tf.int32)
    features = tf.function(layer.features)(*nothing, candidates, static_shapes)
    assert features.shape == (0, layer.num_features, 9)


def test_xla(log, requests):
    layer = TrendFeatures(VOCABULARY, **OPTIONS)
    layer.set_events(**log)
    times, last = map(tf.constant, requests)
    compiled = tf.function(layer.features, jit_compile=True)
    every = tf.range(2, VOCABULARY)
    np.testing.assert_allclose(
        compiled(times, last, every, True), layer.features(times, last, every), atol=1e-6
    )


def test_the_future_does_not_reach_a_request(log, requests):
    """Whatever happens from a request's tick on changes nothing; what came before does."""
    times, last = requests
    cut = 1500
    early = times < cut
    arguments = [tf.constant(part) for part in (times[early], last[early], np.arange(2, 12))]
    layer = TrendFeatures(VOCABULARY, **OPTIONS)
    layer.set_events(**log)
    with_future = layer.features(*arguments).numpy()
    past = log["times"] < cut // 7 * 7
    layer.set_events(**{name: column[past] for name, column in log.items()})
    np.testing.assert_array_equal(layer.features(*arguments), with_future)
    other = dict(log, item_ids=np.where(past, log["item_ids"], 13 - log["item_ids"]).clip(0, 11))
    layer.set_events(**other)
    np.testing.assert_array_equal(layer.features(*arguments), with_future)
    other = dict(log, item_ids=np.where(past, 13 - log["item_ids"], log["item_ids"]).clip(0, 11))
    layer.set_events(**other)
    assert np.abs(layer.features(*arguments) - with_future).max() > 0.1


def test_an_event_at_the_request_does_not_count():
    layer = TrendFeatures(3, half_lives=[60], age_half_lives=[60], refresh=1)
    layer.set_events([2], [100])
    found = layer.features(tf.constant([100, 101]), tf.constant([0, 0]), tf.constant([2]))
    np.testing.assert_array_equal(found[0], [[0], [0]])
    assert np.all(found[1] > 0)


def test_only_the_newest_followers_count():
    layer = TrendFeatures(
        5, half_lives=[], age_half_lives=[], follow_half_lives=[1e9], follow_events=2, refresh=1
    )
    layer.set_events([2, 3, 2, 4, 2, 4], [0, 1, 2, 3, 4, 5], [0, 0, 1, 1, 2, 2])
    found = layer.features(tf.constant([9]), tf.constant([2]), tf.constant([3, 4]))
    np.testing.assert_allclose(found[0, 0], [0, np.log(21)], rtol=1e-5)


def test_followers_of_the_items_before_the_last(log, requests):
    """Each of the newest items has features of its own, those of a last item."""
    times, last = requests
    before = np.roll(last, 3)
    options = dict(OPTIONS, half_lives=[], age_half_lives=[])
    one, two = (
        TrendFeatures(VOCABULARY, **options),
        TrendFeatures(VOCABULARY, **options | {"follow_items": 2}),
    )
    for layer in (one, two):
        layer.set_events(**log)
    every = tf.range(VOCABULARY)
    found = two.features(tf.constant(times), tf.constant(np.stack([last, before], 1)), every)
    wanted = [one.features(tf.constant(times), tf.constant(item), every) for item in (last, before)]
    np.testing.assert_array_equal(found, tf.concat(wanted, axis=1))
    assert two.num_features == 4


def test_neutral_without_events_and_before_training(log, requests):
    times, last = map(tf.constant, requests)
    layer = TrendFeatures(VOCABULARY, **OPTIONS)
    every = tf.range(VOCABULARY)
    np.testing.assert_array_equal(layer.features(times, last, every), 0)
    layer.set_events(**log)
    queries = tf.random.normal([30, 8])
    np.testing.assert_array_equal(layer(queries, times, last, every), 0)


def test_new_events_reach_a_traced_function(log, requests):
    times, last = map(tf.constant, requests)
    layer = TrendFeatures(VOCABULARY, **OPTIONS)
    traced = tf.function(lambda: layer.features(times, last, tf.range(VOCABULARY)))
    assert np.all(traced() == 0)
    layer.set_events(**log)
    assert np.max(traced()) > 3


def test_the_term_is_gated_by_the_query(log, requests):
    times, last = map(tf.constant, requests)
    layer = TrendFeatures(VOCABULARY, **OPTIONS)
    layer.set_events(**log)
    queries = tf.random.normal([30, 8], seed=1)
    layer.gates(queries)
    layer.gate.set_weights([np.random.default_rng(3).normal(size=(8, 5)), np.arange(5.0)])
    every = tf.range(VOCABULARY)
    kernel, bias = layer.gate.get_weights()
    gates = queries.numpy() @ kernel + bias
    wanted = np.einsum("rf,rfc->rc", gates, layer.features(times, last, every))
    np.testing.assert_allclose(layer(queries, times, last, every), wanted, rtol=1e-4, atol=1e-5)
    several = tf.stack([queries - 1, queries + 1], axis=1)
    np.testing.assert_allclose(layer.gates(several), gates, rtol=1e-4, atol=1e-5)


def test_config_round_trip(log, requests):
    layer = TrendFeatures(VOCABULARY, **OPTIONS)
    other = TrendFeatures.from_config(layer.get_config())
    for one in (layer, other):
        one.set_events(**log)
    arguments = [*map(tf.constant, requests), tf.range(VOCABULARY)]
    np.testing.assert_array_equal(layer.features(*arguments), other.features(*arguments))
    assert not [weight for weight in layer.weights if "gate" not in weight.name]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"half_lives": [0]}, "`half_lives` should be positive numbers of seconds"),
        ({"half_lives": [], "age_half_lives": []}, "should hold a number"),
        ({"refresh": 0}, "`refresh` should be a positive integer"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        TrendFeatures(5, **arguments)


@pytest.mark.parametrize(
    ("events", "message"),
    [
        (([2], [0, 1]), "`times` should have one entry an event"),
        (([2], [0.5]), "`times` should be a vector of integers"),
        (([9], [0]), "`item_ids` should be from 0 to 4"),
    ],
)
def test_bad_events(events, message):
    with pytest.raises(ValueError, match=message):
        TrendFeatures(5).set_events(*events)


def test_followers_need_sessions():
    with pytest.raises(ValueError, match="`session_ids` should be given"):
        TrendFeatures(5, follow_half_lives=[1]).set_events([2], [0])
