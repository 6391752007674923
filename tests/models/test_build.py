"""Every system by name: it trains, answers causally, and says what it takes."""

import warnings

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec import models

ITEM_IDS = np.random.default_rng(0).integers(2, 20, (6, 4, 5)).astype(np.int32)
ITEM_IDS[:, :, 3:] = 0
ITEM_IDS[3:, 2:] = 0
BATCH = {
    "item_ids": ITEM_IDS,
    "labels": (np.random.default_rng(1).random(ITEM_IDS.shape) < 0.6) * (ITEM_IDS > 0) * 1.0,
    "session_times": np.cumsum(np.full((6, 4), 5000), axis=1),
}


def make(name, **options):
    tf.keras.utils.set_random_seed(0)
    return models.build(name, vocabulary_size=20, embedding_dim=8, **options)


def batch(name):
    items = 1 if models.recipe(name).next_item else 5
    return {key: value[:, :, :items] if value.ndim == 3 else value for key, value in BATCH.items()}


@pytest.mark.parametrize("name", models.names())
def test_learns_and_answers(name):
    model, features = make(name), batch(name)
    model.compile(tf.keras.optimizers.Adam(0.01))
    history = model.fit(tf.data.Dataset.from_tensors(features).repeat(5), epochs=5, verbose=0)
    losses = history.history["retrieval_loss"]
    assert losses[-1] < losses[0] - 0.1
    encoded = model.encode(features).numpy()
    assert encoded.shape == (6, 8)
    assert np.all(np.isfinite(encoded))
    # the order of the rows does not matter, and rows are independent
    np.testing.assert_allclose(
        model.encode({key: value[::-1] for key, value in features.items()}),
        encoded[::-1],
        atol=1e-5,
    )


@pytest.mark.parametrize("name", models.names())
def test_the_future_does_not_reach_the_past(name):
    model, features = make(name), batch(name)
    before = model(features).numpy()
    later = {key: value.copy() for key, value in features.items()}
    later["item_ids"][:3, -1] = 7
    after = model(later).numpy()
    np.testing.assert_allclose(after[:3, :-1], before[:3, :-1], atol=1e-5)
    assert np.abs(after[:3, -1] - before[:3, -1]).max() > 1e-4


@pytest.mark.parametrize("name", models.names())
def test_save_and_load(name, tmp_path):
    model, features = make(name), batch(name)
    expected = model.encode(features)
    model.save(tmp_path / "model.keras")
    loaded = tf.keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.encode(features), expected, atol=1e-6)


def test_running_session_systems_read_it_alone():
    for name in ("stamp", "srgnn", "narm"):
        model = make(name)
        earlier = {"item_ids": ITEM_IDS[:3].copy()}
        before = model.encode(earlier).numpy()
        earlier["item_ids"][:, 0] = 3
        np.testing.assert_allclose(model.encode(earlier), before, atol=1e-6)


@pytest.mark.parametrize("name", ["two-tower", "mf"])
def test_a_user_is_the_mean_of_the_whole_history(name):
    model, history = make(name), [3, 7, 7, 12]
    query = model.encode({"item_ids": tf.constant([[history]])}).numpy()
    table = model.candidate_embeddings().numpy()
    weights = model.backbone.sse.get_weights()
    hidden = table[history].mean(0)
    if name == "two-tower":
        kernel, bias, *weights = weights
        assert kernel.shape == (8, 16)
        hidden = np.maximum(hidden @ kernel + bias, 0)
    kernel, bias = weights
    np.testing.assert_allclose(query[0], hidden @ kernel + bias, atol=1e-6)
    backwards = model.encode({"item_ids": tf.constant([[history[::-1]]])})
    np.testing.assert_allclose(backwards, query, atol=1e-6)


def test_two_towers_take_features_and_widths():
    prices = np.random.default_rng(0).normal(size=(20, 1)).astype(np.float32)
    model = make("two-tower", features={"price": prices}, hidden_dims=(32, 16), dropout=0.1)
    model.encode({"item_ids": ITEM_IDS})
    assert [layer.units for layer in model.backbone.sse.hidden_layers] == [32, 16]
    before = model.candidate_embeddings().numpy()
    model.backbone.items.feature_tables["price"].assign(prices + 1)
    assert np.abs(model.candidate_embeddings().numpy() - before).max() > 1e-3


def test_unknown_names_and_options_list_what_exists():
    with pytest.raises(ValueError, match=r"`name` should be one of .*sasrec.*'gru5rec'"):
        make("gru5rec")
    with pytest.raises(
        ValueError, match=r"Unknown options of .sasrec.: dropuot. It has: .*dropout"
    ):
        make("sasrec", dropuot=0.1)
    with pytest.raises(ValueError, match="Unknown options of 'gru4rec': num_heads"):
        make("gru4rec", num_heads=2)
    with pytest.raises(ValueError, match=r"`ise` should be one of .*mean"):
        make("sessionrec-sasrec", ise="median")


@pytest.mark.parametrize("name", ["sessionrec-sasrec", "sasrec"])
def test_negatives_are_drawn_where_all_items_would_be_too_many(name):
    def negatives(size, **options):
        given = {**models.defaults(name, size, options), **options}
        return given["negatives"], given.get("num_negatives")

    assert negatives(50_000) == ("full", None)
    assert negatives(50_001) == ("uniform", 2048)
    assert negatives(100, num_negatives=9) == ("uniform", 9)
    assert negatives(100, loss="gbce") == ("uniform", 2048)
    assert negatives(50_001, negatives="full") == ("full", None)
    assert negatives(50_001, negatives="in_batch") == ("in_batch", None)
    task = models.build(name, vocabulary_size=100, embedding_dim=4, loss="gbce").retrieval_task
    assert (task.negatives, task.num_negatives) == ("uniform", 2048)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("sasrec", (1, 3, 3), "I <= 1"),
        ("sasrec", (1, 3, 1), None),
        ("stamp", (1, 3, 3), "S <= 2"),
        ("stamp", (1, 2, 3), None),
        ("two-tower", (1, 3, 3), "S <= 2"),
        ("sessionrec-gru", (1, 3, 3), None),
    ],
)
def test_a_batch_of_another_layout_warns(name, shape, expected):
    model = models.build(name, vocabulary_size=20, embedding_dim=8)
    model.compile("adam")
    batches = tf.data.Dataset.from_tensors({"item_ids": tf.fill(shape, 3)})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(batches, verbose=0)
    found = [str(one.message) for one in caught if "`item_ids` should have" in str(one.message)]
    assert bool(found) == (expected is not None)
    assert all(f"should have {expected}" in message for message in found)
    copy = models.SessionRec.from_config(model.get_config())
    assert copy.history_spec == models.recipe(name).history
