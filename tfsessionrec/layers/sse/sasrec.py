"""SASRec's causal Transformer over sessions."""

import tensorflow as tf

from tfsessionrec.backend import keras
from tfsessionrec.checks import choice, positive_integer, rate
from tfsessionrec.layers.sse.base import StackedSSE
from tfsessionrec.layers.transformer_block import TransformerBlock
from tfsessionrec.types import Config


@keras.utils.register_keras_serializable(package="tfsessionrec")
class SASRecSSE(StackedSSE):
    """Causal self-attention over the sessions, as in SASRec.

    `H_0 = Dropout(sqrt(D) S + P)`, `H_l = TransformerBlock(H_{l-1})`, `O = LN(H_L)`: pre-norm
    blocks with learned positions counted from the start. With `input_norm`,
    `H_0 = Dropout(LN(S) + P)`.

    Args:
        num_layers: Transformer blocks. Defaults to 2.
        num_heads: Attention heads; must divide D. Defaults to 2.
        intermediate_dim: Width of the feed-forward networks. Defaults to D.
        dropout: Dropout rate in [0, 1). Defaults to 0.2.
        max_length: Distinct positions; later ones share the last. Defaults to 256.
        feed_forward: "relu", or "gated" for the SwiGLU of the eSASRec recipe. Defaults to "relu".
        stochastic_depth: Probability in [0, 1) that training skips a branch of the last block for
            a whole row; earlier blocks have linearly lower ones, as in the original. Defaults to 0.
        input_norm: Whether to normalize session vectors: for long sessions, whose mean is small
            compared with the positions. Defaults to False.

    Call arguments:
        session_embeddings: [B, S, D] float tensor, oldest first, padding last.
        padding_mask: [B, S] bool tensor, True where real. Default: everything is real.
        session_times: Not used.

    Returns:
        [B, S, D] float tensor; zeros at padding.

    Raises:
        ValueError: If an argument is out of range, or `num_heads` does not divide D.

    Example:

    >>> SASRecSSE(num_layers=1)(tf.ones([2, 5, 8])).shape
    TensorShape([2, 5, 8])

    References:
        SASRec (Kang & McAuley, 2018); SessionRec (arXiv 2502.10157, 2025). The paper's figure
        draws no positions in the SSE: they are this package's choice. eSASRec (Tikhonovich et
        al., RecSys 2025); stochastic depth (Huang et al., 2016).
    """

    def __init__(
        self,
        num_layers: int = 2,
        num_heads: int = 2,
        intermediate_dim: int | None = None,
        dropout: float = 0.2,
        max_length: int = 256,
        feed_forward: str = "relu",
        stochastic_depth: float = 0.0,
        input_norm: bool = False,
        **kwargs: object,
    ) -> None:
        super().__init__(num_layers, num_heads, dropout, max_length, input_norm, **kwargs)
        if intermediate_dim is not None:
            intermediate_dim = positive_integer("intermediate_dim", intermediate_dim)
        self.intermediate_dim = intermediate_dim
        self.feed_forward = choice("feed_forward", feed_forward, ("relu", "gated"))
        self.stochastic_depth = rate("stochastic_depth", stochastic_depth)

    def make_block(self, index: int, name: str, dtype: object) -> TransformerBlock:
        return TransformerBlock(
            self.num_heads,
            self.intermediate_dim,
            self.dropout,
            feed_forward=self.feed_forward,
            stochastic_depth=self.stochastic_depth * (index + 1) / self.num_layers,
            name=name,
            dtype=dtype,
        )

    def apply_block(
        self,
        block: keras.layers.Layer,
        hidden: tf.Tensor,
        padding_mask: tf.Tensor,
        session_times: tf.Tensor | None,
        training: bool | None,
    ) -> tf.Tensor:
        return block(hidden, padding_mask, training=training)

    def get_config(self) -> Config:
        config = super().get_config()
        config.update(
            intermediate_dim=self.intermediate_dim,
            feed_forward=self.feed_forward,
            stochastic_depth=self.stochastic_depth,
        )
        return config
