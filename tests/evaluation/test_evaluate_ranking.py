"""The rank of the clicked item among the shown ones."""

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec.baselines import Popularity
from tfsessionrec.data import Vocabulary
from tfsessionrec.evaluation import evaluate_ranking

SIZE = 12


class Toy(tf.Module):
    """The query is the number 1, an item's embedding its value: item i scores values[i]."""

    def __init__(self, values):
        super().__init__()
        self.values = tf.constant(values, tf.float32)[:, None]

    def __call__(self, features, training=False):
        return tf.ones([*features["item_ids"].shape[:2], 1])

    def candidate_embeddings(self):
        return self.values


def test_hand_derived():
    values = [0, 5, 1, 2, 3, 4, 4, 9, 0, 0, 0, 0]
    batch = {
        # Shown after the first session: 2 (1), 3 (2), 4 (3): 3 clicked: rank 2; displayed second.
        # Then 7 (9), 5 (4), 6 (4), 5 and 6 clicked: the better one on rank 2, displayed second.
        # The last is no target.
        "item_ids": [[[2, 3, 0, 0], [2, 3, 4, 0], [7, 5, 6, 0], [2, 3, 0, 0]]],
        "labels": [[[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0], [1, 0, 0, 0]]],
        "is_target": [[True, True, True, False]],
    }
    counts = np.array([0, 0, 1, 1, 0, 3, 2, 1, 0, 0, 0, 0])
    report = evaluate_ranking(Toy(values), [batch], popularity=counts)
    assert (report.num_queries, report.num_candidates) == (2, 3)
    assert report["mrr"] == (1 / 2 + 1 / 2) / 2
    assert report["hit_rate@1"] == 0
    assert report["auc"] == (1 + 0) / (2 + 2)
    assert report["group_auc"] == (1 / 2 + 0) / 2
    assert report.baselines["as displayed"]["mrr"] == 1 / 2
    # By count: 2 and 3 tie and are as displayed, then 4: rank 2. Then 5, 6, 7: rank 1.
    assert report.baselines["popularity"]["mrr"] == (1 / 2 + 1) / 2
    assert report.baselines["popularity"]["auc"] == (1 + 2) / 4
    assert "ties: against the targets" in str(report)


@pytest.mark.parametrize("unopposed", [True, False])
def test_ties_out_of_vocabulary_and_lists_of_one(unopposed):
    values = [0, 5, 1, 2, 3, 4, 4, 9, 0, 0, 0, 0]
    batch = {
        # Rows: clicked and not clicked both unknown (index 1): tie, rank 2; 5 and 6 tie: rank 2;
        # a list of one: rank 1, without a pair; nothing clicked: no query.
        "item_ids": [[[2, 0], [1, 1]], [[2, 0], [5, 6]], [[2, 0], [3, 0]], [[2, 0], [3, 4]]],
        "labels": [[[1, 0], [0, 1]], [[1, 0], [1, 0]], [[1, 0], [1, 0]], [[1, 0], [0, 0]]],
    }
    report = evaluate_ranking(Toy(values), [batch], unopposed=unopposed)
    if unopposed:
        assert (report.num_queries, report.num_skipped) == (3, 0)
        assert report["mrr"] == pytest.approx((1 / 2 + 1 / 2 + 1) / 3)
        assert report["hit_rate@1"] == pytest.approx(1 / 3)
    else:
        assert (report.num_queries, report.num_skipped) == (2, 1)
        assert report["mrr"] == 1 / 2
    assert report["auc"] == report["group_auc"] == 0.5
    assert report.options["unopposed"] is unopposed
    assert report.baselines["as displayed"]["hit_rate@1"] == pytest.approx(
        (1 + unopposed) / (2 + unopposed)
    )


def test_empty_history():
    """The first session may be asked for: a query of zeros, to which all items tie."""
    values = [0, 5, 1, 2, 3, 4, 4, 9, 0, 0, 0, 0]
    batch = {"item_ids": [[[2, 3], [3, 2]]], "labels": [[[0, 1], [1, 0]]]}
    report = evaluate_ranking(Toy(values), [batch], empty_history=True)
    assert report.num_queries == 2
    assert report["mrr"] == (1 / 2 + 1) / 2
    assert report["auc"] == (1 / 2 + 1) / 2
    assert report.options["empty_history"] is True
    report = evaluate_ranking(Toy(values), [batch])
    assert (report.num_queries, report["mrr"]) == (1, 1.0)


