"""Bases of the session-based sequence encoders (SSE)."""

import tensorflow as tf

from tfsessionrec.backend import build_sublayer, keras
from tfsessionrec.checks import boolean, positive_integer, rate
from tfsessionrec.layers.dropout import Dropout
from tfsessionrec.layers.position_embedding import PositionEmbedding
from tfsessionrec.types import Config


class SessionSequenceEncoder(keras.layers.Layer):
    """Base of the SSEs: S_1..S_T to O_1..O_T, causally.

    A subclass implements `encode`. This class validates ranks and zeroes the outputs at padding.

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
        """[B, S, D], [B, S] to [B, S, D]. The base overwrites the result at padding."""
        raise NotImplementedError

    def make_input_norm(self, shape: tuple[int | None, ...]) -> keras.layers.Layer:
        """A layer that normalizes session vectors.

        The mean of many small item vectors is smaller still: next to positions, or in a gate, it
        has little effect.
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


class StackedSSE(SessionSequenceEncoder):
    """Base of the SSEs made of blocks.

    `H_0 = Dropout(sqrt(D) S + P)`, `H_l = Block_l(H_{l-1})`, `O = LN(H_L)`, with learned positions
    P counted from the start; with `input_norm`, `H_0 = Dropout(LN(S) + P)`. A subclass implements
    `make_block` and `apply_block`.

    Args:
        num_layers: Blocks.
        num_heads: Attention heads of each block.
        dropout: Dropout rate in [0, 1), on the input and in each block.
        max_length: Distinct positions; later ones share the last.
        input_norm: Whether to normalize session vectors.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        num_layers: int,
        num_heads: int,
        dropout: float,
        max_length: int,
        input_norm: bool,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.num_layers = positive_integer("num_layers", num_layers)
        self.num_heads = positive_integer("num_heads", num_heads)
        self.dropout = rate("dropout", dropout)
        self.max_length = positive_integer("max_length", max_length)
        self.input_norm = boolean("input_norm", input_norm)

    def make_block(self, index: int, name: str, dtype: object) -> keras.layers.Layer:
        """The block of that index, a layer of that name and dtype policy."""
        raise NotImplementedError

    def apply_block(
        self,
        block: keras.layers.Layer,
        hidden: tf.Tensor,
        padding_mask: tf.Tensor,
        session_times: tf.Tensor | None,
        training: bool | None,
    ) -> tf.Tensor:
        """[B, S, D] to [B, S, D]."""
        raise NotImplementedError

    def build(self, input_shape: tf.TensorShape) -> None:
        shape, policy = (None, None, int(input_shape[-1])), self.dtype_policy
        self.position_embedding = PositionEmbedding(
            self.max_length, name="position_embedding", dtype=policy
        )
        self.norm = self.make_input_norm(shape) if self.input_norm else None
        self.input_dropout = Dropout(self.dropout, dtype=policy)
        self.blocks = [
            self.make_block(index, name=f"block_{index}", dtype=policy)
            for index in range(self.num_layers)
        ]
        self.output_norm = keras.layers.LayerNormalization(
            epsilon=1e-6, name="output_norm", dtype=policy
        )
        for layer in (self.position_embedding, *self.blocks, self.output_norm):
            build_sublayer(layer, shape)
        self.built = True

    def encode(
        self,
        session_embeddings: tf.Tensor,
        padding_mask: tf.Tensor,
        session_times: tf.Tensor | None,
        training: bool | None,
    ) -> tf.Tensor:
        if self.norm is not None:
            hidden = self.norm(session_embeddings)
        else:
            scale = tf.cast(session_embeddings.shape[-1] ** 0.5, session_embeddings.dtype)
            hidden = session_embeddings * scale
        hidden = self.position_embedding(hidden)
        hidden = self.input_dropout(hidden, training=training)
        for block in self.blocks:
            hidden = self.apply_block(block, hidden, padding_mask, session_times, training)
        return self.output_norm(hidden)

    def get_config(self) -> Config:
        config = super().get_config()
        config.update(
            num_layers=self.num_layers,
            num_heads=self.num_heads,
            dropout=self.dropout,
            max_length=self.max_length,
            input_norm=self.input_norm,
        )
        return config
