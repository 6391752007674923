"""`evaluate` knows which vocabulary indices are items, without `vocabulary=`."""

import pytest
import tensorflow as tf

from tfsessionrec import baselines, data, models, tasks
from tfsessionrec.evaluation import evaluate
from tfsessionrec.evaluation.system import first_item
from tfsessionrec.history_spec import HistorySpec

VOCABULARY = data.Vocabulary(["a", "b", "c", "d"], counts=[4, 3, 2, 1], num_oov_indices=5)


def model_of(first_item_index: int) -> models.SessionRec:
    model = models.build(
        "sessionrec-gru",
        vocabulary_size=len(VOCABULARY),
        first_item_index=first_item_index,
        embedding_dim=4,
    )
    model({"item_ids": tf.ones([1, 2, 1], tf.int32)})
    return model


def test_buckets_of_unknown_items_are_no_candidates() -> None:
    # Items 6 to 9; the unknown 3 is no target and no candidate.
    batch = {"item_ids": [[[6], [7], [3], [9]]]}
    model = model_of(VOCABULARY.first_item_index)
    alone = evaluate(model, [batch], k=1)
    assert (alone.num_candidates, alone.num_queries) == (4, 2)
    assert alone.metrics == evaluate(model, [batch], k=1, vocabulary=VOCABULARY).metrics


def test_a_model_of_other_buckets_raises() -> None:
    batch = {"item_ids": [[[6], [7]]]}
    with pytest.raises(ValueError, match=r"`vocabulary.first_item_index`=6, .*retrieval_task"):
        evaluate(model_of(2), [batch], k=1, vocabulary=VOCABULARY)
    with pytest.raises(ValueError, match=r"Received: `first_item_index`=3, "):
        evaluate(model_of(6), [batch], k=1, first_item_index=3)


def test_a_history_of_other_buckets_than_the_task_raises() -> None:
    with pytest.raises(ValueError, match=r"`history.first_item_index` should be .* 6. Received"):
        models.SessionRec(
            model_of(6).backbone,
            tasks.NextSessionRetrieval(first_item_index=6),
            history=HistorySpec(first_item_index=2),
        )


def test_a_model_by_name_has_the_buckets_of_its_task() -> None:
    model = model_of(6)
    assert model.history_spec is not None
    assert model.history_spec.first_item_index == 6


def test_a_baseline_knows_its_vocabulary() -> None:
    model = baselines.RecentPopularity()
    model.vocabulary = VOCABULARY
    assert first_item(None, None, model) == 6
    assert first_item(None, None, object()) == 2
