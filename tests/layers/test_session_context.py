"""A session's context against NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec.backend import keras
from tfsessionrec.layers import SessionContext

DEVICE = np.array([[1, 3, 0], [2, 0, 0]], np.int32)
COUNTRY = np.array([[5, 5, 0], [1, 0, 0]], np.int64)
HOURS = np.array([[0.5, -2.0, 0.0], [1.5, 0.0, 0.0]], np.float32)
BATCH = {"device": DEVICE, "country": COUNTRY, "hours": HOURS, "item_ids": np.ones((2, 3, 4))}
FEATURES = {"device": 3, "country": 5, "hours": None}


def by_name(layer):
    return {w.name.split("/")[-1].split(":")[0]: np.array(w) for w in layer.weights}


def test_against_numpy():
    layer = SessionContext(FEATURES, 4)
    got = layer(BATCH)
    weights = by_name(layer)
    assert weights["context_device"].shape == (4, 4)
    assert layer.reads == set(FEATURES)
    expected = (
        weights["context_device"][DEVICE]
        + weights["context_country"][COUNTRY]
        + HOURS[..., None] * weights["context_hours"][0]
    )
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_configuration_and_graph():
    layer = SessionContext(FEATURES, 4)
    expected = layer(BATCH)
    twin = SessionContext.from_config(layer.get_config())
    twin(BATCH)
    twin.set_weights(layer.get_weights())
    np.testing.assert_array_equal(twin(BATCH), expected)
    for jit_compile in (False, True):
        graph = tf.function(lambda batch: layer(batch), jit_compile=jit_compile)
        batch = {name: tf.constant(BATCH[name]) for name in FEATURES}
        np.testing.assert_allclose(graph(batch), expected, atol=1e-6)


def test_in_a_functional_model(tmp_path):
    inputs = {
        name: keras.Input((None,), dtype="float32" if size is None else "int32", name=name)
        for name, size in FEATURES.items()
    }
    model = keras.Model(inputs, SessionContext(FEATURES, 4)(inputs))
    batch = {name: tf.constant(BATCH[name]) for name in FEATURES}
    before = model(batch).numpy()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(batch), before, atol=1e-6)
    model.compile(optimizer=keras.optimizers.SGD(1.0), loss="mse")
    weights = [np.array(w) for w in model.trainable_weights]
    model.fit(batch, np.ones_like(before), verbose=0)
    for weight, old in zip(model.trainable_weights, weights, strict=True):
        assert np.any(np.array(weight) != old)


def test_mixed_precision():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        layer = SessionContext(FEATURES, 4)
        assert layer(BATCH).dtype == tf.bfloat16
        assert all("float32" in str(weight.dtype) for weight in layer.weights)
    finally:
        keras.mixed_precision.set_global_policy("float32")


def test_bad_arguments():
    with pytest.raises(ValueError, match="`features` should name at least one feature"):
        SessionContext({}, 4)
    with pytest.raises(ValueError, match=r"`features\['a'\]` should be a positive integer.*=0"):
        SessionContext({"a": 0}, 4)
    with pytest.raises(ValueError, match=r"`dim` should be a positive integer. Received: .*=0"):
        SessionContext({"a": 2}, 0)
    with pytest.raises(ValueError, match=r"should have the context feature 'hours'. Received: "):
        SessionContext(FEATURES, 4)({"device": DEVICE, "country": COUNTRY})
    with pytest.raises(ValueError, match=r"`device` should have the shape .*\(2, 3, 1\)"):
        SessionContext(FEATURES, 4)({**BATCH, "device": DEVICE[..., None]})
