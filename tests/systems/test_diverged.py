"""Training ends with an error as soon as a number is not finite."""

import numpy as np
import pytest
import tensorflow as tf

import tfsessionrec as sr

IDS = np.random.default_rng(0).integers(2, 12, (40, 3, 2)).astype(np.int32)


def model_and_batches(weights):
    tf.keras.utils.set_random_seed(0)
    model = sr.models.build("sessionrec-gru", vocabulary_size=12, embedding_dim=4)
    model.compile(tf.keras.optimizers.SGD(0.1))
    data = {"item_ids": IDS, "sample_weight": np.asarray(weights, np.float32)}
    return model, tf.data.Dataset.from_tensor_slices(data).batch(10)


@pytest.mark.parametrize(("at", "cause"), [(0, "first step"), (25, "learning rate 0.1")])
def test_the_step_is_named(at, cause):
    weights = np.ones(40)
    weights[at] = np.nan
    model, batches = model_and_batches(weights)
    with pytest.raises(sr.systems.TrainingDiverged, match="is not finite after step") as caught:
        model.fit(batches, verbose=0, callbacks=[sr.systems.FiniteLoss()])
    error = caught.value
    assert (error.epoch, error.step, error.part) == (1, at // 10 + 1, "retrieval_loss")
    assert cause in str(error)


def test_a_finite_training_ends_as_ever_and_weights_are_looked_at():
    class Breaks(tf.keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if (batch, self.epoch) == (3, 1):  # after the last step: no loss shows it
                table = self.model.backbone.items.item_table
                table.assign(tf.fill(table.shape, float("inf")))

        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch

    model, batches = model_and_batches(np.ones(40))
    model.fit(batches, epochs=2, verbose=0, callbacks=[sr.systems.FiniteLoss()])
    callbacks = [Breaks(), sr.systems.FiniteLoss()]
    with pytest.raises(sr.systems.TrainingDiverged) as caught:
        model.fit(batches, epochs=3, verbose=0, callbacks=callbacks)
    assert (caught.value.epoch, caught.value.step) == (2, 4)
    assert "table" in caught.value.part


@pytest.mark.slow
def test_systems_fit_stops():
    events = sr.data.simulate(num_users=60, num_items=20).events
    columns = {"user": "user_id", "session": "session_id", "label": "label"}
    with pytest.raises(sr.systems.TrainingDiverged, match="lower the learning"):
        sr.systems.fit(
            "sessionrec-gru", events, **columns, embedding_dim=8, epochs=4, learning_rate=1e38
        )
