"""Sum pooling of a session's items."""

import tensorflow as tf

from tfsessionrec.backend import keras
from tfsessionrec.layers.ise.base import ItemSessionEncoder


@keras.utils.register_keras_serializable(package="tfsessionrec")
class SumISE(ItemSessionEncoder):
    """Session vector = sum of the session's item embeddings.

    `S_t = sum_i E_{t,i}` over the real items of session t: a mean that also knows how long the
    session was.

    Call arguments:
        item_embeddings: [B, S, I, D] float tensor.
        padding_mask: [B, S, I] bool tensor, True where real. Default: everything is real.
        item_ids: Not used.

    Returns:
        [B, S, D] float tensor; zeros for a session without a real item.

    Example:

    >>> items = tf.constant([[[[1.0], [3.0]], [[5.0], [7.0]]]])
    >>> SumISE()(items, padding_mask=tf.constant([[[True, True], [True, False]]])).numpy()
    array([[[4.],
            [5.]]], dtype=float32)

    References:
        SessionRec (arXiv 2502.10157, 2025).
    """

    def encode(
        self,
        item_embeddings: tf.Tensor,
        padding_mask: tf.Tensor,
        item_ids: tf.Tensor | None,
        training: bool | None,
    ) -> tf.Tensor:
        real = tf.cast(padding_mask, item_embeddings.dtype)[..., tf.newaxis]
        return tf.reduce_sum(item_embeddings * real, axis=-2)
