"""A bidirectional Transformer over a session's items."""

import tensorflow as tf

from tfsessionrec.backend import build_sublayer, keras
from tfsessionrec.checks import positive_integer, rate
from tfsessionrec.layers.dropout import Dropout
from tfsessionrec.layers.ise.base import FlatISE
from tfsessionrec.layers.position_embedding import PositionEmbedding
from tfsessionrec.layers.transformer_block import TransformerBlock
from tfsessionrec.session_batch import masked_mean
from tfsessionrec.types import Config


@keras.utils.register_keras_serializable(package="tfsessionrec")
class TransformerISE(FlatISE):
    """Session vector = mean of the items after self-attention.

    `H_0 = Dropout(E_t + P)`, `H_l = TransformerBlock(H_{l-1})` without a causal mask,
    `S_t = (1 / n_t) * sum_i H_{L,i}` over the `n_t` real items of session t. There is no last
    norm: with identity blocks the result is the mean of the items.

    Args:
        num_layers: Transformer blocks. Defaults to 1.
        num_heads: Attention heads; must divide D. Defaults to 2.
        intermediate_dim: Width of the feed-forward networks. Defaults to D.
        dropout: Dropout rate in [0, 1). Defaults to 0.2.
        max_length: Distinct positions; later ones share the last. Defaults to 256.

    Call arguments:
        item_embeddings: [B, S, I, D] float tensor, padding last.
        padding_mask: [B, S, I] bool tensor, True where real. Default: everything is real.
        item_ids: Not used.

    Returns:
        [B, S, D] float tensor; zeros for a session without a real item.

    Raises:
        ValueError: If an argument is out of range, or `num_heads` does not divide D.

    Example:

    >>> TransformerISE()(tf.ones([2, 3, 5, 8])).shape
    TensorShape([2, 3, 8])

    References:
        Attention is all you need (Vaswani et al., 2017), section 3.1; as an ISE: SessionRec (arXiv
        2502.10157, 2025).
    """

    def __init__(
        self,
        num_layers: int = 1,
        num_heads: int = 2,
        intermediate_dim: int | None = None,
        dropout: float = 0.2,
        max_length: int = 256,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.num_layers = positive_integer("num_layers", num_layers)
        self.num_heads = positive_integer("num_heads", num_heads)
        if intermediate_dim is not None:
            intermediate_dim = positive_integer("intermediate_dim", intermediate_dim)
        self.intermediate_dim = intermediate_dim
        self.dropout = rate("dropout", dropout)
        self.max_length = positive_integer("max_length", max_length)

    def build(self, input_shape: tf.TensorShape) -> None:
        policy = self.dtype_policy
        self.position_embedding = PositionEmbedding(
            self.max_length, name="position_embedding", dtype=policy
        )
        self.blocks = [
            TransformerBlock(
                self.num_heads,
                self.intermediate_dim,
                self.dropout,
                causal=False,
                name=f"block_{index}",
                dtype=policy,
            )
            for index in range(self.num_layers)
        ]
        for layer in (self.position_embedding, *self.blocks):
            build_sublayer(layer, (None, None, int(input_shape[-1])))
        self.input_dropout = Dropout(self.dropout, dtype=policy)
        self.built = True

    def encode_sessions(
        self,
        items: tf.Tensor,
        padding_mask: tf.Tensor,
        item_ids: tf.Tensor | None,
        training: bool | None,
    ) -> tf.Tensor:
        hidden = self.input_dropout(self.position_embedding(items), training=training)
        for block in self.blocks:
            hidden = block(hidden, padding_mask, training=training)
        return masked_mean(hidden, padding_mask)

    def get_config(self) -> Config:
        config = super().get_config()
        config.update(
            num_layers=self.num_layers,
            num_heads=self.num_heads,
            intermediate_dim=self.intermediate_dim,
            dropout=self.dropout,
            max_length=self.max_length,
        )
        return config
