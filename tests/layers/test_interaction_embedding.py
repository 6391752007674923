"""Interaction embedding against NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec.layers import InteractionEmbedding

IDS = np.array([[[2, 3, 0], [5, 5, 4]]], np.int32)
ITEMS = np.random.default_rng(2).normal(size=(1, 2, 3, 4)).astype(np.float32)
LABELS = np.array([[[1, 0, 0], [1, 1, 0]]], np.float32)
TYPES = np.array([[[1, 2, 0], [2, 2, 1]]], np.int32)
TIMES = np.array([[[10, 70, 0], [80, 90, 95]]])


def built(**options):
    layer = InteractionEmbedding(**options)
    layer.build((None, None, None, 4))
    return layer


def with_polarity(layer):
    for number, vector in enumerate((layer.negative_scale, layer.negative_shift)):
        vector.assign(np.random.default_rng(number).normal(size=4))
    return layer


def test_against_numpy():
    layer = with_polarity(built(num_interaction_types=2))
    result = layer(ITEMS, IDS, labels=LABELS, interaction_types=TYPES)
    negative = ITEMS * np.array(layer.negative_scale) + np.array(layer.negative_shift)
    history = np.where(LABELS[..., None] > 0, ITEMS, negative)
    expected = history + np.array(layer.interaction_type_table)[TYPES]
    np.testing.assert_allclose(result, expected, atol=1e-6)
    for training in (None, False):  # Without labels every item is positive.
        np.testing.assert_allclose(layer(ITEMS, IDS, training=training), ITEMS, atol=1e-6)


def test_nothing_is_added_if_nothing_is_asked_for():
    layer = built(interaction_embedding=False)
    np.testing.assert_array_equal(
        layer(ITEMS, IDS, labels=LABELS, interaction_types=TYPES, item_times=TIMES), ITEMS
    )
    assert not layer.weights


def test_a_mean_still_reveals_which_item_was_clicked():
    layer = built()
    layer.negative_scale.assign(np.full(4, 0.25))
    layer.negative_shift.assign(np.ones(4))
    items, ids = np.repeat(ITEMS[0, :1, :2], 2, axis=0), np.array([[2, 3], [2, 3]])
    first, second = np.mean(layer(items, ids, labels=np.array([[1.0, 0], [0, 1]])), axis=1)
    assert np.abs(first - second).max() > 1e-3


def test_balanced_kinds_weigh_the_same_in_a_mean():
    """Each kind has a mean of its own; a session with one kind is unchanged."""
    layer, plain = (with_polarity(built(balance_interactions=value)) for value in (True, False))
    ids = np.array([[2, 3, 4, 5, 6, 0], [7, 8, 0, 0, 0, 0], [3, 4, 5, 0, 0, 0], [0] * 6])
    labels = np.array([[0, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0], [0] * 6, [0] * 6], np.float32)
    items = np.random.default_rng(3).normal(size=(4, 6, 4)).astype(np.float32)
    vectors = np.array(plain(items, ids, labels=labels))
    balanced = np.array(layer(items, ids, labels=labels))
    positive, negative = vectors[0, 1], vectors[0, [0, 2, 3, 4]].mean(axis=0)
    np.testing.assert_allclose(balanced[0, :5].mean(axis=0), positive + negative, atol=1e-6)
    for row, real in ((1, 2), (2, 3)):
        np.testing.assert_array_equal(balanced[row, :real], vectors[row, :real])
    assert np.isfinite(balanced).all()
    wider = [(0, 0), (0, 3)]
    padded = layer(
        np.pad(items, [*wider, (0, 0)]), np.pad(ids, wider), labels=np.pad(labels, wider)
    )
    np.testing.assert_array_equal(padded[0, :5], balanced[0, :5])
    # Without labels no item is negative.
    np.testing.assert_array_equal(layer(items, ids)[ids > 0], plain(items, ids)[ids > 0])


def test_item_times_are_added():
    layer = built(num_item_time_buckets=8)
    gaps = np.array(layer.time_gaps(TIMES, IDS))
    assert np.abs(gaps[0, 1, 0]).max() > 0
    np.testing.assert_allclose(layer(ITEMS, IDS, item_times=TIMES), ITEMS + gaps, atol=1e-6)


def test_dropout_in_training_only():
    layer = built(history_dropout=0.5, interaction_embedding=False)
    items = np.tile(ITEMS, (1, 1, 1, 16))
    np.testing.assert_array_equal(layer(items, IDS), items)
    dropped = np.array(layer(items, IDS, training=True))
    kept = dropped != 0
    assert 0.3 < kept.mean() < 0.7
    np.testing.assert_allclose(dropped[kept], 2 * items[kept], rtol=1e-6)


OPTIONS = (
    {},
    {"interaction_embedding": False},
    {"interaction_embedding": False, "balance_interactions": True},
    {"num_interaction_types": 2, "num_item_time_buckets": 20},
)


@pytest.mark.parametrize("options", OPTIONS)
def test_reads_what_changes_its_result(options):
    layer = built(**options)
    if layer.interaction_embedding:
        with_polarity(layer)
    inputs = {"labels": LABELS, "interaction_types": TYPES, "item_times": TIMES}
    changed = {
        "labels": np.ones_like(LABELS),
        "interaction_types": (TYPES + 1) % 3,
        "item_times": 3 * TIMES,
    }
    expected = np.array(layer(ITEMS, IDS, **inputs))
    read = {
        key
        for key, value in changed.items()
        if np.abs(layer(ITEMS, IDS, **{**inputs, key: value}) - expected).max() > 0
    }
    assert read == layer.reads


def test_harness(check_layer):
    check_layer(
        lambda: InteractionEmbedding(num_interaction_types=2, num_item_time_buckets=3),
        {
            "item_embeddings": tf.constant(ITEMS),
            "item_ids": tf.constant(IDS),
            "labels": tf.constant(LABELS),
            "interaction_types": tf.constant(TYPES),
            "item_times": tf.constant(TIMES, tf.int64),
        },
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_interaction_types": -1}, "`num_interaction_types` should be a non-negative integer"),
        ({"num_item_time_buckets": 0.5}, "`num_item_time_buckets` should be a non-negative .*=0.5"),
        ({"history_dropout": 1.0}, r"`history_dropout` should be in \[0, 1\). Received: "),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        InteractionEmbedding(**options)
