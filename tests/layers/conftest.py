"""One harness that every layer passes, under Keras 2 and Keras 3."""

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec.backend import keras


def outputs(layer, inputs, **kwargs):
    return np.asarray(tf.cast(layer(*inputs, **kwargs), tf.float32))


@pytest.fixture
def check_layer(tmp_path):
    """check_layer(make, inputs): `make()` gives the layer, `inputs` its tensors by name."""

    def check(make, inputs: dict, tolerance: float = 1e-5) -> None:
        keras.utils.set_random_seed(1)
        layer = make()
        expected = outputs(layer, (), **inputs)
        assert np.all(np.isfinite(expected))

        # the configuration gives an equal layer: same configuration, and with its weights, outputs
        config = layer.get_config()
        twin = type(layer).from_config(config)
        assert twin.get_config() == config
        outputs(twin, (), **inputs)
        twin.set_weights(layer.get_weights())
        np.testing.assert_allclose(outputs(twin, (), **inputs), expected, atol=tolerance)

        # graph and XLA give what eager gives
        names = list(inputs)
        for jit_compile in (False, True):
            function = tf.function(
                lambda *values: layer(**dict(zip(names, values, strict=True))),
                jit_compile=jit_compile,
            )
            np.testing.assert_allclose(function(*inputs.values()), expected, atol=tolerance)

        # symbolic, with unknown batch size and lengths; saved and loaded
        symbolic = {
            name: keras.Input(
                shape=(*[None] * (len(value.shape) - 2), value.shape[-1])
                if value.dtype.is_floating and len(value.shape) == max_rank(inputs)
                else (None,) * (len(value.shape) - 1),
                dtype=value.dtype.name,
                name=name,
            )
            for name, value in inputs.items()
        }
        model = keras.Model(symbolic, layer(**symbolic))
        np.testing.assert_allclose(model(inputs), expected, atol=tolerance)
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        np.testing.assert_allclose(loaded(inputs), expected, atol=tolerance)

        # fit changes every weight that can be trained (the loss asks for random targets)
        if layer.trainable_weights:
            model.compile(optimizer=keras.optimizers.SGD(1.0), loss="mse")
            before = [np.array(weight) for weight in layer.trainable_weights]
            target = tf.random.stateless_normal(tf.shape(expected), (3, 4))
            model.fit(inputs, target, verbose=0, batch_size=len(target))
            for weight, old in zip(layer.trainable_weights, before, strict=True):
                assert np.any(np.array(weight) != old), weight.name

        # mixed precision: computes in bfloat16, keeps float32 weights, stays near
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
        try:
            mixed = make()
            result = mixed(**inputs)
            assert result.dtype == tf.bfloat16
            assert all("float32" in str(w.dtype) or "int" in str(w.dtype) for w in mixed.weights)
            assert np.all(np.isfinite(tf.cast(result, tf.float32)))
        finally:
            keras.mixed_precision.set_global_policy("float32")

    def max_rank(inputs: dict) -> int:
        return max(len(value.shape) for value in inputs.values())

    return check
