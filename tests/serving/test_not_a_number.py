"""Inputs that are not numbers (NaN) never make scores NaN."""

import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec.export import export_saved_model


@pytest.fixture(scope="module")
def c_api(serving: Any) -> Any:
    return serving.script("c_api")


@pytest.fixture(scope="module")
def loaded(
    c_api: Any, serving: Any, vocabulary: Any, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    class WithBasket(serving.Toy):
        """The query grows with the value of the basket, and with the positive items."""

        def encode(self, features: dict[str, tf.Tensor]) -> tf.Tensor:
            worth = tf.reduce_sum(features["basket"], axis=1) + tf.reduce_sum(
                features["labels"], axis=[1, 2]
            )
            return super().encode(features) * worth[:, tf.newaxis]

    path = export_saved_model(
        WithBasket(len(vocabulary), seed=1),
        tmp_path_factory.mktemp("basket") / "1",
        vocabulary,
        include_labels=True,
        session_context={"basket": None},
    )
    return c_api.SavedModel(path)


def ask(loaded: Any, signature: str, basket: float, label: float, **more: Any) -> Any:
    return loaded.run(
        signature,
        {
            "item_ids": np.array([["item 3"], ["item 3"]], object),
            "session_index": np.zeros([2, 1], np.int32),
            "labels": np.array([[label], [1.0]], np.float32),
            "basket": np.array([[basket], [2.0]], np.float32),
            **more,
        },
    )


@pytest.mark.slow
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_popularity_answers_where_a_context_is_no_number(
    loaded: Any, serving: Any, vocabulary: Any, value: float
) -> None:
    k = np.array([12, 12], np.int32)
    answer = ask(loaded, "recommend", value, 1.0, k=k)
    popular = serving.expected(serving.Toy(len(vocabulary), 1), vocabulary, [], 12)
    assert [one.decode() for one in answer["item_ids"][0]] == [item for item, _ in popular]
    np.testing.assert_allclose(answer["scores"][0], [score for _, score in popular], rtol=1e-5)
    # The other row of the batch knows nothing of it.
    alone = ask(loaded, "recommend", 2.0, 1.0, k=k)
    assert answer["item_ids"][1].tolist() == alone["item_ids"][1].tolist()
    np.testing.assert_allclose(answer["scores"][1], alone["scores"][1], rtol=1e-5)

    assert not ask(loaded, "encode", value, 1.0)["query_embeddings"][0].any()
    ranked = ask(loaded, "rank", value, 1.0, candidate_ids=np.array([["item 0", "x"]] * 2, object))
    assert ranked["scores"][0, 0] == pytest.approx(popular[0][1], rel=1e-5)


def test_a_label_that_is_no_number_was_not_taken(loaded: Any) -> None:
    k = np.array([12, 12], np.int32)
    strange, zero = (ask(loaded, "recommend", 1.0, label, k=k) for label in (np.nan, 0.0))
    assert strange["item_ids"].tolist() == zero["item_ids"].tolist()
    np.testing.assert_array_equal(strange["scores"], zero["scores"])


def test_a_model_that_does_not_load(c_api: Any, tmp_path: pathlib.Path) -> None:
    with pytest.raises(c_api.CApiError, match="Could not find SavedModel"):
        c_api.SavedModel(tmp_path)
