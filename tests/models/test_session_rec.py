"""SessionRec: what it trains on, in every mode that Keras has."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec import layers, models, optimizers, tasks

ITEM_IDS = np.random.default_rng(0).integers(0, 30, (8, 5, 4)).astype(np.int32)
ITEM_IDS = np.where(ITEM_IDS < 2, 0, ITEM_IDS)
ITEM_IDS[3:, 3:] = 0
ITEM_IDS[5:, 2:] = 0
LABELS = (np.random.default_rng(1).random(ITEM_IDS.shape) < 0.5).astype(np.float32)
BATCH = {"item_ids": ITEM_IDS, "labels": LABELS * (ITEM_IDS > 0)}


def make(negatives="full", dropout=0.0, **options):
    tf.keras.utils.set_random_seed(0)
    return models.build(
        "sessionrec-sasrec",
        vocabulary_size=30,
        embedding_dim=8,
        negatives=negatives,
        num_negatives=10,
        dropout=dropout,
        num_layers=1,
        **options,
    )


def dataset(batch_size=4, batch=BATCH):
    return tf.data.Dataset.from_tensor_slices(batch).batch(batch_size)


def losses_of(negatives, **modes):
    """What Keras reports of each epoch; losses over a sample are noisy."""
    model = make(negatives)
    model.compile(tf.keras.optimizers.Adam(0.03), **modes)
    return model.fit(dataset(), epochs={"full": 5, "uniform": 16}[negatives], verbose=0).history


@pytest.fixture(scope="module")
def in_a_graph():
    """No draw: the same numbers in every mode."""
    return losses_of("full")["loss"]


MODES = [("eager", "uniform"), ("eager", "full"), ("graph", "uniform"), ("xla", "full")]
MODES = [*MODES, pytest.param("xla", "uniform", marks=pytest.mark.slow)]


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "negatives"), MODES)
def test_modes_train_alike(mode, negatives, in_a_graph):
    history = losses_of(negatives, run_eagerly=mode == "eager", jit_compile=mode == "xla")
    assert set(history) == {"loss", "retrieval_loss", "ranking_loss", "ranking_auc"}
    assert history["loss"][-1] < history["loss"][0] - 0.2
    if negatives == "full":
        np.testing.assert_allclose(history["loss"], in_a_graph, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy):
    tf.keras.mixed_precision.set_global_policy(policy)
    try:
        model = make()
        model.compile(tf.keras.optimizers.Adam(0.01))
        losses = model.fit(dataset(), epochs=16, verbose=0).history["loss"]
        assert model(BATCH).dtype == policy.removeprefix("mixed_")
        assert model.backbone.items.item_table.dtype == tf.float32
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    assert np.all(np.isfinite(losses))
    assert losses[-1] < losses[0] - 0.2


MIRRORED = """
import runpy, sys, numpy as np, tensorflow as tf
import tfsessionrec
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
here = runpy.run_path(sys.argv[3])
devices = sys.argv[1].split(",")
strategy = tf.distribute.MirroredStrategy(devices)
with strategy.scope():
    model = here["make"]()
    model.compile(tf.keras.optimizers.SGD(0.5))
