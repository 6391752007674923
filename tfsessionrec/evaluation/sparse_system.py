"""A system that scores a few candidates a query, as the evaluator sees it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from tfsessionrec.evaluation.system import ANSWERS


class SparseSystem:
    """A system that scores a few candidates a query, as the evaluator sees it.

    Args:
        model: Offers `sparse_scores(features, rows, positions)`, a SciPy CSR array
            [Q, vocabulary_size], without rows and positions of every row's whole history; see
            `tfsessionrec.baselines`.
        vocabulary_size: Columns of these scores.
        first_item_index: First column that is an item.
    """

    def __init__(self, model: Any, vocabulary_size: int, first_item_index: int) -> None:
        self._model = model
        self.vocabulary_size = vocabulary_size
        self.first_item_index = first_item_index

    def scores(
        self,
        batch: Mapping[str, Any],
        rows: NDArray[np.int64],
        positions: NDArray[np.int64] | None,
    ) -> scipy.sparse.csr_array:
        """The scores [Q, candidates] of the given rows and positions.

        Raises:
            ValueError: If the system's scores have another shape or are not finite.
        """
        features = {key: np.asarray(value) for key, value in batch.items() if key not in ANSWERS}
        which = () if positions is None else (rows, positions)  # None: every row's whole history
        scores = scipy.sparse.csr_array(self._model.sparse_scores(features, *which))
        asked = len(features["item_ids"]) if positions is None else len(rows)
        if scores.shape != (asked, self.vocabulary_size):
            raise ValueError(
                "`model.sparse_scores(features, rows, positions)` should have the shape "
                f"{(asked, self.vocabulary_size)}. Received: {scores.shape}"
            )
        if not np.isfinite(scores.data).all():
            raise ValueError(
                "`model.sparse_scores(features, rows, positions)` should be finite. "
                "Received: NaN or infinity"
            )
        return (scores[rows] if positions is None else scores)[:, self.first_item_index :]
