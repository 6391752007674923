"""Poolings of a session's items: mean, sum, maximum, attention."""

import tensorflow as tf

from tfsessionrec.backend import build_sublayer, keras
from tfsessionrec.checks import positive_integer
from tfsessionrec.layers.ise.base import ItemSessionEncoder
from tfsessionrec.session_batch import masked_mean
from tfsessionrec.types import Config


@keras.utils.register_keras_serializable(package="tfsessionrec")
class MeanISE(ItemSessionEncoder):
    """Session vector = mean of the session's item embeddings.

    `S_t = (1 / n_t) * sum_i E_{t,i}` over the `n_t` real items of session t. SessionRec's authors
    found it the best pooling (from a secondary source).

    Call arguments and result as in `ItemSessionEncoder`; `item_ids` is not used.

    Example:

    >>> items = tf.constant([[[[1.0], [3.0]], [[5.0], [0.0]]]])
    >>> MeanISE()(items, padding_mask=tf.constant([[[True, True], [True, False]]])).numpy()
    array([[[2.],
            [5.]]], dtype=float32)

    References:
        SessionRec (arXiv 2502.10157, 2025).
    """

    def encode(
        self,
        item_embeddings: tf.Tensor,
        padding_mask: tf.Tensor,
        item_ids: tf.Tensor | None,
        training: bool | None,
    ) -> tf.Tensor:
        return masked_mean(item_embeddings, padding_mask)


@keras.utils.register_keras_serializable(package="tfsessionrec")
class SumISE(ItemSessionEncoder):
    """Session vector = sum of the session's item embeddings.

    `S_t = sum_i E_{t,i}` over the real items of session t. Unlike the mean, the sum depends on the
    length of the session.

    Call arguments and result as in `ItemSessionEncoder`; `item_ids` is not used.

    Example:

    >>> SumISE()(tf.constant([[[[1.0], [3.0]], [[5.0], [7.0]]]])).numpy()
    array([[[ 4.],
            [12.]]], dtype=float32)

    References:
        SessionRec (arXiv 2502.10157, 2025).
    """

    def encode(
        self,
        item_embeddings: tf.Tensor,
        padding_mask: tf.Tensor,
        item_ids: tf.Tensor | None,
        training: bool | None,
    ) -> tf.Tensor:
        real = tf.cast(padding_mask, item_embeddings.dtype)[..., tf.newaxis]
        return tf.reduce_sum(item_embeddings * real, axis=-2)


@keras.utils.register_keras_serializable(package="tfsessionrec")
class MaxISE(ItemSessionEncoder):
    """Session vector = element-wise maximum of the session's item embeddings.

    `S_{t,d} = max_i E_{t,i,d}` over the real items of session t.

    Call arguments and result as in `ItemSessionEncoder`; `item_ids` is not used.

    Example:

    >>> items = tf.constant([[[[1.0], [3.0]], [[-5.0], [0.0]]]])
    >>> MaxISE()(items, padding_mask=tf.constant([[[True, True], [True, False]]])).numpy()
    array([[[ 3.],
            [-5.]]], dtype=float32)

    References:
        SessionRec (arXiv 2502.10157, 2025).
    """

    def encode(
        self,
        item_embeddings: tf.Tensor,
        padding_mask: tf.Tensor,
        item_ids: tf.Tensor | None,
        training: bool | None,
    ) -> tf.Tensor:
        lowest = item_embeddings.dtype.min
        masked = tf.where(padding_mask[..., tf.newaxis], item_embeddings, lowest)
        return tf.reduce_max(masked, axis=-2)


@keras.utils.register_keras_serializable(package="tfsessionrec")
class AttentionISE(ItemSessionEncoder):
    """Session vector = weighted mean of the items, with weights from one learned query.

    `u_i = tanh(W E_{t,i} + b)`, `a = softmax_i(q · u_i)` over the real items of session t,
    `S_t = sum_i a_i E_{t,i}`.

    Args:
        hidden_dim: Dimension of the query q and of the `u_i`. Defaults to D.

    Call arguments and result as in `ItemSessionEncoder`; `item_ids` is not used.

    Raises:
        ValueError: If `hidden_dim` is not a positive integer.

    Example:

    >>> AttentionISE()(tf.constant([[[[1.0, 2.0]], [[3.0, 4.0]]]])).numpy()
    array([[[1., 2.],
            [3., 4.]]], dtype=float32)

    References:
        Hierarchical attention networks (Yang et al., 2016), section 2.2, whose word context
        vector is the query; SessionRec (arXiv 2502.10157, 2025).
    """

    def __init__(self, hidden_dim: int | None = None, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.hidden_dim = None if hidden_dim is None else positive_integer("hidden_dim", hidden_dim)

    def build(self, input_shape: tf.TensorShape) -> None:
        dim, policy = int(input_shape[-1]), self.dtype_policy
        width = self.hidden_dim or dim
        self.key = keras.layers.Dense(width, activation="tanh", name="key", dtype=policy)
        self.query = keras.layers.Dense(1, use_bias=False, name="query", dtype=policy)
        build_sublayer(self.key, (None, None, None, dim))
        build_sublayer(self.query, (None, None, None, width))
        self.built = True

    def encode(
        self,
        item_embeddings: tf.Tensor,
        padding_mask: tf.Tensor,
        item_ids: tf.Tensor | None,
        training: bool | None,
    ) -> tf.Tensor:
        logits = tf.cast(self.query(self.key(item_embeddings)), tf.float32)
        weights = tf.nn.softmax(tf.where(padding_mask[..., tf.newaxis], logits, -1e9), axis=-2)
        return tf.reduce_sum(tf.cast(weights, item_embeddings.dtype) * item_embeddings, axis=-2)

    def get_config(self) -> Config:
        config = super().get_config()
        config.update(hidden_dim=self.hidden_dim)
        return config
