"""Several interests a query, through a model: training, saving, and what they must not change."""

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec import layers, models, tasks

ITEM_IDS = np.random.default_rng(0).integers(2, 30, (8, 5, 4)).astype(np.int32)
ITEM_IDS[3:, 3:] = 0
ITEM_IDS[5:, 2:] = 0
LABELS = (np.random.default_rng(1).random(ITEM_IDS.shape) < 0.5) * (ITEM_IDS > 0)
BATCH = {"item_ids": ITEM_IDS, "labels": LABELS.astype(np.float32)}


def make(name="sessionrec-sasrec", num_interests=3, **options):
    tf.keras.utils.set_random_seed(0)
    options = {"dropout": 0.0, **options} if name != "stamp" else options
    return models.build(
        name, vocabulary_size=30, embedding_dim=8, num_interests=num_interests, **options
    )


def losses_of(negatives, **modes):
    """The loss of each epoch; losses over a sample are noisy."""
    model = make(negatives=negatives, num_negatives=10, num_layers=1)
    model.compile(tf.keras.optimizers.Adam(0.03), **modes)
    assert model.backbone.head.num_interests == 3
    data = tf.data.Dataset.from_tensor_slices(BATCH).batch(4)
    epochs = {"full": 5, "uniform": 10}[negatives]
    return model.fit(data, epochs=epochs, verbose=0).history["loss"]


@pytest.fixture(scope="module")
def in_a_graph():
    """No draw: the same numbers in every mode."""
    return losses_of("full")


MODES = [("eager", "uniform"), ("eager", "full"), ("graph", "uniform"), ("xla", "full")]
MODES = [*MODES, pytest.param("xla", "uniform", marks=pytest.mark.slow)]


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "negatives"), MODES)
def test_modes_train_alike(mode, negatives, in_a_graph):
    losses = losses_of(negatives, run_eagerly=mode == "eager", jit_compile=mode == "xla")
    assert losses[-1] < losses[0] - 0.1
    if negatives == "full":
        np.testing.assert_allclose(losses, in_a_graph, rtol=1e-3)


@pytest.mark.parametrize("name", ["sessionrec-gru", "sasrec", "stamp"])
def test_any_system_has_interests(name):
    model = make(name)
    features = {"item_ids": ITEM_IDS[:, :, :1]} if name == "sasrec" else BATCH
    assert model(features).shape == (8, 5, 3, 8)
    assert model.encode(features).shape == (8, 3, 8)
    assert np.isfinite(float(model.compute_loss(features, training=True)))
    assert make(name, 1).backbone.head is None


def test_every_interest_trains():
    model = make(negatives="full")
    with tf.GradientTape() as tape:
        loss = model.compute_loss(BATCH, training=True)
    kernel = tape.gradient(loss, model.backbone.head.projection.kernel).numpy()
    assert np.all(np.abs(kernel.reshape(8, 3, 8)).max(axis=(0, 2)) > 0)


@pytest.mark.parametrize("ranking", ["pairwise", "bce", "listwise"])
@pytest.mark.parametrize("negatives", ["uniform", "full"])
def test_one_interest_without_weights_is_the_plain_model(negatives, ranking):
    def parts(head):
        tf.keras.utils.set_random_seed(0)
        backbone = models.SessionRecBackbone(
            layers.ItemEmbedding(30, 8, name="items"),
            layers.MeanISE(name="ise"),
            layers.SASRecSSE(dropout=0.0, name="sse"),
            head,
        )
        task = tasks.NextSessionRetrieval(negatives, num_negatives=10)
        return models.SessionRec(backbone, task, tasks.SessionRanking(ranking), 0.5)

    plain = parts(None)
    headed = parts(layers.MultiInterestHead(1, kernel_initializer="zeros"))
    plain(BATCH), headed(BATCH)
    headed.backbone.items.set_weights(plain.backbone.items.get_weights())
    headed.backbone.sse.set_weights(plain.backbone.sse.get_weights())
    np.testing.assert_allclose(headed.encode(BATCH)[:, 0], plain.encode(BATCH), atol=1e-6)
    results = []
    for model in (plain, headed):
        tf.random.set_seed(3)  # the same negatives
        with tf.GradientTape() as tape:
            loss = model.compute_loss(BATCH, training=True)
        gradients = tape.gradient(loss, model.backbone.sse.trainable_weights)
        results.append([loss, *map(tf.convert_to_tensor, gradients)])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_ranking_loss_scores_by_the_best_interest():
    model = make(ranking_loss="bce", ranking_weight=1.0, normalize=False, habit=None)
    model(BATCH)
    model.backbone.items.set_weights([w * 30 for w in model.backbone.items.get_weights()])
    both = float(model.compute_loss(BATCH))
    retrieval = float(model.retrieval_task.loss_mean.result())
    outputs, table = model(BATCH).numpy(), model.backbone.items.candidate_table().numpy()
    terms, by_mean = [], []
    for b, t in np.ndindex(8, 4):
        shown = dict(zip(ITEM_IDS[b, t + 1], LABELS[b, t + 1])) if ITEM_IDS[b, t + 1, 0] else {}
        for item in shown:
            taken = any((ITEM_IDS[b, t + 1] == item) & LABELS[b, t + 1])
            scores = outputs[b, t] @ table[item]
            for total, s in ((terms, scores.max()), (by_mean, scores.mean())):
                total.append(np.logaddexp(0, s) - taken * s)
    assert both - retrieval == pytest.approx(np.mean(terms), rel=1e-4)
    assert abs(np.mean(by_mean) - np.mean(terms)) > 0.01


def test_padding_changes_no_interest_and_an_empty_history_has_none():
    model = make()
    features = {name: value.copy() for name, value in BATCH.items()}
    features["item_ids"][0] = 0
    expected = model.encode(features).numpy()
    assert np.all(expected[0] == 0)
    assert np.all(np.abs(expected[1:]).max(axis=2) > 0)
    outputs = model(features).numpy()
    for b in range(1, 8):
        last = np.flatnonzero(features["item_ids"][b].any(-1)).max()
        np.testing.assert_allclose(expected[b], outputs[b, last], atol=1e-6)
        assert np.all(outputs[b, last + 1 :] == 0)
    wide = {name: np.pad(value, [(0, 0), (0, 3), (0, 2)]) for name, value in features.items()}
    np.testing.assert_allclose(model.encode(wide), expected, atol=1e-5)
    assert float(model.compute_loss(wide)) == pytest.approx(
        float(model.compute_loss(features)), rel=1e-4
    )


@pytest.mark.slow
def test_save_and_load(tmp_path):
    model = make()
    model.compile("adam")
    model.fit(tf.data.Dataset.from_tensors(BATCH), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = tf.keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.encode(BATCH), model.encode(BATCH), atol=1e-6)
    assert loaded.get_config() == model.get_config()
    # a configuration from before there were heads
    config = make(num_interests=1).backbone.get_config()
    del config["head"]
    assert models.SessionRecBackbone.from_config(config).head is None


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy):
    tf.keras.mixed_precision.set_global_policy(policy)
    try:
        model = make(negatives="full")
        assert model(BATCH).dtype == policy.removeprefix("mixed_")
        model.compile(tf.keras.optimizers.Adam(0.01))
        data = tf.data.Dataset.from_tensors(BATCH)
        losses = model.fit(data, epochs=12, verbose=0).history["loss"]
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    assert np.all(np.isfinite(losses))
    assert losses[-1] < losses[0] - 0.1


def test_bad_number():
    with pytest.raises(ValueError, match=r"`num_interests` should be a positive integer. .*=0"):
        make(num_interests=0)
