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
    layer = _built(ItemEmbedding(6, 4, num_interaction_types=2))
    for number, vector in enumerate((layer.negative_scale, layer.negative_shift)):
        vector.assign(np.random.default_rng(number).normal(size=4))
    result = layer(IDS, labels=LABELS, interaction_types=TYPES)
    weights = by_name(layer)
    items = weights["item_table"][IDS]
    negative = items * weights["negative_scale"] + weights["negative_shift"]
    history = np.where(LABELS[..., None] > 0, items, negative)
    expected = history + weights["interaction_type_table"][TYPES]
    np.testing.assert_allclose(result, expected, atol=1e-6)
    np.testing.assert_allclose(layer.candidates(IDS), weights["item_table"][IDS])
    # no labels: everything is positive
    for training in (None, False):
        positive = layer(IDS, labels=np.ones_like(LABELS), training=training)
        np.testing.assert_allclose(layer(IDS, training=training), positive, atol=1e-6)


def test_a_mean_still_tells_which_item_was_taken():
    layer = _built(ItemEmbedding(6, 4))
    layer.negative_scale.assign(np.full(4, 0.25))
    layer.negative_shift.assign(np.ones(4))
    ids = np.array([[2, 3], [2, 3]])
    first, second = np.mean(layer(ids, labels=np.array([[1.0, 0], [0, 1]])), axis=1)
    assert np.abs(first - second).max() > 1e-3


def test_balanced_kinds_weigh_the_same_in_a_mean():
    """Each kind has a mean of its own; a session of one kind is left as it is."""
    layer = ItemEmbedding(9, 4, balance_interactions=True)
    plain = ItemEmbedding(9, 4)
    ids = np.array([[2, 3, 4, 5, 6, 0], [7, 8, 0, 0, 0, 0], [3, 4, 5, 0, 0, 0], [0] * 6])
    labels = np.array([[0, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0], [0] * 6, [0] * 6], np.float32)
    _built(layer), _built(plain)
    layer.set_weights(plain.get_weights())
    vectors = plain(ids, labels=labels).numpy()
    mean = layer(ids, labels=labels).numpy()[0, :5].mean(axis=0)
    taken, others = vectors[0, 1], vectors[0, [0, 2, 3, 4]].mean(axis=0)
    np.testing.assert_allclose(mean, taken + others, atol=1e-6)
    for row, real in ((1, 2), (2, 3)):
        np.testing.assert_array_equal(layer(ids, labels=labels)[row, :real], vectors[row, :real])
    assert np.isfinite(layer(ids, labels=labels)).all()
    padded = layer(np.pad(ids, [(0, 0), (0, 3)]), labels=np.pad(labels, [(0, 0), (0, 3)]))
    np.testing.assert_array_equal(padded[0, :5], layer(ids, labels=labels)[0, :5])
    # Nothing is said to be shown in vain.
    np.testing.assert_array_equal(layer(ids)[ids > 0], plain(ids)[ids > 0])


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


def dropped(layer):
    """The layer's result for every item when no item has a vector of its own."""
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
    layer = ItemEmbedding(6, 4, features=features(), id_dropout=0.4, interaction_embedding=False)
    ids = np.tile(np.arange(6), (50, 40, 1))
    whole = np.array(layer.candidate_table())
    without = dropped(layer)
    for result in (layer(ids, training=True), layer.candidates(ids, training=True)):
        result = np.array(result)
        is_whole = np.isclose(result, whole[ids], atol=1e-6).all(-1)
        is_dropped = np.isclose(result, without[ids], atol=1e-6).all(-1)
        assert (is_whole ^ is_dropped).all()
        assert is_dropped.mean() == pytest.approx(0.4, abs=0.02)  # 12,000 draws
        # each occurrence draws for itself
        assert 0 < is_dropped[0, :, 3].sum() < 40
    table = np.array(layer.candidate_table(training=True))
    assert (np.isclose(table, whole).all(-1) ^ np.isclose(table, without).all(-1)).all()
    for training in (False, None):
        np.testing.assert_allclose(layer(ids, training=training), whole[ids], atol=1e-6)
    assert layer.taught(training=False) is layer


def test_new_items_are_their_features():
    layer = ItemEmbedding(6, 4, features=features(), num_new_items=2, interaction_embedding=False)
    whole, without = np.array(layer.candidate_table()), dropped(layer)
    np.testing.assert_allclose(whole[4:], without[4:], atol=1e-6)
    assert (np.abs(whole[:4] - without[:4]).max(-1) > 1e-4).all()
    np.testing.assert_allclose(layer(IDS), whole[IDS], atol=1e-6)
    # the row of a new item has no part in its vector
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer.candidates(tf.constant([3, 4])) ** 2)
    gradient = np.array(tf.convert_to_tensor(tape.gradient(loss, layer.trainable_weights)[0]))
    assert np.any(gradient[3])
    assert not np.any(gradient[4])


