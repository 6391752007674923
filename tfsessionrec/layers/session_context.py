"""Embeddings of the context of a session: device, country, price level."""

from collections.abc import Mapping

import tensorflow as tf

from tfsessionrec.backend import keras
from tfsessionrec.checks import positive_integer
from tfsessionrec.types import Config


@keras.utils.register_keras_serializable(package="tfsessionrec")
class SessionContext(keras.layers.Layer):
    """Embeds the context of each session, as a vector to add to the session's embedding.

    `C_t = sum over categorical features of T_f[value] + sum over dense features of value * w_f`

    Args:
        features: Features by name: the number of categories n of a categorical one, whose values
            are 1..n, and 0 if missing; None for a dense one, whose value is used unchanged (so
            scale it to about one).
        dim: Dimension D of the result.

    Call arguments:
        inputs: A session batch: a mapping that holds every feature as a [B, S] tensor, integer or
            float. Other keys are ignored.

    Returns:
        [B, S, D] float tensor. It is not masked: the sequence encoder ignores padding.

    Raises:
        ValueError: If there is no feature, a number of categories is not positive, or a feature is
            missing in the batch or has another rank.

    Example:

    >>> layer = SessionContext({"device": 3, "basket": None}, dim=4)
    >>> layer({"device": tf.constant([[1, 3]]), "basket": tf.constant([[0.0, 1.5]])}).shape
    TensorShape([1, 2, 4])

    References:
        SessionRec (arXiv 2502.10157, 2025) has no session context: a sum that is added between the
        item-based and the sequence encoder is this package's choice.
    """

    def __init__(self, features: Mapping[str, int | None], dim: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        if not (isinstance(features, Mapping) and features):
            raise ValueError(
                "`features` should name at least one feature, each with its number of categories "
                f"or None. Received: `features`={features!r}"
            )
        for name, size in features.items():
            positive_integer(f"features[{name!r}]", 1 if size is None else size)
        self.features = dict(features)
        self.dim = positive_integer("dim", dim)

    @property
    def reads(self) -> frozenset[str]:
        """The names of the features."""
        return frozenset(self.features)

    def build(self, input_shape: tf.TensorShape | None = None) -> None:
        self.tables = {
            name: self.add_weight(
                name=f"context_{name}",
                shape=(1 if size is None else size + 1, self.dim),
                initializer=keras.initializers.RandomNormal(stddev=0.02),
                trainable=True,
            )
            for name, size in self.features.items()
        }
        self.built = True

    def call(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        total = 0.0
        for name, size in self.features.items():
            if name not in inputs:
                raise ValueError(
                    f"`inputs` should have the context feature {name!r}. Received: {sorted(inputs)}"
                )
            values = tf.convert_to_tensor(inputs[name])
            if len(values.shape) != 2:
                raise ValueError(
                    f"`{name}` should have the shape [batch, sessions]. Received: `{name}` with "
                    f"shape {tuple(values.shape)}"
                )
            table = tf.cast(tf.convert_to_tensor(self.tables[name]), self.compute_dtype)
            if size is None:
                total += tf.cast(values, self.compute_dtype)[..., tf.newaxis] * table[0]
            else:
                total += tf.gather(table, tf.cast(values, tf.int32))
        return total

    def get_config(self) -> Config:
        config = super().get_config()
        config.update(features=dict(self.features), dim=self.dim)
        return config
