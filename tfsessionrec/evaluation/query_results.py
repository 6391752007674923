"""The ranks of every query, kept compactly, and where each query comes from."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfsessionrec.evaluation.queries import TargetSets
from tfsessionrec.metrics import average_precision, hit_rate, mrr, ndcg, precision, recall
from tfsessionrec.types import Features

METRICS: Mapping[str, Callable[[ArrayLike, int], NDArray[np.float64]]] = {
    "recall": recall,
    "precision": precision,
    "hit_rate": hit_rate,
    "ndcg": ndcg,
    "mrr": mrr,
    "map": average_precision,
}
"""Metrics of ranks, by their name in a report."""

_MATRIX_ROWS = 2**16  # Queries whose ranks are laid out as a matrix at a time.


@dataclasses.dataclass(frozen=True)
class QueryDetails:
    """Where each query comes from, and how much history it has.

    Args:
        origins: [Q], the dataset row of each query, or what `origin` of the batches says; queries
            of one origin are not independent observations.
        running_lengths: [Q], positive items of the running session: the last one of the history
            with any.
        earlier_sessions: [Q], sessions before it; 0 where there is no running session.
        questions: [Q], the number of each in the log, which is the same for every system; -1 where
            the batches do not number them.
    """

    origins: NDArray[np.int64]
    running_lengths: NDArray[np.int64]
    earlier_sessions: NDArray[np.int64]
    questions: NDArray[np.int64]

    @classmethod
    def of(cls, batch: Features, queries: TargetSets, first_row: int) -> "QueryDetails":
        """The details of one batch's queries.

        Args:
            batch: The batch. `origin`, `running_length` and `earlier_sessions` [B, S, I], where it
                has them, replace what is counted here, for histories that were cut or hold one item
                a session: the value at a history's last positive item (of `origin`: at its first
                item) counts.
            queries: Its queries.
            first_row: Number of the batch's first row.
        """
        items = np.asarray(batch["item_ids"]) > 0
        positive = items & (np.asarray(batch["labels"]) > 0) if "labels" in batch else items
        rows = queries.rows
        last = -1 if queries.positions is None else queries.positions
        numbers = np.where(np.any(positive, axis=2), np.arange(items.shape[1]), -1)
        session = np.maximum.accumulate(numbers, axis=1)[rows, last]
        place = items.shape[2] - 1 - positive[rows, session, ::-1].argmax(axis=1)

        def newest(name: str) -> NDArray[np.int64]:
            return np.asarray(batch[name])[rows, session, place]

        if "running_length" in batch:
            lengths = newest("running_length")
        else:
            lengths = positive.sum(axis=2)[rows, session]
        if "earlier_sessions" in batch:
            earlier = newest("earlier_sessions")
        else:
            earlier = items.any(axis=2).cumsum(axis=1)[rows, session] - 1
        origins = first_row + rows
        if "origin" in batch:
            # An empty history has no item that names its origin: it is one of its own.
            named = np.asarray(batch["origin"])[rows, 0, 0]
            origins = np.where(items[rows, 0, 0], named, -1 - origins)
        questions = np.full(len(rows), -1)
        if "question" in batch:
            questions, origins = np.asarray(batch["question"])[rows].T
        return cls(
            origins.astype(np.int64),
            np.where(session < 0, 0, lengths).astype(np.int64),
            np.where(session < 0, 0, earlier).astype(np.int64),
            questions.astype(np.int64),
        )

    @classmethod
    def join(cls, parts: Sequence["QueryDetails"]) -> "QueryDetails":
        """The details of all parts, one after another."""
        return cls(
            np.concatenate([part.origins for part in parts]),
            np.concatenate([part.running_lengths for part in parts]),
            np.concatenate([part.earlier_sessions for part in parts]),
            np.concatenate([part.questions for part in parts]),
        )

    def select(self, chosen: NDArray[np.int64]) -> "QueryDetails":
        """The details of the queries with these numbers."""
        fields = (self.origins, self.running_lengths, self.earlier_sessions, self.questions)
        return QueryDetails(*(field[chosen] for field in fields))


@dataclasses.dataclass(frozen=True)
class QueryResults:
    """The ranks of every query, in the order of the dataset.

    Args:
        cutoffs: Lengths of the list in the evaluation.
        splits: [Q + 1], where the targets of each query start and end.
        targets: [N] int32 vocabulary indices; 0 for unknown ones that count as misses.
        ranks: By system [N] int32; the largest int32 for a target that cannot be found.
        details: Where each query comes from, and how much history it has.
        values: By system further metrics [Q], NaN where a query has none.
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
            system: Name of the system.
            cutoffs: Lengths of the list, by default those of the evaluation. With others the
                further metrics are left out.
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

    def by_question(self) -> "QueryResults":
        """The same in the order of the questions, so that results of several systems can be paired.

        The number of the question replaces each of its targets: a system without an item in its
        vocabulary has no index for it.
        """
        order = np.argsort(self.details.questions, kind="stable")
        sizes = np.diff(self.splits)[order]
        ends = np.cumsum(sizes)
        places = np.arange(ends[-1]) + np.repeat(self.splits[order] - ends + sizes, sizes)
        details = self.details.select(order)
        return dataclasses.replace(
            self,
            splits=np.append(0, ends),
            targets=np.repeat(details.questions, sizes).astype(np.int32),
            ranks={name: ranks[places] for name, ranks in self.ranks.items()},
            details=details,
            values={
                name: {key: value[order] for key, value in values.items()}
                for name, values in self.values.items()
            },
        )

    def mean_recall(self, system: str, k: int) -> float:
        """Recall@k over all queries."""
        sizes = np.diff(self.splits)
        hits = np.add.reduceat(self.ranks[system] <= k, self.splits[:-1], dtype=np.int64)
        return float((hits / sizes).mean())

    def _padded(self, system: str, kept: NDArray[np.bool_] | None) -> Iterator[NDArray[np.int64]]:
        """Ranks [queries, targets] of one part of the queries after another, 0 for padding."""
        sizes = np.diff(self.splits)
        for first in range(0, len(self), _MATRIX_ROWS):
            some = sizes[first : first + _MATRIX_ROWS]
            flat = slice(self.splits[first], self.splits[first] + some.sum())
            ranks = np.zeros((len(some), some.max()), np.int64)
            given = self.ranks[system][flat]
            ranks[np.arange(some.max()) < some[:, None]] = (
                given if kept is None else np.where(kept[flat], given, 0)
            )
            yield ranks
