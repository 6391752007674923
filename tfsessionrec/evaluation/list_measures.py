"""Beyond accuracy: coverage, novelty, popularity bias and diversity of each system's lists."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfsessionrec.evaluation.report_data import Exposure
from tfsessionrec.evaluation.system import EmbeddingSystem, System
from tfsessionrec.metrics import (
    coverage,
    exposure,
    gini,
    intra_list_diversity,
    list_mean,
    self_information,
)

LISTS = "equal scores by lower index; of sparse systems the items that they score"
"""How the lists are made, in words."""

_POINTS = 40  # Of the curve of exposure over popularity.


class ListMeasures:
    """Measures the lists of several systems, some queries at a time.

    Args:
        systems: Their names.
        cutoffs: Lengths of the list.
        counts: [C], the clicks of the candidates in training.
        features: [C, D] vectors or [C] categories of the candidates; None for no diversity.
    """

    def __init__(
        self,
        systems: Iterable[str],
        cutoffs: Sequence[int],
        counts: NDArray[np.number],
        features: NDArray[np.generic] | None,
    ) -> None:
        self.cutoffs = cutoffs
        self.counts = counts
        self.features = features
        self._information = self_information(counts)
        self._by_count = np.argsort(-counts, kind="stable")
        self._shown = {name: np.zeros((len(cutoffs), len(counts)), np.int64) for name in systems}
        self._sums: dict[str, dict[str, NDArray[np.float64]]] = {name: {} for name in self._shown}
        self._targets = np.zeros(len(counts), np.int64)

    def add_targets(self, targets: NDArray[np.int64]) -> None:
        """Counts the targets [Q, T], candidate numbers, negative for padding."""
        self._targets += np.bincount(targets[targets >= 0], minlength=len(self.counts))

    def add(
        self,
        system: str,
        lists: NDArray[np.int64],
        ranks: NDArray[np.int64],
        targets: NDArray[np.int64],
    ) -> dict[str, NDArray[np.float32]]:
        """Measures the lists of some queries.

        Args:
            system: Name of the system.
            lists: [Q, k] candidate numbers, -1 for an empty place.
            ranks: [Q, T] of the targets, 0 for padding.
            targets: [Q, T] candidate numbers, negative for padding and unknown targets.

        Returns:
            By name each measure [Q] of single queries, NaN where a query has none.
        """
        found: dict[str, NDArray[np.float32]] = {}
        popular = np.zeros(len(self.counts), bool)
        for number, k in enumerate(self.cutoffs):
            self._shown[system][number] += exposure(lists, k, len(self.counts))
            popular[self._by_count[:k]] = True
            surprising = (ranks > 0) & (ranks <= k) & ~(popular[targets] & (targets >= 0))
            values = {
                "novelty": list_mean(lists, k, self._information),
                "mean_popularity": list_mean(lists, k, self.counts),
                "serendipity": surprising.sum(axis=1) / (ranks > 0).sum(axis=1),
            }
            if self.features is not None:
                values["diversity"] = intra_list_diversity(lists, k, self.features)
            for name, value in values.items():
                found[f"{name}@{k}"] = value.astype(np.float32)
                sums = self._sums[system].setdefault(f"{name}@{k}", np.zeros(2))
                sums += [np.nansum(value), (~np.isnan(value)).sum()]
        return found

    def metrics(self, system: str) -> dict[str, float]:
        """The measures of all lists so far."""
        found = {}
        for number, k in enumerate(self.cutoffs):
            found[f"coverage@{k}"] = coverage(self._shown[system][number])
            found[f"gini@{k}"] = gini(self._shown[system][number])
        for name, (total, count) in self._sums[system].items():
            found[name] = float(total / count) if count else float("nan")
        return found

    def exposure(self) -> Exposure:
        """Shares of recommendations, targets and clicks that the n most popular items have."""
        points = np.geomspace(1, len(self.counts), _POINTS).round().astype(int)
        items = np.unique(points)

        def shares(amounts: NDArray[np.number]) -> list[float]:
            total = max(float(amounts.sum()), 1.0)
            return (amounts[self._by_count].cumsum()[items - 1] / total).tolist()

        curves: Mapping[str, NDArray[np.number]] = {
            "training clicks": self.counts,
            "targets": self._targets,
            **{name: shown[0] for name, shown in self._shown.items()},
        }
        return {
            "k": self.cutoffs[0],
            "most popular items": items.tolist(),
            "shares": {name: shares(amounts) for name, amounts in curves.items()},
        }


def list_measures(
    systems: Mapping[str, System],
    cutoffs: Sequence[int],
    first: int,
    counts: NDArray[np.number] | None,
    item_features: ArrayLike | None,
) -> ListMeasures:
    """Measures of the lists, diversity by the given features or the model's embeddings.

    Args:
        systems: The systems by name.
        cutoffs: Lengths of the list.
        first: First vocabulary index that is an item.
        counts: [vocabulary_size], the clicks of the items in training.
        item_features: [vocabulary_size] categories or [vocabulary_size, D] vectors, or None.

    Raises:
        ValueError: If there are no counts, or the features are of another shape.
    """
    if counts is None:
        raise ValueError(
            "`beyond_accuracy` needs the items' counts: give `popularity` or a `vocabulary` that "
            "has any. Received: neither"
        )
    model = systems["model"]
    features = None
    if item_features is not None:
        features = np.asarray(item_features)
        if features.ndim not in (1, 2) or len(features) != model.vocabulary_size:
            raise ValueError(
                f"`item_features` should be categories of shape {(model.vocabulary_size,)} or "
                f"vectors of shape ({model.vocabulary_size}, D). "
                f"Received: `item_features` of shape {features.shape}"
            )
        features = features[first:]
    elif isinstance(model, EmbeddingSystem):
        features = model.candidates.embeddings.numpy()
    return ListMeasures(systems, cutoffs, counts[first:], features)


def list_rules(measures: ListMeasures, item_features: ArrayLike | None) -> dict[str, str]:
    """How the lists are made, and what diversity goes by."""
    diversity = "not measured: the model has no item embeddings"
    if measures.features is not None:
        diversity = "1 - cosine of the model's item embeddings"
        if item_features is not None:
            vectors = measures.features.ndim == 2
            diversity = "1 - cosine of the given vectors" if vectors else "by categories"
    return {"lists": LISTS, "diversity": diversity}
