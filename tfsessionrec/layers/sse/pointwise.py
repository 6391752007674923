"""Encoders that map each session by itself: the identity and an MLP."""

from collections.abc import Sequence

import tensorflow as tf

from tfsessionrec.backend import build_sublayer, keras
from tfsessionrec.checks import positive_integer, rate, sequence
from tfsessionrec.layers.dropout import Dropout
from tfsessionrec.layers.sse.base import SessionSequenceEncoder
from tfsessionrec.types import Config


@keras.utils.register_keras_serializable(package="tfsessionrec")
class IdentitySSE(SessionSequenceEncoder):
    """Returns each session unchanged: `O_t = S_t`.

    For systems that know the running session only (STAMP, SR-GNN, NARM), and for two towers whose
    one session is the whole history.

    Call arguments:
        session_embeddings: [B, S, D] float tensor, padding last.
        padding_mask: [B, S] bool tensor, True where real. Default: everything is real.
        session_times: Not used.

    Returns:
        [B, S, D] float tensor: the input, zeros at padding.

    Example:

    >>> IdentitySSE()(tf.ones([1, 2, 1]), tf.constant([[True, False]])).numpy().ravel()
    array([1., 0.], dtype=float32)

    References:
        STAMP (Liu et al., KDD 2018); SR-GNN (Wu et al., AAAI 2019).
    """

    def encode(
        self,
        session_embeddings: tf.Tensor,
        padding_mask: tf.Tensor,
        session_times: tf.Tensor | None,
        training: bool | None,
    ) -> tf.Tensor:
        return session_embeddings


@keras.utils.register_keras_serializable(package="tfsessionrec")
class MLPSSE(SessionSequenceEncoder):
    """Maps each session by an MLP: `O_t = MLP(S_t)`.

    `H_0 = S_t`, `H_l = Dropout(relu(W_l H_{l-1} + b_l))`, `O_t = W H_L + b`. With the whole history
    as one session it is the query tower of two towers. Without hidden layers it is a linear map,
    the user side of a matrix factorization, see `tfsessionrec.models.build`.

    Args:
        hidden_dims: Widths of the hidden layers; `()`: none. Default: one of 2 D.
        dropout: Dropout rate in [0, 1) after each hidden layer. Defaults to 0.2.

    Call arguments:
        session_embeddings: [B, S, D] float tensor, padding last.
        padding_mask: [B, S] bool tensor, True where real. Default: everything is real.
        session_times: Not used.

    Returns:
        [B, S, D] float tensor; zeros at padding.

    Raises:
        ValueError: If an argument is out of range.

    Example:

    >>> MLPSSE(hidden_dims=(16,))(tf.ones([2, 1, 8])).shape
    TensorShape([2, 1, 8])

    References:
        Deep neural networks for YouTube recommendations (Covington et al., RecSys 2016), section 3:
        the mean of the watched videos, then layers of ReLU. The last layer is linear here, so that
        a score can have any sign.
    """

    def __init__(
        self, hidden_dims: Sequence[int] | None = None, dropout: float = 0.2, **kwargs: object
    ) -> None:
        super().__init__(**kwargs)
        self.hidden_dims = hidden_dims
        if hidden_dims is not None:
            sequence("hidden_dims", hidden_dims, "widths")
            self.hidden_dims = tuple(positive_integer("hidden_dims", dim) for dim in hidden_dims)
        self.dropout = rate("dropout", dropout)

    def build(self, input_shape: tf.TensorShape) -> None:
        dim, policy = int(input_shape[-1]), self.dtype_policy
        hidden_dims = (2 * dim,) if self.hidden_dims is None else self.hidden_dims

        def dense(name: str, width: int, units: int, **kwargs: object) -> keras.layers.Layer:
            layer = keras.layers.Dense(units, name=name, dtype=policy, **kwargs)
            return build_sublayer(layer, (None, None, width))

        widths = (dim, *hidden_dims)
        self.hidden_layers = [
            dense(f"hidden_{index}", widths[index], units, activation="relu")
            for index, units in enumerate(hidden_dims)
        ]
        self.output_projection = dense("output_projection", widths[-1], dim)
        self.hidden_dropout = Dropout(self.dropout, dtype=policy)
        self.built = True

    def encode(
        self,
        session_embeddings: tf.Tensor,
        padding_mask: tf.Tensor,
        session_times: tf.Tensor | None,
        training: bool | None,
    ) -> tf.Tensor:
        hidden = session_embeddings
        for layer in self.hidden_layers:
            hidden = self.hidden_dropout(layer(hidden), training=training)
        return self.output_projection(hidden)

    def get_config(self) -> Config:
        config = super().get_config()
        config.update(hidden_dims=self.hidden_dims, dropout=self.dropout)
        return config
