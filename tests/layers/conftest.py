"""One harness that every layer passes, under Keras 2 and Keras 3."""

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec.backend import keras
from tfsessionrec.layers import ItemSessionEncoder, MeanISE, SessionSequenceEncoder


def outputs(layer, inputs):
    return np.asarray(tf.cast(layer(**inputs), tf.float32))


@pytest.fixture(autouse=True)
def _seeded():
    """Without a seed, small layers sometimes return zeros only."""
    keras.utils.set_random_seed(3)


@pytest.fixture
def check_layer(tmp_path):
    """check_layer(make, inputs): `make()` gives the layer, `inputs` its tensors by name.

    `causal`: whether output t depends on inputs up to t only. Defaults to True for SSEs.
    """

    def check(make, inputs: dict, tolerance: float = 1e-5, causal: bool | None = None) -> None:
        keras.utils.set_random_seed(1)
        layer = make()
        expected = outputs(layer, inputs)
        assert np.all(np.isfinite(expected))
        check_configuration(layer, inputs, expected, tolerance)
        check_graphs(layer, inputs, expected, tolerance)
        model = check_symbolic(layer, inputs, expected, tolerance, tmp_path / "model.keras")
        check_fit(model, layer, inputs, expected)
        check_mixed_precision(make, inputs)

        # Biases and norms start at 0 and 1: random ones must keep the properties, too.
        for weight in layer.trainable_weights:
            noise = tf.random.stateless_normal(weight.shape, (5, 6), stddev=0.3)
            weight.assign(np.asarray(noise))
        expected = outputs(layer, inputs)
        check_rows(layer, inputs, expected, tolerance)
        if "padding_mask" in inputs:
            check_padding(layer, inputs, expected, tolerance)
        if isinstance(layer, SessionSequenceEncoder) if causal is None else causal:
            check_causality(layer, inputs, tolerance)
        if isinstance(layer, SessionSequenceEncoder):
            check_one_item_a_session(layer, inputs, expected, tolerance)
        if isinstance(layer, ItemSessionEncoder):
            check_sessions(layer, inputs, expected, tolerance)

    return check


def check_configuration(layer, inputs, expected, tolerance):
    """A layer made from the configuration has it, too, and with the weights the same outputs."""
    config = layer.get_config()
    twin = type(layer).from_config(config)
    assert twin.get_config() == config
    outputs(twin, inputs)
    twin.set_weights(layer.get_weights())
    np.testing.assert_allclose(outputs(twin, inputs), expected, atol=tolerance)


def check_graphs(layer, inputs, expected, tolerance):
    """Graph, XLA and eager execution give the same outputs."""
    for jit_compile in (False, True):
        function = tf.function(
            lambda *values: layer(**dict(zip(inputs, values, strict=True))),
            jit_compile=jit_compile,
        )
        np.testing.assert_allclose(function(*inputs.values()), expected, atol=tolerance)


def check_symbolic(layer, inputs, expected, tolerance, path):
    """A functional model of unknown batch size and lengths; saved and loaded."""
    rank = max(len(value.shape) for value in inputs.values())
    symbolic = {
        name: keras.Input(
            shape=(*[None] * (len(value.shape) - 2), value.shape[-1])
            if value.dtype.is_floating and len(value.shape) == rank
            else (None,) * (len(value.shape) - 1),
            dtype=value.dtype.name,
            name=name,
        )
        for name, value in inputs.items()
    }
    model = keras.Model(symbolic, layer(**symbolic))
    np.testing.assert_allclose(model(inputs), expected, atol=tolerance)
    model.save(path)
    loaded = keras.models.load_model(path)
    np.testing.assert_allclose(loaded(inputs), expected, atol=tolerance)
    return model


def check_fit(model, layer, inputs, expected):
    """Fitting to random targets changes every trainable weight."""
    if not layer.trainable_weights:
        return
    model.compile(optimizer=keras.optimizers.SGD(1.0), loss="mse")
    before = [np.array(weight) for weight in layer.trainable_weights]
    target = tf.random.stateless_normal(tf.shape(expected), (3, 4))
    model.fit(inputs, target, verbose=0, batch_size=len(target))
    for weight, old in zip(layer.trainable_weights, before, strict=True):
        assert np.any(np.array(weight) != old), weight.name