# replicas get different numbers of positives: only a mean over all is the same as on one device
data = tf.data.Dataset.from_tensors(here["BATCH"]).unbatch().batch(8)
losses = model.fit(data, epochs=3, verbose=0).history["loss"]
assert strategy.num_replicas_in_sync == len(devices)
np.savez(sys.argv[2], losses=losses, table=model.backbone.items.item_table.numpy())
"""


@pytest.mark.slow
def test_two_devices_give_the_result_of_one(tmp_path):
    results = []
    for devices in ("CPU:0", "CPU:0,CPU:1"):
        file = tmp_path / f"{len(devices)}.npz"
        command = [sys.executable, "-c", MIRRORED, devices, str(file), __file__]
        run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert run.returncode == 0, run.stderr[-3000:]
        results.append(np.load(file))
    one, two = results
    np.testing.assert_allclose(two["losses"], one["losses"], rtol=1e-5)
    np.testing.assert_allclose(two["table"], one["table"], atol=1e-5)


def test_every_position_trains():
    model = make()
    features = {"item_ids": tf.constant(ITEM_IDS[:1]), "labels": tf.ones_like(LABELS[:1])}
    outputs = model(features)
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        loss = model.retrieval_task(
            outputs[:, :-1],
            models.session_rec.next_session(features["item_ids"]),
            model.backbone.items,
        )
    gradient = tape.gradient(loss, outputs)[0]
    assert np.all(np.abs(gradient[:-1]).max(-1) > 0)


def test_every_weight_trains():
    model = make()
    with tf.GradientTape() as tape:
        loss = model.compute_loss(BATCH, training=True)
    gradients = tape.gradient(loss, model.trainable_variables)
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert gradient is not None, variable.name
        assert np.abs(tf.convert_to_tensor(gradient)).max() > 0, variable.name


def test_negatives_of_the_history_change_the_answer():
    model = make()
    model(BATCH)
    model.backbone.interactions.negative_scale.assign(np.random.default_rng(0).normal(size=8))
    other = {**BATCH, "labels": 1 - BATCH["labels"]}
    assert np.abs(model.encode(BATCH) - model.encode(other)).max() > 1e-3


def test_loss_is_the_weighted_sum_of_means():
    model = make(ranking_weight=0.3)
    model.compile("adam")
    results = model.evaluate(dataset(batch_size=3), return_dict=True, verbose=0)
    whole = model.evaluate(dataset(batch_size=8), return_dict=True, verbose=0)
    for name, value in whole.items():  # means over all pairs, however they are batched
        assert results[name] == pytest.approx(value, rel=1e-4), name
    expected = whole["retrieval_loss"] + 0.3 * whole["ranking_loss"]
    assert whole["loss"] == pytest.approx(expected, rel=1e-5)
    assert float(model.compute_loss(BATCH)) == pytest.approx(expected, rel=1e-4)


def test_repeating_the_batch_changes_no_mean():
    # TFRS sums one loss over the batch and averages the other
    model = make()
    twice = {name: np.concatenate([value, value]) for name, value in BATCH.items()}
    assert float(model.compute_loss(BATCH)) == pytest.approx(
        float(model.compute_loss(twice)), rel=1e-5
    )


def test_sessions_that_are_no_targets_train_nothing():
    model = make()
    nothing = {**BATCH, "is_target": np.zeros(ITEM_IDS.shape[:2], bool)}
    assert float(model.compute_loss(nothing)) == 0


def test_one_item_a_session_is_next_item():
    model = models.build("sasrec", vocabulary_size=30, embedding_dim=8, dropout=0.0)
    item_ids = np.array([[2, 7, 3, 9], [4, 4, 5, 0]], np.int32)
    outputs = model({"item_ids": item_ids}).numpy()
    table = model.candidate_embeddings().numpy()[2:]
    losses = []
    for b, t in np.ndindex(2, 3):
        if item_ids[b, t + 1]:
            scores = table @ outputs[b, t] / model.retrieval_task.temperature
            losses.append(np.log(np.exp(scores).sum()) - scores[item_ids[b, t + 1] - 2])
    assert float(model.compute_loss({"item_ids": item_ids})) == pytest.approx(
        np.mean(losses), rel=1e-5
    )
    with_axis = model({"item_ids": item_ids[..., None]})
    np.testing.assert_allclose(with_axis, outputs, atol=1e-6)


def test_encode_is_the_output_at_the_last_session():
    model = make()
    features = {name: value.copy() for name, value in BATCH.items()}
    features["item_ids"][0] = 0
    outputs, encoded = model(features).numpy(), model.encode(features).numpy()
    assert np.all(encoded[0] == 0)  # an empty history
    for b in range(1, 8):
        last = np.flatnonzero(features["item_ids"][b].any(-1)).max()
        np.testing.assert_allclose(encoded[b], outputs[b, last], atol=1e-6)


def test_save_and_load(tmp_path):
    model = make()
    model.compile("adam")
    model.fit(dataset(), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = tf.keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(BATCH), model(BATCH), atol=1e-6)
    assert loaded.get_config() == model.get_config()
    earlier = {name: value for name, value in model.get_config().items() if name != "habit"}
    assert type(model).from_config(earlier).habit is None
    assert loaded.ranking_weight == model.ranking_weight
    model.save_weights(tmp_path / "weights.h5")
    twin = make()
    twin.build()
    twin.load_weights(tmp_path / "weights.h5")
    np.testing.assert_allclose(twin.encode(BATCH), model.encode(BATCH), atol=1e-6)


def test_lazy_adam_trains():
    model = make("uniform")
    model.compile(optimizers.LazyAdam(0.01))
    losses = model.fit(dataset(), epochs=10, verbose=0).history["loss"]
    assert losses[-1] < losses[0] - 0.2


def test_backbone_is_a_plain_keras_model_for_anybody():
    items = layers.ItemEmbedding(30, 8)
    backbone = models.SessionRecBackbone(items, layers.MaxISE(), layers.SASRecSSE(num_heads=1))
    inputs = tf.keras.Input([None, None], dtype=tf.int32)
    dense = tf.keras.layers.Dense(1)(backbone({"item_ids": inputs})[:, -1])
    model = tf.keras.Model(inputs, dense)
    model.compile("adam", "mse")
    model.fit(ITEM_IDS, np.ones([8, 1]), verbose=0)


def test_ranking_is_left_out_without_labels():
    model = make()
    model.compile("adam")
    history = model.fit(dataset(batch={"item_ids": ITEM_IDS}), verbose=0).history
    assert history["loss"] == history["retrieval_loss"]


def test_session_rec_of_parts_and_its_errors():
    items = layers.ItemEmbedding(30, 8)
    backbone = models.SessionRecBackbone(items, layers.MeanISE(), layers.SASRecSSE())
    model = models.SessionRec(
        backbone, tasks.NextSessionRetrieval(num_negatives=4), tasks.SessionRanking("bce"), 0.1
    )
    assert np.isfinite(float(model.compute_loss(BATCH)))
    with pytest.raises(
        ValueError, match=r"`ranking_weight` should be a finite number of 0 or more. .*=-1"
    ):
        models.SessionRec(backbone, ranking_weight=-1)
    with pytest.raises(ValueError, match="`sse` should be a session sequence encoder"):
        models.SessionRecBackbone(items)
    with pytest.raises(ValueError, match="should have the key 'item_ids'"):
        backbone({"labels": LABELS})
    with pytest.raises(ValueError, match="`item_ids` should have the shape"):
        backbone(tf.zeros([3], tf.int32))


@pytest.mark.parametrize("negatives", ["uniform", "in_batch", "mixed", "full"])
def test_catalogue_of_one_item(negatives):
    model = models.build("sasrec", vocabulary_size=3, embedding_dim=8, negatives=negatives)
    with tf.GradientTape() as tape:
        loss = model.compute_loss({"item_ids": np.full([2, 3, 1], 2)}, training=True)
    assert float(loss) == pytest.approx(0, abs=1e-6)  # nothing to tell it from
    for gradient in tape.gradient(loss, model.trainable_variables):
        assert gradient is None or np.all(np.isfinite(tf.convert_to_tensor(gradient)))


def test_ids_beyond_the_vocabulary_are_named():
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"= 30 is not in \[0, 30\)"):
        make()({"item_ids": np.full([1, 2, 1], 30)})
