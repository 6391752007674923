"""Learned position embeddings."""

import tensorflow as tf

from tfsessionrec.backend import keras
from tfsessionrec.checks import positive_integer
from tfsessionrec.types import Config


@keras.utils.register_keras_serializable(package="tfsessionrec")
class PositionEmbedding(keras.layers.Layer):
    """Adds a learned vector for each position, counted from the start of the sequence.

    `y_{b,t} = x_{b,t} + P_{min(t, max_length - 1)}`. Counting from the start keeps output t
    independent of later positions. Positions beyond `max_length` share the last vector.

    Args:
        max_length: Number of distinct positions. Defaults to 256.
        embeddings_initializer: Initializer of the table. Defaults to a normal of 0.02.

    Call arguments:
        inputs: [B, S, D] float tensor.

    Returns:
        [B, S, D] float tensor.

    Raises:
        ValueError: If `max_length` is not a positive integer.

    Example:

    >>> layer = PositionEmbedding(max_length=2, embeddings_initializer="ones")
    >>> layer(tf.zeros([1, 3, 1])).numpy().ravel()
    array([1., 1., 1.], dtype=float32)

    References:
        SASRec (Kang & McAuley, 2018), section III-A.
    """

    def __init__(
        self,
        max_length: int = 256,
        embeddings_initializer: keras.initializers.Initializer | str | Config | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.max_length = positive_integer("max_length", max_length)
        self.embeddings_initializer = keras.initializers.get(
            embeddings_initializer or keras.initializers.RandomNormal(stddev=0.02)
        )

    def build(self, input_shape: tf.TensorShape) -> None:
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.max_length, int(input_shape[-1])),
            initializer=self.embeddings_initializer,
            trainable=True,
        )
        self.built = True

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        positions = tf.minimum(tf.range(tf.shape(inputs)[1]), self.max_length - 1)
        table = tf.cast(tf.convert_to_tensor(self.embeddings), inputs.dtype)
        return inputs + tf.gather(table, positions)[tf.newaxis]

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return tuple(input_shape)

    def get_config(self) -> Config:
        config = super().get_config()
        config.update(
            max_length=self.max_length,
            embeddings_initializer=keras.initializers.serialize(self.embeddings_initializer),
        )
        return config
