"""Mean pooling of a session's items."""

import tensorflow as tf

from tfsessionrec.backend import keras
from tfsessionrec.layers.ise.base import ItemSessionEncoder
from tfsessionrec.masking import masked_mean


@keras.utils.register_keras_serializable(package="tfsessionrec")
class MeanISE(ItemSessionEncoder):
    """Session vector = mean of the session's item embeddings.

    `S_t = (1 / n_t) * sum_i E_{t,i}` over the `n_t` real items of session t. SessionRec's authors
    found it the best of the poolings (from a secondary source).

    Call arguments:
        item_embeddings: [B, S, I, D] float tensor.
        padding_mask: [B, S, I] bool tensor, True where real. Default: everything is real.
        item_ids: Not used.

    Returns:
        [B, S, D] float tensor; zeros for a session without a real item.

    Example:

    >>> items = tf.constant([[[[1.0], [3.0]], [[5.0], [0.0]]]])
    >>> MeanISE()(items, padding_mask=tf.constant([[[True, True], [True, False]]])).numpy()
    array([[[2.],
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
        return masked_mean(item_embeddings, padding_mask)
