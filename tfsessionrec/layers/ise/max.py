"""Max pooling of a session's items."""

import tensorflow as tf

from tfsessionrec.backend import keras
from tfsessionrec.layers.ise.base import ItemSessionEncoder


@keras.utils.register_keras_serializable(package="tfsessionrec")
class MaxISE(ItemSessionEncoder):
    """Session vector = element-wise maximum of the session's item embeddings.

    `S_{t,d} = max_i E_{t,i,d}` over the real items of session t.

    Call arguments:
        item_embeddings: [B, S, I, D] float tensor.
        padding_mask: [B, S, I] bool tensor, True where real. Default: everything is real.
        item_ids: Not used.

    Returns:
        [B, S, D] float tensor; zeros for a session without a real item.

    Example:

    >>> items = tf.constant([[[[1.0], [3.0]], [[-5.0], [0.0]]]])
    >>> MaxISE()(items, padding_mask=tf.constant([[[True, True], [True, False]]])).numpy()
    array([[[ 3.],
            [-5.]]], dtype=float32)

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
        lowest = item_embeddings.dtype.min
        masked = tf.where(padding_mask[..., tf.newaxis], item_embeddings, lowest)
        return tf.reduce_max(masked, axis=-2)
