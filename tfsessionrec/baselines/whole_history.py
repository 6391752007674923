"""The base class of the baselines that read all sessions of a user."""

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike, NDArray

from tfsessionrec.baselines.running_sessions import Features, RunningSessions, read_queries
from tfsessionrec.baselines.session_baseline import History, SessionBaseline
from tfsessionrec.baselines.session_log import Id


class WholeHistoryBaseline(SessionBaseline):
    """A baseline whose queries are whole histories: all sessions of them, not the last one."""

    def running_sessions(
        self,
        features: Features,
        rows: ArrayLike | None = None,
        positions: ArrayLike | None = None,
    ) -> RunningSessions:
        """The positive items of whole histories, and the session of each."""
        vocabulary = self._fitted()
        first, size = vocabulary.first_item_index, len(vocabulary)
        return read_queries(features, first, size, rows, positions, whole_history=True)

    def _features(self, history: History, time: float | None) -> dict[str, NDArray]:
        """A batch of one row of several sessions; raw ids that are not in lists are one session."""
        nested = any(isinstance(one, list | tuple | np.ndarray) for one in history)
        sessions: list[list[Id]] = (
            [np.atleast_1d(one).tolist() for one in history] if nested else [list(history)]  # type: ignore[arg-type]
        )
        features = super()._features(sessions[-1], time)
        width = max(map(len, sessions), default=0)
        items = np.zeros((1, len(sessions), width), np.int32)
        for number, session in enumerate(sessions):
            items[0, number, : len(session)] = self._fitted().lookup(session)
        return {**features, "item_ids": items}


def best_of_rows(scores: scipy.sparse.csr_array, top: int | None) -> scipy.sparse.csr_array:
    """The `top` greatest stored scores of each row, of equal ones the lower columns; None: all."""
    length = np.diff(scores.indptr)
    if top is None or length.max(initial=0) <= top:
        return scores
    row = np.repeat(np.arange(len(length)), length)
    order = np.lexsort((scores.indices, -scores.data, row))
    place = np.arange(len(row)) - scores.indptr[row]
    kept = order[place < top]
    offsets = np.append(0, np.cumsum(np.minimum(length, top)))
    return scipy.sparse.csr_array(
        (scores.data[kept], scores.indices[kept], offsets), shape=scores.shape
    )
