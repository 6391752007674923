"""GRUSSE(input_norm=True) is GRUSSE on sessions of mean 0 and variance 1."""

import numpy as np
import tensorflow as tf

from tfsessionrec.layers import GRUSSE


def test_normalised_inputs():
    inputs = np.random.default_rng(0).normal(0.3, 0.1, size=(2, 5, 16)).astype(np.float32)
    wanted = inputs - inputs.mean(axis=-1, keepdims=True)
    wanted /= np.sqrt((wanted**2).mean(axis=-1, keepdims=True) + 1e-6)
    plain, normed = GRUSSE(dropout=0.0), GRUSSE(dropout=0.0, input_norm=True)
    expected = plain(tf.constant(wanted))
    normed(tf.constant(inputs))
    gain_and_shift = normed.get_weights()[:2]
    normed.set_weights([*gain_and_shift, *plain.get_weights()])
    np.testing.assert_allclose(normed(tf.constant(inputs)), expected, atol=1e-5)
    assert np.abs(normed(tf.constant(inputs)) - plain(tf.constant(inputs))).max() > 1e-2
    assert GRUSSE.from_config(normed.get_config()).input_norm


def test_small_inputs_are_told_apart():
    """The mean of a long session of an untrained table is tiny, and the gates still move."""
    inputs = tf.constant(np.random.default_rng(0).normal(0, 3e-3, size=(1, 6, 16)), tf.float32)
    plain, normed = GRUSSE(dropout=0.0), GRUSSE(dropout=0.0, input_norm=True)
    assert np.std(plain(inputs)) < 0.01
    assert np.std(normed(inputs)) > 0.1
