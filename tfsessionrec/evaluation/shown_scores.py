"""A system that scores a few candidates a query, asked about the items that were shown."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TOGETHER = 4096  # Queries whose scores are held at a time.


class ShownScores:
    """A system of `sparse_scores` as `evaluate_ranking` asks it: the scores of what was shown.

    Args:
        model: Offers `sparse_scores(features, rows, positions)`.
        vocabulary_size: Columns of these scores.
    """

    def __init__(self, model: Any, vocabulary_size: int) -> None:
        self._model = model
        self._size = vocabulary_size

    def candidate_embeddings(self) -> NDArray[np.float32]:
        """[vocabulary_size, 1] zeros: there are none."""
        return np.zeros((self._size, 1), np.float32)

    def score_shown(self, features: Mapping[str, Any]) -> NDArray[np.float32]:
        """[B, S, I], each session's items scored given the sessions before it.

        An item without a score stands below all that have one.
        """
        arrays = {key: np.asarray(value) for key, value in features.items()}
        items = arrays["item_ids"]
        found = np.full(items.shape, np.finfo(np.float32).min, np.float32)
        rows, sessions = np.nonzero((items > 0).any(axis=2))
        for first in range(0, len(rows), _TOGETHER):
            row, session = rows[first : first + _TOGETHER], sessions[first : first + _TOGETHER]
            scores = self._model.sparse_scores(arrays, row, session - 1)
            # A stored 0 is a score: places tell what is stored.
            places = scores.copy()
            places.data = np.arange(1, len(places.data) + 1)
            asked = items[row, session]
            query = np.broadcast_to(np.arange(len(row))[:, None], asked.shape)
            at = np.asarray(places[query.ravel(), asked.ravel()]).reshape(asked.shape)
            found[row, session] = np.where(
                at > 0, np.append(scores.data, 0)[at - 1], found[row, session]
            )
        return found
