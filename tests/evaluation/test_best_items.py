"""Lists of a model whose terms hold few candidates, against scores of all of them."""

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec import models
from tfsessionrec.evaluation.best_items import BestItems
from tfsessionrec.evaluation.ranks import Slices
from tfsessionrec.evaluation.system import EmbeddingSystem

VOCABULARY, FIRST = 400, 2


@pytest.mark.parametrize("removes", [False, True])
@pytest.mark.parametrize("k", [5, 1000])
@pytest.mark.parametrize("listed", ["all", "some"])
def test_lists_with_habit(removes: bool, k: int, listed: str) -> None:
    """Items of the history rise and fall; some are removed, one history is unknown."""
    random = np.random.default_rng(0)
    model = models.build("sessionrec-gru", vocabulary_size=VOCABULARY, embedding_dim=8)
    ids = random.integers(FIRST, 60, (12, 5, 3)).astype(np.int32)
    ids[3], ids[5, 2:] = 1, 0
    batch = {"item_ids": tf.constant(ids)}
    model(batch)
    for weight in model.habit.trainable_weights:
        weight.assign(random.normal(size=weight.shape, scale=0.5))
    items = np.arange(FIRST, VOCABULARY)
    if listed == "some":
        items = items[::3]
    system = EmbeddingSystem(model, FIRST)
    system.use_popularity(random.integers(1, 99, VOCABULARY))
    removed = None
    scores = model.queries(batch).score(model.candidate_embeddings(), tf.range(VOCABULARY)).numpy()
    scores[3, FIRST:] = system.candidates.popularity
    scores = scores[:, items]
    if removes:
        gone = [random.choice(len(items), 20) for _ in ids]
        stop = 20 * np.arange(1, len(ids) + 1)
        removed = Slices(np.concatenate(gone), stop - 20, stop)
        scores[np.arange(len(ids))[:, None], gone] = -np.inf
    found, values = BestItems(system, items)(batch, k, removed)
    right = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(scores, right, axis=1)
    np.testing.assert_allclose(values, best, rtol=1e-4, atol=1e-5)
    mine = np.take_along_axis(scores, np.maximum(found, 0), axis=1)
    np.testing.assert_allclose(np.where(found < 0, -np.inf, mine), best, rtol=1e-4, atol=1e-5)
    held = np.isin(items[found[:, :5]], ids) & (found[:, :5] >= 0)
    assert held.any()