def test_a_loss_sees_no_new_items():
    layer = ItemEmbedding(6, 4, features=features(), num_new_items=2, id_dropout=0.999)
    taught = layer.taught(training=False)
    assert taught.vocabulary_size == 4
    np.testing.assert_array_equal(taught.candidate_table(), layer.candidate_table()[:4])
    np.testing.assert_array_equal(taught.candidates([2, 3]), layer.candidates([2, 3]))
    training = layer.taught(training=True)
    np.testing.assert_allclose(training.candidates([2, 3]), dropped(layer)[[2, 3]], atol=1e-6)
    np.testing.assert_allclose(training.candidate_table(), dropped(layer)[:4], atol=1e-6)


def test_item_times_are_added_to_the_history():
    layer = _built(ItemEmbedding(6, 4, num_item_time_buckets=8))
    times = np.array([[[10, 70, 0], [80, 90, 95]]])
    gaps = np.array(layer.time_gaps(times, IDS))
    assert np.abs(gaps[0, 1, 0]).max() > 0
    np.testing.assert_allclose(layer(IDS, item_times=times), layer(IDS) + gaps, atol=1e-6)


@pytest.mark.parametrize("with_features", [False, True])
def test_harness(check_layer, with_features):
    check_layer(
        lambda: ItemEmbedding(
            6,
            4,
            features=features() if with_features else None,
            num_interaction_types=2,
            id_dropout=0.1,
            num_new_items=1,
            num_item_time_buckets=3,
        ),
        {
            "item_ids": tf.constant(IDS),
            "labels": tf.constant(LABELS),
            "interaction_types": tf.constant(TYPES),
            "item_times": tf.constant([[[5, 6, 0], [50, 51, 99]]], tf.int64),
        },
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocabulary_size": 0}, "`vocabulary_size` should be a positive integer. Received: .*=0"),
        ({"embedding_dim": -1}, "`embedding_dim` should be a positive integer"),
        ({"id_dropout": 1.0}, r"`id_dropout` should be in \[0, 1\). Received: `id_dropout`=1.0"),
        ({"num_new_items": 6}, "`num_new_items` should be an integer from 0 to below .*=6"),
        ({"num_item_time_buckets": -1}, "`num_buckets` should be a positive integer. Received: "),
        ({"features": {"a": np.zeros(5)}}, r"one row an item index: shape \[6\] .*\[5\]"),
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
    layer = _built(ItemEmbedding(6, 4, side, 16, mlp, interaction_embedding=False, normalize=True))
    layer.item_table.assign(np.random.default_rng(1).normal(size=(6, 4)))
    unit = np.array(layer.candidate_table())
    layer.normalize = False
    table = np.array(layer.candidate_table())
    np.testing.assert_allclose(unit, table / np.linalg.norm(table, axis=1)[:, None], atol=1e-6)
    layer.normalize = True
    np.testing.assert_allclose(layer(IDS), unit[IDS], atol=1e-6)
    np.testing.assert_allclose(layer.candidates(IDS), unit[IDS], atol=1e-6)


def test_normalized_items_in_half_precision():
    # the square of 0.0001 is no float16
    layer = _built(ItemEmbedding(6, 4, normalize=True, dtype="mixed_float16"))
    layer.item_table.assign(np.full((6, 4), 1e-4))
    np.testing.assert_allclose(layer.candidates(IDS), np.full((1, 2, 3, 4), 0.5), atol=1e-3)


def test_history_dropout_spares_candidates_and_serving():
    layer = _built(ItemEmbedding(6, 64, history_dropout=0.5, interaction_embedding=False))
    table = np.array(layer.candidate_table())
    np.testing.assert_array_equal(layer(IDS), table[IDS])
    np.testing.assert_array_equal(layer.candidates(IDS, training=True), table[IDS])
    dropped = np.array(layer(IDS, training=True))
    kept = dropped != 0
    assert 0.3 < kept.mean() < 0.7
    np.testing.assert_allclose(dropped[kept], 2 * table[IDS][kept], rtol=1e-6)
    with pytest.raises(ValueError, match=r"`history_dropout` should be in \[0, 1\). Received: "):
        ItemEmbedding(6, 4, history_dropout=1.0)
