"""HSTU, GRU and identity over sessions: NumPy implementations, and the properties of an SSE."""

import functools
import math
import re

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec import layers
from tfsessionrec.backend import keras
from tfsessionrec.layers import (
    GRUSSE,
    HSTUSSE,
    MLPSSE,
    HSTUBlock,
    IdentitySSE,
    SASRecSSE,
    SessionSequenceEncoder,
)

ENCODERS = {
    "hstu": functools.partial(HSTUSSE, num_layers=2, num_heads=2, max_length=4),
    "gru": functools.partial(GRUSSE, num_layers=2),
    "gru, inputs normalized": functools.partial(GRUSSE, input_norm=True),
    "identity": IdentitySSE,
}


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    sessions = rng.normal(size=(3, 6, 8)).astype(np.float32)
    mask = np.arange(6) < np.array([6, 3, 1])[:, None]
    # gaps from seconds to years; padding has the time 0
    gaps = np.exp(rng.uniform(0, 18, size=(3, 6))).astype(np.int64)
    times = np.where(mask, 1_700_000_000 + np.cumsum(gaps, axis=1), 0)
    return sessions, mask, times


def randomised(make, sessions):
    """Biases and norms start at 0 and 1: random ones show where they are used."""
    keras.utils.set_random_seed(0)
    layer = make()
    layer(sessions)
    rng = np.random.default_rng(1)
    layer.set_weights([w + rng.normal(0, 0.3, w.shape) for w in layer.get_weights()])
    return layer


@pytest.fixture(params=ENCODERS)
def layer(request, batch):
    return randomised(ENCODERS[request.param], batch[0])


@pytest.fixture
def hstu(batch):
    return randomised(ENCODERS["hstu"], batch[0])


def norm(x, gamma=1.0, beta=0.0):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6) * gamma + beta


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def silu(x):
    return x * sigmoid(x)


def hstu_block_oracle(block, x, times=None, divided=True):
    """Zhai et al., equations 1 to 3, pair by pair, for one row of a batch without padding."""
    x = x.astype(np.float64)
    dim, size = x.shape[-1], x.shape[-1] // block.num_heads
    position_bias = np.asarray(block.position_bias)
    u, v, q, k = np.split(silu(norm(x) @ np.asarray(block.gate_value_query_key.kernel)), 4, axis=-1)
    aggregate = np.zeros((len(x), dim))
    for t in range(len(x)):
        for s in range(t + 1):
            bias = position_bias[min(t - s, len(position_bias) - 1)]
            if times is not None and block.num_time_buckets:
                seconds = max(int(times[t]) - int(times[s]), 1)
                bucket = min(math.floor(math.log(seconds) / 0.301), block.num_time_buckets - 1)
                bias += np.asarray(block.time_bias)[bucket]
            for head in range(block.num_heads):
                part = slice(head * size, (head + 1) * size)
                aggregate[t, part] += silu(q[t, part] @ k[s, part] + bias) * v[s, part]
        if divided:
            aggregate[t] /= t + 1
    gated = u * norm(aggregate)
    projection = block.output_projection
    return x + gated @ np.asarray(projection.kernel) + np.asarray(projection.bias)


def hstu_oracle(layer, sessions, mask, times=None):
    positions = np.asarray(layer.position_embedding.embeddings)
    gamma, beta = np.asarray(layer.output_norm.gamma), np.asarray(layer.output_norm.beta)
    result = np.zeros_like(sessions)
    for b, length in enumerate(mask.sum(1)):
        seen = np.minimum(np.arange(length), len(positions) - 1)
        x = sessions[b, :length] * np.sqrt(sessions.shape[-1]) + positions[seen]
        for block in layer.blocks:
            x = hstu_block_oracle(block, x, None if times is None else times[b])
        result[b, :length] = norm(x, gamma, beta)
    return result


def gru_oracle(layer, sessions, mask):
    """Cho et al.'s unit, the reset gate after the product; step by step."""
    result = np.zeros_like(sessions)
    weights = [np.asarray(w) for w in layer.get_weights()]
    for b, length in enumerate(mask.sum(1)):
        x = sessions[b, :length]
        for index in range(layer.num_layers):
            kernel, recurrent, (bias, recurrent_bias) = weights[3 * index : 3 * index + 3]
            h, hidden = np.zeros(sessions.shape[-1]), []
            for step in x:
                z, r, c = np.split(step @ kernel + bias, 3)
                hz, hr, hc = np.split(h @ recurrent + recurrent_bias, 3)
                z, r = sigmoid(z + hz), sigmoid(r + hr)
                h = z * h + (1 - z) * np.tanh(c + r * hc)
                hidden.append(h)
            x = np.stack(hidden)
        result[b, :length] = x
    return result


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("num_time_buckets", [0, 8, 64])
def test_hstu_equals_oracle(batch, timed, num_time_buckets):
    sessions, mask, times = batch
    make = functools.partial(ENCODERS["hstu"], num_time_buckets=num_time_buckets)
    layer = randomised(make, sessions)
    times = times if timed else None
    result = layer(sessions, padding_mask=mask, session_times=times)
    np.testing.assert_allclose(result, hstu_oracle(layer, sessions, mask, times), atol=5e-5)


