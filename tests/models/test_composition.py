"""The parts inside other people's TFRS models."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfsessionrec import layers, models

NUM_ITEMS = 20
IDS = np.array([f"i{item:02}" for item in range(NUM_ITEMS)])
START = np.random.default_rng(0).integers(0, NUM_ITEMS, 256)
# What comes next is three further on in a circle.
HISTORY, NEXT = (START[:, None] + 3 * np.arange(4)) % NUM_ITEMS, (START + 12) % NUM_ITEMS


class TwoTowers(tfrs.Model):
    """Two towers by an author who does not know this package."""

    def __init__(self, query_tower, candidate_tower, candidates):
        super().__init__()
        self.query_tower = query_tower
        self.candidate_tower = candidate_tower
        self.task = tfrs.tasks.Retrieval(
            metrics=tfrs.metrics.FactorizedTopK(
                candidates=candidates.batch(8).map(candidate_tower), ks=(5,)
            )
        )

    def compute_loss(self, features, training=False):
        query = self.query_tower(features["history"], training=training)[:, -1]
        candidate = self.candidate_tower(features["next"])
        return self.task(query, candidate, compute_metrics=not training)


def learn(model, features):
    """The share of the next items among the first five, before and after training."""
    model.compile(optimizer=tf.keras.optimizers.Adam(0.03))
    batches = tf.data.Dataset.from_tensor_slices(features).batch(32)
    name = "factorized_top_k/top_5_categorical_accuracy"
    before = model.evaluate(batches, return_dict=True, verbose=0)[name]
    model.fit(batches, epochs=20, verbose=0)
    return before, model.evaluate(batches, return_dict=True, verbose=0)[name]


@pytest.mark.slow
def test_the_backbone_is_the_query_tower_of_another_model(tmp_path):
    tf.keras.utils.set_random_seed(0)
    backbone = models.SessionRecBackbone(
        layers.ItemEmbedding(2 + NUM_ITEMS, 16), layers.MeanISE(), layers.SASRecSSE(dropout=0.0)
    )
    candidate_tower = tf.keras.Sequential(
        [tf.keras.layers.Embedding(2 + NUM_ITEMS, 16), tf.keras.layers.Dense(16)]
    )
    model = TwoTowers(
        backbone, candidate_tower, tf.data.Dataset.from_tensor_slices(2 + np.arange(NUM_ITEMS))
    )
    # two items a session: two sessions each
    sessions = {"item_ids": (2 + HISTORY.reshape(-1, 2, 2)).astype(np.int32)}
    before, after = learn(model, {"history": sessions, "next": 2 + NEXT})
    assert before < 0.5  # chance is 1 in 4
    assert after > 0.8
    # its variables are the other model's: trained, saved and restored with it
    names = {id(variable) for variable in model.trainable_variables}
    assert {id(variable) for variable in backbone.trainable_variables} < names
    expected = backbone(sessions).numpy()
    model.save_weights(tmp_path / "weights")
    backbone.items.item_table.assign(tf.zeros_like(backbone.items.item_table))
    model.load_weights(tmp_path / "weights")
    np.testing.assert_allclose(backbone(sessions), expected, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["gru", "hstu"])
def test_hstu_alone_replaces_the_gru_of_a_sequential_model(encoder):
    tf.keras.utils.set_random_seed(0)
    lookup = tf.keras.layers.StringLookup(vocabulary=IDS)
    if encoder == "gru":
        sequence = tf.keras.layers.GRU(16, return_sequences=True)
    else:
        sequence = layers.HSTUSSE(num_layers=1, dropout=0.0, num_time_buckets=0)
    query_tower = tf.keras.Sequential(
        [lookup, tf.keras.layers.Embedding(1 + NUM_ITEMS, 16), sequence]
    )
    candidate_tower = tf.keras.Sequential([lookup, tf.keras.layers.Embedding(1 + NUM_ITEMS, 16)])
    model = TwoTowers(query_tower, candidate_tower, tf.data.Dataset.from_tensor_slices(IDS))
    before, after = learn(model, {"history": IDS[HISTORY], "next": IDS[NEXT]})
    assert before < 0.5  # chance is 1 in 4
    assert after > 0.8
