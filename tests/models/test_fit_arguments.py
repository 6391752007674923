"""What `compile`, `fit` and `evaluate` of a `SessionRec` refuse, and what they report."""

import warnings

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec import models
from tfsessionrec.session_batch import check_padding

RNG = np.random.default_rng(0)
ITEM_IDS = RNG.integers(2, 30, (6, 4, 3)).astype(np.int32)
ITEM_IDS[3:, 2:] = 0
LABELS = (RNG.random(ITEM_IDS.shape) < 0.6).astype(np.float32) * (ITEM_IDS > 0)
BATCH = {"item_ids": ITEM_IDS, "labels": LABELS}
POSITIVE = {**BATCH, "labels": np.ones_like(LABELS)}
ERROR = "Received: "


def make(kind=models.SessionRec, **options):
    tf.keras.utils.set_random_seed(0)
    model = models.build(
        "sessionrec-sasrec",
        vocabulary_size=30,
        embedding_dim=8,
        negatives="full",
        dropout=0.0,
        **options,
    )
    model = kind.from_config(model.get_config())
    model.build()
    model.compile(tf.keras.optimizers.Adam(0.01))
    return model


@pytest.mark.parametrize("name", ["loss", "metrics", "loss_weights", "weighted_metrics"])
def test_compile_refuses_what_the_tasks_decide(name):
    with pytest.raises(ValueError, match=f"`{name}` should be None in `compile`.*`{name}`='mse'"):
        make().compile("adam", **{name: "mse"})
    with pytest.raises(ValueError, match="`loss` should be None in `compile`"):
        make().compile("adam", "mse")


def test_class_weights_and_y_are_refused():
    with pytest.raises(ValueError, match=r"`class_weight` should be None: .*\{0: 1\.0\}"):
        make().fit(BATCH, class_weight={0: 1.0}, verbose=0)
    with pytest.raises(ValueError, match="`y` should be None: the targets are the next sessions"):
        make().fit(BATCH, np.ones(6), verbose=0)
    batches = tf.data.Dataset.from_tensors((BATCH, np.ones(6)))
    with pytest.raises(ValueError, match="`y` should be None: the targets are the next sessions"):
        make().fit(batches, verbose=0)
    with pytest.raises(ValueError, match="`sample_weight` should be given once"):
        make().evaluate({**BATCH, "sample_weight": np.ones(6)}, sample_weight=np.ones(6))
    with pytest.raises(ValueError, match="`sample_weight` and `y` should be None where `x` is a"):
        make().fit(tf.data.Dataset.from_tensors(BATCH), sample_weight=np.ones(6))


@pytest.mark.slow
def test_keras_3_is_named():
    model = make()
    with pytest.raises(ValueError, match=r"`optimizer` should be of Keras 2.*Received.*keras\.src"):
        model.compile(keras_3.optimizers.Adam())
    with pytest.raises(ValueError, match=r"`callbacks` should be of Keras 2.*EarlyStopping"):
        model.fit(BATCH, callbacks=[keras_3.callbacks.EarlyStopping()], verbose=0)
    with pytest.raises(ValueError, match=r"`callbacks` should be of Keras 2.*EarlyStopping"):
        model.evaluate(BATCH, callbacks=keras_3.callbacks.EarlyStopping(), verbose=0)
    stop = tf.keras.callbacks.EarlyStopping("loss")
    model.fit(BATCH, callbacks=stop, epochs=2, verbose=0)
    model.fit(BATCH, callbacks=tf.keras.callbacks.CallbackList([stop], model=model), verbose=0)


class Shifted(models.SessionRec):
    def compute_loss(self, inputs, training=False):
        return super().compute_loss(inputs, training) + 100.0


@pytest.mark.slow
def test_the_loss_in_the_logs_is_what_was_minimized():
    plain, shifted = make(), make(Shifted)
    logs = [
        model.fit(BATCH, batch_size=6, epochs=2, validation_data=(BATCH,), verbose=0).history
        for model in (plain, shifted)
    ]
    for name in ("loss", "val_loss"):
        expected = np.array(logs[0][name]) + 100
        np.testing.assert_allclose(logs[1][name], expected, rtol=1e-5)
    assert shifted.evaluate(BATCH, verbose=0, return_dict=True)["loss"] > 100