def test_hstu_divides_by_the_number_of_visible_sessions(batch):
    # the inner norm cancels the divisor, except for its epsilon, which matters if values are small
    sessions, _, _ = batch
    block = randomised(lambda: HSTUBlock(num_time_buckets=0), sessions)
    weights = block.get_weights()
    block.set_weights([weights[0] * 0, weights[1] * 0.15, *weights[2:]])
    result = block(sessions)[0]
    np.testing.assert_allclose(result, hstu_block_oracle(block, sessions[0]), atol=1e-5)
    undivided = hstu_block_oracle(block, sessions[0], divided=False)
    np.testing.assert_allclose(result[0], undivided[0], atol=1e-5)
    assert np.all(np.abs(result - undivided)[1:].max(-1) > 1e-3)


def test_gru_equals_oracle(batch):
    sessions, mask, _ = batch
    layer = randomised(ENCODERS["gru"], sessions)
    result = layer(sessions, padding_mask=mask)
    np.testing.assert_allclose(result, gru_oracle(layer, sessions, mask), atol=1e-5)


def test_identity_is_the_input_without_its_padding(batch):
    sessions, mask, _ = batch
    result = IdentitySSE()(sessions, padding_mask=mask)
    np.testing.assert_array_equal(result, sessions * mask[..., None])


HARNESS = {
    "hstu": functools.partial(HSTUSSE, num_heads=4, dropout=0.0, max_length=4),
    "hstu without times": functools.partial(HSTUSSE, num_layers=1, num_time_buckets=0),
    "sasrec": functools.partial(SASRecSSE, num_layers=1, intermediate_dim=12),
    "esasrec": functools.partial(SASRecSSE, feed_forward="gated", stochastic_depth=0.0001),
    "gru": functools.partial(GRUSSE, num_layers=2, dropout=0.0),
    "mlp": functools.partial(MLPSSE, hidden_dims=(12, 4), dropout=0.0),
    "linear": functools.partial(MLPSSE, hidden_dims=()),
    "identity": IdentitySSE,
}


@pytest.mark.parametrize("name", HARNESS)
def test_harness(batch, check_layer, name):
    sessions, mask, times = batch
    inputs = {"session_embeddings": tf.constant(sessions), "padding_mask": tf.constant(mask)}
    if name == "hstu":
        inputs["session_times"] = tf.constant(times)
    check_layer(HARNESS[name], inputs)


def test_all_encoders_are_tested():
    made = {type(make()) for make in HARNESS.values()}
    exported = {getattr(layers, name) for name in layers.__all__}
    encoders = {layer for layer in exported if issubclass(layer, SessionSequenceEncoder)}
    assert made == encoders - {SessionSequenceEncoder}


@pytest.mark.parametrize("hidden_dims", [(), (12,), (12, 4)])
def test_mlp_equals_oracle(batch, hidden_dims):
    sessions, mask, _ = batch
    layer = randomised(lambda: MLPSSE(hidden_dims), sessions)
    weights = layer.get_weights()
    *hidden, (kernel, bias) = zip(weights[::2], weights[1::2], strict=True)
    x = sessions
    for inner, offset in hidden:
        x = np.maximum(x @ inner + offset, 0)
    expected = (x @ kernel + bias) * mask[..., None]
    np.testing.assert_allclose(layer(sessions, padding_mask=mask), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["hstu", "gru"])
def test_order_matters(name, batch):
    layer, sessions = randomised(ENCODERS[name], batch[0]), batch[0]
    swapped = sessions[:, [1, 0, 2, 3, 4, 5]]
    assert np.abs(layer(sessions)[:, -1] - layer(swapped)[:, -1]).max() > 1e-3


def test_hstu_has_relative_positions_in_its_bias_only(batch):
    sessions = batch[0]
    block = randomised(HSTUBlock, sessions)
    swapped = sessions[:, [1, 0, 2, 3, 4, 5]]
    assert np.abs(block(sessions)[:, -1] - block(swapped)[:, -1]).max() > 1e-3
    block.position_bias.assign(np.zeros(256, np.float32))
    np.testing.assert_allclose(block(sessions)[:, -1], block(swapped)[:, -1], atol=1e-5)


