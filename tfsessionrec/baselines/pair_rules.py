"""What the methods share that count pairs of items."""

import abc
from typing import Any

import numpy as np
import polars as pl
import scipy.sparse
from numpy.typing import NDArray

from tfsessionrec.baselines.pair_counts import PairCounts
from tfsessionrec.baselines.running_sessions import RunningSessions
from tfsessionrec.baselines.session_baseline import SessionBaseline
from tfsessionrec.baselines.session_log import SessionLog


class PairRules(SessionBaseline):
    """Scores items by their pairs with the running session's last item.

    A subclass says what is counted (`_counts`) and how a row of counts becomes scores (`_row`).
    """

    _log: SessionLog
    _pairs: PairCounts

    def update(self, events: pl.DataFrame) -> None:
        self._learn(self.positives(events))

    def _learn_all(self, events: pl.DataFrame) -> None:
        self._log = SessionLog()
        self._pairs = self._counts(len(self._fitted()))
        self._learn(events)

    def _learn(self, events: pl.DataFrame) -> None:
        if events.is_empty():
            return
        slots, old = self._log.extend_by(events)
        self._pairs.learn(self._log, slots, old)

    def _score(self, queries: RunningSessions) -> scipy.sparse.csr_array:
        begin, end = queries.offsets[:-1], queries.offsets[1:]
        last = np.full(len(begin), -1, np.int32)
        last[end > begin] = queries.items[end[end > begin] - 1]
        return self._row(last)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return self._log.arrays()

    def _restore(self, arrays: dict[str, NDArray[Any]]) -> None:
        self._log = SessionLog.restore(arrays)
        self._pairs = self._counts(len(self._fitted()))
        every = np.arange(self._log.num_sessions)
        self._pairs.learn(self._log, every, np.zeros(len(every), np.int64))

    @abc.abstractmethod
    def _counts(self, size: int) -> PairCounts:
        """Counts of nothing, over `size` item indices."""

    @abc.abstractmethod
    def _row(self, items: NDArray[np.int32]) -> scipy.sparse.csr_array:
        """[Q, vocabulary_size] scores after the items [Q], -1 where there is none."""
