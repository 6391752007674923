"""Several interests: NumPy, and the properties of layers over sessions."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec.backend import keras
from tfsessionrec.layers import MultiInterestHead


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    mask = np.arange(6) < np.array([6, 3, 0])[:, None]
    return rng.normal(size=(3, 6, 8)).astype(np.float32), mask


@pytest.fixture
def head(batch):
    keras.utils.set_random_seed(0)
    layer = MultiInterestHead(3)
    layer(batch[0])
    rng = np.random.default_rng(1)
    layer.set_weights([w + rng.normal(0, 0.3, w.shape) for w in layer.get_weights()])
    return layer


def test_equals_oracle(head, batch):
    sessions, mask = batch
    kernel, bias = head.get_weights()
    result = head(sessions, padding_mask=mask).numpy()
    assert result.shape == (3, 6, 3, 8)
    for b, t, n in np.ndindex(3, 6, 3):
        part = slice(8 * n, 8 * n + 8)
        expected = sessions[b, t] + sessions[b, t] @ kernel[:, part] + bias[part]
        np.testing.assert_allclose(result[b, t, n], expected * mask[b, t], atol=1e-5)
    unmasked = head(sessions).numpy()
    np.testing.assert_array_equal(unmasked[mask], result[mask])
    assert np.all(unmasked[~mask].any(-1))


@pytest.mark.parametrize("num_interests", [1, 4])
def test_harness(batch, check_layer, num_interests):
    sessions, mask = batch
    inputs = {"session_embeddings": tf.constant(sessions), "padding_mask": tf.constant(mask)}
    check_layer(functools.partial(MultiInterestHead, num_interests), inputs)


def test_positions_and_rows_are_independent(head, batch):
    sessions = batch[0]
    before = head(sessions).numpy()
    for b, t in np.ndindex(3, 6):
        changed = sessions.copy()
        changed[b, t] *= -2
        differs = np.abs(head(changed).numpy() - before).max(axis=(2, 3)) > 1e-3
        assert np.argwhere(differs).tolist() == [[b, t]]


def test_one_interest_without_weights_is_the_input(batch):
    sessions, mask = batch
    head = MultiInterestHead(1, kernel_initializer="zeros")
    result = head(sessions, padding_mask=mask)[:, :, 0]
    np.testing.assert_array_equal(result, sessions * mask[..., None])


def test_interests_start_apart(batch):
    first, second = np.moveaxis(MultiInterestHead(2)(batch[0]).numpy(), 2, 0)
    assert np.abs(first - second).max() > 0.1


@pytest.mark.parametrize("num_interests", [0, -1, 2.5, "4"])
def test_bad_number(num_interests):
    with pytest.raises(ValueError, match=r"`num_interests` should be a positive integer. .*="):
        MultiInterestHead(num_interests)


def test_bad_shapes(batch):
    sessions, mask = batch
    with pytest.raises(ValueError, match=r"`session_embeddings` should have the shape .*\(6, 8\)"):
        MultiInterestHead(2)(sessions[0])
    with pytest.raises(ValueError, match=r"`padding_mask` should have the shape .*\(6,\)"):
        MultiInterestHead(2)(sessions, padding_mask=mask[0])
