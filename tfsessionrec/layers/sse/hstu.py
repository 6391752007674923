"""HSTU over sessions."""

import tensorflow as tf

from tfsessionrec.backend import keras
from tfsessionrec.checks import non_negative_integer
from tfsessionrec.layers.hstu_block import HSTUBlock
from tfsessionrec.layers.sse.base import StackedSSE
from tfsessionrec.types import Config


@keras.utils.register_keras_serializable(package="tfsessionrec")
class HSTUSSE(StackedSSE):
    """Pointwise aggregated attention over the sessions, with position and time bias, as in HSTU.

    `H_0 = Dropout(sqrt(D) S + P)`, `H_l = HSTUBlock(H_{l-1}, times)`, `O = LN(H_L)`. See
    `HSTUBlock` for the equations of a block: SiLU instead of a Transformer's softmax, a gate
    instead of its feed-forward network.

    Args:
        num_layers: HSTU blocks. Defaults to 2.
        num_heads: Attention heads; must divide D. Defaults to 2.
        dropout: Dropout rate in [0, 1), on the input and in each block. Defaults to 0.2.
        max_length: Distinct positions, and distances of the position bias; later and farther ones
            share the last. Defaults to 256.
        num_time_buckets: Buckets of the time bias, each 1.35 times as wide as the one before.
            0: no time bias. Defaults to 64.
        input_norm: Whether to normalize session vectors, instead of multiplying them by sqrt(D),
            before positions are added: for long sessions, whose mean is small. Defaults to False.

    Call arguments:
        session_embeddings: [B, S, D] float tensor, oldest first, padding last.
        padding_mask: [B, S] bool tensor, True where real. Default: everything is real.
        session_times: [B, S] int64 tensor, session start in unix seconds. Without it the bias
            depends on positions only, and the time bias is not trained.

    Returns:
        [B, S, D] float tensor; zeros at padding.

    Raises:
        ValueError: If an argument is out of range, `num_heads` does not divide D, or
            `session_times` has another rank.

    Example:

    >>> times = tf.constant([[0, 60, 86_400]], tf.int64)
    >>> HSTUSSE(num_layers=1)(tf.ones([1, 3, 8]), session_times=times).shape
    TensorShape([1, 3, 8])

    References:
        "Actions Speak Louder than Words" (Zhai et al., ICML 2024), section 3; the added positions
        and the input dropout are those of the authors' code. The last norm is this package's: the
        authors normalize to unit length and score by cosine.
    """

    def __init__(
        self,
        num_layers: int = 2,
        num_heads: int = 2,
        dropout: float = 0.2,
        max_length: int = 256,
        num_time_buckets: int = 64,
        input_norm: bool = False,
        **kwargs: object,
    ) -> None:
        super().__init__(num_layers, num_heads, dropout, max_length, input_norm, **kwargs)
        self.num_time_buckets = non_negative_integer("num_time_buckets", num_time_buckets)

    @property
    def reads(self) -> frozenset[str]:
        """`session_times`, unless there is no time bias."""
        return frozenset({"session_times"} if self.num_time_buckets else ())

    def make_block(self, index: int, name: str, dtype: object) -> HSTUBlock:
        return HSTUBlock(
            self.num_heads,
            self.dropout,
            self.max_length,
            self.num_time_buckets,
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
        return block(hidden, session_times, training=training)

    def get_config(self) -> Config:
        config = super().get_config()
        config.update(num_time_buckets=self.num_time_buckets)
        return config
