"""The backbone as the query tower of a plain TFRS model."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfsessionrec import layers, models
from tfsessionrec.evaluation import evaluate

NUM_ITEMS = 20
# Of each item the next one follows, in sessions of one item.
STARTS = np.arange(64) % NUM_ITEMS
LENGTHS = 1 + np.arange(64) % 3
HISTORIES = np.where(
    np.arange(4) < LENGTHS[:, None], 2 + (STARTS[:, None] + np.arange(4)) % NUM_ITEMS, 0
).astype(np.int32)[..., None]
NEXT = (2 + (STARTS + LENGTHS) % NUM_ITEMS).astype(np.int32)


def make_backbone(**options):
    items = layers.ItemEmbedding(NUM_ITEMS + 2, 16)
    return models.SessionRecBackbone(items, sse=layers.GRUSSE(dropout=0.3), **options)


class TwoTowers(tfrs.Model):
    """As in the tutorials of TensorFlow Recommenders, with the session query tower."""

    def __init__(self, backbone):
        super().__init__()
        self.query_tower = backbone.as_query_tower()
        self.items = backbone.items
        self.task = tfrs.tasks.Retrieval()

    def compute_loss(self, inputs, training=False):
        queries = self.query_tower({"item_ids": inputs["item_ids"]}, training=training)
        candidates = self.items.candidates(inputs["next"])
        return self.task(queries, candidates, candidate_ids=inputs["next"])

    def encode(self, features):
        return self.query_tower(features)

    def candidate_embeddings(self):
        return self.items.candidate_table()


@pytest.mark.slow
def test_a_plain_tfrs_model_learns_with_it():
    tf.keras.utils.set_random_seed(0)
    model = TwoTowers(make_backbone())
    model.compile(tf.keras.optimizers.Adam(0.02))
    data = tf.data.Dataset.from_tensor_slices({"item_ids": HISTORIES, "next": NEXT}).batch(32)
    model.fit(data, epochs=60, verbose=0)
    scores = model.encode({"item_ids": HISTORIES}) @ tf.transpose(model.candidate_embeddings())
    found = 2 + np.argmax(scores[:, 2:], axis=1)
    assert np.mean(found == NEXT) > 0.9
    batch = {"item_ids": HISTORIES, "target_ids": NEXT[:, None]}
    assert evaluate(model, [batch], k=[1])["recall@1"] == pytest.approx(np.mean(found == NEXT))


def test_it_is_the_output_at_the_newest_session():
    backbone = make_backbone()
    tower = backbone.as_query_tower()
    outputs, queries = backbone(HISTORIES[:6]).numpy(), tower(HISTORIES[:6]).numpy()
    assert queries.shape == (6, 16)
    np.testing.assert_allclose(queries, outputs[np.arange(6), LENGTHS[:6] - 1])
    assert np.all(tower(np.zeros([1, 2, 1], np.int32)) == 0)
    trained = tower(HISTORIES[:6], training=True)
    assert np.abs(trained - queries).max() > 1e-3  # dropout


def test_it_is_saved_and_loaded(tmp_path):
    tower = make_backbone().as_query_tower()
    expected = tower({"item_ids": HISTORIES})
    tower.save(tmp_path / "tower.keras")
    loaded = tf.keras.models.load_model(tmp_path / "tower.keras")
    np.testing.assert_allclose(loaded({"item_ids": HISTORIES}), expected, atol=1e-6)
    assert loaded.get_config() == tower.get_config()


def test_a_head_makes_no_query_tower():
    with pytest.raises(ValueError, match=r"`backbone` should have no head for a query tower"):
        make_backbone(head=layers.MultiInterestHead(2)).as_query_tower()


@pytest.mark.parametrize("interests", [None, 4])
def test_one_vector_a_session_is_no_query(interests):
    """[B, 4, D] of four sessions is refused, that of four interests is not."""
    head = None if interests is None else layers.MultiInterestHead(interests)
    backbone = make_backbone(head=head)

    class Model:
        def encode(self, features):
            return backbone(features) if head is None else backbone.encode(features)

        def candidate_embeddings(self):
            return backbone.items.candidate_table()

    batch = {"item_ids": HISTORIES, "target_ids": NEXT[:, None]}
    if head is None:
        with pytest.raises(ValueError, match=r"shape \[B, D\], .*`backbone\.as_query_tower\(\)`"):
            evaluate(Model(), [batch], k=[1])
    else:
        assert evaluate(Model(), [batch], k=[1]).num_queries == len(NEXT)
