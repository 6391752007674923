"""GRUSSE(scale_inputs=True) is GRUSSE on sessions times sqrt(D)."""

import numpy as np
import tensorflow as tf

from tfsessionrec.layers import GRUSSE


def test_scaled_inputs():
    inputs = tf.constant(np.random.default_rng(0).normal(size=(2, 5, 16)), tf.float32)
    plain, scaled = GRUSSE(dropout=0.0), GRUSSE(dropout=0.0, scale_inputs=True)
    expected = plain(4.0 * inputs)
    scaled(inputs)
    scaled.set_weights(plain.get_weights())
    np.testing.assert_allclose(scaled(inputs), expected, atol=1e-6)
    assert np.abs(scaled(inputs) - plain(inputs)).max() > 1e-2
    assert GRUSSE.from_config(scaled.get_config()).scale_inputs