def check_mixed_precision(make, inputs):
    """The layer computes in bfloat16 and keeps float32 weights."""
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        mixed = make()
        result = mixed(**inputs)
        assert result.dtype == tf.bfloat16
        assert all("float32" in str(w.dtype) or "int" in str(w.dtype) for w in mixed.weights)
        assert np.all(np.isfinite(tf.cast(result, tf.float32)))
    finally:
        keras.mixed_precision.set_global_policy("float32")


def check_rows(layer, inputs, expected, tolerance):
    """Rows of a batch do not see each other."""
    for row in range(len(expected)):
        alone = outputs(layer, {name: value[row : row + 1] for name, value in inputs.items()})
        np.testing.assert_allclose(alone[0], expected[row], atol=tolerance)


def check_padding(layer, inputs, expected, tolerance):
    """Other padding, and more padding, changes nothing; encoders return zeros there."""
    mask = np.asarray(inputs["padding_mask"])

    def padded(name, value):
        value, rank = np.asarray(value), mask.ndim
        if name == "padding_mask":
            return np.pad(value, [(0, 0)] + [(0, 2)] * (rank - 1))
        if value.ndim < rank:
            return np.pad(value, [(0, 0)] + [(0, 2)] * (value.ndim - 1))
        # large values, and ids that are real elsewhere
        garbage = value.dtype.type(100 if np.issubdtype(value.dtype, np.floating) else value.max())
        real = mask.reshape(*mask.shape, *[1] * (value.ndim - rank))
        width = [(0, 0)] + [(0, 2)] * (rank - 1) + [(0, 0)] * (value.ndim - rank)
        return np.pad(np.where(real, value, garbage), width, constant_values=garbage)

    result = outputs(layer, {name: padded(name, value) for name, value in inputs.items()})
    inner = mask
    if isinstance(layer, ItemSessionEncoder):
        inner = mask.any(-1)
    length = inner.shape[1]
    np.testing.assert_allclose(result[:, :length][inner], expected[inner], atol=tolerance)
    if isinstance(layer, (ItemSessionEncoder, SessionSequenceEncoder)):
        assert np.all(result[:, :length][~inner] == 0)
        assert np.all(result[:, length:] == 0)


def check_causality(layer, inputs, tolerance):
    """A change at position t changes output t, and no output before."""
    inputs = {name: np.array(v) for name, v in inputs.items() if name != "padding_mask"}
    before = outputs(layer, inputs)
    for t in range(1, before.shape[1]):
        changed = {name: value.copy() for name, value in inputs.items()}
        for value in changed.values():
            value[:, t:] = -2 * value[:, t:] if value.dtype == np.float32 else value[:, t:] + 10**7
        after = outputs(layer, changed)
        np.testing.assert_allclose(after[:, :t], before[:, :t], atol=tolerance)
        assert np.all(np.abs(after[:, t] - before[:, t]).max(-1) > 1e-3)


def check_one_item_a_session(layer, inputs, expected, tolerance):
    """The mean of a session of one item is that item: the layer is a next-item encoder, too."""
    sessions = MeanISE()(inputs["session_embeddings"][:, :, tf.newaxis])
    result = outputs(layer, {**inputs, "session_embeddings": sessions})
    np.testing.assert_allclose(result, expected, atol=tolerance)


def check_sessions(layer, inputs, expected, tolerance):
    """Sessions of a user do not see each other; a session of one item depends on that item only."""
    changed = {name: np.array(value) for name, value in inputs.items()}
    changed["item_embeddings"][0, 1] += 1
    if "item_ids" in changed:
        changed["item_ids"][0, 1, 0] += 1
    result = outputs(layer, changed).copy()
    assert np.abs(result[0, 1] - expected[0, 1]).max() > 1e-3
    result[0, 1] = expected[0, 1]
    np.testing.assert_allclose(result, expected, atol=tolerance)

    first = {name: np.asarray(value)[:, :, :1] for name, value in inputs.items()}
    together = outputs(layer, first)
    apart = {name: value.reshape(-1, 1, *value.shape[2:]) for name, value in first.items()}
    np.testing.assert_allclose(
        outputs(layer, apart).reshape(together.shape), together, atol=tolerance
    )
