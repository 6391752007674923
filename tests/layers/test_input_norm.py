"""An SSE with `input_norm` is the SSE on session vectors of mean 0 and variance 1."""

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec.layers import GRUSSE, HSTUSSE, SASRecSSE

DIM = 16
SCALES = {
    GRUSSE: 1.0,
    SASRecSSE: DIM**-0.5,
    HSTUSSE: DIM**-0.5,
}  # undo the scale of the plain encoder


@pytest.mark.parametrize("encoder", SCALES, ids=lambda encoder: encoder.__name__)
def test_normalized_inputs(encoder):
    inputs = np.random.default_rng(0).normal(0.3, 0.1, size=(2, 5, DIM)).astype(np.float32)
    wanted = inputs - inputs.mean(axis=-1, keepdims=True)
    wanted /= np.sqrt((wanted**2).mean(axis=-1, keepdims=True) + 1e-6)
    plain, normed = encoder(dropout=0.0), encoder(dropout=0.0, input_norm=True)
    expected = plain(tf.constant(wanted * SCALES[encoder]))
    normed(tf.constant(inputs))
    others = iter(plain.get_weights())
    normed.set_weights(
        [
            value if "input_norm" in getattr(weight, "path", weight.name) else next(others)
            for weight, value in zip(normed.weights, normed.get_weights(), strict=True)
        ]
    )
    np.testing.assert_allclose(normed(tf.constant(inputs)), expected, atol=1e-5)
    assert np.abs(normed(tf.constant(inputs)) - plain(tf.constant(inputs))).max() > 1e-2
    assert encoder.from_config(normed.get_config()).input_norm


def test_small_inputs_move_the_gates():
    """Small inputs are the mean of a long session with an untrained table."""
    inputs = tf.constant(np.random.default_rng(0).normal(0, 3e-3, size=(1, 6, DIM)), tf.float32)
    plain, normed = GRUSSE(dropout=0.0), GRUSSE(dropout=0.0, input_norm=True)
    assert np.std(plain(inputs)) < 0.01
    assert np.std(normed(inputs)) > 0.1
