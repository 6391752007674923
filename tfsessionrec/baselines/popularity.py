"""The most popular items, the same for everybody."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Popularity:
    """Scores every item by its count, whatever the history.

    `score(query, item) = 1 * counts[item]`: a model whose query is the number 1 and whose item
    embedding is the count, so that whatever evaluates a model evaluates it as well.

    Args:
        counts: [vocabulary_size] numbers, not negative, by vocabulary index: padding and
            out-of-vocabulary entries first, such as `Vocabulary.counts`. Kept as float32: counts
            above 2**24 may tie.

    Raises:
        ValueError: If `counts` is not a vector of finite numbers >= 0.

    Example:

    >>> import numpy as np
    >>> popularity = Popularity([0, 0, 5, 9, 5])
    >>> features = {"item_ids": np.array([[[3, 2], [4, 0]]])}
    >>> popularity.encode(features) @ popularity.candidate_embeddings().T
    array([[0., 0., 5., 9., 5.]], dtype=float32)
    >>> popularity(features).shape
    (1, 2, 1)
    """

    def __init__(self, counts: ArrayLike) -> None:
        array = np.asarray(counts)
        if array.ndim != 1 or not np.issubdtype(array.dtype, np.number):
            raise ValueError(
                "`counts` should be numbers of shape [vocabulary_size]. Received: "
                f"`counts` of shape {array.shape} and dtype {array.dtype}"
            )
        if not (np.isfinite(array) & (array >= 0)).all():
            bad = int(np.flatnonzero(~(np.isfinite(array) & (array >= 0)))[0])
            raise ValueError(
                "`counts` should be finite and not negative. Received: "
                f"`counts[{bad}]`={array[bad]}"
            )
        self.counts = array.astype(np.float32)

    def __call__(self, features: Mapping[str, Any], training: bool = False) -> NDArray[np.float32]:
        """The query after every session, [B, S, 1]: ones."""
        return np.ones((*np.shape(features["item_ids"])[:2], 1), np.float32)

    def encode(self, features: Mapping[str, Any]) -> NDArray[np.float32]:
        """The query after the whole history, [B, 1]: ones."""
        return np.ones((np.shape(features["item_ids"])[0], 1), np.float32)

    def candidate_embeddings(self) -> NDArray[np.float32]:
        """[vocabulary_size, 1]: the counts."""
        return self.counts[:, None]
