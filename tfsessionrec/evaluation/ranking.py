"""Collects queries, ranks many at a time, and sums the metrics of each system."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfsessionrec.evaluation.choices import Choices
from tfsessionrec.evaluation.list_measures import ListMeasures
from tfsessionrec.evaluation.queries import TargetSets
from tfsessionrec.evaluation.query_results import METRICS, QueryDetails, QueryResults
from tfsessionrec.evaluation.ranks import MISS, Slices, rank_queries
from tfsessionrec.evaluation.repetition_measures import RepetitionMeasures
from tfsessionrec.evaluation.seen_items import are_seen
from tfsessionrec.evaluation.sparse_ranks import rank_targets_sparse
from tfsessionrec.evaluation.system import EmbeddingSystem, SparseSystem, System
from tfsessionrec.evaluation.top_lists import top_lists, top_lists_sparse
from tfsessionrec.scoring import Queries
from tfsessionrec.types import Features

_RANKED_AT_ONCE = 2**14  # Queries.
_Number = TypeVar("_Number", np.int64, np.bool_)


@dataclass
class _Ranks:
    """The waiting queries of a system, and its results so far.

    Args:
        queries: Waiting queries of a model with embeddings, by batch.
        ranks: Ranks of waiting queries of a sparse system, by batch.
        lists: Lists of waiting queries of a sparse system, by batch, if they are made.
        sums: Sum of each metric over all ranked queries.
        sums_missed: The same, with the unknown targets that are left out as misses.
        kept_ranks: Ranks of all targets, by round of ranking.
        kept_values: Further metrics of all queries, by round of ranking.
        num_by_popularity: Queries without a known item in their history, so far.
    """

    queries: list[Queries] = field(default_factory=list)
    ranks: list[NDArray[np.int64]] = field(default_factory=list)
    lists: list[NDArray[np.int64]] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)
    sums_missed: dict[str, float] = field(default_factory=dict)
    kept_ranks: list[NDArray[np.int32]] = field(default_factory=list)
    kept_values: dict[str, list[NDArray[np.float32]]] = field(default_factory=dict)
    num_by_popularity: int = 0

    def add(
        self, ranks: NDArray[np.int64], left_out: NDArray[np.bool_], cutoffs: Sequence[int]
    ) -> None:
        """Adds the metrics of ranks [Q, T] of the waiting queries, which no longer wait.

        Args:
            ranks: [Q, T], 0 for padding.
            left_out: [Q, U], True for each unknown target that is left out.
            cutoffs: Lengths of the list.
        """
        with_misses = np.concatenate([ranks, np.where(left_out, MISS, 0)], axis=1)
        for metric, function in METRICS.items():
            for k in cutoffs:
                key = f"{metric}@{k}"
                total = missed = float(function(ranks, k).sum())
                if left_out.any():
                    missed = float(function(with_misses, k).sum())
                self.sums[key] = self.sums.get(key, 0.0) + total
                self.sums_missed[key] = self.sums_missed.get(key, 0.0) + missed
        self.queries.clear()
        self.ranks.clear()
        self.lists.clear()

    def keep(self, ranks: NDArray[np.int64], values: Mapping[str, NDArray[np.float32]]) -> None:
        """Keeps the ranks [Q, T] and further metrics [Q]."""
        largest = np.iinfo(np.int32).max
        self.kept_ranks.append(np.minimum(ranks[ranks > 0], largest).astype(np.int32))
        for key, value in values.items():
            self.kept_values.setdefault(key, []).append(value)


@dataclass(frozen=True)
class _Sets:
    """The targets of the queries that are ranked together, in the order of ranking.

    Args:
        order: [Q], the place of each query among those that waited.
        targets: [Q, T] candidate numbers, negative for padding.
        missed: [Q, M] True for each unknown target that counts as a miss.
        left_out: [Q, U] True for each unknown target that is left out.
        repeated: [Q, T + M], which targets and misses the history holds, if repetition is measured.
        seen: The items of the histories, candidate numbers, if they are needed.
        removed: The items that are not ranked, if any.
    """

    order: NDArray[np.int64]
    targets: NDArray[np.int64]
    missed: NDArray[np.bool_]
    left_out: NDArray[np.bool_]
    repeated: NDArray[np.bool_]
    seen: Slices | None
    removed: Slices | None

    @property
    def is_target(self) -> NDArray[np.bool_]:
        """[Q, T + M], which are targets that are asked for and not padding."""
        return np.concatenate([self.targets >= 0, self.missed], axis=1)


class Ranking:
    """Collects queries, ranks many at a time, and sums the metrics of each system.

    Args:
        systems: The systems by name.
        choices: Choices of the evaluation.
        measures: Measures the lists of each system beyond accuracy; None for no such measures.
        keep: Whether to keep the ranks of every query, see `results`.
    """

    def __init__(
        self,
        systems: Mapping[str, System],
        choices: Choices,
        measures: ListMeasures | None,
        keep: bool,
    ) -> None:
        self.systems = systems
        self.choices = choices
        self.measures = measures
        self.keep = keep
        self.repetition: RepetitionMeasures | None = None
        if choices.repetition:
            self.repetition = RepetitionMeasures(systems, choices.cutoffs)
        self.num_queries = 0
        self._num_rows = 0
        self._found = {name: _Ranks() for name in systems}
        self._waiting: list[TargetSets] = []
        self._num_waiting = 0
        self._details: list[QueryDetails] = []
        self._kept_targets: list[tuple[NDArray[np.int64], NDArray[np.int32]]] = []

    def add(self, batch: Features, queries: TargetSets) -> None:
        """Takes the queries of one batch, which may be none."""
        if len(queries.rows):
            for name, system in self.systems.items():
                if isinstance(system, SparseSystem):
                    self._rank_sparse(self._found[name], system, batch, queries)
                else:
                    asked = system.queries(batch, queries.rows, queries.positions)
                    self._found[name].queries.append(asked)
            if self.keep:
                self._details.append(QueryDetails.of(batch, queries, self._num_rows))
            self._waiting.append(queries)
            self._num_waiting += len(queries.rows)
        self._num_rows += len(batch["item_ids"])
        if self._num_waiting >= _RANKED_AT_ONCE:
            self.finish()

    def finish(self) -> None:
        """Ranks the queries that wait."""
        if not self._waiting:
            return
        sets = self._sets()
        back = np.argsort(sets.order)
        wide = np.pad(sets.targets, [(0, 0), (0, sets.missed.shape[1])], constant_values=-1)
        if self.measures is not None:
            self.measures.add_targets(sets.targets)
        if self.repetition is not None:
            self.repetition.add_targets(sets.repeated, sets.is_target & ~sets.repeated)
        if self.keep:
            first = self.choices.first_item_index
            self._keep_targets(np.where(wide >= 0, wide + first, 0)[back], sets.missed[back])
        for name, system in self.systems.items():
            found = self._found[name]
            if isinstance(system, SparseSystem):
                ranks = _side_by_side(found.ranks)[sets.order]
                lists = np.concatenate(found.lists)[sets.order] if found.lists else None
            else:
                ranks, lists = self._rank(found, system, sets)
            if sets.missed.shape[1]:
                ranks = np.concatenate([ranks, np.where(sets.missed, MISS, 0)], axis=1)
            found.add(ranks, sets.left_out, self.choices.cutoffs)
            values = self._measure(name, lists, ranks, wide, sets)
            if self.keep:
                found.keep(ranks[back], {key: value[back] for key, value in values.items()})
        self.num_queries += len(sets.order)
        self._waiting.clear()
        self._num_waiting = 0

    def metrics(self, system: str) -> dict[str, float]:
        """Means over all queries."""
        sums = self._found[system].sums
        means = {name: total / self.num_queries for name, total in sums.items()}
        for measures in (self.repetition, self.measures):
            means |= measures.metrics(system) if measures is not None else {}
        return means

    def metrics_missed(self, system: str, num_missed: int) -> dict[str, float]:
        """Means with unknown targets as misses, over all queries and `num_missed` without a hit."""
        sums = self._found[system].sums_missed
        return {name: total / (self.num_queries + num_missed) for name, total in sums.items()}

    @property
    def num_by_popularity(self) -> int | None:
        """Queries that popularity answers for the model; None where it answers all itself."""
        model = self.systems["model"]
        if isinstance(model, SparseSystem) or model.candidates.popularity is None:
            return None
        return self._found["model"].num_by_popularity

    def results(self) -> QueryResults:
        """The ranks of every query."""
        sizes, targets = zip(*self._kept_targets)
        return QueryResults(
            self.choices.cutoffs,
            np.append(0, np.concatenate(sizes).cumsum()),
            np.concatenate(targets),
            {name: np.concatenate(found.kept_ranks) for name, found in self._found.items()},
            QueryDetails.join(self._details),
            {
                name: {key: np.concatenate(parts) for key, parts in found.kept_values.items()}
                for name, found in self._found.items()
            },
        )

    def _sets(self) -> _Sets:
        """The targets of all queries that wait."""
        first = self.choices.first_item_index
        targets = _side_by_side([queries.targets for queries in self._waiting])
        misses = np.concatenate([queries.misses for queries in self._waiting])
        # Few targets first: a block of queries costs as much as its largest set. Then requests that
        # share work.
        orders = [
            np.concatenate([queries.terms[number].order for queries in found.queries])
            for found in self._found.values()
            for number in range(len(found.queries[0].terms) if found.queries else 0)
        ]
        order = np.lexsort([*orders, (targets > 0).sum(axis=1)])
        seen = None
        if self.choices.filter_seen or self.repetition is not None:
            seen = Slices.concatenate([queries.seen for queries in self._waiting])
            seen = Slices(seen.items - first, seen.start[order], seen.stop[order])
        missed = np.arange(misses.max(initial=0)) < misses[order, None]
        unknown = np.concatenate([queries.unknown for queries in self._waiting])
        left_out = np.arange(unknown.max(initial=0)) < unknown[order, None]
        again = np.concatenate([queries.repeated_misses for queries in self._waiting])
        repeated = np.concatenate(
            [
                _side_by_side([queries.repeated for queries in self._waiting])[order],
                np.arange(missed.shape[1]) < again[order, None],
            ],
            axis=1,
        )
        removed = seen if self.choices.filter_seen else None
        return _Sets(order, targets[order] - first, missed, left_out, repeated, seen, removed)

    @property
    def _makes_lists(self) -> bool:
        return self.measures is not None or self.repetition is not None

    def _measure(
        self,
        system: str,
        lists: NDArray[np.int64] | None,
        ranks: NDArray[np.int64],
        targets: NDArray[np.int64],
        sets: _Sets,
    ) -> dict[str, NDArray[np.float32]]:
        """Further metrics [Q] of a system's lists [Q, k] and of the ranks [Q, T] of the targets."""
        found: dict[str, NDArray[np.float32]] = {}
        if lists is None:
            return found
        if self.repetition is not None and sets.seen is not None:
            listed = lists >= 0
            again = listed & are_seen(lists, sets.seen)
            found |= self.repetition.add(system, ranks, sets.repeated, listed, again)
        if self.measures is not None:
            found |= self.measures.add(system, lists, ranks, targets)
        return found

    def _rank(
        self, found: _Ranks, system: EmbeddingSystem, sets: _Sets
    ) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
        """Ranks of the targets, and the lists if they are made."""
        first, *others = found.queries
        queries = first.join(others).gather(sets.order)
        if queries.known is not None:
            found.num_by_popularity += int(tf.math.count_nonzero(~queries.known))
        removed, block_size = sets.removed, self.choices.block_size
        ranks = rank_queries(queries, system.candidates, sets.targets, removed, block_size)
        if not self._makes_lists:
            return ranks, None
        k = max(self.choices.cutoffs)
        lists, _ = top_lists(queries, system.candidates, k, removed=removed, block_size=block_size)
        return ranks, lists

    def _rank_sparse(
        self, found: _Ranks, system: SparseSystem, batch: Features, queries: TargetSets
    ) -> None:
        """The same at once: memory holds the scores of one batch."""
        first = self.choices.first_item_index
        scores = system.scores(batch, queries.rows, queries.positions)
        removed = None
        if self.choices.filter_seen:
            seen = queries.seen
            removed = Slices(seen.items - first, seen.start, seen.stop)
        found.ranks.append(rank_targets_sparse(scores, queries.targets - first, removed))
        if self._makes_lists:
            found.lists.append(top_lists_sparse(scores, max(self.choices.cutoffs), removed))

    def _keep_targets(self, targets: NDArray[np.int64], missed: NDArray[np.bool_]) -> None:
        real = targets > 0
        real[:, real.shape[1] - missed.shape[1] :] |= missed
        self._kept_targets.append((real.sum(axis=1), targets[real].astype(np.int32)))


def _side_by_side(parts: Sequence[NDArray[_Number]]) -> NDArray[_Number]:
    """The rows of all parts, as wide as the widest (at least one column), 0 for padding."""
    width = max(1, max(part.shape[1] for part in parts))
    return np.concatenate([np.pad(part, [(0, 0), (0, width - part.shape[1])]) for part in parts])
