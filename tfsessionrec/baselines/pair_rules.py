"""Methods that score items by their pairs with the running session's last item."""

import abc

import numpy as np
import polars as pl
import scipy.sparse
from numpy.typing import NDArray

from tfsessionrec.baselines.arguments import choice, integer_or_none, not_negative
from tfsessionrec.baselines.pair_counts import PairCounts
from tfsessionrec.baselines.running_sessions import RunningSessions
from tfsessionrec.baselines.session_baseline import SessionBaseline
from tfsessionrec.baselines.session_log import Arrays, SessionLog
from tfsessionrec.checks import positive_integer, share
from tfsessionrec.types import Config

_WEIGHTS = {
    "same": lambda d: np.ones(len(d)),
    "linear": lambda d: np.maximum(1 - 0.1 * d, 0),
    "div": lambda d: 1 / d,
    "quadratic": lambda d: 1 / d**2,
    "log": lambda d: 1 / np.log10(d + 1.7),
}


class PairRules(SessionBaseline):
    """Scores items by their pairs with the running session's last item.

    A subclass defines the counts (`_counts`) and the scores made from them (`_row`).
    """

    learns = "in_steps"

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

    def _arrays(self) -> Arrays:
        return self._log.arrays()

    def _restore(self, arrays: Arrays) -> None:
        self._log = SessionLog.restore(arrays)
        self._pairs = self._counts(len(self._fitted()))
        every = np.arange(self._log.num_sessions)
        self._pairs.learn(self._log, every, np.zeros(len(every), np.int64))

    @abc.abstractmethod
    def _counts(self, size: int) -> PairCounts:
        """Empty counts over `size` item indices."""

    @abc.abstractmethod
    def _row(self, items: NDArray[np.int32]) -> scipy.sparse.csr_array:
        """[Q, vocabulary_size] scores after the items [Q], -1 for a query without one."""


class AssociationRules(PairRules):
    """Item co-occurrence: items that share sessions with the last item.

    With `a` the last item of the running session,

    `score(i) = sum over sessions x, over pairs of places p != q: [x_p = a] [x_q = i]`,

    so an item that occurs twice counts twice, and follows itself.

    Args:
        pruning: Number of rules kept for each item: those with the largest counts, ties by the
            more popular item (the lower index). None, the default, keeps all; the authors keep 20.

    Raises:
        ValueError: If `pruning` is not a positive integer.

    Example:

    >>> import polars as pl
    >>> from tfsessionrec import data
    >>> log = pl.DataFrame({"s": [1, 1, 1, 2, 2], "item_id": ["tea", "cup", "pot", "tea", "cup"],
    ...                     "timestamp": [0, 1, 2, 3, 4]})
    >>> sessions = data.sessionize(log, session="s")
    >>> rules = AssociationRules().fit(sessions, data.Vocabulary.from_sessions(sessions))
    >>> rules.recommend(["pot", "tea"], k=2)
    [('cup', 2.0), ('pot', 1.0)]

    References:
        Ludewig and Jannach, "Evaluation of session-based recommendation algorithms", UMUAI 2018,
        section 3.1 (AR).
    """

    def __init__(self, pruning: int | None = None) -> None:
        self.pruning = integer_or_none("pruning", pruning)

    def get_config(self) -> Config:
        return {**super().get_config(), "pruning": self.pruning}

    def _counts(self, size: int) -> PairCounts:
        return PairCounts(size, np.ones(1), symmetric=True, distinct=False)

    def _row(self, items: NDArray[np.int32]) -> scipy.sparse.csr_array:
        return self._pairs.rows(items, self.pruning or 0)