@pytest.mark.parametrize("seed", range(3))
def test_oracle(seed, monkeypatch):
    import sys

    monkeypatch.setattr(sys.modules["tfsessionrec.evaluation.evaluate_ranking"], "_GATHERED", 50)
    rng = np.random.default_rng(seed)
    real = np.arange(4) < rng.integers(0, 5, (20, 1))
    lengths = rng.integers(1, 7, (20, 4, 1)) * real[..., np.newaxis]
    items = rng.integers(1, SIZE, (20, 4, 6)) * (np.arange(6) < lengths)
    labels = (rng.random(items.shape) < 0.3) & (items > 0)
    values = rng.integers(0, 4, SIZE)
    reciprocals, right, pairs = [], 0.0, 0
    for row in range(20):
        for t in range(1, 4):
            shown = [(values[i], y) for i, y in zip(items[row, t], labels[row, t]) if i]
            clicked = [s for s, y in shown if y]
            others = [s for s, y in shown if not y]
            if clicked:
                order = sorted(shown, key=lambda pair: (-pair[0], pair[1]))
                reciprocals.append(1 / (1 + [y for _, y in order].index(True)))
                pairs += len(clicked) * len(others)
                right += sum((s > o) + (s == o) / 2 for s in clicked for o in others)
    batch = {"item_ids": items, "labels": labels.astype("float32")}
    report = evaluate_ranking(Toy(values), [batch])
    assert report.num_queries == len(reciprocals)
    assert report["mrr"] == pytest.approx(np.mean(reciprocals))
    assert report["auc"] == pytest.approx(right / pairs)


def test_interests_rank_by_the_best():
    class Interests(tf.Module):
        def __call__(self, features, training=False):
            # [B, S, 2, 2]: one interest for each dimension
            return tf.eye(2, batch_shape=tf.shape(features["item_ids"])[:2])

        def candidate_embeddings(self):
            # padding, and items of the scores max(3, -5), max(2, 2): the mean ranks 2 first
            return tf.constant([[0.0, 0.0], [3.0, -5.0], [2.0, 2.0]])

    batch = {"item_ids": [[[1, 0], [2, 1]]], "labels": [[[1, 0], [0, 1]]]}
    assert evaluate_ranking(Interests(), [batch])["mrr"] == 1.0
    # an empty history knows nothing: all tie
    batch = {"item_ids": [[[2, 1], [2, 1]]], "labels": [[[0, 1], [0, 1]]]}
    report = evaluate_ranking(Interests(), [batch], empty_history=True)
    assert report["mrr"] == (1 / 2 + 1) / 2


@pytest.mark.parametrize(
    "dataset",
    [
        [],
        [{"item_ids": [[[2], [3]]]}],
        [{"item_ids": [[[2, 0], [3, 4]]], "labels": [[[1, 0], [0, 0]]]}],
    ],
)
def test_nothing_to_rank(dataset):
    with pytest.raises(ValueError, match="`dataset` should hold at least one session"):
        evaluate_ranking(Toy(range(SIZE)), dataset)


def test_ties_of_the_model_in_displayed_order():
    # items 3, 4 and 5 tie; 5 was clicked, displayed second of them
    values = [0, 0, 9, 1, 1, 1]
    batch = {"item_ids": [[[2, 0, 0], [3, 5, 4]]], "labels": [[[1, 0, 0], [0, 1, 0]]]}
    report = evaluate_ranking(Toy(values), [batch])
    assert report["mrr"] == pytest.approx(1 / 3)
    assert report.baselines["model, then as displayed"]["mrr"] == pytest.approx(1 / 2)


def test_popularity_ranks_what_a_first_session_shows():
    """As an export does: a model has no query for an empty history."""
    vocabulary = Vocabulary(["a", "b", "c"], counts=[5, 3, 1])
    batch = {"item_ids": [[[4, 2, 3]]], "labels": [[[0.0, 1.0, 0.0]]]}
    model = Popularity([0, 0, 1, 5, 9])  # its own order is another
    how = {"empty_history": True, "vocabulary": vocabulary}
    assert evaluate_ranking(model, [batch], **how)["mrr"] == 1.0
    assert evaluate_ranking(model, [batch], empty_history=True)["mrr"] == 1 / 3
