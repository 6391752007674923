"""NARM: the sequence and the main purpose of a session."""

import tensorflow as tf

from tfsessionrec.backend import build_sublayer, keras
from tfsessionrec.checks import positive_integer, rate
from tfsessionrec.layers.dropout import Dropout
from tfsessionrec.layers.ise.base import FlatISE
from tfsessionrec.session_batch import last_real
from tfsessionrec.types import Config


@keras.utils.register_keras_serializable(package="tfsessionrec")
class NARMISE(FlatISE):
    """Neural attentive recommendation: the last state of a GRU, and an attention over all.

    With the GRU's states `h_1..h_n` over the session's items, `c_g = h_n` (the sequence) and
    `c_l = sum_j a_j h_j` (the main purpose), where `a_j = v · sigmoid(A_1 h_n + A_2 h_j)` does not
    sum to 1: `S = B [c_g; c_l]`, so that the score of a candidate x is the paper's bilinear
    `x^T B c`. Both encoders are one GRU: in the paper they "have the same values". Dropout
    applies to the items and to c. The GRU is Keras's, which cuDNN computes on a GPU: its reset gate
    acts after the product, not before it as in the paper.

    Args:
        hidden_dim: Dimension of the GRU's state. Defaults to D.
        input_dropout: Dropout rate in [0, 1) of the items. Defaults to 0.25, the paper's.
        output_dropout: Dropout rate in [0, 1) of `[c_g; c_l]`. Defaults to 0.5, the paper's.

    Call arguments:
        item_embeddings: [B, S, I, D] float tensor, oldest first, padding last.
        padding_mask: [B, S, I] bool tensor, True where real. Default: everything is real.
        item_ids: Not used.

    Returns:
        [B, S, D] float tensor; zeros for a session without a real item.

    Raises:
        ValueError: If an argument is out of range.

    Example:

    >>> NARMISE(hidden_dim=16)(tf.ones([2, 3, 5, 8])).shape
    TensorShape([2, 3, 8])

    References:
        NARM (Li et al., 2017), sections 3.3 to 3.6.
    """

    def __init__(
        self,
        hidden_dim: int | None = None,
        input_dropout: float = 0.25,
        output_dropout: float = 0.5,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.hidden_dim = None if hidden_dim is None else positive_integer("hidden_dim", hidden_dim)
        self.input_dropout = rate("input_dropout", input_dropout)
        self.output_dropout = rate("output_dropout", output_dropout)

    def build(self, input_shape: tf.TensorShape) -> None:
        dim, policy = int(input_shape[-1]), self.dtype_policy
        width = self.hidden_dim or dim

        def dense(name: str, units: int, input_width: int) -> keras.layers.Layer:
            layer = keras.layers.Dense(units, use_bias=False, name=name, dtype=policy)
            return build_sublayer(layer, (None, None, input_width))

        gru = keras.layers.GRU(width, return_sequences=True, name="gru", dtype=policy)
        self.gru = build_sublayer(gru, (None, None, dim))
        self.attention_last = dense("attention_last", width, width)
        self.attention_state = dense("attention_state", width, width)
        self.attention_output = dense("attention_output", 1, width)
        self.output_projection = dense("output_projection", dim, 2 * width)
        self.item_dropout = Dropout(self.input_dropout, dtype=policy)
        self.context_dropout = Dropout(self.output_dropout, dtype=policy)
        self.built = True

    def encode_sessions(
        self,
        items: tf.Tensor,
        padding_mask: tf.Tensor,
        item_ids: tf.Tensor | None,
        training: bool | None,
    ) -> tf.Tensor:
        states = self.gru(self.item_dropout(items, training=training))
        last = last_real(states, padding_mask)
        query = self.attention_last(last)[:, tf.newaxis]
        weights = self.attention_output(tf.sigmoid(self.attention_state(states) + query))
        real = tf.cast(padding_mask, states.dtype)[..., tf.newaxis]
        purpose = tf.reduce_sum(weights * real * states, axis=1)
        context = tf.concat([last, purpose], axis=-1)
        return self.output_projection(self.context_dropout(context, training=training))

    def get_config(self) -> Config:
        config = super().get_config()
        config.update(
            hidden_dim=self.hidden_dim,
            input_dropout=self.input_dropout,
            output_dropout=self.output_dropout,
        )
        return config
