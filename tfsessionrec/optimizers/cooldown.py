"""A learning rate schedule: constant, then a fall to zero."""

import tensorflow as tf

from tfsessionrec.backend import keras
from tfsessionrec.checks import is_number, number, positive_integer
from tfsessionrec.types import Config


@keras.utils.register_keras_serializable(package="tfsessionrec")
class Cooldown(keras.optimizers.schedules.LearningRateSchedule):
    """Constant learning rate with a linear fall to zero over the last steps.

    `lr(t) = learning_rate * min(1, (first_step + total_steps - t) / (share * total_steps))`, not
    below 0.

    Args:
        learning_rate: The constant rate.
        total_steps: Number of training steps.
        share: Share of the steps, in (0, 1], during which the rate falls. Defaults to 0.3: the last
            30 %.
        first_step: Number of the first of these steps: those that an optimizer made before, in an
            earlier training. Defaults to 0.

    Call arguments:
        step: Integer scalar, from 0.

    Returns:
        Float32 scalar.

    Raises:
        ValueError: If an argument is out of range.

    Example:

    >>> schedule = Cooldown(0.1, total_steps=10, share=0.5)
    >>> [round(float(schedule(step)), 2) for step in (0, 5, 6, 9, 10, 11)]
    [0.1, 0.1, 0.08, 0.02, 0.0, 0.0]

    References:
        "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations" (Hägele et al.,
        2024), section 3.
    """

    def __init__(
        self, learning_rate: float, total_steps: int, share: float = 0.3, first_step: int = 0
    ) -> None:
        super().__init__()
        self.learning_rate = number("learning_rate", learning_rate, above=0)
        if not (is_number(share) and 0 < share <= 1):
            raise ValueError(f"`share` should be in (0, 1]. Received: `share`={share!r}")
        self.total_steps = positive_integer("total_steps", total_steps)
        self.share = float(share)
        if isinstance(first_step, bool) or not isinstance(first_step, int) or first_step < 0:
            raise ValueError(
                "`first_step` should be a number of steps, 0 or more. Received: "
                f"`first_step`={first_step!r}"
            )
        self.first_step = first_step

    def __call__(self, step: tf.Tensor | int) -> tf.Tensor:
        end = self.first_step + self.total_steps
        left = tf.cast(end - tf.cast(step, tf.int64), tf.float32)
        return self.learning_rate * tf.clip_by_value(left / (self.share * self.total_steps), 0, 1)

    def get_config(self) -> Config:
        return {
            "learning_rate": self.learning_rate,
            "total_steps": self.total_steps,
            "share": self.share,
            "first_step": self.first_step,
        }
