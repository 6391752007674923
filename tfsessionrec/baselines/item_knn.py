"""Items whose sessions are those of the last item."""

from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from tfsessionrec.baselines.pair_counts import PairCounts
from tfsessionrec.baselines.pair_rules import PairRules
from tfsessionrec.checks import positive_integer


class ItemKNN(PairRules):
    """The nearest items of the last item, by the cosine of their sessions.

    With `a` the last item of the running session, `c(a, i)` the number of sessions that hold both
    and `c(i)` those that hold i, for the `k` items i != a for which it is largest,

    `score(i) = c(a, i) / ((c(a) + shrinkage)^alpha (c(i) + shrinkage)^(1 - alpha))`.

    Args:
        k: Number of neighbours of an item, of equally near ones the more popular (the lower index).
            100 by default.
        shrinkage: Makes items of few sessions less near, 20 by default. 0 with `alpha=0.5` is the
            cosine.
        alpha: From 0, which divides by the recommended item's sessions, to 1, which by the last
            item's. 0.5 by default.

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
        section 4.1 (Item-KNN); the names `shrinkage` and `alpha` are for its `lmbd` and `alpha`.
    """

    def __init__(self, k: int = 100, shrinkage: float = 20.0, alpha: float = 0.5) -> None:
        self.k = positive_integer("k", k)
        if not (np.isfinite(shrinkage) and shrinkage >= 0):
            raise ValueError(
                "`shrinkage` should be finite and not negative. "
                f"Received: `shrinkage`={shrinkage!r}"
            )
        if not 0 <= alpha <= 1:
            raise ValueError(f"`alpha` should be in [0, 1]. Received: `alpha`={alpha!r}")
        self.shrinkage, self.alpha = shrinkage, alpha

    def get_config(self) -> dict[str, Any]:
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
