"""A pre-norm Transformer block, and the heads of attention."""

import tensorflow as tf

from tfsessionrec.backend import build_sublayer, keras
from tfsessionrec.checks import boolean, choice, positive_integer, rate
from tfsessionrec.layers.dropout import Dropout
from tfsessionrec.types import Config


def split_heads(projected: tf.Tensor, parts: int, num_heads: int) -> list[tf.Tensor]:
    """Splits a projection into parts, with the heads as the first axis.

    It stacks slices. A transposition of one short row takes a CPU longer than the attention.

    Args:
        projected: [B, S, parts * H * D].
        parts: Number of projections.
        num_heads: H.

    Returns:
        `parts` tensors [H, B, S, D].

    Example:

    >>> query, key = split_heads(tf.reshape(tf.range(8), [1, 1, 8]), parts=2, num_heads=2)
    >>> key.numpy().tolist()
    [[[[4, 5]]], [[[6, 7]]]]
    """
    heads = tf.split(projected, parts * num_heads, axis=-1)
    return [tf.stack(heads[at : at + num_heads]) for at in range(0, len(heads), num_heads)]


def merge_heads(heads: tf.Tensor) -> tf.Tensor:
    """[H, B, S, D], H static, to [B, S, H * D].

    Example:

    >>> merge_heads(tf.constant([[[[4, 5]]], [[[6, 7]]]])).numpy().tolist()
    [[[4, 5, 6, 7]]]
    """
    return tf.concat(tf.unstack(heads), axis=-1)


