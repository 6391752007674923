"""SASRec over sessions: an independent NumPy implementation, and the properties of an SSE."""

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec.backend import keras
from tfsessionrec.layers import SASRecSSE, TransformerBlock


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    sessions = rng.normal(size=(3, 5, 8)).astype(np.float32)
    mask = np.arange(5) < np.array([5, 3, 1])[:, None]
    return sessions, mask


@pytest.fixture
def layer(batch):
    keras.utils.set_random_seed(0)
    layer = SASRecSSE(num_layers=2, num_heads=2, intermediate_dim=12)
    layer(batch[0])
    # biases and norms start at 0 and 1: random ones show where they are used
    rng = np.random.default_rng(1)
    layer.set_weights([w + rng.normal(0, 0.3, w.shape) for w in layer.get_weights()])
    return layer


def sasrec_oracle(layer, sessions, mask, num_heads=2):
    """Kang & McAuley's equations, pre-norm, position by position."""
    weights = iter(layer.get_weights())
    positions = next(weights)

    def norm(x, gamma, beta):
        return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6) * (
            gamma
        ) + beta

    blocks = [[next(weights) for _ in range(12)] for _ in range(layer.num_layers)]
    gamma, beta = next(weights), next(weights)
    dim = sessions.shape[-1]
    size = dim // num_heads
    result = np.zeros_like(sessions)
    for b in range(len(sessions)):
        length = mask[b].sum()
        x = sessions[b, :length] * np.sqrt(dim) + positions[:length]
        for g1, b1, wqkv, bqkv, wo, bo, g2, b2, w1, c1, w2, c2 in blocks:
            projected = norm(x, g1, b1) @ wqkv + bqkv
            q, k, v = np.split(projected, 3, axis=-1)
            attended = np.zeros_like(x)
            for head in range(num_heads):
                part = slice(head * size, (head + 1) * size)
                for t in range(length):
                    logits = k[: t + 1, part] @ q[t, part] / np.sqrt(size)
                    share = np.exp(logits - logits.max())
                    attended[t, part] = share / share.sum() @ v[: t + 1, part]
            x = x + attended @ wo + bo
            x = x + np.maximum(norm(x, g2, b2) @ w1 + c1, 0) @ w2 + c2
        result[b, :length] = norm(x, gamma, beta)
    return result


def test_equals_oracle(layer, batch):
    sessions, mask = batch
    result = layer(sessions, padding_mask=mask)
    np.testing.assert_allclose(result, sasrec_oracle(layer, sessions, mask), atol=2e-5)


def test_order_matters(layer, batch):
    sessions, _ = batch
    backwards = sessions[:, ::-1].copy()
    assert np.abs(layer(sessions)[:, -1] - layer(backwards)[:, -1]).max() > 1e-2


def test_dropout_only_in_training(batch):
    layer = SASRecSSE(dropout=0.5)
    sessions, _ = batch
    np.testing.assert_array_equal(layer(sessions), layer(sessions, training=False))
    assert np.any(layer(sessions, training=True) != layer(sessions, training=True))


def test_positions_beyond_the_table_share_the_last():
    layer = SASRecSSE(num_layers=1, max_length=2, dropout=0.0)
    assert np.all(np.isfinite(layer(tf.ones([1, 7, 4]))))


def test_bidirectional_block_sees_real_sessions_only(batch):
    sessions, mask = batch
    block = TransformerBlock(num_heads=2, causal=False)
    before = block(sessions, mask).numpy()
    changed = np.where(mask[..., None], sessions, 50.0).astype(np.float32)
    np.testing.assert_allclose(block(changed, mask).numpy()[mask], before[mask], atol=1e-5)
    future = sessions.copy()
    future[0, 4] *= -2
    assert np.any(np.abs(block(future, mask).numpy()[0, 0] - before[0, 0]) > 1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_layers": 0}, "`num_layers` should be a positive integer. Received: `num_layers`=0"),
        ({"num_heads": 3}, "`num_heads` should divide the embedding dimension"),
        ({"dropout": 1.0}, r"`dropout` should be in \[0, 1\). Received: `dropout`=1.0"),
        ({"max_length": 0}, "`max_length` should be a positive integer"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        SASRecSSE(**options)(tf.ones([1, 2, 4]))


def test_wrong_ranks():
    with pytest.raises(ValueError, match=r"`session_embeddings` should have the shape .* \(2, 4\)"):
        SASRecSSE()(tf.zeros([2, 4]))
    with pytest.raises(ValueError, match=r"`padding_mask` should have the shape"):
        SASRecSSE()(tf.zeros([2, 3, 4]), padding_mask=tf.ones([2], tf.bool))
