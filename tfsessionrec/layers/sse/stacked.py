"""What the encoders share that are a stack of blocks over positions."""

from typing import Any

import tensorflow as tf

from tfsessionrec.backend import build_sublayer, keras
from tfsessionrec.checks import positive_integer
from tfsessionrec.layers.position_embedding import PositionEmbedding
from tfsessionrec.layers.sse.base import SessionSequenceEncoder
from tfsessionrec.types import Config


class StackedSSE(SessionSequenceEncoder):
    """Base of the SSEs made of blocks.

    `H_0 = Dropout(sqrt(D) S + P)`, `H_l = Block_l(H_{l-1})`, `O = LN(H_L)`, with learned positions
    P counted from the start; with `input_norm`, `H_0 = Dropout(LN(S) + P)`. A subclass fills
    `make_block` and `apply_block`.

    Args:
        num_layers: Blocks.
        num_heads: Attention heads of each.
        dropout: Dropout rate in [0, 1), on the input and in each block.
        max_length: Distinct positions; later ones share the last.
        input_norm: Whether session vectors are normalised.

    Raises:
        ValueError: If an argument is out of range; what the blocks take, they check.
    """

    def __init__(
        self,
        num_layers: int,
        num_heads: int,
        dropout: float,
        max_length: int,
        input_norm: bool,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_layers = positive_integer("num_layers", num_layers)
        self.num_heads = num_heads
        self.dropout = dropout
        self.max_length = max_length
        self.input_norm = input_norm

    def make_block(self, index: int, **kwargs: Any) -> Any:
        """The block of that index, a layer that is given `kwargs`."""
        raise NotImplementedError

    def apply_block(
        self,
        block: Any,
        hidden: tf.Tensor,
        padding_mask: tf.Tensor,
        session_times: tf.Tensor | None,
        training: bool | None,
    ) -> tf.Tensor:
        """[B, S, D] to [B, S, D]."""
        raise NotImplementedError

    def build(self, input_shape: Any) -> None:
        shape, policy = (None, None, int(input_shape[-1])), self.dtype_policy
        self.position_embedding = PositionEmbedding(
            self.max_length, name="position_embedding", dtype=policy
        )
        self.norm = self.make_input_norm(shape) if self.input_norm else None
        self.input_dropout = keras.layers.Dropout(self.dropout, dtype=policy)
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
