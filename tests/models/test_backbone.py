"""The backbone: the batch keys that it reads, and its interaction embedding."""

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec import layers, models

rng = np.random.default_rng(0)
ITEM_IDS = rng.integers(2, 20, (6, 4, 3)).astype(np.int32)
BATCH = {
    "item_ids": ITEM_IDS,
    "labels": (rng.random(ITEM_IDS.shape) < 0.6) * 1.0,
    "interaction_types": rng.integers(1, 3, ITEM_IDS.shape),
    "item_times": np.cumsum(rng.integers(1, 900, (6, 12)), axis=1).reshape(6, 4, 3),
    "session_times": np.cumsum(rng.integers(1, 9000, (6, 4)), axis=1),
    "device": rng.integers(0, 4, (6, 4)),
}


@pytest.mark.parametrize(
    ("name", "options", "keys"),
    [
        ("sasrec", {}, set()),
        ("sessionrec-sasrec", {}, {"labels"}),
        ("sessionrec-sasrec", {"num_interaction_types": 2}, {"labels", "interaction_types"}),
        ("sessionrec-gru", {"session_context": {"device": 3}}, {"labels", "device"}),
        ("gru4rec", {"num_item_time_buckets": 8}, {"item_times"}),
        ("stamp", {"balance_interactions": True}, {"labels"}),
        ("hstu", {}, {"session_times"}),
        ("sessionrec-hstu", {"num_time_buckets": 0}, {"labels"}),
    ],
)
def test_reads_what_changes_its_outputs(name, options, keys):
    tf.keras.utils.set_random_seed(0)
    backbone = models.build(name, vocabulary_size=20, embedding_dim=8, **options).backbone
    backbone.build()
    for layer in backbone.submodules:  # initial zeros and ones hide the effect of a key
        if isinstance(layer, layers.InteractionEmbedding | layers.HSTUBlock):
            layer.set_weights([w + rng.normal(0, 0.5, w.shape) for w in layer.get_weights()])
    changed = {
        "labels": np.tile([1.0, 0.0, 0.0], (6, 4, 1)),
        "interaction_types": 3 - BATCH["interaction_types"],
        "item_times": 90 * BATCH["item_times"],
        "session_times": 90 * BATCH["session_times"],
        "device": 3 - BATCH["device"],
    }
    expected = backbone(BATCH, training=False).numpy()
    read = {
        key
        for key, value in changed.items()
        if np.abs(backbone({**BATCH, key: value}, training=False) - expected).max() > 1e-5
    }
    assert read == backbone.reads == keys


def test_an_interaction_embedding_by_default():
    backbone = models.SessionRecBackbone(layers.ItemEmbedding(20, 8), sse=layers.IdentitySSE())
    assert backbone.interactions.get_config()["interaction_embedding"]
    assert backbone.reads == {"labels"}


def test_options_go_to_the_part_that_has_them():
    options = {"balance_interactions": True, "history_dropout": 0.1, "num_interaction_types": 2}
    backbone = models.build("sasrec", vocabulary_size=20, id_dropout=0.2, **options).backbone
    assert backbone.items.id_dropout == 0.2
    config = backbone.interactions.get_config()
    assert {name: config[name] for name in options} == options
    assert not config["interaction_embedding"]  # the default of the system


def test_arguments_given_to_the_items_work_for_one_release(tmp_path):
    options = {"num_interaction_types": 2, "history_dropout": 0.1}

    def make(old: bool):
        tf.keras.utils.set_random_seed(0)
        items = layers.ItemEmbedding(20, 8, **(options if old else {}), name="items")
        interactions = None if old else layers.InteractionEmbedding(**options)
        return models.SessionRecBackbone(
            items, sse=layers.GRUSSE(), interactions=interactions, name="backbone"
        )

    with pytest.warns(FutureWarning, match="InteractionEmbedding"):
        backbone = make(old=True)
    result = backbone(BATCH).numpy()
    assert backbone.interactions is backbone.items.interactions
    expected = make(old=False)(BATCH).numpy()
    np.testing.assert_array_equal(result, expected)
    backbone.save(tmp_path / "model.keras")
    with pytest.warns(FutureWarning):
        loaded = tf.keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(BATCH), expected, atol=1e-6)
