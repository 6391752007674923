"""Collects queries, ranks many at a time, and sums the metrics of each system."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfsessionrec.evaluation.list_measures import ListMeasures
from tfsessionrec.evaluation.queries import Queries
from tfsessionrec.evaluation.query_details import QueryDetails
from tfsessionrec.evaluation.query_results import METRICS, QueryResults
from tfsessionrec.evaluation.ranks import MISS, Slices, rank_targets
from tfsessionrec.evaluation.sparse_ranks import rank_targets_sparse
from tfsessionrec.evaluation.sparse_system import SparseSystem
from tfsessionrec.evaluation.system import System
from tfsessionrec.evaluation.top_lists import top_lists, top_lists_sparse

_TOGETHER = 2**14  # Queries ranked at a time.


class Ranking:
    """Collects queries, ranks many at a time, and sums the metrics of each system.

    Args:
        systems: By name.
        cutoffs: Lengths of the list.
        first_item_index: First vocabulary index that is an item.
        filter_seen: Whether the items of the history are removed from the ranking.
        block_size: Scores held at a time.
        measures: Measures the lists of each system; None where nobody asks.
        keep: Whether the ranks of every query are kept, see `results`.
    """

    def __init__(
        self,
        systems: Mapping[str, System | SparseSystem],
        cutoffs: Sequence[int],
        *,
        first_item_index: int,
        filter_seen: bool,
        block_size: int,
        measures: ListMeasures | None,
        keep: bool,
    ) -> None:
        self.systems = systems
        self.cutoffs = cutoffs
        self.first_item_index = first_item_index
        self.filter_seen = filter_seen
        self.block_size = block_size
        self.measures = measures
        self.keep = keep
        self.num_queries = 0
        self._num_rows = 0
        self._sums: dict[str, dict[str, float]] = {name: {} for name in systems}
        # Of the queries that wait to be ranked:
        self._queries: list[Queries] = []
        self._num_waiting = 0
        self._embeddings: dict[str, list[NDArray[np.float32]]] = {name: [] for name in systems}
        self._terms: dict[str, list[Any]] = {name: [] for name in systems}
        self._ranks: dict[str, list[NDArray[np.int64]]] = {name: [] for name in systems}
        self._lists: dict[str, list[NDArray[np.int64]]] = {name: [] for name in systems}
        # Of every query, if they are kept:
        self._details: list[QueryDetails] = []
        self._kept_targets: list[tuple[NDArray[np.int64], NDArray[np.int32]]] = []
        self._kept_ranks: dict[str, list[NDArray[np.int32]]] = {name: [] for name in systems}
        self._kept_values: dict[str, dict[str, list[NDArray[np.float32]]]] = {
            name: {} for name in systems
        }

    def add(self, batch: Mapping[str, Any], queries: Queries) -> None:
        """Takes the queries of one batch; they may be none."""
        if len(queries.rows):
            for name, system in self.systems.items():
                if isinstance(system, SparseSystem):
                    self._rank_sparse(name, system, batch, queries)
                    continue
                embeddings, terms = system.queries(batch, queries.rows, queries.positions)
                self._embeddings[name].append(embeddings)
                if terms is not None:
                    self._terms[name].append(terms)
            if self.keep:
                self._details.append(QueryDetails.of(batch, queries, self._num_rows))
            self._queries.append(queries)
            self._num_waiting += len(queries.rows)
        self._num_rows += len(batch["item_ids"])
        if self._num_waiting >= _TOGETHER:
            self.finish()

    def finish(self) -> None:
        """Ranks what has been collected."""
        if not self._queries:
            return
        targets = _side_by_side([queries.targets for queries in self._queries])
        misses = np.concatenate([queries.misses for queries in self._queries])
        # Few targets first: a block of queries costs as much as its largest set. Then by time:
        # requests of one moment share what is true of the candidates.
        times = [terms.times for every in self._terms.values() for terms in every]
        keys = [np.concatenate(times)] if len(times) == len(self._queries) else []
        order = np.lexsort([*keys, (targets > 0).sum(axis=1)])
        targets = targets[order] - self.first_item_index
        missed = np.arange(misses.max(initial=0)) < misses[order, None]
        wide = np.pad(targets, [(0, 0), (0, missed.shape[1])], constant_values=-1)
        removed = None
        if self.filter_seen:
            removed = Slices.concatenate([queries.seen for queries in self._queries])
            removed = Slices(
                removed.items - self.first_item_index, removed.start[order], removed.stop[order]
            )
        if self.measures is not None:
            self.measures.add_targets(targets)
        back = np.argsort(order)
        if self.keep:
            self._keep_targets(
                np.where(wide >= 0, wide + self.first_item_index, 0)[back], missed[back]
            )
        for name, system in self.systems.items():
            if isinstance(system, SparseSystem):
                ranks = _side_by_side(self._ranks[name])[order]
                lists = np.concatenate(self._lists[name])[order] if self._lists[name] else None
            else:
                ranks, lists = self._rank(name, system, order, targets, removed)
            if missed.shape[1]:
                ranks = np.concatenate([ranks, np.where(missed, MISS, 0)], axis=1)
            self._sum(name, ranks)
            values = {}
            if self.measures is not None:
                assert lists is not None
                values = self.measures.add(name, lists, ranks, wide)
            if self.keep:
                self._keep(name, ranks[back], {key: value[back] for key, value in values.items()})
            for waiting in (self._embeddings, self._terms, self._ranks, self._lists):
                waiting[name].clear()
        self.num_queries += len(targets)
        self._queries.clear()
        self._num_waiting = 0

    def metrics(self, system: str) -> dict[str, float]:
        """Means over all queries."""
        means = {name: total / self.num_queries for name, total in self._sums[system].items()}
        return means | (self.measures.metrics(system) if self.measures is not None else {})

    def results(self) -> QueryResults:
        """The ranks of every query."""
        sizes, targets = zip(*self._kept_targets)
        return QueryResults(
            self.cutoffs,
            np.append(0, np.concatenate(sizes).cumsum()),
            np.concatenate(targets),
            {name: np.concatenate(ranks) for name, ranks in self._kept_ranks.items()},
            QueryDetails.join(self._details),
            {
                name: {key: np.concatenate(parts) for key, parts in values.items()}
                for name, values in self._kept_values.items()
            },
        )

    def _rank(
        self,
        name: str,
        system: System,
        order: NDArray[np.int64],
        targets: NDArray[np.int64],
        removed: Slices | None,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
        """Ranks of the targets, and the lists if anybody asks."""
        terms = None
        if self._terms[name]:
            first, *others = self._terms[name]
            terms = first.join(others).gather(order)
        embeddings = np.concatenate(self._embeddings[name])[order]
        how: dict[str, Any] = {
            "removed": removed,
            "block_size": self.block_size,
            "terms": terms,
            "first_candidate_id": self.first_item_index,
        }
        ranks = rank_targets(embeddings, system.candidates, targets, **how)
        if self.measures is None:
            return ranks, None
        return ranks, top_lists(embeddings, system.candidates, max(self.cutoffs), **how)

    def _rank_sparse(
        self, name: str, system: SparseSystem, batch: Mapping[str, Any], queries: Queries
    ) -> None:
        """The same at once: the scores of one batch are enough to hold."""
        scores = system.scores(batch, queries.rows, queries.positions)
        removed = None
        if self.filter_seen:
            seen = queries.seen
            removed = Slices(seen.items - self.first_item_index, seen.start, seen.stop)
        targets = queries.targets - self.first_item_index
        self._ranks[name].append(rank_targets_sparse(scores, targets, removed))
        if self.measures is not None:
            self._lists[name].append(top_lists_sparse(scores, max(self.cutoffs), removed))

    def _sum(self, name: str, ranks: NDArray[np.int64]) -> None:
        sums = self._sums[name]
        for metric, function in METRICS.items():
            for k in self.cutoffs:
                key = f"{metric}@{k}"
                sums[key] = sums.get(key, 0.0) + float(function(ranks, k).sum())

    def _keep_targets(self, targets: NDArray[np.int64], missed: NDArray[np.bool_]) -> None:
        real = targets > 0
        real[:, real.shape[1] - missed.shape[1] :] |= missed
        self._kept_targets.append((real.sum(axis=1), targets[real].astype(np.int32)))

    def _keep(
        self, name: str, ranks: NDArray[np.int64], values: Mapping[str, NDArray[np.float32]]
    ) -> None:
        largest = np.iinfo(np.int32).max
        self._kept_ranks[name].append(np.minimum(ranks[ranks > 0], largest).astype(np.int32))
        for key, value in values.items():
            self._kept_values[name].setdefault(key, []).append(value)


def _side_by_side(parts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """The rows of all parts, as wide as the widest (one column at the least), 0 for padding."""
    width = max(1, max(part.shape[1] for part in parts))
    return np.concatenate([np.pad(part, [(0, 0), (0, width - part.shape[1])]) for part in parts])
