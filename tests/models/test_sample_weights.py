"""Sample weights: the losses are weighted means, and what weighs 0 teaches nothing."""

import pathlib
import runpy
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec import models

HERE = pathlib.Path(__file__)
RNG = np.random.default_rng(0)
ITEM_IDS = RNG.integers(2, 30, (6, 4, 3)).astype(np.int32)
ITEM_IDS[4:, 2:] = 0
LABELS = (RNG.random(ITEM_IDS.shape) < 0.6).astype(np.float32) * (ITEM_IDS > 0)
WEIGHTS = RNG.uniform(0.2, 3, ITEM_IDS.shape).astype(np.float32)
WEIGHTS[RNG.random(ITEM_IDS.shape) < 0.3] = 0
FEATURES = {"item_ids": ITEM_IDS, "labels": LABELS}
BATCH = {**FEATURES, "sample_weight": WEIGHTS}
SHAPES = {"rows": WEIGHTS[:, 0, 0], "sessions": WEIGHTS[..., 0], "items": WEIGHTS}


def make(negatives="full", name="sessionrec-sasrec", **options):
    tf.keras.utils.set_random_seed(0)
    return models.build(
        name,
        vocabulary_size=30,
        embedding_dim=8,
        num_layers=1,
        **{"dropout": 0.0, "negatives": negatives, "temperature": 1.0, "habit": None} | options,
    )


def expected_losses(model, weights, batch):
    """Retrieval and pairwise ranking loss by their definitions, in loops."""
    table = model.candidate_embeddings().numpy().astype(np.float64)
    outputs = model(batch).numpy().astype(np.float64)
    retrieval, ranking = [], []
    for b, t in np.ndindex(6, 3):
        scores = table @ outputs[b, t]
        of_item = {}  # the label and weight of each item of the session
        for item, label, weight in zip(ITEM_IDS[b, t + 1], LABELS[b, t + 1], weights[b, t + 1]):
            if item:
                of_item.setdefault(item, []).append((label, weight))
        of_item = {item: max(pairs) for item, pairs in of_item.items()}
        positives = {item: w for item, (label, w) in of_item.items() if label}
        negatives = {item: w for item, (label, w) in of_item.items() if not label and w}
        others = np.log(sum(np.exp(scores[i]) for i in range(2, 30) if i not in positives))
        for item, weight in positives.items():
            retrieval.append((np.logaddexp(0, others - scores[item]), weight))
            for negative, own in negatives.items():
                relative = own / np.mean(list(negatives.values()))
                margin = scores[negative] - scores[item]
                ranking.append((np.logaddexp(0, margin), weight * relative))
    return [
        np.average([loss for loss, _ in terms], weights=[weight for _, weight in terms])
        for terms in (retrieval, ranking)
    ]


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("mode", ["array", "dataset", "key", "xla"])
def test_losses_are_weighted_means(kind, mode):
    weights = SHAPES[kind]
    model = make(ranking_weight=0.5)
    model.compile("adam", jit_compile=mode == "xla")
    x = {**FEATURES, "sample_weight": weights}
    if mode == "array":
        logs = model.evaluate(
            FEATURES, sample_weight=weights, batch_size=4, verbose=0, return_dict=True
        )
    else:
        x = (FEATURES, None, weights) if mode == "dataset" else x
        batches = tf.data.Dataset.from_tensor_slices(x).batch(3, drop_remainder=mode == "xla")
        logs = model.evaluate(batches, verbose=0, return_dict=True)
    every = np.broadcast_to(weights.reshape(*weights.shape, *[1] * (3 - weights.ndim)), (6, 4, 3))
    retrieval, ranking = expected_losses(model, every, FEATURES)
    assert logs["retrieval_loss"] == pytest.approx(retrieval, rel=1e-5)
    assert logs["ranking_loss"] == pytest.approx(ranking, rel=1e-5)
    assert logs["loss"] == pytest.approx(retrieval + 0.5 * ranking, rel=1e-5)
    unweighted = expected_losses(model, np.ones((6, 4, 3)), FEATURES)
    assert abs(retrieval - unweighted[0]) > 1e-4
    assert abs(ranking - unweighted[1]) > 1e-4


def gradients(model, batch, static_shapes=False):
    if not model.built:
        model(FEATURES)
    model.jit_compile = static_shapes
    tf.random.set_seed(3)
    with tf.GradientTape() as tape:
        loss = model.compute_loss(batch, training=True)
    found = tape.gradient(loss, model.trainable_variables, unconnected_gradients="zero")
    return [loss.numpy(), *(tf.convert_to_tensor(one).numpy() for one in found)]


