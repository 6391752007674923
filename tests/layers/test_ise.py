"""Item-based session encoders: NumPy oracles and the properties all of them have."""

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec.layers import MaxISE, MeanISE

ENCODERS = [MeanISE, MaxISE]


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    items = rng.normal(size=(3, 4, 5, 6)).astype(np.float32)
    mask = np.arange(5) < rng.integers(1, 6, (3, 4, 1))
    mask[1, 2:] = False  # sessions that are padding
    return items, mask


def oracle(name, items, mask):
    result = np.zeros((*items.shape[:2], items.shape[-1]), np.float32)
    for b, s in np.ndindex(*items.shape[:2]):
        real = items[b, s][mask[b, s]]
        if len(real):
            result[b, s] = {"MeanISE": real.mean(0), "MaxISE": real.max(0)}[name]
    return result


@pytest.mark.parametrize("encoder", ENCODERS)
def test_equals_oracle(encoder, batch):
    items, mask = batch
    result = encoder()(items, padding_mask=mask)
    np.testing.assert_allclose(result, oracle(encoder.__name__, items, mask), atol=1e-6)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_harness(encoder, batch, check_layer):
    items, mask = batch
    check_layer(encoder, {"item_embeddings": tf.constant(items), "padding_mask": tf.constant(mask)})


@pytest.mark.parametrize("encoder", ENCODERS)
def test_padding_changes_nothing(encoder, batch):
    items, mask = batch
    layer = encoder()
    wider = np.pad(items, [(0, 0), (0, 2), (0, 3), (0, 0)], constant_values=np.float32(1e6))
    wide_mask = np.pad(mask, [(0, 0), (0, 2), (0, 3)])
    result = layer(wider, padding_mask=wide_mask).numpy()
    np.testing.assert_allclose(result[:, :4], layer(items, padding_mask=mask), atol=1e-6)
    assert np.all(result[:, 4:] == 0)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_sessions_and_rows_are_independent(encoder, batch):
    items, mask = batch
    layer = encoder()
    before = layer(items, padding_mask=mask).numpy()
    changed = items.copy()
    changed[0, 1] += 5
    after = layer(changed, padding_mask=mask).numpy()
    assert np.any(before[0, 1] != after[0, 1])
    before[0, 1] = after[0, 1]
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_one_item_a_session_is_that_item(encoder):
    items = np.random.default_rng(0).normal(size=(2, 3, 1, 4)).astype(np.float32)
    np.testing.assert_allclose(encoder()(items), items[:, :, 0], atol=1e-6)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_wrong_ranks(encoder):
    with pytest.raises(ValueError, match=r"`item_embeddings` should have the shape .* \(2, 3\)"):
        encoder()(tf.zeros([2, 3]))
    with pytest.raises(ValueError, match=r"`padding_mask` should have the shape"):
        encoder()(tf.zeros([2, 3, 4, 5]), padding_mask=tf.ones([2, 3], tf.bool))