@pytest.mark.slow
def test_regularization_is_part_of_the_loss_in_the_logs():
    model = make()
    model.add_loss(lambda: tf.constant(7.0))
    logs = model.fit(BATCH, batch_size=6, verbose=0).history
    parts = logs["retrieval_loss"][0] + 0.05 * logs["ranking_loss"][0]
    assert logs["loss"][0] == pytest.approx(parts + 7, rel=1e-5)


@pytest.mark.slow
def test_nothing_ranked_is_said_and_left_out():
    model = make()
    with pytest.warns(UserWarning, match="Nothing is ranked: no session has both"):
        logs = model.fit(POSITIVE, epochs=2, verbose=0, validation_data=(BATCH,)).history
    assert {"loss", "retrieval_loss", "val_ranking_loss", "val_ranking_auc"} <= set(logs)
    assert not {"ranking_loss", "ranking_auc"} & set(logs)
    assert set(model.evaluate(POSITIVE, verbose=0, return_dict=True)) == {"loss", "retrieval_loss"}
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Nothing is ranked")
        logs = make().fit(BATCH, verbose=0, validation_data=(POSITIVE,)).history
    assert {"ranking_loss", "ranking_auc"} <= set(logs)
    assert not {"val_ranking_loss", "val_ranking_auc"} & set(logs)


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_batches_padded_at_the_left_are_refused(jit_compile):
    left = {name: np.ascontiguousarray(value[:, ::-1]) for name, value in BATCH.items()}
    for model in (make(), make()):
        model.compile("adam", jit_compile=jit_compile)
    for call in (model.fit, model.evaluate):
        batches = tf.data.Dataset.from_tensors(left)
        with pytest.raises(ValueError, match=r"`item_ids` should have its padding last.*3 rows"):
            call(batches, verbose=0)
    with pytest.raises(ValueError, match=r"`item_ids` should have its padding last.*3 rows"):
        check_padding(left["item_ids"])
    check_padding(ITEM_IDS)
    model.fit(BATCH, verbose=0)


@pytest.mark.slow
def test_a_loaded_model_keeps_its_optimizer(tmp_path):
    model = models.SessionRec.from_config(make().get_config())
    model.compile("adam")
    model.fit(BATCH, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = tf.keras.models.load_model(tmp_path / "model.keras")
    assert int(loaded.optimizer.iterations) == 2
    for one, other in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one, other)
    loaded.fit(BATCH, verbose=0)


WRONG = [
    ({"name": []}, "name"),
    ({"name": None}, "name"),
    ({"ise": []}, "ise"),
    ({"ranking_loss": []}, "ranking_loss"),
    ({"ranking_weight": "x"}, "ranking_weight"),
    ({"ranking_weight": float("nan")}, "ranking_weight"),
    ({"session_context": ["a"]}, "features"),
    ({"features": 5}, "features"),
    ({"trend": 5}, "trend"),
    ({"trend": {"foo": 1}}, "trend"),
    ({"relation": True}, "relation"),
    ({"temperature": "x"}, "temperature"),
    ({"calibration": "x"}, "calibration"),
    ({"score_regularization": "x"}, "score_regularization"),
    ({"popularity_power": "x"}, "popularity_power"),
    ({"history_dropout": "x"}, "history_dropout"),
    ({"dropout": 2}, "dropout"),
    ({"num_heads": 0}, "num_heads"),
    ({"max_length": 0}, "max_length"),
    ({"first_item_index": "a"}, "first_item_index"),
    ({"first_item_index": 50}, "first_item_index"),
    ({"vocabulary_size": "a"}, "vocabulary_size"),
]


@pytest.mark.parametrize(("arguments", "named"), WRONG)
def test_build_names_the_wrong_argument(arguments, named):
    with pytest.raises(ValueError, match=rf"`{named}` should .*Received: "):
        models.build(**{"name": "sessionrec-sasrec", "vocabulary_size": 30, **arguments})
