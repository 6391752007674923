"""Cooldown against hand-derived rates, alone and inside LazyAdam."""

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec.backend import keras
from tfsessionrec.optimizers import Cooldown, LazyAdam

# 20 steps, the last 4 of which fall: 1, 3/4, 2/4, 1/4 of the rate, and 0 after the last.
RATES = [0.2] * 17 + [0.15, 0.1, 0.05, 0.0, 0.0]


def test_constant_then_falling():
    schedule = Cooldown(0.2, total_steps=20, share=0.2)
    np.testing.assert_allclose([schedule(step) for step in range(22)], RATES, atol=1e-7)


def test_it_may_begin_after_other_steps():
    schedule = Cooldown(0.2, total_steps=20, share=0.2, first_step=100)
    np.testing.assert_allclose([schedule(step) for step in range(100, 122)], RATES, atol=1e-7)
    assert float(schedule(3)) == pytest.approx(0.2)


def test_the_configuration_round_trips():
    schedule = Cooldown(0.2, total_steps=20, share=0.2, first_step=7)
    twin = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(schedule))
    assert type(twin) is Cooldown
    assert twin.get_config() == schedule.get_config()


@pytest.mark.parametrize("sparse", [False, True])
def test_adam_follows_the_schedule(sparse):
    # With a constant gradient, each of Adam's steps is as long as the learning rate.
    optimizer = LazyAdam(Cooldown(0.2, total_steps=20, share=0.2), epsilon=1e-12)
    variable = tf.Variable([[0.0]])
    gradient = tf.IndexedSlices([[1.0]], [0], [1, 1]) if sparse else tf.constant([[1.0]])
    places = [0.0]
    for _ in RATES:
        optimizer.apply_gradients([(gradient, variable)])
        places.append(float(variable.numpy()[0, 0]))
    np.testing.assert_allclose(-np.diff(places), RATES, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (0.0, 10),
            "`learning_rate` should be a finite number above 0. Received: `learning_rate`=0.0",
        ),
        ((0.1, 0), "`total_steps` should be a positive integer. Received: `total_steps`=0"),
        ((0.1, 10, 0.0), r"`share` should be in \(0, 1\]. Received: `share`=0.0"),
        ((0.1, 10, 1.5), r"`share` should be in \(0, 1\]. Received: `share`=1.5"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        Cooldown(*arguments)
