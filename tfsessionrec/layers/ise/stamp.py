"""STAMP: attention from the last item and the session's mean."""

import tensorflow as tf

from tfsessionrec.backend import build_sublayer, keras
from tfsessionrec.layers.ise.base import FlatISE
from tfsessionrec.session_batch import last_real, masked_mean


@keras.utils.register_keras_serializable(package="tfsessionrec")
class STAMPISE(FlatISE):
    """Short-term attention / memory priority: the last item, and an attention that it queries.

    With the session's items `x_1..x_n`, its last item `m_t = x_n` and its mean `m_s`:
    `a_i = w_0 · sigmoid(W_1 x_i + W_2 m_t + W_3 m_s + b_a)`, `m_a = sum_i a_i x_i` (the weights do
    not sum to 1), `h_s = tanh(W_s m_a + b_s)`, `h_t = tanh(W_t m_t + b_t)`, `S = h_s * h_t`.
    The score of a candidate x is then the paper's trilinear product `<h_s, h_t, x> = S · x`.
    The paper's sigmoid between this product and the softmax is omitted.

    Call arguments:
        item_embeddings: [B, S, I, D] float tensor, oldest first, padding last.
        padding_mask: [B, S, I] bool tensor, True where real. Default: everything is real.
        item_ids: Not used.

    Returns:
        [B, S, D] float tensor; zeros for a session without a real item.

    Example:

    >>> STAMPISE()(tf.ones([2, 3, 5, 8])).shape
    TensorShape([2, 3, 8])

    References:
        STAMP (Liu et al., 2018), sections 3.2 and 3.4, equations 1 to 8.
    """

    def build(self, input_shape: tf.TensorShape) -> None:
        dim, policy = int(input_shape[-1]), self.dtype_policy

        def dense(name: str, units: int = dim, **kwargs: object) -> keras.layers.Layer:
            layer = keras.layers.Dense(units, name=name, dtype=policy, **kwargs)
            return build_sublayer(layer, (None, None, dim))

        self.attention_item = dense("attention_item", use_bias=False)
        self.attention_last = dense("attention_last", use_bias=False)
        self.attention_mean = dense("attention_mean")
        self.attention_output = dense("attention_output", units=1, use_bias=False)
        self.session_output = dense("session_output", activation="tanh")
        self.last_output = dense("last_output", activation="tanh")
        self.built = True

    def encode_sessions(
        self,
        items: tf.Tensor,
        padding_mask: tf.Tensor,
        item_ids: tf.Tensor | None,
        training: bool | None,
    ) -> tf.Tensor:
        last, mean = last_real(items, padding_mask), masked_mean(items, padding_mask)
        query = self.attention_last(last) + self.attention_mean(mean)
        hidden = tf.sigmoid(self.attention_item(items) + query[:, tf.newaxis])
        real = tf.cast(padding_mask, items.dtype)[..., tf.newaxis]
        attended = tf.reduce_sum(self.attention_output(hidden) * real * items, axis=1)
        return self.session_output(attended) * self.last_output(last)
