"""Ranking by a model's own scores of the shown items."""

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec.evaluation import evaluate_ranking

BATCH = {
    "item_ids": [[[2, 0, 0], [3, 4, 2], [4, 3, 2]]],
    "labels": [[[1, 0, 0], [0, 0, 1], [1, 0, 0]]],
    "position": [[[0, 0, 0], [1, 2, 3], [0, 1, 2]]],
}


class Toy(tf.Module):
    """Embeddings prefer 3, then 4, then 2; its scores of shown items prefer the last place."""

    def __call__(self, features, training=False):
        return tf.ones([*features["item_ids"].shape[:2], 1])

    def candidate_embeddings(self):
        return tf.constant([[0.0], [0.0], [1.0], [3.0], [2.0]])

    def score_shown(self, features):
        assert "is_target" not in features
        places = tf.cast(features["position"], tf.float32)
        return places - 10.0 * tf.cast(features["item_ids"] == 0, tf.float32)


class Silent(Toy):
    has_terms = False


def test_own_scores_decide_and_only_the_shown_are_ranked():
    # Session 0 showed nothing, session 2 did not show its clicked item: one query.
    report = evaluate_ranking(Toy(), [BATCH], empty_history=True)
    assert (report.num_queries, report.num_candidates) == (1, 3)
    assert report["mrr"] == 1
    assert report.baselines["as displayed"]["mrr"] == pytest.approx(1 / 3)


def test_embeddings_decide_without():
    assert evaluate_ranking(Silent(), [BATCH])["mrr"] == pytest.approx(1 / 3)


def test_first_sessions():
    batch = {name: np.array(value)[:, 1:2] for name, value in BATCH.items()}
    assert evaluate_ranking(Toy(), [batch], empty_history=True)["mrr"] == 1


def test_wrong_scores():
    model = Toy()
    model.score_shown = lambda features: tf.ones([1, 3])
    with pytest.raises(ValueError, match="should have the shape of `item_ids`"):
        evaluate_ranking(model, [BATCH])
    model.score_shown = lambda features: tf.fill(features["item_ids"].shape, np.nan)
    with pytest.raises(ValueError, match=r"`model.score_shown\(features\)` should be finite"):
        evaluate_ranking(model, [BATCH])
