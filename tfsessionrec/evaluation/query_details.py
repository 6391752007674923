"""What is told of each query beside its ranks: whose it is, and how much history it has."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfsessionrec.evaluation.queries import Queries


@dataclass(frozen=True)
class QueryDetails:
    """What is told of each query beside its ranks.

    Args:
        origins: [Q], a number for each row of the dataset, or what the batches' `origin` says:
            queries of one origin are no independent observations.
        running_lengths: [Q], positive items of the running session, the last one of the history
            with any.
        earlier_sessions: [Q], sessions before it; 0 where there is no running session.
    """

    origins: NDArray[np.int64]
    running_lengths: NDArray[np.int64]
    earlier_sessions: NDArray[np.int64]

    @classmethod
    def of(cls, batch: Mapping[str, Any], queries: Queries, first_row: int) -> "QueryDetails":
        """The details of one batch's queries.

        Args:
            batch: The batch. Where it has `origin`, `running_length` or `earlier_sessions`
                [B, S, I], the value at a history's last positive item (of `origin`, at its first
                item) says what cannot be counted here: of a history that was cut or laid out as one
                item a session.
            queries: Its queries.
            first_row: Number of the batch's first row.
        """
        items = np.asarray(batch["item_ids"]) > 0
        positive = items & (np.asarray(batch["labels"]) > 0) if "labels" in batch else items
        running = np.where(positive.any(axis=2), np.arange(items.shape[1]), -1)
        rows = queries.rows
        last = -1 if queries.positions is None else queries.positions
        session = np.maximum.accumulate(running, axis=1)[rows, last]
        nothing = session < 0
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
            # An empty history does not say whose it is: it stands for itself.
            told = np.asarray(batch["origin"])[rows, 0, 0]
            origins = np.where(items[rows, 0, 0], told, -1 - origins)
        return cls(
            origins.astype(np.int64),
            np.where(nothing, 0, lengths).astype(np.int64),
            np.where(nothing, 0, earlier).astype(np.int64),
        )

    @classmethod
    def join(cls, parts: list["QueryDetails"]) -> "QueryDetails":
        """The details of all parts, one after another."""
        return cls(
            np.concatenate([part.origins for part in parts]),
            np.concatenate([part.running_lengths for part in parts]),
            np.concatenate([part.earlier_sessions for part in parts]),
        )
