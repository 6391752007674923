"""The layers in a functional model, trained with `model.fit`, in Keras 2 and 3."""

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec import layers
from tfsessionrec.backend import keras

NUM_ITEMS = 12
PAIRS = {
    "mean, sasrec": (layers.MeanISE, lambda: layers.SASRecSSE(num_layers=1, dropout=0.0)),
    "gru, hstu": (layers.GRUISE, lambda: layers.HSTUSSE(num_layers=1, dropout=0.0)),
    "srgnn, gru": (layers.SRGNNISE, lambda: layers.GRUSSE(dropout=0.0)),
    "stamp, identity": (layers.STAMPISE, layers.IdentitySSE),
    "attention, mlp": (layers.AttentionISE, lambda: layers.MLPSSE(dropout=0.0)),
}


def log():
    """Sessions of two items that go round the catalogue: the next one begins two further on."""
    start = np.arange(64)[:, None, None] + 2 * np.arange(5)[:, None]
    items = 2 + (start + np.arange(2)) % NUM_ITEMS
    items[::3, 3:] = 0
    times = 1_700_000_000 + 3600 * np.arange(5)
    return items.astype(np.int32), np.broadcast_to(times, items.shape[:2]).astype(np.int64)


@pytest.mark.parametrize("name", PAIRS)
def test_fit(name, tmp_path):
    keras.utils.set_random_seed(0)
    ise, sse = PAIRS[name]
    items, times = log()
    history, target = items[:, :-1], items[:, 1:, 0]

    item_ids = keras.Input((None, None), dtype="int32", name="item_ids")
    session_times = keras.Input((None,), dtype="int64", name="session_times")
    mask = keras.layers.Lambda(lambda ids: tf.not_equal(ids, 0), output_shape=(None, None))(
        item_ids
    )
    some = keras.layers.Lambda(lambda m: tf.reduce_any(m, axis=-1), output_shape=(None,))(mask)
    embedded = layers.ItemEmbedding(2 + NUM_ITEMS, 16, embeddings_initializer="glorot_uniform")(
        item_ids
    )
    sessions = ise()(embedded, padding_mask=mask, item_ids=item_ids)
    encoded = sse()(sessions, padding_mask=some, session_times=session_times)
    logits = keras.layers.Dense(2 + NUM_ITEMS)(encoded)
    model = keras.Model([item_ids, session_times], logits)

    model.compile(
        keras.optimizers.Adam(0.03),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=["accuracy"],
    )
    inputs, weights = [history, times[:, :-1]], (target > 0).astype(np.float32)
    model.fit(inputs, target, sample_weight=weights, epochs=25, batch_size=16, verbose=0)
    result = model.evaluate(
        inputs, target, sample_weight=weights, return_dict=True, verbose=0, batch_size=64
    )
    assert result["accuracy"] > 0.9  # chance is 1 in 12
