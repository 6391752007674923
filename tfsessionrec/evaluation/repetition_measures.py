"""Repetition and exploration: figures of the targets that a history holds, and of the others."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from tfsessionrec.evaluation.list_measures import LISTS
from tfsessionrec.evaluation.query_results import METRICS
from tfsessionrec.evaluation.report_data import Repetition

MEASURED = ("recall", "hit_rate", "ndcg")
"""Metrics that the targets of the history, `_rep`, and the others, `_expl`, have."""


class RepetitionMeasures:
    """Measures the ranks and lists of several systems, some queries at a time.

    With `T` the targets of a query and `H` its whole history,

    - `recall_rep@k = |{t in T and H : rank(t) <= k}| / |T and H|`, `hit_rate_rep@k` and
      `ndcg_rep@k` are the metrics of the targets in `H` alone, each at its rank among all items.
      The mean is over the queries that have such a target;
    - `recall_expl@k`, `hit_rate_expl@k`, `ndcg_expl@k` are those of the targets outside `H`;
    - `repetition_ratio@k` is the share of the first k listed items that `H` holds; a query whose
      list is empty has none.

    Args:
        systems: Their names.
        cutoffs: Lengths of the list.

    Example: the first of two targets is in the history, and so is one item of a list of two.

    >>> measures = RepetitionMeasures(["model"], cutoffs=[2])
    >>> repeated = np.array([[True, False]])
    >>> measures.add_targets(repeated, ~repeated)
    >>> _ = measures.add("model", np.array([[1, 7]]), repeated, listed=np.array([[True, True]]),
    ...                  listed_again=np.array([[True, False]]))
    >>> found = measures.metrics("model")
    >>> found["recall_rep@2"], found["recall_expl@2"], found["repetition_ratio@2"]
    (1.0, 0.0, 0.5)

    References:
        Li, Jullien, Ariannezhad, de Rijke, "A Next Basket Recommendation Reality Check", ACM
        Transactions on Information Systems 2023 (arXiv:2109.14233).
    """

    def __init__(self, systems: Iterable[str], cutoffs: Sequence[int]) -> None:
        self.cutoffs = cutoffs
        self._sums: dict[str, dict[str, NDArray[np.float64]]] = {name: {} for name in systems}
        self._targets = np.zeros(2, np.int64)
        self._queries = np.zeros(2, np.int64)
        self._shares = np.zeros(2)

    def add_targets(self, repeated: NDArray[np.bool_], new: NDArray[np.bool_]) -> None:
        """Counts the targets of some queries.

        Args:
            repeated: [Q, T], those that the history holds.
            new: [Q, T], the others; padding is neither.
        """
        numbers = np.stack([repeated.sum(axis=1), new.sum(axis=1)])
        self._targets += numbers.sum(axis=1)
        self._queries += (numbers > 0).sum(axis=1)
        self._shares += [(numbers[0] / numbers.sum(axis=0)).sum(), numbers.shape[1]]

    def add(
        self,
        system: str,
        ranks: NDArray[np.int64],
        repeated: NDArray[np.bool_],
        listed: NDArray[np.bool_],
        listed_again: NDArray[np.bool_],
    ) -> dict[str, NDArray[np.float32]]:
        """Measures the ranks and lists of some queries.

        Args:
            system: Name of the system.
            ranks: [Q, T] of the targets, 0 for padding.
            repeated: [Q, T], the targets that the history holds.
            listed: [Q, k], which places of the list hold an item.
            listed_again: [Q, k], which of these items the history holds.

        Returns:
            By name each measure [Q] of single queries, NaN where a query has none.
        """
        found: dict[str, NDArray[np.float32]] = {}
        parts = {"rep": np.where(repeated, ranks, 0), "expl": np.where(repeated, 0, ranks)}
        for metric in MEASURED:
            for part, own in parts.items():
                for k in self.cutoffs:
                    name = f"{metric}_{part}@{k}"
                    found[name] = self._add(system, name, METRICS[metric](own, k))
        for k in self.cutoffs:
            sizes = listed[:, :k].sum(axis=1)
            values = listed_again[:, :k].sum(axis=1) / np.where(sizes == 0, np.nan, sizes)
            name = f"repetition_ratio@{k}"
            found[name] = self._add(system, name, values)
        return found

    def metrics(self, system: str) -> dict[str, float]:
        """The means over the queries so far that have each measure; NaN where none has."""
        return {
            name: float(total / count) if count else float("nan")
            for name, (total, count) in self._sums[system].items()
        }

    def targets(self) -> Repetition:
        """The numbers of targets that the histories hold, and of the others."""
        return {
            "repeated": int(self._targets[0]),
            "new": int(self._targets[1]),
            "queries_with_repeated": int(self._queries[0]),
            "queries_with_new": int(self._queries[1]),
            "repetition_ratio": float(self._shares[0] / self._shares[1]),
        }

    def rules(self) -> dict[str, str]:
        """What the names of the metrics mean, and how many queries have them."""
        found = self.targets()
        return {
            "repetition (_rep)": f"{found['repeated']:,} targets that the history holds, in "
            f"{found['queries_with_repeated']:,} queries, which the means are over",
            "exploration (_expl)": f"{found['new']:,} targets that are new to the history, in "
            f"{found['queries_with_new']:,} queries, which the means are over",
            "repetition_ratio": "share of the listed items that the history holds; among the "
            f"targets it is {found['repetition_ratio']:.4f}",
            "lists": LISTS,
        }

    def _add(self, system: str, name: str, values: NDArray[np.float64]) -> NDArray[np.float32]:
        sums = self._sums[system].setdefault(name, np.zeros(2))
        sums += [np.nansum(values), (~np.isnan(values)).sum()]
        return values.astype(np.float32)
