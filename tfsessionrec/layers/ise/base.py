"""Bases of the item-based session encoders (ISE)."""

import tensorflow as tf

from tfsessionrec.backend import keras
from tfsessionrec.session_batch import session_mask


class ItemSessionEncoder(keras.layers.Layer):
    """Base of the ISEs: turns the items of each session into one vector.

    A subclass implements `encode`. This class validates ranks, and guarantees that a session
    without a real item gives zeros, never NaN.

    Call arguments:
        item_embeddings: [B, S, I, D] float tensor.
        padding_mask: [B, S, I] bool tensor, True where real. Default: everything is real.
        item_ids: [B, S, I] int tensor, for encoders that compare items; optional.

    Returns:
        [B, S, D] float tensor.

    Raises:
        ValueError: If `item_embeddings` or `padding_mask` has another rank.

    References:
        "ISE" in SessionRec (arXiv 2502.10157, 2025), figure 2.
    """

    @property
    def reads(self) -> frozenset[str]:
        """Batch keys that this encoder reads in addition to `item_ids`: none by default."""
        return frozenset()

    def encode(
        self,
        item_embeddings: tf.Tensor,
        padding_mask: tf.Tensor,
        item_ids: tf.Tensor | None,
        training: bool | None,
    ) -> tf.Tensor:
        """[..., I, D], [..., I] to [..., D]. The base overwrites the result of empty sessions."""
        raise NotImplementedError

    def call(
        self,
        item_embeddings: tf.Tensor,
        padding_mask: tf.Tensor | None = None,
        item_ids: tf.Tensor | None = None,
        training: bool | None = None,
    ) -> tf.Tensor:
        if len(item_embeddings.shape) != 4:
            raise ValueError(
                "`item_embeddings` should have the shape [batch, sessions, items, dim]. Received: "
                f"`item_embeddings` with shape {tuple(item_embeddings.shape)}"
            )
        if padding_mask is None:
            padding_mask = tf.ones(tf.shape(item_embeddings)[:3], tf.bool)
        if len(padding_mask.shape) != 3:
            raise ValueError(
                "`padding_mask` should have the shape [batch, sessions, items]. Received: "
                f"`padding_mask` with shape {tuple(padding_mask.shape)}"
            )
        padding_mask = tf.cast(padding_mask, tf.bool)
        encoded = self.encode(item_embeddings, padding_mask, item_ids, training)
        real = session_mask(padding_mask)[..., tf.newaxis]
        return tf.where(real, encoded, tf.zeros_like(encoded))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (*tuple(input_shape)[:2], tuple(input_shape)[-1])


class FlatISE(ItemSessionEncoder):
    """Base of the ISEs that encode each session independently of its user.

    It reshapes [B, S, I, D] to [B * S, I, D] and back. A subclass implements `encode_sessions`.
    """

    def encode_sessions(
        self,
        items: tf.Tensor,
        padding_mask: tf.Tensor,
        item_ids: tf.Tensor | None,
        training: bool | None,
    ) -> tf.Tensor:
        """[N, I, D], [N, I], [N, I] to [N, D]. The base overwrites the result of empty sessions."""
        raise NotImplementedError

    def encode(
        self,
        item_embeddings: tf.Tensor,
        padding_mask: tf.Tensor,
        item_ids: tf.Tensor | None,
        training: bool | None,
    ) -> tf.Tensor:
        shape = tf.shape(item_embeddings)
        batch, sessions, length, dim = shape[0], shape[1], shape[2], item_embeddings.shape[-1]
        encoded = self.encode_sessions(
            tf.reshape(item_embeddings, [batch * sessions, length, dim]),
            tf.reshape(padding_mask, [batch * sessions, length]),
            None if item_ids is None else tf.reshape(item_ids, [batch * sessions, length]),
            training,
        )
        return tf.reshape(encoded, [batch, sessions, dim])
