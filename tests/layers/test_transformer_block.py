"""The options of a Transformer block: gated feed-forward network, stochastic depth."""

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec.backend import keras
from tfsessionrec.layers import HSTUBlock, PositionEmbedding, SASRecSSE, TransformerBlock


@pytest.fixture
def sessions():
    return np.random.default_rng(0).normal(size=(3, 5, 8)).astype(np.float32)


def test_gated_feed_forward_equals_oracle(sessions):
    keras.utils.set_random_seed(0)
    block = TransformerBlock(intermediate_dim=12, feed_forward="gated")
    block(sessions)
    rng = np.random.default_rng(1)
    weights = [w + rng.normal(0, 0.3, w.shape) for w in block.get_weights()]
    weights[4] *= 0  # without attention: y = x + b_o
    block.set_weights(weights)
    attention_bias, gamma, beta, inner, inner_bias, outer, outer_bias = weights[5:]
    y = sessions + attention_bias
    x = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-6) * gamma + beta
    gate, value = x @ inner[:, :12] + inner_bias[:12], x @ inner[:, 12:] + inner_bias[12:]
    expected = y + (gate / (1 + np.exp(-gate)) * value) @ outer + outer_bias
    np.testing.assert_allclose(block(sessions), expected, atol=2e-5)


def test_gate_and_value_start_within_the_limits_of_a_layer_of_their_own():
    block = TransformerBlock(intermediate_dim=256, feed_forward="gated")
    block(tf.zeros([1, 2, 64]))
    kernel = np.asarray(block.feed_forward_inner.kernel)
    assert kernel.shape == (64, 512)
    assert np.abs(kernel).max() == pytest.approx(np.sqrt(6 / (64 + 256)), rel=1e-2)


BLOCKS = {
    "causal": (TransformerBlock, True),
    "bidirectional": (lambda: TransformerBlock(num_heads=4, causal=False), False),
    "gated": (lambda: TransformerBlock(intermediate_dim=12, feed_forward="gated"), True),
    "hstu": (lambda: HSTUBlock(num_time_buckets=0, max_length=3), True),
    "positions": (lambda: PositionEmbedding(max_length=3), True),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_harness(sessions, check_layer, name):
    make, causal = BLOCKS[name]
    inputs = {"inputs": tf.constant(sessions)}
    if name in ("causal", "bidirectional"):
        inputs["padding_mask"] = tf.constant(np.arange(5) < np.array([5, 3, 1])[:, None])
    check_layer(make, inputs, causal=causal)


def test_stochastic_depth_skips_branches_of_whole_rows(sessions):
    keras.utils.set_random_seed(0)
    block = TransformerBlock(stochastic_depth=0.25)
    rows = np.repeat(sessions[:1], 4000, axis=0)
    result = block(rows, training=True).numpy()
    kept, counts = np.unique(result.round(4), axis=0, return_counts=True)
    # each of the two branches is kept or skipped for a whole row
    assert len(kept) == 4
    np.testing.assert_allclose(np.sort(counts) / 4000, [1 / 16, 3 / 16, 3 / 16, 9 / 16], atol=0.03)
    skipped = np.all(result == rows, axis=(1, 2))
    assert skipped.mean() == pytest.approx(1 / 16, abs=0.03)

    # the kept branches are scaled up: without a second branch, the mean equals inference
    block.feed_forward_output.kernel.assign(np.zeros((8, 8), np.float32))
    np.testing.assert_allclose(
        block(rows, training=True).numpy().mean(0), block(rows[:1]).numpy()[0], atol=0.05
    )


def test_stochastic_depth_only_in_training(sessions):
    plain, deep = TransformerBlock(), TransformerBlock(stochastic_depth=0.9)
    plain(sessions)
    deep(sessions)
    deep.set_weights(plain.get_weights())
    np.testing.assert_array_equal(deep(sessions), plain(sessions))


def test_stochastic_depth_grows_linearly():
    layer = SASRecSSE(num_layers=4, stochastic_depth=0.2)
    layer(tf.zeros([1, 2, 4]))
    assert [b.stochastic_depth for b in layer.blocks] == pytest.approx([0.05, 0.1, 0.15, 0.2])


@pytest.mark.parametrize("make", [TransformerBlock, SASRecSSE])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"feed_forward": "swish"},
            "`feed_forward` should be one of 'relu', 'gated'. Received: `feed_forward`='swish'",
        ),
        ({"stochastic_depth": 1}, r"`stochastic_depth` should be in \[0, 1\). .*=1"),
    ],
)
def test_bad_arguments(make, options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)(tf.ones([1, 2, 4]))
