"""The Keras metrics against the NumPy functions of an adversarial sort, under Keras 2 and 3."""

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec import metrics
from tfsessionrec.backend import keras

PAIRS = {
    metrics.RecallAtK: metrics.recall,
    metrics.HitRateAtK: metrics.hit_rate,
    metrics.MRRAtK: metrics.mrr,
    metrics.NDCGAtK: metrics.ndcg,
    metrics.PrecisionAtK: metrics.precision,
    metrics.MAPAtK: metrics.average_precision,
}
NAMES = {metrics.MAPAtK: "map@7"}


def adversarial_ranks(y_true, y_pred, mask):
    """Ranks of the relevant items in a list with pessimistic ties."""
    ranks = np.zeros(y_true.shape, np.int64)
    for row, (labels, scores, real) in enumerate(zip(y_true, y_pred, mask)):
        items = [i for i in range(len(labels)) if real[i]]
        items.sort(key=lambda i: (-scores[i], labels[i]))
        for rank, item in enumerate(items, start=1):
            if labels[item] > 0:
                ranks[row, item] = rank
    return ranks


def example(seed=0):
    rng = np.random.default_rng(seed)
    y_true = (rng.random((40, 12)) < 0.2).astype("float32")
    y_pred = rng.integers(0, 4, (40, 12)).astype("float32")
    mask = rng.random((40, 12)) < 0.8
    weights = rng.random(40).astype("float32")
    return y_true, y_pred, mask, weights


@pytest.mark.parametrize("k", [1, 3, 12, 50])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("metric_class", PAIRS)
def test_oracle(metric_class, graph, weighted, masked, k):
    y_true, y_pred, mask, weights = example()
    metric = metric_class(k=k)
    given = {"y_true": y_true, "y_pred": y_pred}
    if masked:
        given["mask"] = mask
    if weighted:
        given["sample_weight"] = weights

    def step(**tensors):
        metric.update_state(**tensors)
        return tf.constant(0)

    update = tf.function(step) if graph else step
    for rows in (slice(0, 15), slice(15, 40)):
        update(**{name: tf.constant(value[rows]) for name, value in given.items()})
    ranks = adversarial_ranks(y_true, y_pred, mask if masked else np.ones_like(mask))
    values = PAIRS[metric_class](ranks, k)
    keep = ~np.isnan(values)
    assert 0 < keep.sum() < 40
    expected = np.average(values[keep], weights=weights[keep] if weighted else None)
    assert float(metric.result()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("metric_class", PAIRS)
def test_ties_and_nan_are_pessimistic(metric_class):
    metric = metric_class(k=2)
    metric.update_state([[1.0, 0.0, 0.0]], [[1.0, 1.0, 1.0]])
    metric.update_state([[1.0, 0.0, 0.0]], [[np.nan, -np.inf, 1.0]])
    metric.update_state([[0.0, 0.0, 1.0]], [[np.nan, np.nan, 7.0]])
    metric.update_state([[0.0, 0.0, 1.0]], [[np.inf, np.inf, np.inf]])
    assert float(metric.result()) == 0.0
    metric.update_state([[1.0, 0.0, 0.0]], [[2.0, 1.0, 1.0]])
    best = 1 / 2 if metric_class is metrics.PrecisionAtK else 1.0  # One relevant item, two places.
    assert float(metric.result()) == pytest.approx(best / 5)


@pytest.mark.parametrize("metric_class", PAIRS)
def test_masked_items_neither_rank_nor_count(metric_class):
    metric = metric_class(k=1)
    metric.update_state([[1.0, 1.0, 0.0]], [[-np.inf, 3.0, 5.0]], mask=[[True, False, False]])
    assert float(metric.result()) == 1.0


@pytest.mark.parametrize("metric_class", PAIRS)
def test_nothing_relevant(metric_class):
    metric = metric_class(k=1)
    assert float(metric.result()) == 0.0
    metric.update_state([[0.0, 0.0]], [[1.0, 2.0]])
    assert float(metric.result()) == 0.0
    metric.update_state([[1.0, 0.0]], [[3.0, 2.0]])
    assert float(metric.result()) == 1.0


def test_more_axes_are_more_lists():
    y_true, y_pred, mask, weights = example()
    flat, deep = metrics.NDCGAtK(k=3), metrics.NDCGAtK(k=3)
    flat.update_state(y_true, y_pred, weights, mask)
    deep.update_state(
        *(
            array.reshape(8, 5, *array.shape[1:])
            for array in (y_true, y_pred, weights[:, None], mask)
        )
    )
    assert float(deep.result()) == pytest.approx(float(flat.result()), rel=1e-6)


@pytest.mark.parametrize("metric_class", PAIRS)
def test_config_reset_and_name(metric_class):
    metric = metric_class(k=7)
    assert metric.name == NAMES.get(metric_class, PAIRS[metric_class].__name__ + "@7")
    metric.update_state([[1.0, 0.0]], [[3.0, 2.0]])
    metric.reset_state()
    assert float(metric.count) == 0.0
    copy = metric_class.from_config(metric.get_config())
    assert (copy.k, copy.name) == (7, metric.name)
    copy = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert isinstance(copy, metric_class)
    assert metric_class(k=3, name="other").name == "other"


def test_in_fit():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(5)(inputs))
    model.compile("sgd", "mse", metrics=[metrics.NDCGAtK(k=2), metrics.RecallAtK(k=2)])
    labels = np.eye(5, dtype="float32")[[0, 1, 2, 3, 4, 0]]
    history = model.fit(np.ones((6, 4), "float32"), labels, verbose=0).history
    assert 0.0 <= history["ndcg@2"][0] <= history["recall@2"][0] <= 1.0


@pytest.mark.parametrize("metric_class", PAIRS)
@pytest.mark.parametrize("k", [0, -3, 1.5, True])
def test_bad_k(metric_class, k):
    with pytest.raises(ValueError, match=r"`k` should be a positive integer\. Received: `k`="):
        metric_class(k=k)
    with pytest.raises(TypeError):
        metric_class(k=1, unknown=2)


def test_the_base_leaves_the_measure_to_a_subclass():
    with pytest.raises(NotImplementedError):
        metrics.RankingMetric(k=1).update_state([[1.0, 0.0]], [[3.0, 2.0]])