class SequentialRules(PairRules):
    """Items that follow the last item within `steps` places, weighted by nearness.

    With `a` the last item of the running session,

    `score(i) = sum over sessions x, places p < q <= p + steps: [x_p = a] [x_q = i] weight(q - p)`.

    | weighting | weight(d) |
    | --- | --- |
    | `"same"` | 1 |
    | `"linear"` | max(1 - d / 10, 0) |
    | `"div"` | 1 / d |
    | `"quadratic"` | 1 / d² |
    | `"log"` | 1 / log10(d + 1.7) |

    Args:
        steps: Largest distance of a counted pair, 10 by default.
        weighting: One of the above, `"div"` by default.
        pruning: Number of rules kept for each item: those with the largest weights, ties by the
            more popular item (the lower index). None, the default, keeps all; the authors keep 20.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> import polars as pl
    >>> from tfsessionrec import data
    >>> log = pl.DataFrame({"s": [1, 1, 1, 2, 2], "item_id": ["tea", "cup", "pot", "tea", "cup"],
    ...                     "timestamp": [0, 1, 2, 3, 4]})
    >>> sessions = data.sessionize(log, session="s")
    >>> rules = SequentialRules().fit(sessions, data.Vocabulary.from_sessions(sessions))
    >>> rules.recommend(["pot", "tea"], k=2)
    [('cup', 2.0), ('pot', 0.5)]

    References:
        Ludewig and Jannach, "Evaluation of session-based recommendation algorithms", UMUAI 2018,
        section 3.1 (SR).
    """

    def __init__(self, steps: int = 10, weighting: str = "div", pruning: int | None = None) -> None:
        self.steps = positive_integer("steps", steps)
        self.weighting = choice("weighting", weighting, _WEIGHTS)
        self.pruning = integer_or_none("pruning", pruning)

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "steps": self.steps,
            "weighting": self.weighting,
            "pruning": self.pruning,
        }

    def _counts(self, size: int) -> PairCounts:
        weights = _WEIGHTS[self.weighting](np.arange(1, self.steps + 1))
        return PairCounts(size, np.append(weights, 0), symmetric=False, distinct=False)

    def _row(self, items: NDArray[np.int32]) -> scipy.sparse.csr_array:
        return self._pairs.rows(items, self.pruning or 0)


class ItemKNN(PairRules):
    """The nearest items of the last item, by the cosine of their sessions.

    With `a` the last item of the running session, `c(a, i)` the number of sessions that hold both
    and `c(i)` the number that hold i, for the `k` items i != a with the largest scores,

    `score(i) = c(a, i) / ((c(a) + shrinkage)^alpha (c(i) + shrinkage)^(1 - alpha))`.

    Args:
        k: Number of neighbors of an item, ties by the more popular (the lower index). 100 by
            default.
        shrinkage: Lowers the scores of items with few sessions, 20 by default. 0 with `alpha=0.5`
            is the cosine.
        alpha: From 0, which divides by the recommended item's sessions, to 1, which divides by the
            last item's. 0.5 by default.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> import polars as pl
    >>> from tfsessionrec import data
    >>> log = pl.DataFrame({"s": [1, 1, 2, 2, 3], "item_id": ["tea", "cup", "tea", "pot", "cup"],
    ...                     "timestamp": [0, 1, 2, 3, 4]})
    >>> sessions = data.sessionize(log, session="s")
    >>> knn = ItemKNN(shrinkage=0).fit(sessions, data.Vocabulary.from_sessions(sessions))
    >>> [(item, round(score, 3)) for item, score in knn.recommend(["tea"])]
    [('pot', 0.707), ('cup', 0.5)]

    References:
        Hidasi et al., "Session-based recommendations with recurrent neural networks", ICLR 2016,
        section 4.1 (Item-KNN); `shrinkage` and `alpha` are its `lmbd` and `alpha`.
    """

    def __init__(self, k: int = 100, shrinkage: float = 20.0, alpha: float = 0.5) -> None:
        self.k = positive_integer("k", k)
        self.shrinkage, self.alpha = not_negative("shrinkage", shrinkage), share("alpha", alpha)

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "k": self.k,
            "shrinkage": self.shrinkage,
            "alpha": self.alpha,
        }

    def _counts(self, size: int) -> PairCounts:
        return PairCounts(size, np.ones(1), symmetric=True, distinct=True)

    def _row(self, items: NDArray[np.int32]) -> scipy.sparse.csr_array:
        support = self._pairs.support + self.shrinkage
        return self._pairs.rows(items, self.k, (support**self.alpha, support ** (1 - self.alpha)))
