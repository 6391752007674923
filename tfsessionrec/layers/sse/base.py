"""What every session sequence encoder shares."""

from typing import Any

import tensorflow as tf

from tfsessionrec.backend import build_sublayer, keras


class SessionSequenceEncoder(keras.layers.Layer):
    """Base of the SSEs: S_1..S_T to O_1..O_T, causally.

    A subclass fills `encode`. This class validates ranks and zeroes the outputs at padding.

    Call arguments:
        session_embeddings: [B, S, D] float tensor, oldest session first, padding last.
        padding_mask: [B, S] bool tensor, True where real. Default: everything is real.
        session_times: [B, S] int64 tensor, session start in unix seconds, for encoders that use
            time; optional.

    Returns:
        [B, S, D] float tensor; output t depends on sessions up to t only; zeros at padding.

    Raises:
        ValueError: If `session_embeddings` or `padding_mask` has another rank.

    References:
        "SSE" in SessionRec (arXiv 2502.10157, 2025), figure 2.
    """

    @property
    def reads(self) -> frozenset[str]:
        """Batch keys that this encoder reads in addition to `item_ids`: none by default."""
        return frozenset()

    def encode(
        self,
        session_embeddings: tf.Tensor,
        padding_mask: tf.Tensor,
        session_times: tf.Tensor | None,
        training: bool | None,
    ) -> tf.Tensor:
        """[B, S, D], [B, S] to [B, S, D]; what it gives at padding is overwritten."""
        raise NotImplementedError

    def make_input_norm(self, shape: Any) -> Any:
        """A layer that normalises session vectors.

        The mean of many small item vectors is smaller still: beside positions, or in a gate, it
        hardly counts.
        """
        norm = keras.layers.LayerNormalization(
            epsilon=1e-6, name="input_norm", dtype=self.dtype_policy
        )
        return build_sublayer(norm, shape)

    def call(
        self,
        session_embeddings: tf.Tensor,
        padding_mask: tf.Tensor | None = None,
        session_times: tf.Tensor | None = None,
        training: bool | None = None,
    ) -> tf.Tensor:
        if len(session_embeddings.shape) != 3:
            raise ValueError(
                "`session_embeddings` should have the shape [batch, sessions, dim]. Received: "
                f"`session_embeddings` with shape {tuple(session_embeddings.shape)}"
            )
        if padding_mask is None:
            padding_mask = tf.ones(tf.shape(session_embeddings)[:2], tf.bool)
        if len(padding_mask.shape) != 2:
            raise ValueError(
                "`padding_mask` should have the shape [batch, sessions]. Received: "
                f"`padding_mask` with shape {tuple(padding_mask.shape)}"
            )
        padding_mask = tf.cast(padding_mask, tf.bool)
        encoded = self.encode(session_embeddings, padding_mask, session_times, training)
        return tf.where(padding_mask[..., tf.newaxis], encoded, tf.zeros_like(encoded))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return tuple(input_shape)
