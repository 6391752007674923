"""A GRU over a session's items."""

import tensorflow as tf

from tfsessionrec.backend import build_sublayer, keras
from tfsessionrec.checks import positive_integer, rate
from tfsessionrec.layers.dropout import Dropout
from tfsessionrec.layers.ise.base import FlatISE
from tfsessionrec.session_batch import last_real
from tfsessionrec.types import Config


@keras.utils.register_keras_serializable(package="tfsessionrec")
class GRUISE(FlatISE):
    """Session vector = state of a GRU after the session's last item.

    `z_i = sigmoid(W_z E_i + U_z h_{i-1} + b_z)`, `r_i = sigmoid(W_r E_i + U_r h_{i-1} + b_r)`,
    `h'_i = tanh(W_h E_i + b_h + r_i * (U_h h_{i-1} + c_h))`,
    `h_i = z_i * h_{i-1} + (1 - z_i) * h'_i`, `S_t = h_n` at the last real item n. This is Keras's
    GRU with its default arguments, which cuDNN computes on a GPU. It gets no mask: padding comes
    last, so that no state up to the last real one depends on it, and cuDNN does not take a mask
    with an empty session.

    Args:
        num_layers: Stacked GRUs. Defaults to 1.
        dropout: Rate in [0, 1) of the dropout on each GRU's inputs. Defaults to 0.

    Call arguments:
        item_embeddings: [B, S, I, D] float tensor, oldest first, padding last.
        padding_mask: [B, S, I] bool tensor, True where real. Default: everything is real.
        item_ids: Not used.

    Returns:
        [B, S, D] float tensor; zeros for a session without a real item.

    Raises:
        ValueError: If an argument is out of range.

    Example:

    >>> GRUISE()(tf.ones([2, 3, 5, 8])).shape
    TensorShape([2, 3, 8])

    References:
        GRU: Cho et al., 2014; in sessions: GRU4Rec (Hidasi et al., 2016), section 3.1.
    """

    def __init__(self, num_layers: int = 1, dropout: float = 0.0, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.num_layers = positive_integer("num_layers", num_layers)
        self.dropout = rate("dropout", dropout)

    def build(self, input_shape: tf.TensorShape) -> None:
        dim, policy = int(input_shape[-1]), self.dtype_policy
        self.recurrent_layers = [
            build_sublayer(
                keras.layers.GRU(dim, return_sequences=True, name=f"gru_{index}", dtype=policy),
                (None, None, dim),
            )
            for index in range(self.num_layers)
        ]
        self.input_dropout = Dropout(self.dropout, dtype=policy)
        self.built = True

    def encode_sessions(
        self,
        items: tf.Tensor,
        padding_mask: tf.Tensor,
        item_ids: tf.Tensor | None,
        training: bool | None,
    ) -> tf.Tensor:
        states = items
        for layer in self.recurrent_layers:
            states = layer(self.input_dropout(states, training=training))
        return last_real(states, padding_mask)

    def get_config(self) -> Config:
        config = super().get_config()
        config.update(num_layers=self.num_layers, dropout=self.dropout)
        return config
