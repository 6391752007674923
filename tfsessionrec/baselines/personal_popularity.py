"""What the user took most often, then what all users take."""

import numpy as np
import polars as pl
import scipy.sparse
from numpy.typing import NDArray

from tfsessionrec.baselines.arguments import integer_or_none
from tfsessionrec.baselines.running_sessions import RunningSessions
from tfsessionrec.baselines.session_log import Arrays
from tfsessionrec.baselines.whole_history import WholeHistoryBaseline
from tfsessionrec.types import Config


class PersonalPopularity(WholeHistoryBaseline):
    """The user's own most frequent items first, then the most popular ones (GP-TopFreq).

    With n(i) the sessions of the query's history that hold item i, and N(i) the learned sessions
    that hold it,

    `score(i) = n(i) + N(i) / (max N + 1)`:

    own frequency decides, and popularity breaks ties and fills the rest of the list. All sessions
    of the history count. It is the baseline that next-basket methods have to beat.

    Args:
        top: Number of most popular items with a score, 1,000 by default; None for all. Items of the
            history always have one.

    Raises:
        ValueError: If `top` is not positive.

    Example:

    >>> import polars as pl
    >>> from tfsessionrec.data import Vocabulary, sessionize
    >>> log = pl.DataFrame(
    ...     {
    ...         "visit": [1, 1, 2, 3, 3],
    ...         "item_id": ["tea", "cup", "tea", "tea", "jam"],
    ...         "timestamp": [1, 2, 3, 4, 5],
    ...     }
    ... )
    >>> sessions = sessionize(log, session="visit")
    >>> model = PersonalPopularity().fit(sessions, Vocabulary.from_sessions(sessions))
    >>> model.recommend([["cup"], ["cup", "jam"]])
    [('cup', 2.25), ('jam', 1.25), ('tea', 0.75)]

    References:
        Li, Jullien, Ariannezhad, de Rijke, "A Next Basket Recommendation Reality Check", ACM TOIS
        2023 (arXiv 2109.14233).
    """

    _counts: NDArray[np.int64]

    def __init__(self, top: int | None = 1000) -> None:
        self.top = integer_or_none("top", top)

    def get_config(self) -> Config:
        return {**super().get_config(), "top": self.top}

    def _learn_all(self, events: pl.DataFrame) -> None:
        held = events.select("user_id", "session_index", "item_ids").unique()
        self._counts = np.bincount(held["item_ids"].to_numpy(), minlength=len(self._fitted()))

    def _score(self, queries: RunningSessions) -> scipy.sparse.csr_array:
        first, size = self._fitted().first_item_index, len(self._fitted())
        shape = (len(queries.times), size)
        own = sessions_with(queries, shape)
        share = (self._counts / (self._counts.max() + 1)).astype(np.float32)
        popular = np.argsort(-self._counts[first:], kind="stable")[: self.top or size] + first
        offsets = np.arange(shape[0] + 1) * len(popular)
        columns = np.tile(popular, shape[0])
        filled = scipy.sparse.csr_array((np.ones(len(columns), bool), columns, offsets), shape)
        scored = (own > 0) + filled
        scored.sort_indices()
        values = share[scored.indices]
        return scipy.sparse.csr_array((values, scored.indices, scored.indptr), shape) + own

    def _arrays(self) -> Arrays:
        return {"counts": self._counts}

    def _restore(self, arrays: Arrays) -> None:
        self._counts = arrays["counts"]


def sessions_with(queries: RunningSessions, shape: tuple[int, int]) -> scipy.sparse.csr_array:
    """The number of sessions of each query [Q] that hold each item: [Q, V] float32."""
    assert queries.sessions is not None
    cells = np.stack([queries.queries, queries.sessions, queries.items.astype(np.int64)])
    row, _, item = np.unique(cells, axis=1)
    ones = np.ones(len(row), np.float32)
    found = scipy.sparse.csr_array((ones, (row, item)), shape)
    found.sum_duplicates()
    return found
