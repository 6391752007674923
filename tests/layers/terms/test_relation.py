"""The relation of shown items to the sessions before, against plain loops."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec.backend import keras
from tfsessionrec.layers import RelationFeatures

TYPES = 2


def random_batch(seed, rows=3, sessions=5, items=4, ids=6):
    """Sessions of 0 to `items` rows, some of them touches without a list, times with ties."""
    draw = np.random.default_rng(seed)
    match_ids = draw.integers(1, ids + 1, (rows, sessions, items)) * 10**12
    lengths = draw.integers(1, items + 1, (rows, sessions))
    lengths[np.arange(sessions) >= draw.integers(1, sessions + 1, (rows, 1))] = 0
    real = np.arange(items) < lengths[..., None]
    listed = draw.random((rows, sessions, 1)) < 0.7
    labels = np.where(listed, draw.integers(0, 2, match_ids.shape), 1) * real
    return {
        "match_ids": tf.constant(match_ids * real),
        "labels": tf.constant(labels, tf.float32),
        "interaction_types": tf.constant(
            draw.integers(0, TYPES + 2, match_ids.shape) * labels, tf.int32
        ),
        "session_times": tf.constant(
            np.cumsum(draw.integers(0, 90, (rows, sessions)), axis=1), tf.int64
        ),
        "position": tf.constant(np.where(listed & real, np.arange(items) * 3 + 1, 0), tf.int32),
        "numeric": tf.constant(draw.integers(-3, 9, (*match_ids.shape, 1)), tf.float32),
    }


def plain(batch, row, session, item):
    """The features of one shown item by loops over what was before, in the order of the layer."""
    ids, labels, kinds, times, places, numbers = (np.asarray(batch[name]) for name in batch)
    num_types = TYPES + 1

    def kind(s, i):
        return kinds[row, s, i] if kinds[row, s, i] < num_types else 0

    def one_hot(number, size):
        return [float(number == n) for n in range(size)]

    def x(i):
        value = numbers[row, session, i, 0]
        return math.copysign(math.log1p(abs(value)), value)

    def mean(values):
        return sum(values) / len(values)

    before = [(s, i) for s in range(session) for i in range(ids.shape[2]) if ids[row, s, i] != 0]

    def touches(identity):
        return [(s, i) for s, i in before if ids[row, s, i] == identity and labels[row, s, i] > 0]

    own = ids[row, session, item]
    mine = touches(own)
    shown = [i for i in range(ids.shape[2]) if ids[row, session, i] and places[row, session, i]]
    again = {i: touches(ids[row, session, i])[-1:] for i in shown}
    candidates = [i for i in shown if again[i]]
    features = [0.0] * 7
    if mine:
        steps = session - mine[-1][0]
        seconds = times[row, session] - times[row, mine[-1][0]]
        later = sum(again[i] > again[item] for i in candidates)
        features = [1.0, 1 / steps, math.log1p(steps), math.log1p(seconds)]
        features += [math.exp(-seconds / 60), 1 / (1 + later), float(later == 0)]
    showings = [s for s, i in before if ids[row, s, i] == own and places[row, s, i]]
    features.append(math.log1p(len(showings)))
    features += [1.0, math.log1p(session - showings[-1])] if showings else [0.0, 0.0]
    anchor = max(candidates, key=lambda i: (again[i], -i), default=None)
    near = [0.0] * 13
    relative = [0.0, 0.0]
    if anchor is None:
        features += [0.0, 0.0]
    else:
        apart = int(places[row, session, item] - places[row, session, anchor])
        sign = (apart > 0) - (apart < 0)
        features += [sign * math.log1p(abs(apart)), math.exp(-abs(apart) / 3)]
        near = one_hot(min(max(apart, -6), 6) + 6, 13)
        relative = [x(item) - x(anchor), x(item) - mean([x(i) for i in candidates])]
    lower = sum(x(i) < x(item) for i in shown) / len(shown)
    features += [x(item) - mean([x(i) for i in shown]), lower, float(lower == 0), *relative]
    features += [math.log1p(sum(kind(*t) == n for t in mine)) for n in range(num_types)]
    features += one_hot(kind(*mine[-1]), num_types) if mine else [0.0] * num_types
    features += near
    since = times[row, session] - times[row, session - 1] if session else 0
    features += [math.log1p(len(shown)), math.log1p(session), math.log1p(since)]
    last = [kind(s, i) for s, i in before if s == session - 1 and kind(s, i) > 0]
    return features + (one_hot(last[-1] if last else 0, num_types) if session else [0.0] * 3)


@pytest.mark.parametrize("seed", range(6))
def test_features_are_those_of_plain_loops(seed):
    batch = random_batch(seed)
    layer = RelationFeatures(["price"], num_interaction_types=TYPES)
    found = layer.features(**batch).numpy()
    ids, places = batch["match_ids"].numpy(), batch["position"].numpy()
    assert found.shape == (*ids.shape, layer.num_features)
    for cell in np.ndindex(ids.shape):
        if ids[cell] and places[cell]:
            np.testing.assert_allclose(found[cell], plain(batch, *cell), atol=2e-6, err_msg=cell)
        else:
            assert not found[cell].any()


def test_by_hand():
    # 8 and 9 were touched in sessions 0 and 1, 60 s apart; 30 s later 9, 7 and 8 are shown.
    layer = RelationFeatures()
    features = layer.features(
        tf.constant([[[8, 0, 0], [9, 0, 0], [9, 7, 8]]]),
        session_times=tf.constant([[0, 60, 90]]),
        position=tf.constant([[[0, 0, 0], [0, 0, 0], [1, 2, 3]]]),
    ).numpy()[0, 2]
    touched, inverse, _, _, decay, order, newest = features[:, :7].T
    np.testing.assert_array_equal(touched, [1, 0, 1])
    np.testing.assert_array_equal(inverse, [1, 0, 1 / 2])
    np.testing.assert_allclose(decay, np.array([np.exp(-0.5), 0, np.exp(-1.5)]), atol=1e-6)
    np.testing.assert_array_equal(order, [1, 0, 1 / 2])
    np.testing.assert_array_equal(newest, [1, 0, 0])
    np.testing.assert_allclose(features[:, 10], np.log1p([0, 1, 2]), atol=1e-6)  # from 9


def outspoken(**options):
    keras.utils.set_random_seed(0)
    return RelationFeatures(
        ["price"],
        num_interaction_types=TYPES,
        hidden_dims=(8, 6),
        dropout=0.0,
        output_initializer="glorot_uniform",
        **options,
    )


def test_what_is_taken_and_what_comes_later_do_not_reach_a_request():
    layer, batch = outspoken(), random_batch(1, rows=4)
    batch["match_ids"] = tf.constant(np.where(batch["match_ids"] == 0, 5, batch["match_ids"]))
    expected = layer(**batch).numpy()
    for session in range(batch["match_ids"].shape[1]):
        other = random_batch(session + 50, rows=4)
        mixed = {
            name: tf.concat([value[:, : session + 1], other[name][:, session + 1 :]], axis=1)
            for name, value in batch.items()
        }
        for name in ("labels", "interaction_types"):
            mixed[name] = tf.concat([batch[name][:, :session], other[name][:, session:]], axis=1)
        np.testing.assert_allclose(
            layer(**mixed).numpy()[:, : session + 1], expected[:, : session + 1], atol=1e-6
        )
    swapped = {name: value[::-1] for name, value in batch.items()}
    np.testing.assert_allclose(layer(**swapped).numpy()[::-1], expected, atol=1e-6)


def test_the_past_reaches_a_request():
    layer, batch = outspoken(), random_batch(1, rows=4)
    before = layer(**batch).numpy()
    after = layer(**{**batch, "labels": 1 - batch["labels"]}).numpy()
    assert np.abs(before - after)[:, 1:].max() > 1e-3


def test_padding_changes_nothing():
    layer, batch = outspoken(), random_batch(2)
    expected = layer(**batch).numpy()
    padded = {
        name: tf.pad(value, [[0, 0], [0, 2], [0, 3], [0, 0]][: value.shape.rank])
        for name, value in batch.items()
    }
    found = layer(**padded).numpy()
    np.testing.assert_allclose(
        found[:, : expected.shape[1], : expected.shape[2]], expected, atol=1e-6
    )
    assert not found[:, expected.shape[1] :].any()
    assert not found[:, :, expected.shape[2] :].any()


def test_starts_neutral_and_learns():
    batch = random_batch(3)
    layer = RelationFeatures(["price"], num_interaction_types=TYPES, dropout=0.0)
    assert not layer(**batch).numpy().any()
    layer.output_weight.kernel.assign_add(tf.ones_like(layer.output_weight.kernel))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(**batch) ** 2)
    gradients = tape.gradient(loss, layer.trainable_variables)
    assert all(np.any(gradient != 0) for gradient in gradients)


def test_queries_gate():
    layer, batch = outspoken(query_dim=4), random_batch(4)
    queries = tf.random.stateless_normal([*batch["session_times"].shape, 4], (1, 2))
    neutral = layer(**batch, query_embeddings=0 * queries)
    assert np.abs(layer(**batch, query_embeddings=queries) - neutral).max() > 1e-3
    with pytest.raises(ValueError, match="`query_embeddings` should be given exactly with"):
        layer(**batch)


@pytest.mark.parametrize("query_dim", [0, 4])
def test_harness(check_layer, query_dim):
    batch = random_batch(5)
    if query_dim:
        batch["query_embeddings"] = tf.random.stateless_normal(
            [*batch["session_times"].shape, query_dim], (1, 2)
        )
    check_layer(lambda: outspoken(query_dim=query_dim), batch)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"numeric": "price"}, "`numeric` should be a list of names"),
        ({"num_positions": 0}, "`num_positions` should be a positive integer"),
        ({"num_interaction_types": -1}, "`num_interaction_types` should be a non-negative integer"),
        ({"hidden_dims": (8,)}, "`hidden_dims` should be two widths"),
        ({"dropout": 1.5}, "`dropout`"),
    ],
)
def test_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        RelationFeatures(**options)


def test_numeric_columns_have_to_be_given():
    layer = RelationFeatures(["price"])
    with pytest.raises(ValueError, match="`numeric` should hold the columns price"):
        layer(tf.constant([[[1]]]))
