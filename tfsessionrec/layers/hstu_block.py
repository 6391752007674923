"""A block of HSTU: pointwise aggregated attention with a gate."""

import tensorflow as tf

from tfsessionrec.backend import build_sublayer, keras
from tfsessionrec.checks import non_negative_integer, positive_integer, rate
from tfsessionrec.layers.dropout import Dropout
from tfsessionrec.layers.time_gap_embedding import time_buckets
from tfsessionrec.layers.transformer_block import merge_heads, split_heads
from tfsessionrec.types import Config


@keras.utils.register_keras_serializable(package="tfsessionrec")
class HSTUBlock(keras.layers.Layer):
    """Hierarchical sequential transduction unit: attention without softmax, gated.

    `U, V, Q, K = split(silu(W_1 LN(x)))`
    `A_{t,s} = silu(Q_t · K_s + p_{t-s} + w_{bucket(time_t - time_s)}) / t` for s ≤ t (t from 1),
    0 for s > t
    `y_t = x_t + W_2 Dropout(U_t ⊙ LN(Σ_s A_{t,s} V_s)) + b_2`

    The weights of a row do not sum to one, so that they show how much of the history matches, and a
    weight may be negative. Both norms have no learned scale and offset; the inner one spans all
    heads. The heads share the biases p and w. `bucket(d)` is `floor(log(d) / 0.301)`, 0 for d ≤ 1
    second, at most `num_time_buckets - 1`: the default of 64 distinguishes times up to 5 years.

    Args:
        num_heads: Attention heads; must divide the input's last dimension. Defaults to 2.
        dropout: Dropout rate in [0, 1). Defaults to 0.
        max_length: Distinct distances t - s; longer ones share the last. Defaults to 256.
        num_time_buckets: Size of the table w. 0: no table, and times are ignored. Defaults to 64.

    Call arguments:
        inputs: [B, S, D] float tensor, oldest first. Padding comes last, so that no real position
            attends to it and no mask is needed.
        session_times: [B, S] int64 tensor, unix seconds. Without it there is no time bias.

    Returns:
        [B, S, D] float tensor; row t depends on rows and times up to t only.

    Raises:
        ValueError: If an argument is out of range, `num_heads` does not divide D, or
            `session_times` has another rank.

    Example:

    >>> HSTUBlock(num_heads=2)(tf.ones([1, 3, 4])).shape
    TensorShape([1, 3, 4])

    References:
        "Actions Speak Louder than Words" (Zhai et al., ICML 2024), equations 1 to 3. Three choices
        are this package's: it divides a row by the number of sessions that the row attends to (the
        authors: by a fixed maximum length; the inner norm cancels either, except for its epsilon);
        it takes time differences from the row's own session (the authors: from the next one, whose
        time is unknown before it begins); and W_1 starts from Glorot's limits at every width.
    """

    def __init__(
        self,
        num_heads: int = 2,
        dropout: float = 0.0,
        max_length: int = 256,
        num_time_buckets: int = 64,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads = positive_integer("num_heads", num_heads)
        self.dropout = rate("dropout", dropout)
        self.max_length = positive_integer("max_length", max_length)
        self.num_time_buckets = non_negative_integer("num_time_buckets", num_time_buckets)

    def build(self, input_shape: tf.TensorShape) -> None:
        dim = int(input_shape[-1])
        if dim % self.num_heads:
            raise ValueError(
                "`num_heads` should divide the embedding dimension. Received: "
                f"`num_heads`={self.num_heads}, dimension {dim}"
            )
        shape, policy = (None, None, dim), self.dtype_policy

        def norm(name: str) -> keras.layers.Layer:
            layer = keras.layers.LayerNormalization(
                epsilon=1e-6, center=False, scale=False, name=name, dtype=policy
            )
            return build_sublayer(layer, shape)

        self.input_norm = norm("input_norm")
        self.attention_norm = norm("attention_norm")
        # One product for four projections, each with the Glorot limit of a square matrix.
        self.gate_value_query_key = build_sublayer(
            keras.layers.Dense(
                4 * dim,
                use_bias=False,
                kernel_initializer=keras.initializers.VarianceScaling(
                    2.5, mode="fan_avg", distribution="uniform"
                ),
                name="gate_value_query_key",
                dtype=policy,
            ),
            shape,
        )
        self.output_projection = build_sublayer(
            keras.layers.Dense(dim, name="output_projection", dtype=policy), shape
        )
        self.output_dropout = Dropout(self.dropout, dtype=policy)
        self.position_bias = self.add_weight(
            name="position_bias",
            shape=(self.max_length,),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
            trainable=True,
        )
        if self.num_time_buckets:
            self.time_bias = self.add_weight(
                name="time_bias",
                shape=(self.num_time_buckets,),
                initializer=keras.initializers.RandomNormal(stddev=0.02),
                trainable=True,
            )
        self.built = True

    def _bias(self, distance: tf.Tensor, session_times: tf.Tensor | None) -> tf.Tensor:
        """The bias of Q·K: [1 or B, S, S] from the distances t - s [S, S]."""

        def look_up(table: tf.Variable, indices: tf.Tensor) -> tf.Tensor:
            # The reshape makes the table's gradient one dense sum instead of B·S·S rows.
            table = tf.reshape(tf.cast(tf.convert_to_tensor(table), self.compute_dtype), [-1])
            return tf.gather(table, indices)

        bias = look_up(self.position_bias, tf.clip_by_value(distance, 0, self.max_length - 1))
        bias = bias[tf.newaxis]
        if session_times is not None and self.num_time_buckets:
            times = tf.cast(session_times, tf.int64)
            if len(times.shape) != 2:
                raise ValueError(
                    "`session_times` should have the shape [batch, sessions]. Received: "
                    f"`session_times` with shape {tuple(times.shape)}"
                )
            # Subtract before the cast: a float32 cannot hold unix seconds.
            passed = tf.cast(times[:, :, tf.newaxis] - times[:, tf.newaxis, :], tf.float32)
            bias += look_up(self.time_bias, time_buckets(passed, self.num_time_buckets))
        return bias

    def call(
        self,
        inputs: tf.Tensor,
        session_times: tf.Tensor | None = None,
        training: bool | None = None,
    ) -> tf.Tensor:
        length, dim = tf.shape(inputs)[1], inputs.shape[-1]
        projected = tf.nn.silu(self.gate_value_query_key(self.input_norm(inputs)))
        gate, value_query_key = tf.split(projected, [dim, 3 * dim], axis=-1)
        value, query, key = split_heads(value_query_key, 3, self.num_heads)

        positions = tf.range(length)
        distance = positions[:, tf.newaxis] - positions
        logits = tf.matmul(query, key, transpose_b=True)
        # The mask comes between the product and the bias: silu(-1e4) is 0, and on a CPU the fusion
        # of a product with a sum that follows it is far slower.
        logits = tf.where(distance >= 0, logits, tf.constant(-1e4, logits.dtype))
        weights = tf.nn.silu(logits + self._bias(distance, session_times))
        aggregate = merge_heads(tf.matmul(weights, value))
        aggregate /= tf.cast(positions + 1, aggregate.dtype)[:, tf.newaxis]
        gated = gate * self.attention_norm(aggregate)
        return inputs + self.output_projection(self.output_dropout(gated, training=training))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return tuple(input_shape)

    def get_config(self) -> Config:
        config = super().get_config()
        config.update(
            num_heads=self.num_heads,
            dropout=self.dropout,
            max_length=self.max_length,
            num_time_buckets=self.num_time_buckets,
        )
        return config
