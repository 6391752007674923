"""A stack of GRUs over sessions."""

import tensorflow as tf

from tfsessionrec.backend import build_sublayer, keras
from tfsessionrec.checks import boolean, positive_integer, rate
from tfsessionrec.layers.dropout import Dropout
from tfsessionrec.layers.sse.base import SessionSequenceEncoder
from tfsessionrec.types import Config


@keras.utils.register_keras_serializable(package="tfsessionrec")
class GRUSSE(SessionSequenceEncoder):
    """Gated recurrent units over the sessions, as in GRU4Rec.

    `z, r = sigmoid(W x_t + U h_{t-1} + b)`, `c = tanh(W_c x_t + b_c + r ⊙ (U_c h_{t-1} + d_c))`,
    `h_t = z ⊙ h_{t-1} + (1 - z) ⊙ c`; the outputs of a layer are the inputs of the next. Dropout
    applies to the sessions and to the outputs of each layer. The arguments of `keras.layers.GRU`
    are those that cuDNN takes. With `input_norm`, `x_t = LayerNorm(S_t)`, as in SASRec and HSTU.

    Args:
        num_layers: GRU layers, each of width D. Defaults to 1.
        dropout: Dropout rate in [0, 1). Defaults to 0.2.
        input_norm: Whether to normalize session vectors. Item tables start small, the mean of a
            long session is smaller still, and small inputs hardly move the gates. Defaults to
            False.

    Call arguments:
        session_embeddings: [B, S, D] float tensor, oldest first, padding last.
        padding_mask: [B, S] bool tensor, True where real. Default: everything is real. The GRU
            needs no mask: no position depends on later ones.
        session_times: Not used.

    Returns:
        [B, S, D] float tensor; zeros at padding.

    Raises:
        ValueError: If an argument is out of range.

    Example:

    >>> GRUSSE()(tf.ones([2, 5, 8])).shape
    TensorShape([2, 5, 8])

    References:
        GRU4Rec (Hidasi et al., ICLR 2016); the reset gate after the product: Cho et al., 2014,
        first version, and cuDNN.
    """

    def __init__(
        self,
        num_layers: int = 1,
        dropout: float = 0.2,
        input_norm: bool = False,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.num_layers = positive_integer("num_layers", num_layers)
        self.dropout = rate("dropout", dropout)
        self.input_norm = boolean("input_norm", input_norm)

    def build(self, input_shape: tf.TensorShape) -> None:
        dim, policy = int(input_shape[-1]), self.dtype_policy
        self.norm = self.make_input_norm((None, None, dim)) if self.input_norm else None
        self.layer_dropout = Dropout(self.dropout, dtype=policy)
        self.recurrent_layers = [
            build_sublayer(
                keras.layers.GRU(dim, return_sequences=True, name=f"gru_{index}", dtype=policy),
                (None, None, dim),
            )
            for index in range(self.num_layers)
        ]
        self.built = True

    def encode(
        self,
        session_embeddings: tf.Tensor,
        padding_mask: tf.Tensor,
        session_times: tf.Tensor | None,
        training: bool | None,
    ) -> tf.Tensor:
        hidden = session_embeddings
        if self.norm is not None:
            hidden = self.norm(hidden)
        hidden = self.layer_dropout(hidden, training=training)
        for layer in self.recurrent_layers:
            hidden = self.layer_dropout(layer(hidden, training=training), training=training)
        return hidden

    def get_config(self) -> Config:
        config = super().get_config()
        config.update(num_layers=self.num_layers, dropout=self.dropout, input_norm=self.input_norm)
        return config