def assert_equal(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


LOSSES = [("full", "softmax"), ("in_batch", "softmax"), ("uniform", "gbce"), ("mixed", "bpr_max")]
SHARES = np.ones(30) / 30


@pytest.mark.parametrize(("negatives", "loss"), LOSSES)
@pytest.mark.parametrize("ranking_loss", ["pairwise", "bce", "listwise"])
@pytest.mark.parametrize("static_shapes", [False, True])
def test_ones_scales_and_zeros(negatives, loss, ranking_loss, static_shapes):
    model = make(
        negatives,
        loss=loss,
        ranking_loss=ranking_loss,
        candidate_sampling_probability=SHARES,
    )
    plain = gradients(model, FEATURES, static_shapes)
    ones = gradients(model, {**FEATURES, "sample_weight": np.ones([6])}, static_shapes)
    assert_equal(ones, plain)
    scaled = gradients(model, {**BATCH, "sample_weight": 7 * WEIGHTS}, static_shapes)
    assert_equal(scaled, gradients(model, BATCH, static_shapes))
    # Rows of weight 0 are as if they were not there: no positives, and nobody's negatives.
    some = np.array([1, 0, 1, 1, 0, 1], np.float32)
    zeros = gradients(model, {**FEATURES, "sample_weight": some}, static_shapes)
    kept = {name: value[some > 0] for name, value in FEATURES.items()}
    assert_equal(zeros, gradients(model, kept, static_shapes))
    assert abs(zeros[0] - plain[0]) > 1e-5


@pytest.mark.parametrize("ranking_loss", ["pairwise", "bce", "listwise"])
def test_a_shown_item_that_weighs_0_is_not_ranked(ranking_loss):
    model = make(ranking_loss=ranking_loss, ranking_weight=1.0)
    weights = np.ones_like(WEIGHTS)
    weights[:, :, 1] = 0
    model(FEATURES)
    features = {"item_ids": tf.constant(ITEM_IDS), "labels": tf.constant(LABELS)}
    scores = model.score_shown(features)
    labels = tf.constant(LABELS)
    loss = model.ranking_task(labels, scores, sample_weight=tf.constant(weights) * (ITEM_IDS > 0))
    kept = [0, 2]
    without = model.ranking_task(
        tf.gather(labels, kept, axis=2),
        tf.gather(scores, kept, axis=2),
        sample_weight=tf.constant(ITEM_IDS[:, :, kept] > 0),
    )
    assert float(loss) == pytest.approx(float(without), rel=1e-5)


def test_positives_that_weigh_0_are_no_negatives():
    model = make(ranking_loss=None)
    ids = np.array([[[2, 0], [3, 4]]], np.int32)
    weighed = model.compute_loss({"item_ids": ids, "sample_weight": np.array([[[1, 1], [1, 0]]])})
    table, query = model.candidate_embeddings().numpy(), model({"item_ids": ids}).numpy()[0, 0]
    scores = table @ query
    others = np.log(np.exp(np.delete(scores, [0, 1, 3, 4])).sum())
    assert float(weighed) == pytest.approx(np.logaddexp(0, others - scores[3]), rel=1e-5)


def test_an_item_held_several_times_has_its_largest_weight():
    model = make(ranking_loss=None)
    ids = np.array([[[2, 0, 0], [3, 3, 4]]], np.int32)
    once = np.array([[[2, 0, 0], [3, 4, 0]]], np.int32)
    loss = model.compute_loss(
        {"item_ids": ids, "sample_weight": np.array([[[1, 1, 1], [1, 5, 2]]])}
    )
    expected = model.compute_loss(
        {"item_ids": once, "sample_weight": np.array([[[1, 1, 1], [5, 2, 0]]])}
    )
    assert float(loss) == pytest.approx(float(expected), rel=1e-6)


def test_nothing_that_weighs_gives_a_loss_of_0():
    found = gradients(make(), {**FEATURES, "sample_weight": np.zeros(6)})
    for value in found:
        np.testing.assert_array_equal(value, np.zeros_like(value))


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy):
    tf.keras.mixed_precision.set_global_policy(policy)
    try:
        model = make()
        model.compile(tf.keras.optimizers.Adam(0.01))
        batches = tf.data.Dataset.from_tensor_slices(BATCH).batch(3)
        losses = model.fit(batches, epochs=12, verbose=0).history["loss"]
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    assert np.all(np.isfinite(losses))
    assert losses[-1] < losses[0] - 0.1


def test_shapes_that_are_no_weights():
    model = make()
    for shape in ([5], [6, 3], [6, 4, 2], [6, 4, 3, 1], []):
        with pytest.raises(ValueError, match=r"`sample_weight` should have the shape \[B\]"):
            model.compute_loss({**FEATURES, "sample_weight": np.ones(shape)})


@pytest.mark.slow
def test_two_devices_give_the_result_of_one(tmp_path):
    script = runpy.run_path(str(HERE.with_name("test_session_rec.py")))["MIRRORED"]
    results = []
    for devices in ("CPU:0", "CPU:0,CPU:1"):
        file = tmp_path / f"{len(devices)}.npz"
        command = [sys.executable, "-c", script, devices, str(file), __file__]
        run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert run.returncode == 0, run.stderr[-3000:]
        results.append(np.load(file))
    np.testing.assert_allclose(results[1]["losses"], results[0]["losses"], rtol=1e-5)
    np.testing.assert_allclose(results[1]["table"], results[0]["table"], atol=1e-5)
