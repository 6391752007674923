"""Items that follow the last item."""

from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from tfsessionrec.baselines.pair_counts import PairCounts
from tfsessionrec.baselines.pair_rules import PairRules
from tfsessionrec.checks import positive_integer

_WEIGHTS = {
    "same": lambda d: np.ones(len(d)),
    "linear": lambda d: np.maximum(1 - 0.1 * d, 0),
    "div": lambda d: 1 / d,
    "quadratic": lambda d: 1 / d**2,
    "log": lambda d: 1 / np.log10(d + 1.7),
}


class SequentialRules(PairRules):
    """Items that come at most `steps` places after the last item, the nearer the more.

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
        steps: How far behind an item counts, 10 by default.
        weighting: One of the above, `"div"` by default.
        pruning: How many rules of an item are kept, those that weigh most, of equal ones the more
            popular item's (the lower index). None, the default, keeps all; the authors keep 20.

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
        if weighting not in _WEIGHTS:
            raise ValueError(
                f"`weighting` should be one of {', '.join(_WEIGHTS)}. "
                f"Received: `weighting`={weighting!r}"
            )
        self.weighting = weighting
        self.pruning = pruning if pruning is None else positive_integer("pruning", pruning)

    def get_config(self) -> dict[str, Any]:
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
        return self._pairs.rows(items, self.pruning or 0, None)
