"""Dropout whose masks a resumed training repeats."""

import tensorflow as tf

from tfsessionrec import draws
from tfsessionrec.backend import keras


@keras.utils.register_keras_serializable(package="tfsessionrec")
class Dropout(keras.layers.Dropout):
    """`tf.keras.layers.Dropout`; within `draws.seeded` its masks follow from the seed and the step.

    Args:
        rate: Share of the inputs that are set to 0, in [0, 1).
        noise_shape: Shape of the mask; None in it is the size of the input. Defaults to None: the
            shape of the input.

    Example:

    >>> Dropout(0.5)(tf.ones([2]), training=False).numpy().tolist()
    [1.0, 1.0]
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        if not (draws.is_seeded() and training and self.rate):
            return super().call(inputs, training=training)
        shape = None
        if self.noise_shape is not None:
            sizes = tf.shape(inputs)
            shape = tf.stack(
                [
                    sizes[axis] if size is None else size
                    for axis, size in enumerate(self.noise_shape)
                ]
            )
        return draws.dropout(inputs, self.rate, shape)
