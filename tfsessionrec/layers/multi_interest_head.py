"""Several queries instead of one."""

import tensorflow as tf

from tfsessionrec.backend import build_sublayer, keras
from tfsessionrec.checks import positive_integer
from tfsessionrec.types import Config


@keras.utils.register_keras_serializable(package="tfsessionrec")
class MultiInterestHead(keras.layers.Layer):
    """Turns each output of a sequence encoder into N interests.

    `q_{t,n} = O_t + O_t W_n + b_n`, n = 1..N, for each position independently. The score of a
    candidate is its best score over the interests, `max_n <q_{t,n}, c>`: see
    `tfsessionrec.scoring`. One interest with W = 0 is the encoder's output.

    Args:
        num_interests: N.
        kernel_initializer: Initializer of the W_n. It should be random, because interests that
            start equal stay equal. Defaults to `"glorot_uniform"`.

    Call arguments:
        session_embeddings: [B, S, D] float tensor.
        padding_mask: [B, S] bool tensor, True where real. Default: everything is real.

    Returns:
        [B, S, N, D] float tensor; output t depends on input t only; zeros at padding.

    Raises:
        ValueError: If `num_interests` is not a positive integer, or `session_embeddings` or
            `padding_mask` has another rank.

    Example:

    >>> MultiInterestHead(num_interests=4)(tf.ones([2, 5, 8])).shape
    TensorShape([2, 5, 4, 8])

    References:
        Linear maps of one hidden state: the context vectors of Yang et al., "Breaking the softmax
        bottleneck" (ICLR 2018), section 3. Scoring by the best interest: ComiRec (Cen et al., KDD
        2020), which makes its interests by attention over the items of a history. Here the maps
        take the output of the encoder, which has attended already, and so stay causal. The
        residual, no tanh, and the maximum for negatives too are this package's choice.
    """

    def __init__(
        self,
        num_interests: int,
        kernel_initializer: keras.initializers.Initializer | str | Config = "glorot_uniform",
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.num_interests = positive_integer("num_interests", num_interests)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape: tf.TensorShape) -> None:
        dim = int(input_shape[-1])
        self.projection = keras.layers.Dense(
            self.num_interests * dim,
            kernel_initializer=self.kernel_initializer,
            name="projection",
            dtype=self.dtype_policy,
        )
        build_sublayer(self.projection, (None, None, dim))
        self.built = True

    def call(
        self, session_embeddings: tf.Tensor, padding_mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        if len(session_embeddings.shape) != 3:
            raise ValueError(
                "`session_embeddings` should have the shape [batch, sessions, dim]. Received: "
                f"`session_embeddings` with shape {tuple(session_embeddings.shape)}"
            )
        shape, dim = tf.shape(session_embeddings), session_embeddings.shape[-1]
        projected = tf.reshape(
            self.projection(session_embeddings), [shape[0], shape[1], self.num_interests, dim]
        )
        interests = tf.expand_dims(session_embeddings, 2) + projected
        if padding_mask is None:
            return interests
        if len(padding_mask.shape) != 2:
            raise ValueError(
                "`padding_mask` should have the shape [batch, sessions]. Received: "
                f"`padding_mask` with shape {tuple(padding_mask.shape)}"
            )
        mask = tf.cast(padding_mask, tf.bool)[:, :, tf.newaxis, tf.newaxis]
        return tf.where(mask, interests, tf.zeros_like(interests))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        batch, sessions, dim = input_shape
        return batch, sessions, self.num_interests, dim

    def get_config(self) -> Config:
        config = super().get_config()
        config.update(
            num_interests=self.num_interests,
            kernel_initializer=keras.initializers.serialize(self.kernel_initializer),
        )
        return config
