"""Item embedding against NumPy, with and without side features."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.distribute.sharded_variable import ShardedVariable

from tfsessionrec.backend import IS_KERAS_3
from tfsessionrec.layers import InteractionEmbedding, ItemEmbedding

IDS = np.array([[[2, 3, 0], [5, 5, 4]]], np.int32)
LABELS = np.array([[[1, 0, 0], [1, 1, 0]]], np.float32)


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
    layer = ItemEmbedding(6, 4)
    table = np.array(layer.candidate_table())
    np.testing.assert_array_equal(layer(IDS), table[IDS])
    np.testing.assert_array_equal(layer.candidates(IDS), table[IDS])


def test_tables_start_apart():
    # One unseeded initializer called twice gives the same numbers.
    brands = np.array([0, 1, 2])
    weights = by_name(_built(ItemEmbedding(3, 4, features={"brand": brands}, feature_dim=4)))
    assert np.abs(weights["item_table"] - weights["categories_brand"]).max() > 1e-3


def _built(layer):
    layer.build()
    return layer


def test_side_features_reach_history_and_candidates():
    values = features()
    layer = ItemEmbedding(6, 4, features=values, feature_dim=5)
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


def dropped(layer):
    """The result for every item without its id vector."""
    twin = ItemEmbedding.from_config({**layer.get_config(), "id_dropout": 0.0})
    twin.build()
    twin.set_weights(
        [
            np.zeros_like(value) if "item_table" in weight.name else np.array(value)
            for weight, value in zip(layer.weights, layer.get_weights(), strict=True)
        ]
    )
    return np.array(twin.candidate_table())


def test_id_dropout_leaves_the_features():
    layer = ItemEmbedding(6, 4, features=features(), id_dropout=0.4)
    ids = np.tile(np.arange(6), (50, 40, 1))
    whole = np.array(layer.candidate_table())
    without = dropped(layer)
    for result in (layer(ids, training=True), layer.candidates(ids, training=True)):
        result = np.array(result)
        is_whole = np.isclose(result, whole[ids], atol=1e-6).all(-1)
        is_dropped = np.isclose(result, without[ids], atol=1e-6).all(-1)
        assert (is_whole ^ is_dropped).all()
        assert is_dropped.mean() == pytest.approx(0.4, abs=0.02)  # 12,000 draws
        # each occurrence is drawn independently
        assert 0 < is_dropped[0, :, 3].sum() < 40
    table = np.array(layer.candidate_table(training=True))
    assert (np.isclose(table, whole).all(-1) ^ np.isclose(table, without).all(-1)).all()
    for training in (False, None):
        np.testing.assert_allclose(layer(ids, training=training), whole[ids], atol=1e-6)
    assert layer.training_candidates(training=False) is layer


def test_new_items_are_their_features():
    layer = ItemEmbedding(6, 4, features=features(), num_new_items=2)
    whole, without = np.array(layer.candidate_table()), dropped(layer)
    np.testing.assert_allclose(whole[4:], without[4:], atol=1e-6)
    assert (np.abs(whole[:4] - without[:4]).max(-1) > 1e-4).all()
    np.testing.assert_allclose(layer(IDS), whole[IDS], atol=1e-6)
    # the vector of a new item does not depend on its row
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer.candidates(tf.constant([3, 4])) ** 2)
    gradient = np.array(tf.convert_to_tensor(tape.gradient(loss, layer.trainable_weights)[0]))
    assert np.any(gradient[3])
    assert not np.any(gradient[4])


def test_a_loss_sees_no_new_items():
    layer = ItemEmbedding(6, 4, features=features(), num_new_items=2, id_dropout=0.999)
    candidates = layer.training_candidates(training=False)
    assert candidates.vocabulary_size == 4
    np.testing.assert_array_equal(candidates.candidate_table(), layer.candidate_table()[:4])
    np.testing.assert_array_equal(candidates.candidates([2, 3]), layer.candidates([2, 3]))
    with pytest.warns(FutureWarning, match="`taught` is now `training_candidates`"):
        training = layer.taught(training=True)
    np.testing.assert_allclose(training.candidates([2, 3]), dropped(layer)[[2, 3]], atol=1e-6)
    np.testing.assert_allclose(training.candidate_table(), dropped(layer)[:4], atol=1e-6)


@pytest.mark.parametrize("with_features", [False, True])
def test_harness(check_layer, with_features):
    check_layer(
        lambda: ItemEmbedding(
            6,
            4,
            features=features() if with_features else None,
            id_dropout=0.1,
            num_new_items=1,
        ),
        {"item_ids": tf.constant(IDS)},
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocabulary_size": 0}, "`vocabulary_size` should be a positive integer. Received: .*=0"),
        ({"embedding_dim": -1}, "`embedding_dim` should be a positive integer"),
        ({"id_dropout": 1.0}, r"`id_dropout` should be in \[0, 1\). Received: `id_dropout`=1.0"),
        ({"num_new_items": 6}, "`num_new_items` should be an integer from 0 to below .*=6"),
        ({"features": {"a": np.zeros(5)}}, r"one row per item index: shape \[6\] .*\[5\]"),
        ({"features": {"a": np.full(6, -1)}}, "categories of 0 and above"),
        ({"features": {"a": np.array(["x"] * 6)}}, "should hold integers or floats"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        ItemEmbedding(**{"vocabulary_size": 6, "embedding_dim": 4, **options})


@pytest.mark.parametrize("side", [None, features()])
def test_normalized_items_have_length_one(side):
    mlp = (32,) if side else None  # wide: no item has zeros everywhere
    layer = _built(ItemEmbedding(6, 4, side, 16, mlp, normalize=True))
    layer.item_table.assign(np.random.default_rng(1).normal(size=(6, 4)))
    unit = np.array(layer.candidate_table())
    layer.normalize = False
    table = np.array(layer.candidate_table())
    np.testing.assert_allclose(unit, table / np.linalg.norm(table, axis=1)[:, None], atol=1e-6)
    layer.normalize = True
    np.testing.assert_allclose(layer(IDS), unit[IDS], atol=1e-6)
    np.testing.assert_allclose(layer.candidates(IDS), unit[IDS], atol=1e-6)


def test_normalized_items_in_half_precision():
    # a float16 cannot hold the square of 0.0001
    layer = _built(ItemEmbedding(6, 4, normalize=True, dtype="mixed_float16"))
    layer.item_table.assign(np.full((6, 4), 1e-4))
    np.testing.assert_allclose(layer.candidates(IDS), np.full((1, 2, 3, 4), 0.5), atol=1e-3)


def test_a_sharded_table_gives_the_same_rows_and_gradients():
    if IS_KERAS_3:
        pytest.skip("TensorFlow shards the variables of Keras 2")
    layer = _built(ItemEmbedding(6, 4))
    values = np.array(layer.item_table)
    sharded = _built(ItemEmbedding(6, 4))
    sharded.item_table = ShardedVariable([tf.Variable(values[:3]), tf.Variable(values[3:])])
    np.testing.assert_array_equal(sharded(IDS), values[IDS])
    np.testing.assert_array_equal(sharded.candidate_table(), values)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_the_gradient_holds_only_the_rows_that_were_read(dtype):
    if IS_KERAS_3:
        pytest.skip("Keras 3 makes the gradient of its own variables dense")
    layer = _built(ItemEmbedding(6, 4, dtype=dtype))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(IDS) ** 2)
    assert isinstance(tape.gradient(loss, layer.item_table), tf.IndexedSlices)


def test_arguments_of_interactions_work_for_one_release():
    given = {"num_interaction_types": 2, "balance_interactions": True}
    with pytest.warns(FutureWarning, match=r"num_interaction_types, balance_.*InteractionEmb"):
        old = _built(ItemEmbedding(6, 4, **given))
    new = _built(ItemEmbedding(6, 4))
    interactions = InteractionEmbedding(**given)
    interactions.build((None, 4))
    new.set_weights(old.get_weights()[:1])
    interactions.set_weights(old.interactions.get_weights())
    types = np.array([[[1, 2, 0], [2, 2, 1]]], np.int32)
    result = old(IDS, labels=LABELS, interaction_types=types)
    expected = interactions(new(IDS), IDS, labels=LABELS, interaction_types=types)
    np.testing.assert_array_equal(result, expected)
    with pytest.warns(FutureWarning):
        twin = ItemEmbedding.from_config(old.get_config())
    assert twin.interactions.num_interaction_types == 2
    assert twin.interactions.balance_interactions


def test_labels_belong_to_the_interactions():
    with pytest.raises(ValueError, match=r"does not read `labels`.*`InteractionEmbedding`"):
        ItemEmbedding(6, 4)(IDS, labels=LABELS)
