"""No encoder over sessions at all."""

import tensorflow as tf

from tfsessionrec.backend import keras
from tfsessionrec.layers.sse.base import SessionSequenceEncoder


@keras.utils.register_keras_serializable(package="tfsessionrec")
class IdentitySSE(SessionSequenceEncoder):
    """Each session stands for itself: `O_t = S_t`.

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
