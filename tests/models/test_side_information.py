"""What a session batch may hold in addition to items reaches the model only where it should."""

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec import models

rng = np.random.default_rng(0)
ITEM_IDS = rng.integers(2, 20, (6, 4, 3)).astype(np.int32)
ITEM_IDS[:, :, 2:] = 0
ITEM_IDS[3:, 2:] = 0
BATCH = {
    "item_ids": ITEM_IDS,
    "labels": (rng.random(ITEM_IDS.shape) < 0.6) * (ITEM_IDS > 0) * 1.0,
    "interaction_types": rng.integers(1, 4, ITEM_IDS.shape) * (ITEM_IDS > 0),
    "session_times": np.cumsum(np.full((6, 4), 5000), axis=1),
    "item_times": np.cumsum(rng.integers(1, 900, (6, 12)), axis=1).reshape(6, 4, 3),
    "device": rng.integers(0, 4, (6, 4)),
    "basket": rng.normal(size=(6, 4)).astype(np.float32),
}
OPTIONS = {
    "num_interaction_types": 3,
    "num_item_time_buckets": 64,
    "session_context": {"device": 3, "basket": None},
}
CHANGED = {
    "interaction_types": lambda x: x % 3 + 1,
    "item_times": lambda x: 10 * x,
    "device": lambda x: 3 - x,
    "basket": lambda x: -x,
}


def make(name="sessionrec-hstu", **options):
    tf.keras.utils.set_random_seed(0)
    options = {**OPTIONS, **options}
    if name != "stamp":
        options["dropout"] = 0.0
    return models.build(name, vocabulary_size=20, embedding_dim=8, **options)


def changed(key, session):
    """The batch with another value of the key in that session of every row."""
    value = BATCH[key].copy()
    value[:, session] = CHANGED[key](value[:, session])
    return {**BATCH, key: value}


@pytest.mark.parametrize("name", ["sessionrec-sasrec", "sessionrec-gru"])
@pytest.mark.parametrize("key", CHANGED)
def test_each_reaches_its_session_and_none_before(name, key):
    model = make(name)
    before = model(BATCH).numpy()
    after = model(changed(key, 1)).numpy()
    np.testing.assert_array_equal(after[:, 0], before[:, 0])
    assert (np.abs(after[:, 1] - before[:, 1]).max(-1) > 1e-5).all()
    # at padding it changes nothing
    padding = model(changed(key, 3)).numpy()
    np.testing.assert_array_equal(padding[3:], before[3:])
    assert not before[3:, 2:].any()


def test_rows_do_not_see_each_other():
    model = make()
    expected = model(BATCH).numpy()
    got = model({key: value[2:3] for key, value in BATCH.items()}).numpy()
    np.testing.assert_allclose(got, expected[2:3], atol=1e-5)


def test_the_context_is_added_to_the_session():
    model = make("stamp", session_context={"device": 3}, normalize=False)
    model.build()
    tables = model.backbone.session_context.tables
    without = model({**BATCH, "device": np.zeros((6, 4), int)}).numpy()
    difference = tables["device"].numpy()[BATCH["device"]] - tables["device"].numpy()[0]
    real = (ITEM_IDS > 0).any(-1)[..., None]
    np.testing.assert_allclose(model(BATCH).numpy() - without, difference * real, atol=1e-6)


@pytest.mark.slow
def test_trains_every_table_and_comes_back(tmp_path):
    model = make()
    model.compile(tf.keras.optimizers.SGD(1.0))
    model(BATCH)
    before = {w.name: w.numpy() for w in model.trainable_variables}
    model.fit(tf.data.Dataset.from_tensors(BATCH), epochs=1, verbose=0)
    for name in ("interaction_type_table", "gap_table", "context_device", "context_basket"):
        (weight,) = (w for w in model.trainable_variables if name in w.name)
        assert np.any(weight.numpy() != before[weight.name]), name
    expected = model.encode(BATCH)
    model.save(tmp_path / "model.keras")
    loaded = tf.keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.encode(BATCH), expected, atol=1e-6)


def test_a_missing_context_is_an_error():
    with pytest.raises(ValueError, match="should have the context feature 'device'"):
        make()({"item_ids": ITEM_IDS})


def test_one_item_a_session_may_come_flat():
    model = make("sasrec", session_context=None)
    flat = {key: BATCH[key][:, :, 0] for key in ("item_ids", "item_times", "interaction_types")}
    deep = {key: value[..., None] for key, value in flat.items()}
    np.testing.assert_array_equal(model(flat), model(deep))