def test_hstu_is_no_softmax(hstu, batch):
    # a constant added to a row of logits cancels in a softmax
    sessions = batch[0]
    before = hstu(sessions).numpy()
    for block in hstu.blocks:
        block.position_bias.assign(np.asarray(block.position_bias) + 1)
    assert np.abs(hstu(sessions).numpy() - before)[:, 1:].max() > 1e-2


@pytest.mark.parametrize(
    ("seconds", "others", "same"),
    [
        # floor(log(60) / 0.301) = floor(13.60) = floor(log(61) / 0.301), as 13.66
        (60, 61, True),
        (60, 3600, False),
        # at 1.7e9 seconds, 1 and 3 are one number to a float32
        (1, 3, False),
        (0, 1, True),
        (0, -500, True),
        # floor(log(10 years) / 0.301) = 65 and 73 for 100 years, both at most 63
        (315_360_000, 3_153_600_000, True),
    ],
)
def test_hstu_buckets_time_by_its_logarithm(hstu, batch, seconds, others, same):
    sessions, start = batch[0][:, :2], 1_700_000_001

    def encode(gap):
        return hstu(sessions, session_times=np.array([[start, start + gap]] * 3)).numpy()

    difference = np.abs(encode(seconds) - encode(others))[:, 1].max()
    assert (difference == 0) if same else (difference > 1e-4)


def test_hstu_sees_time_differences_only(hstu, batch):
    sessions, mask, times = batch
    timed = hstu(sessions, padding_mask=mask, session_times=times).numpy()
    later = hstu(sessions, padding_mask=mask, session_times=times + 86_400).numpy()
    np.testing.assert_allclose(later, timed, atol=1e-6)
    untimed = hstu(sessions, padding_mask=mask).numpy()
    assert np.abs(timed - untimed)[0, 1:].max() > 1e-3


def test_gradients_of_the_bias_tables_are_dense(hstu, batch):
    # the optimizer would sort and sum S·S rows for each row of the batch
    sessions, _, times = batch
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(hstu(sessions, session_times=times) ** 3)
    weights = hstu.trainable_weights
    gradients = tape.gradient(loss, [w if isinstance(w, tf.Variable) else w.value for w in weights])
    tables = [g for g, w in zip(gradients, weights) if re.search("(position|time)_bias", w.name)]
    assert len(tables) == 4
    assert all(isinstance(gradient, tf.Tensor) for gradient in tables)


@pytest.mark.parametrize("make", [HSTUSSE, GRUSSE, MLPSSE])
def test_dropout_only_in_training(make, batch):
    layer, sessions = make(dropout=0.5), batch[0]
    np.testing.assert_array_equal(layer(sessions), layer(sessions, training=False))
    assert np.any(layer(sessions, training=True) != layer(sessions, training=True))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HSTUSSE(num_layers=0), "`num_layers` should be a positive integer. .*=0"),
        (lambda: HSTUSSE(num_heads=3), "`num_heads` should divide the embedding dimension"),
        (lambda: HSTUSSE(num_heads=0), "`num_heads` should be a positive integer. .*=0"),
        (lambda: HSTUSSE(dropout=1.0), r"`dropout` should be in \[0, 1\). .*=1.0"),
        (lambda: HSTUSSE(max_length=0), "`max_length` should be a positive integer"),
        (
            lambda: HSTUSSE(num_time_buckets=-1),
            "`num_time_buckets` should be a non-negative integer. .*=-1",
        ),
        (lambda: MLPSSE(hidden_dims=(4, 0)), "`hidden_dims` should be a positive integer. .*=0"),
        (lambda: MLPSSE(dropout=1), r"`dropout` should be in \[0, 1\). .*=1"),
        (lambda: GRUSSE(num_layers=1.5), "`num_layers` should be a positive integer. .*=1.5"),
        (lambda: GRUSSE(dropout=-0.1), r"`dropout` should be in \[0, 1\). .*=-0.1"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()(tf.ones([1, 2, 4]))


def test_unknown_arguments_raise():
    for make in (HSTUSSE, GRUSSE, MLPSSE, IdentitySSE):
        with pytest.raises((TypeError, ValueError), match="temperature"):
            make(temperature=1.0)


def test_wrong_ranks():
    for make in (HSTUSSE, GRUSSE, MLPSSE, IdentitySSE):
        with pytest.raises(ValueError, match="`session_embeddings` should have the shape"):
            make()(tf.zeros([2, 4]))
    with pytest.raises(ValueError, match=r"`session_times` should have the shape .* \(2,\)"):
        HSTUSSE()(tf.zeros([2, 3, 4]), session_times=tf.zeros([2], tf.int64))


def test_only_hstu_with_a_time_bias_reads_times():
    assert HSTUSSE().reads == {"session_times"}
    for encoder in (HSTUSSE(num_time_buckets=0), SASRecSSE(), GRUSSE(), MLPSSE(), IdentitySSE()):
        assert encoder.reads == frozenset()
