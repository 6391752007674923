"""Embeddings of the time since the previous item, in logarithmic buckets."""

import tensorflow as tf

from tfsessionrec.backend import keras
from tfsessionrec.checks import positive_integer
from tfsessionrec.types import Config

# Each bucket is e^0.301 = 1.35 times as wide as the previous one, as in the code of HSTU's authors.
LOG_BUCKET_WIDTH = 0.301


def time_buckets(seconds: tf.Tensor, num_buckets: int) -> tf.Tensor:
    """`min(floor(log(max(seconds, 1)) / 0.301), num_buckets - 1)` of float32 seconds, as int32.

    64 buckets distinguish times up to 5 years.

    Example:

    >>> time_buckets(tf.constant([0.0, 1.5, 60.0, 1e6]), num_buckets=40).numpy().tolist()
    [0, 1, 13, 39]
    """
    buckets = tf.cast(tf.math.log(tf.maximum(seconds, 1.0)) / LOG_BUCKET_WIDTH, tf.int32)
    return tf.minimum(buckets, num_buckets - 1)


@keras.utils.register_keras_serializable(package="tfsessionrec")
class TimeGapEmbedding(keras.layers.Layer):
    """A vector for the time since the previous item, in logarithmic buckets.

    `G[0]` for the first item of a history and for padding, else
    `G[1 + min(floor(log(max(d, 1)) / 0.301), num_buckets - 1)]`, where d are the seconds since the
    previous item: in the same session, or, for the first item of a session, the newest item of the
    previous session. So it shows how long the user looked at an item, and how long the user was
    away. Each bucket is 1.35 times as wide as the previous one: 64 buckets distinguish times up to
    5 years.

    Args:
        num_buckets: Number of buckets, in addition to the one for no previous item.
        dim: Dimension D of the vectors.

    Call arguments:
        item_times: [..., S, I] int64 tensor, unix seconds; oldest first, padding last.
        item_ids: [..., S, I] int tensor, 0 is padding.

    Returns:
        [..., S, I, D] float tensor; the vector of an item depends on no later item.

    Raises:
        ValueError: If a size is not positive or the rank of `item_times` is below 2.

    Example:

    >>> layer = TimeGapEmbedding(num_buckets=64, dim=4)
    >>> layer(tf.constant([[[10, 40], [99, 0]]]), tf.constant([[[2, 3], [2, 0]]])).shape
    TensorShape([1, 2, 2, 4])

    References:
        The buckets are those of HSTU (Zhai et al., ICML 2024); a vector added to the item is this
        package's choice.
    """

    def __init__(self, num_buckets: int, dim: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.num_buckets = positive_integer("num_buckets", num_buckets)
        self.dim = positive_integer("dim", dim)

    def build(self, input_shape: tf.TensorShape | None = None) -> None:
        self.gap_table = self.add_weight(
            name="gap_table",
            shape=(self.num_buckets + 1, self.dim),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
            trainable=True,
        )
        self.built = True

    def call(self, item_times: tf.Tensor, item_ids: tf.Tensor) -> tf.Tensor:
        if len(item_times.shape) < 2:
            raise ValueError(
                "`item_times` should have the shape [..., sessions, items]. Received: "
                f"`item_times` with shape {tuple(item_times.shape)}"
            )
        times, real = tf.cast(item_times, tf.int64), tf.not_equal(item_ids, 0)
        newest = tf.reduce_max(tf.where(real, times, tf.int64.min), axis=-1, keepdims=True)
        before = tf.concat([newest[..., :1, :] * 0 + tf.int64.min, newest[..., :-1, :]], axis=-2)
        before = tf.concat([before, times[..., :-1]], axis=-1)
        # Subtract before the cast: a float32 cannot hold unix seconds.
        known = real & (before > tf.int64.min)
        gap = tf.cast(times - tf.where(known, before, times), tf.float32)
        bucket = tf.where(known, 1 + time_buckets(gap, self.num_buckets), 0)
        table = tf.cast(tf.convert_to_tensor(self.gap_table), self.compute_dtype)
        return tf.gather(table, bucket)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (*tuple(input_shape), self.dim)

    def get_config(self) -> Config:
        config = super().get_config()
        config.update(num_buckets=self.num_buckets, dim=self.dim)
        return config
