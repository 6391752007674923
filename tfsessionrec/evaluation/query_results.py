"""The ranks of every query, kept compactly."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfsessionrec.evaluation.query_details import QueryDetails
from tfsessionrec.metrics import average_precision, hit_rate, mrr, ndcg, precision, recall

METRICS: Mapping[str, Callable[[ArrayLike, int], NDArray[np.float64]]] = {
    "recall": recall,
    "precision": precision,
    "hit_rate": hit_rate,
    "ndcg": ndcg,
    "mrr": mrr,
    "map": average_precision,
}
"""Metrics of ranks, by the name that a report gives them."""

_TOGETHER = 2**16  # Queries whose ranks are laid out as a matrix at a time.


@dataclasses.dataclass(frozen=True)
class QueryResults:
    """The ranks of every query, in the order of the dataset.

    Args:
        cutoffs: The k of the evaluation.
        splits: [Q + 1], where each query's targets start and end.
        targets: [N] int32 vocabulary indices; 0 for unknown ones that count as misses.
        ranks: Of each system [N] int32; of a target that cannot be found the largest number.
        details: Whose query it is, and how much history it has.
        values: Of each system further metrics [Q], NaN where a query has none.
    """

    cutoffs: Sequence[int]
    splits: NDArray[np.int64]
    targets: NDArray[np.int32]
    ranks: Mapping[str, NDArray[np.int32]]
    details: QueryDetails
    values: Mapping[str, Mapping[str, NDArray[np.float32]]] = dataclasses.field(
        default_factory=dict
    )

    def __len__(self) -> int:
        return len(self.splits) - 1

    def metrics(
        self,
        system: str,
        cutoffs: Sequence[int] | None = None,
        kept: NDArray[np.bool_] | None = None,
    ) -> dict[str, NDArray[np.float64]]:
        """Every metric of every query, by its name in the report.

        Args:
            system: Which system.
            cutoffs: Other k than those of the evaluation; further metrics are then left out.
            kept: [N], the targets that count. All by default.

        Returns:
            [Q] arrays, NaN where a query has no target that counts.
        """
        ks = self.cutoffs if cutoffs is None else cutoffs
        parts: dict[str, list[NDArray[np.float64]]] = {
            f"{name}@{k}": [] for name in METRICS for k in ks
        }
        for ranks in self._padded(system, kept):
            for name, metric in METRICS.items():
                for k in ks:
                    parts[f"{name}@{k}"].append(metric(ranks, k))
        found = {name: np.concatenate(part) for name, part in parts.items()}
        if cutoffs is None and kept is None:
            of_lists = self.values.get(system, {})
            found |= {name: values.astype(np.float64) for name, values in of_lists.items()}
        return found

    def mean_recall(self, system: str, k: int) -> float:
        """Recall@k over all queries."""
        sizes = np.diff(self.splits)
        hits = np.add.reduceat(self.ranks[system] <= k, self.splits[:-1], dtype=np.int64)
        return float((hits / sizes).mean())

    def _padded(self, system: str, kept: NDArray[np.bool_] | None) -> Iterator[NDArray[np.int64]]:
        """Ranks [queries, targets] of some queries after another, 0 for padding."""
        sizes = np.diff(self.splits)
        for first in range(0, len(self), _TOGETHER):
            some = sizes[first : first + _TOGETHER]
            flat = slice(self.splits[first], self.splits[first] + some.sum())
            ranks = np.zeros((len(some), some.max()), np.int64)
            given = self.ranks[system][flat]
            ranks[np.arange(some.max()) < some[:, None]] = (
                given if kept is None else np.where(kept[flat], given, 0)
            )
            yield ranks
