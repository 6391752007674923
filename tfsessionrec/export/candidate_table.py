"""The candidate embeddings of an export, and their exact top k."""

import numpy as np
import tensorflow as tf

from tfsessionrec.scoring import score

DTYPES = ("float32", "bfloat16", "int8")
NOT_ALLOWED = float(tf.float32.min)  # finite, so that JSON can carry it


class CandidateTable(tf.Module):
    """Candidate embeddings, held once, and the k candidates that score highest.

    `score(q, c) = <q, candidate[c]>` (with interests the best one's) `+ bonus[c]`.

    Args:
        embeddings: float32 [C, D], finite.
        dtype: "float32", "bfloat16" or "int8": how the embeddings are held. Defaults to "float32".
        chunk_size: How many candidates stand in a chunk. Defaults to None: chosen here.

    Raises:
        ValueError: If an argument is not what it should be.

    Example:

    >>> table = CandidateTable(np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]], np.float32))
    >>> scores, rows = table.top_k(tf.constant([[1.0, 0.0]]), tf.constant(2))
    >>> scores.numpy(), rows.numpy()
    (array([[2., 1.]], dtype=float32), array([[2, 0]], dtype=int32))
    """

    def __init__(
        self, embeddings: np.ndarray, *, dtype: str = "float32", chunk_size: int | None = None
    ) -> None:
        super().__init__(name="candidate_table")
        embeddings = np.asarray(embeddings, np.float32)
        if embeddings.ndim != 2 or not embeddings.size or not np.isfinite(embeddings).all():
            raise ValueError(
                "`embeddings` should be finite numbers of shape [C, D]. Received: shape "
                f"{embeddings.shape}"
            )
        if dtype not in DTYPES:
            raise ValueError(f"`dtype` should be one of {DTYPES}. Received: `dtype`={dtype!r}")
        if chunk_size is not None and chunk_size <= 0:
            raise ValueError(
                f"`chunk_size` should be a positive integer. Received: `chunk_size`={chunk_size}"
            )
        self.num_items, self.dim = embeddings.shape
        self.dtype = dtype
        self._embeddings = tf.Variable(embeddings, trainable=False, name="candidate_embeddings")

    def top_k(
        self,
        queries: tf.Tensor,
        k: tf.Tensor,
        *,
        interests: int | None = None,
        bonus: tf.Tensor | None = None,
        allowed: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The K = min(k, C) candidates of highest score; of equal scores, the lower row first.

        Args:
            queries: float32 [B, D]; [B, M, D] with interests.
            k: Scalar int32; below 0 counts as 0.
            interests: M, or None for one vector a query. Defaults to None.
            bonus: float32 [C] or [B, C], added to the scores. Defaults to None.
            allowed: bool [C] or [B, C], the rows that may be returned; the others come last, with
                the lowest float32 as their score. Defaults to None: all.

        Returns:
            Scores float32 [B, K], highest first, and rows int32 [B, K].
        """
        scores = self.scores(queries, interests=interests)
        if bonus is not None:
            scores += bonus
        if allowed is not None:
            scores = tf.where(allowed, scores, NOT_ALLOWED)
        return tf.math.top_k(scores, tf.clip_by_value(k, 0, self.num_items))

    def scores(self, queries: tf.Tensor, *, interests: int | None = None) -> tf.Tensor:
        """Scores of all candidates: float32 [B, C].

        Args:
            queries: float32 [B, D]; [B, M, D] with interests.
            interests: M, or None for one vector a query. Defaults to None.
        """
        if interests is not None:
            queries = tf.ensure_shape(queries, [None, interests, self.dim])
        return score(queries, self._embeddings, interests=interests is not None)

    def gather(self, rows: tf.Tensor) -> tf.Tensor:
        """The embeddings of some candidates: float32 [B, n, D].

        Args:
            rows: int32 [B, n], each from 0 to C - 1.
        """
        return tf.gather(self._embeddings, rows)
