"""What is told of each query beside its ranks: whose it is, and how much history it has."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfsessionrec.evaluation.queries import Queries
from tfsessionrec.evaluation.system import ORIGINS


@dataclass(frozen=True)
class QueryDetails:
    """What is told of each query beside its ranks.

    Args:
        origins: [Q], a number for each row of the dataset, or what the batches' `origin` says:
            queries of one origin are no independent observations.
        running_lengths: [Q], positive items of the running session, the last one with an item.
        earlier_sessions: [Q], sessions with an item before it.
    """

    origins: NDArray[np.int64]
    running_lengths: NDArray[np.int64]
    earlier_sessions: NDArray[np.int64]

    @classmethod
    def of(cls, batch: Mapping[str, Any], queries: Queries, first_row: int) -> "QueryDetails":
        """The details of one batch's queries.

        Args:
            batch: The batch. Where it has `origin`, `running_length` or `earlier_sessions`
                [B, S, I], the value at a history's last item says what cannot be counted here: of
                a history that was cut or laid out as one item a session.
            queries: Its queries.
            first_row: Number of the batch's first row.
        """
        items = np.asarray(batch["item_ids"]) > 0
        positive = items & (np.asarray(batch["labels"]) > 0) if "labels" in batch else items
        real = items.any(axis=2)
        newest = np.maximum.accumulate(np.where(real, np.arange(real.shape[1]), -1), axis=1)
        rows = queries.rows
        last = newest[rows, -1 if queries.positions is None else queries.positions]
        empty = last < 0
        found = {
            "origin": first_row + rows,
            "running_length": np.where(empty, 0, positive.sum(axis=2)[rows, last]),
            "earlier_sessions": np.where(empty, 0, real.cumsum(axis=1)[rows, last] - 1),
        }
        place = items.sum(axis=2)[rows, last] - 1
        for name in ORIGINS:
            if name in batch:
                # An empty history says nothing: it stands for itself.
                nothing = -1 - found[name] if name == "origin" else 0
                told = np.asarray(batch[name])[rows, last, place]
                found[name] = np.where(empty, nothing, told)
        return cls(*(np.asarray(value, np.int64) for value in found.values()))

    @classmethod
    def join(cls, parts: list["QueryDetails"]) -> "QueryDetails":
        """The details of all parts, one after another."""
        return cls(
            np.concatenate([part.origins for part in parts]),
            np.concatenate([part.running_lengths for part in parts]),
            np.concatenate([part.earlier_sessions for part in parts]),
        )
