"""Items and sessions of length 1: cosines in training, evaluation and export."""

import numpy as np
import pytest
import tensorflow as tf

import tfsessionrec as sr
from tfsessionrec.backend import keras

IDS = tf.constant([[[2], [3], [5]], [[4], [0], [0]]])


def normalized(name="sasrec", **options):
    keras.utils.set_random_seed(0)
    model = sr.models.build(
        name, vocabulary_size=6, embedding_dim=4, dropout=0.0, normalize=True, **options
    )
    # Far from length 1, the rows each their own way.
    table = np.random.default_rng(0).normal(size=(6, 4)) * np.arange(1, 7)[:, np.newaxis]
    model({"item_ids": IDS})
    model.backbone.items.item_table.assign(table)
    return model


def cosines(queries, candidates):
    queries, candidates = np.asarray(queries, np.float64), np.asarray(candidates, np.float64)
    lengths = np.linalg.norm(queries, axis=-1)[..., None] * np.linalg.norm(candidates, axis=-1)
    return queries @ candidates.T / lengths


@pytest.mark.parametrize("name", ["sasrec", "hstu", "gru4rec"])
def test_outputs_have_length_one_but_at_padding(name):
    model = normalized(name)
    lengths = np.linalg.norm(model({"item_ids": IDS}), axis=-1)
    np.testing.assert_allclose(lengths, [[1, 1, 1], [1, 0, 0]], atol=1e-6)


def test_interests_have_length_one_each():
    queries = normalized(num_interests=3)({"item_ids": IDS})
    np.testing.assert_allclose(np.linalg.norm(queries[0], axis=-1), np.ones((3, 3)), atol=1e-6)


def test_how_long_a_vector_of_the_table_is_changes_nothing():
    model = normalized()
    before = model.encode({"item_ids": IDS})
    model.backbone.items.item_table.assign(model.backbone.items.item_table * 3.0)
    np.testing.assert_allclose(model.encode({"item_ids": IDS}), before, atol=1e-6)
    plain = normalized()
    plain.backbone.items.normalize = False
    assert np.abs(plain.encode({"item_ids": IDS}) - before).max() > 1e-2


def test_loss_is_the_softmax_of_cosines_over_the_temperature():
    model = normalized(temperature=0.1)
    batch = {"item_ids": tf.constant([[[2], [3], [5]]])}
    queries = model(batch)[0, :2]
    logits = cosines(queries, model.backbone.items.item_table[2:]) / 0.1
    targets = np.array([3, 5]) - 2
    expected = np.log(np.exp(logits).sum(1)) - logits[np.arange(2), targets]
    np.testing.assert_allclose(model.compute_loss(batch), expected.mean(), rtol=1e-5)


@pytest.mark.slow
def test_export_answers_with_the_same_cosines(tmp_path):
    model = normalized()
    vocabulary = sr.data.Vocabulary(np.array([10, 11, 12, 13]))
    path = sr.export.export_saved_model(model, tmp_path / "1", vocabulary, next_item=True)
    answer = sr.export.load_saved_model(path).recommend([10, 11], k=4)
    query = model.encode({"item_ids": tf.constant([[[2], [3]]])})
    expected = cosines(query, model.backbone.items.item_table[2:])[0]
    np.testing.assert_allclose([score for _, score in answer], np.sort(expected)[::-1], atol=1e-5)
    assert [item for item, _ in answer] == (10 + np.argsort(-expected)).tolist()
