"""What the encoders share that read a session as a sequence."""

import tensorflow as tf

from tfsessionrec.layers.ise.base import ItemSessionEncoder


class FlatISE(ItemSessionEncoder):
    """Base of the ISEs to which each session is an example of its own.

    It lays the sessions of all users in one batch, [B, S, I, D] to [B * S, I, D], and takes them
    apart again. A subclass fills `encode_sessions`.
    """

    def encode_sessions(
        self,
        items: tf.Tensor,
        padding_mask: tf.Tensor,
        item_ids: tf.Tensor | None,
        training: bool | None,
    ) -> tf.Tensor:
        """[N, I, D], [N, I], [N, I] to [N, D]; what it gives for empty sessions is overwritten."""
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
