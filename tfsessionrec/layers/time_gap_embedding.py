"""How long ago the item before was."""

from typing import Any

import tensorflow as tf

from tfsessionrec.backend import keras
from tfsessionrec.layers.hstu_block import LOG_BUCKET_WIDTH
from tfsessionrec.types import Config


@keras.utils.register_keras_serializable(package="tfsessionrec")
class TimeGapEmbedding(keras.layers.Layer):
    """A vector for the time since the item before, in logarithmic buckets.

    `G[0]` for the first item of a history and for padding, else
    `G[1 + min(floor(log(max(d, 1)) / 0.301), num_buckets - 1)]`, where d are the seconds since the
    item before: in the same session, or, for a session's first item, the newest one of the session
    before. So it says how long an item was looked at, and how long the user was away. Each bucket
    is 1.35 times as wide as the one before: 64 of them tell up to 5 years apart.

    Args:
        num_buckets: Number of buckets, beside that of no item before.
        dim: Dimension D of the vectors.

    Call arguments:
        item_times: [..., S, I] int64 tensor, unix seconds; oldest first, padding last.
        item_ids: [..., S, I] int tensor, 0 is padding.

    Returns:
        [..., S, I, D] float tensor; an item's depends on no later item.

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

    def __init__(self, num_buckets: int, dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name, value in (("num_buckets", num_buckets), ("dim", dim)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"`{name}` should be a positive integer. Received: `{name}`={value!r}"
                )
        self.num_buckets = num_buckets
        self.dim = dim

    def build(self, input_shape: Any = None) -> None:
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
        # Subtracted before the cast: unix seconds do not fit a float32.
        known = real & (before > tf.int64.min)
        gap = tf.cast(times - tf.where(known, before, times), tf.float32)
        bucket = tf.cast(tf.math.log(tf.maximum(gap, 1.0)) / LOG_BUCKET_WIDTH, tf.int32)
        bucket = tf.where(known, 1 + tf.minimum(bucket, self.num_buckets - 1), 0)
        table = tf.cast(tf.convert_to_tensor(self.gap_table), self.compute_dtype)
        return tf.gather(table, bucket)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (*tuple(input_shape), self.dim)

    def get_config(self) -> Config:
        config = super().get_config()
        config.update(num_buckets=self.num_buckets, dim=self.dim)
        return config
