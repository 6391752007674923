"""Item embedding against NumPy, with and without side features."""

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec.layers import ItemEmbedding

IDS = np.array([[[2, 3, 0], [5, 5, 4]]], np.int32)
LABELS = np.array([[[1, 0, 0], [1, 1, 0]]], np.float32)
TYPES = np.array([[[1, 2, 0], [2, 2, 1]]], np.int32)


def features():
    rng = np.random.default_rng(0)
    return {
        "brand": rng.integers(0, 4, 6),
        "tags": np.array([[0, 0], [0, 0], [1, 2], [3, 0], [0, 0], [2, 2]]),
        "price": rng.normal(size=6).astype(np.float32),
        "image": rng.normal(size=(6, 3)).astype(np.float32),
    }


def by_name(layer):
    # "a/b/item_table:0" and "item_table" alike
    return {w.name.split("/")[-1].split(":")[0]: np.array(w) for w in layer.weights}


def test_id_alone_is_the_table():
    layer = ItemEmbedding(6, 4, interaction_embedding=False)
    table = np.array(layer.candidate_table())
    np.testing.assert_array_equal(layer(IDS), table[IDS])
    np.testing.assert_array_equal(layer.candidates(IDS), table[IDS])


def test_history_says_what_was_done_and_candidates_do_not():
    layer = ItemEmbedding(6, 4, num_interaction_types=2)
    result = layer(IDS, labels=LABELS, interaction_types=TYPES)
    weights = by_name(layer)
    expected = (
        weights["item_table"][IDS]
        + weights["label_table"][LABELS.astype(int)]
        + weights["interaction_type_table"][TYPES]
    )
    np.testing.assert_allclose(result, expected, atol=1e-6)
    np.testing.assert_allclose(layer.candidates(IDS), weights["item_table"][IDS])
    # no labels: everything is positive
    np.testing.assert_allclose(layer(IDS), layer(IDS, labels=np.ones_like(LABELS)), atol=1e-6)


def test_tables_start_apart():
    # one unseeded initialiser called twice gives the same numbers
    weights = by_name(_built(ItemEmbedding(3, 4, num_interaction_types=2)))
    assert np.abs(weights["item_table"] - weights["interaction_type_table"]).max() > 1e-3


def _built(layer):
    layer.build()
    return layer


def test_side_features_reach_history_and_candidates():
    values = features()
    layer = ItemEmbedding(6, 4, features=values, feature_dim=5, interaction_embedding=False)
    result = np.array(layer(IDS))
    weights = by_name(layer)
    tags = np.zeros((6, 5), np.float32)
    for item, row in enumerate(values["tags"]):
        real = row[row > 0]
        if len(real):
            tags[item] = weights["categories_tags"][real].mean(0)
    table = np.concatenate(
        [
            weights["item_table"],
            weights["categories_brand"][values["brand"]],
            tags,
            values["price"][:, None],
            values["image"],
        ],
        axis=1,
    )
    (w1, b1), (w2, b2) = (dense.get_weights() for dense in layer.mlp)
    expected = np.maximum(table @ w1 + b1, 0) @ w2 + b2
    np.testing.assert_allclose(result, expected[IDS], atol=1e-5)
    np.testing.assert_allclose(layer.candidate_table(), expected, atol=1e-5)


@pytest.mark.parametrize("with_features", [False, True])
def test_harness(check_layer, with_features):
    check_layer(
        lambda: ItemEmbedding(
            6, 4, features=features() if with_features else None, num_interaction_types=2
        ),
        {
            "item_ids": tf.constant(IDS),
            "labels": tf.constant(LABELS),
            "interaction_types": tf.constant(TYPES),
        },
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocabulary_size": 0}, "`vocabulary_size` should be a positive integer. Received: .*=0"),
        ({"embedding_dim": -1}, "`embedding_dim` should be a positive integer"),
        ({"features": {"a": np.zeros(5)}}, r"one row an item index: shape \[6\] .*\[5\]"),
        ({"features": {"a": np.full(6, -1)}}, "categories of 0 and above"),
        ({"features": {"a": np.array(["x"] * 6)}}, "should hold integers or floats"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        ItemEmbedding(**{"vocabulary_size": 6, "embedding_dim": 4, **options})
