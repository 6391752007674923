"""Item co-occurrence."""

from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from tfsessionrec.baselines.pair_counts import PairCounts
from tfsessionrec.baselines.pair_rules import PairRules
from tfsessionrec.checks import positive_integer


class AssociationRules(PairRules):
    """Items that stand in one session with the last item: association rules of size two.

    With `a` the last item of the running session,

    `score(i) = sum over sessions x, over pairs of places p != q: [x_p = a] [x_q = i]`,

    so an item that comes twice counts twice, and after itself.

    Args:
        pruning: How many rules of an item are kept, those that count most, of equal ones the more
            popular item's (the lower index). None, the default, keeps all; the authors keep 20.

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
        self.pruning = pruning if pruning is None else positive_integer("pruning", pruning)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pruning": self.pruning}

    def _counts(self, size: int) -> PairCounts:
        return PairCounts(size, np.ones(1), symmetric=True, distinct=False)

    def _row(self, items: NDArray[np.int32]) -> scipy.sparse.csr_array:
        return self._pairs.rows(items, self.pruning or 0, None)