@keras.utils.register_keras_serializable(package="tfsessionrec")
class TransformerBlock(keras.layers.Layer):
    """Pre-norm Transformer block: multi-head self-attention, then a feed-forward network.

    `y = x + Attention(LN(x))`, `z = y + W_2 relu(W_1 LN(y) + b_1) + b_2`, dropout on both
    branches and on the attention weights. With a gated feed-forward network (SwiGLU)
    `z = y + W_2 (silu(W_g LN(y) + b_g) ⊙ (W_1 LN(y) + b_1)) + b_2`.

    Args:
        num_heads: Attention heads; must divide the input's last dimension. Defaults to 2.
        intermediate_dim: Width of the feed-forward network. Defaults to the input's.
        dropout: Dropout rate in [0, 1). Defaults to 0.
        causal: Whether position t attends to positions up to t only. Defaults to True.
        feed_forward: "relu" or "gated". Defaults to "relu".
        stochastic_depth: Probability in [0, 1) that training skips a branch for a whole row of
            the batch; the branches that remain are scaled up. Defaults to 0.

    Call arguments:
        inputs: [B, S, D] float tensor.
        padding_mask: [B, S] bool tensor, True where real. No position attends to padding.

    Returns:
        [B, S, D] float tensor.

    Raises:
        ValueError: If an argument is out of range or `num_heads` does not divide D.

    Example:

    >>> TransformerBlock(num_heads=2)(tf.ones([1, 3, 4])).shape
    TensorShape([1, 3, 4])

    References:
        SASRec (Kang & McAuley, 2018), section III-B; pre-norm: Xiong et al., 2020; SwiGLU:
        Shazeer, 2020, in eSASRec (Tikhonovich et al., RecSys 2025); stochastic depth: Huang et
        al., 2016.
    """

    def __init__(
        self,
        num_heads: int = 2,
        intermediate_dim: int | None = None,
        dropout: float = 0.0,
        causal: bool = True,
        feed_forward: str = "relu",
        stochastic_depth: float = 0.0,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads = positive_integer("num_heads", num_heads)
        if intermediate_dim is not None:
            intermediate_dim = positive_integer("intermediate_dim", intermediate_dim)
        self.intermediate_dim = intermediate_dim
        self.dropout = rate("dropout", dropout)
        self.causal = boolean("causal", causal)
        self.feed_forward = choice("feed_forward", feed_forward, ("relu", "gated"))
        self.stochastic_depth = rate("stochastic_depth", stochastic_depth)

    def build(self, input_shape: tf.TensorShape) -> None:
        dim = int(input_shape[-1])
        if dim % self.num_heads:
            raise ValueError(
                "`num_heads` should divide the embedding dimension. Received: "
                f"`num_heads`={self.num_heads}, dimension {dim}"
            )
        width = self.intermediate_dim or dim
        inner, hidden = (None, dim), (None, width)

        def layer(
            kind: type[keras.layers.Layer],
            name: str,
            shape: tuple[int | None, ...],
            **kwargs: object,
        ) -> keras.layers.Layer:
            return build_sublayer(kind(name=name, dtype=self.dtype_policy, **kwargs), shape)

        dense, norm = keras.layers.Dense, keras.layers.LayerNormalization
        self.attention_norm = layer(norm, "attention_norm", inner, epsilon=1e-6)
        # One product for three projections, each with the Glorot limit of a square matrix. For
        # short sessions a call costs more than its arithmetic.
        self.query_key_value = layer(
            dense,
            "query_key_value",
            inner,
            units=3 * dim,
            kernel_initializer=keras.initializers.VarianceScaling(
                2.0, mode="fan_avg", distribution="uniform"
            ),
        )
        self.attention_output = layer(dense, "attention_output", inner, units=dim)
        self.feed_forward_norm = layer(norm, "feed_forward_norm", inner, epsilon=1e-6)
        if self.feed_forward == "relu":
            options = {"units": width, "activation": "relu"}
        else:
            # One product for gate and value, each with its own Glorot limit.
            scale = (dim + 2 * width) / (dim + width)
            initializer = keras.initializers.VarianceScaling(
                scale, mode="fan_avg", distribution="uniform"
            )
            options = {"units": 2 * width, "kernel_initializer": initializer}
        self.feed_forward_inner = layer(dense, "feed_forward_inner", inner, **options)
        self.feed_forward_output = layer(dense, "feed_forward_output", hidden, units=dim)
        self.weights_dropout = Dropout(self.dropout, dtype=self.dtype_policy)
        self.branch_dropout = Dropout(self.dropout, dtype=self.dtype_policy)
        self.row_dropout = None
        if self.stochastic_depth:
            self.row_dropout = Dropout(
                self.stochastic_depth, noise_shape=(None, 1, 1), dtype=self.dtype_policy
            )
        self.built = True

    def _attention(
        self,
        inputs: tf.Tensor,
        shape: tf.Tensor,
        padding_mask: tf.Tensor | None,
        training: bool | None,
    ) -> tf.Tensor:
        batch, length, dim = shape[0], shape[1], inputs.shape[-1]
        projected = tf.reshape(self.query_key_value(inputs), [batch, length, 3 * dim])
        query, key, value = split_heads(projected, 3, self.num_heads)
        query *= tf.cast((dim // self.num_heads) ** -0.5, query.dtype)
        logits = tf.cast(tf.matmul(query, key, transpose_b=True), tf.float32)
        visible = self._visible(length, padding_mask)
        if visible is not None:
            # Not a sum: on a CPU the fusion of a product with a sum that follows it is far slower.
            logits = tf.where(visible, logits, -1e9)
        weights = self.weights_dropout(
            tf.cast(tf.nn.softmax(logits), inputs.dtype), training=training
        )
        context = merge_heads(tf.matmul(weights, value))
        return self.attention_output(tf.reshape(context, [-1, dim]))

    def _visible(self, length: tf.Tensor, padding_mask: tf.Tensor | None) -> tf.Tensor | None:
        """True where a query may attend to a key; None: everywhere."""
        if self.causal:
            positions = tf.range(length)
            # Padding comes last, so that a causal mask hides it from every real position.
            return (positions[:, tf.newaxis] >= positions)[tf.newaxis, tf.newaxis]
        return None if padding_mask is None else padding_mask[tf.newaxis, :, tf.newaxis, :]

    def _branch(self, outputs: tf.Tensor, shape: tf.Tensor, training: bool | None) -> tf.Tensor:
        outputs = self.branch_dropout(outputs, training=training)
        if self.row_dropout is not None:
            rows = self.row_dropout(tf.reshape(outputs, shape), training=training)
            outputs = tf.reshape(rows, tf.shape(outputs))
        return outputs

    def call(
        self,
        inputs: tf.Tensor,
        padding_mask: tf.Tensor | None = None,
        training: bool | None = None,
    ) -> tf.Tensor:
        # One row per position: operations on two axes are faster, which short requests notice.
        shape, static_shape = tf.shape(inputs), inputs.shape
        inputs = tf.reshape(inputs, [-1, static_shape[-1]])
        attended = self._attention(self.attention_norm(inputs), shape, padding_mask, training)
        inputs = inputs + self._branch(attended, shape, training)
        hidden = self.feed_forward_inner(self.feed_forward_norm(inputs))
        if self.feed_forward == "gated":
            gate, hidden = tf.split(hidden, 2, axis=-1)
            hidden = tf.nn.silu(gate) * hidden
        hidden = self.feed_forward_output(self.branch_dropout(hidden, training=training))
        outputs = tf.reshape(inputs + self._branch(hidden, shape, training), shape)
        outputs.set_shape(static_shape)
        return outputs

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return tuple(input_shape)

    def get_config(self) -> Config:
        config = super().get_config()
        config.update(
            num_heads=self.num_heads,
            intermediate_dim=self.intermediate_dim,
            dropout=self.dropout,
            causal=self.causal,
            feed_forward=self.feed_forward,
            stochastic_depth=self.stochastic_depth,
        )
        return config
