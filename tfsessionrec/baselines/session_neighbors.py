"""Scores from past sessions similar to the running one."""

import abc
import concurrent.futures
import dataclasses
import os

import numpy as np
import polars as pl
import scipy.sparse
from numpy.typing import NDArray

from tfsessionrec.baselines.arguments import choice, integer_or_none
from tfsessionrec.baselines.neighbor_index import NeighborIndex
from tfsessionrec.baselines.neighbor_search import (
    SIMILARITIES,
    SearchSettings,
    WeightedQueries,
    Workspace,
    explain_item,
    score_sessions,
)
from tfsessionrec.baselines.running_sessions import RunningSessions
from tfsessionrec.baselines.session_baseline import History, SessionBaseline
from tfsessionrec.baselines.session_log import Arrays, Id, SessionLog
from tfsessionrec.checks import boolean, integer, positive_integer
from tfsessionrec.types import Config

_TOGETHER = 256  # Queries that one thread scores at a time.


@dataclasses.dataclass(frozen=True)
class Explanation:
    """A past session that contributes to an item's score.

    Args:
        user_id: The session's user, as in the log.
        session_id: As in the log.
        session_index: The session's index among the user's sessions, from 0.
        time: Unix seconds of its last interaction.
        similarity: Its similarity to the running session.
        contribution: The part of the item's score that it adds.
        items: Raw ids of its known items, oldest first.
    """

    user_id: Id
    session_id: Id
    session_index: int
    time: float
    similarity: float
    contribution: float
    items: tuple[Id, ...]


class SessionNeighbors(SessionBaseline):
    """Scores items by the k most similar of the past sessions that share an item.

    With `s` the running session's items, `N(s)` its neighbors, `v` the weight of the places in s,
    and `i*` the latest item of s that `n` holds,

    `score(i) = item_weight(i) sum over n in N(s) that hold i: sim(s, n) match(i*) near(i, i*, n)`.

    | similarity | sim(s, n), sums over distinct items, an item of s at its last place |
    | --- | --- |
    | `"vec"` | sum of v over s ∩ n, / |s| |
    | `"cosine"` | the same sum / sqrt(|s| |n|) |
    | `"jaccard"` | the same sum / |s ∪ n| |
    | `"dice"` | twice the same sum / (|s| + |n|) |

    times `time(s, n)`. Subclasses define `v`, `match`, `near`, `time` and `item_weight`; each
    defaults to 1. Of the sessions that share an item, the search compares only `sample_size`: the
    most recent ones by their last interaction, or random ones, the same for one seed. Ties in
    similarity (in float32) go to the sessions that the sample prefers. Of sessions that end at the
    same moment, the one with the larger user id, then session index, is the more recent.

    After `update` has learned a running session, it is one of its own neighbors.

    Args:
        k: Number of neighbors.
        sample_size: Number of sessions that are compared, None for all.
        sampling: `"recent"` or `"random"`; random reads all sessions of all items.
        similarity: One of the above.
        remind: Whether items of the running session get scores.
        seed: Seed of a random sample.
    """

    learns = "in_steps"

    _log: SessionLog
    _index: NeighborIndex

    def __init__(
        self,
        k: int,
        sample_size: int | None,
        sampling: str,
        similarity: str,
        remind: bool,
        seed: int,
    ) -> None:
        self.k = positive_integer("k", k)
        self.sample_size = integer_or_none("sample_size", sample_size)
        self.sampling = choice("sampling", sampling, ("recent", "random"))
        self.similarity = choice("similarity", similarity, SIMILARITIES)
        self.remind = boolean("remind", remind)
        self.seed = integer("seed", seed)
        self._spare: list[Workspace] = []

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "k": self.k,
            "sample_size": self.sample_size,
            "sampling": self.sampling,
            "similarity": self.similarity,
            "remind": self.remind,
            "seed": self.seed,
        }

    def update(self, events: pl.DataFrame) -> None:
        self._learn(self.positives(events))

    def explain(
        self, history: History, item: Id, n: int | None = 3, *, time: float | None = None
    ) -> list[Explanation]:
        """The past sessions because of which an item is recommended.

        Args:
            history: As in `recommend`.
            item: Raw id of the item.
            n: Largest number of sessions, 3 by default; None for all, whose contributions add up
                to the item's score.
            time: Unix seconds of the request. Defaults to the latest time learned.

        Returns:
            The sessions by contribution, the largest first, ties by recency. Empty if the item
            has no score.

        Raises:
            ValueError: If the vocabulary does not hold the item.
        """
        vocabulary = self._fitted()
        number = int(vocabulary.lookup([item])[0])
        if number < vocabulary.first_item_index:
            raise ValueError(
                f"`item` should be an item of the vocabulary. Received: `item`={item!r}"
            )
        if n is not None:
            n = positive_integer("n", n)
        query = self._weighted(self.running_sessions(self._features(history, time)))
        work = self._workspace()
        numbers, similarities, added = explain_item(
            self._index.arrays(), self._settings(), work, query, self._item_weights(), number
        )
        numbers, similarities = numbers.copy(), similarities.copy()
        self._spare.append(work)
        best = np.lexsort((-numbers, -added))[:n]
        log = self._log
        found = []
        for at, slot in zip(best, self._index.slots[numbers[best]]):
            held = log.items[log.start[slot] : log.stop[slot]]
            found.append(
                Explanation(
                    user_id=log.users[slot],
                    session_id=log.session_ids[slot],
                    session_index=int(log.session_indices[slot]),
                    time=float(log.times[slot]),
                    similarity=float(similarities[at]),
                    contribution=float(added[at]),
                    items=tuple(vocabulary.raw(held).tolist()),
                )
            )
        return found

    def _learn_all(self, events: pl.DataFrame) -> None:
        self._log = SessionLog()
        self._start_index()
        self._learn(events)

    def _learn(self, events: pl.DataFrame) -> None:
        if not events.is_empty():
            slots, _ = self._log.extend_by(events)
            self._index.learn(self._log, slots)
            self._count(events["item_ids"].to_numpy())

    def _count(self, items: NDArray[np.int32]) -> None:
        self._interactions += np.bincount(items, minlength=len(self._interactions))

    def _start_index(self) -> None:
        seed = self.seed if self.sampling == "random" else None
        self._index = NeighborIndex(len(self._fitted()), seed)
        self._interactions = np.zeros(len(self._fitted()), np.int64)
        self._spare = []

    def _arrays(self) -> Arrays:
        return self._log.arrays()

    def _restore(self, arrays: Arrays) -> None:
        self._log = SessionLog.restore(arrays)
        self._start_index()
        self._index.learn(self._log, np.arange(self._log.num_sessions))
        self._count(arrays["items"])

    def _score(self, queries: RunningSessions) -> scipy.sparse.csr_array:
        weighted, size = self._weighted(queries), len(queries.times)
        index, settings, item_weights = self._index.arrays(), self._settings(), self._item_weights()

        def part(
            first: int,
        ) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
            some = weighted.part(first, min(first + _TOGETHER, size))
            work = self._workspace()
            scores = score_sessions(index, settings, work, some, item_weights)
            self._spare.append(work)
            return scores

        firsts = range(0, max(size, 1), _TOGETHER)
        if len(firsts) == 1:
            parts = [part(0)]
        else:
            with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
                parts = list(pool.map(part, firsts))
        ends = np.cumsum([0, *(len(data) for _, _, data in parts)])
        indptr = np.concatenate(
            [[0], *(one[1:] + end for (one, _, _), end in zip(parts, ends))]
        ).astype(np.int64)
        return scipy.sparse.csr_array(
            (
                np.concatenate([data for _, _, data in parts]),
                np.concatenate([indices for _, indices, _ in parts]),
                indptr,
            ),
            shape=(size, len(self._fitted())),
        )

    def _weighted(self, queries: RunningSessions) -> WeightedQueries:
        """The queries with the weights of their items; an unknown time is the latest learned."""
        lengths = np.diff(queries.offsets)
        length = np.repeat(lengths, lengths)
        behind = np.repeat(queries.offsets[1:], lengths) - 1 - np.arange(len(queries.items))
        latest = self._log.times[: self._log.num_sessions].max(initial=0.0)
        times = np.where(np.isnan(queries.times), latest, queries.times)
        place = np.ascontiguousarray(self._place_weights(behind, length), np.float64)
        match = np.ascontiguousarray(self._match_weights(behind), np.float64)
        return WeightedQueries(queries.items, queries.offsets, times, place, match)

    def _settings(self) -> SearchSettings:
        return SearchSettings(
            self.k,
            self.sample_size or 0,
            self.sampling == "recent",
            SIMILARITIES.index(self.similarity),
            float(self._seconds()),
            float(self._distance()),
            self.remind,
        )

    def _workspace(self) -> Workspace:
        """Memory that no other thread uses; the caller returns it by appending it to `_spare`."""
        sessions = len(self._index.arrays().alive)
        try:
            work = self._spare.pop()
            if len(work.place) >= sessions:
                return work
        except IndexError:
            pass
        return Workspace.of(sessions + sessions // 4, len(self._fitted()))

    def _idf(self) -> NDArray[np.float64]:
        """[vocabulary_size], max(log(number of sessions / interactions with the item), 0)."""
        ratio = max(self._index.num_alive, 1) / np.maximum(self._interactions, 1)
        return np.log(np.maximum(ratio, 1))

    @abc.abstractmethod
    def _place_weights(
        self, behind: NDArray[np.int64], length: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """`v` of items with `behind` others after them in a session of `length`."""

    def _match_weights(self, behind: NDArray[np.int64]) -> NDArray[np.float64]:
        """`match` of items with `behind` others after them."""
        return np.ones(len(behind))

    def _item_weights(self) -> NDArray[np.float64]:
        """`item_weight`, [vocabulary_size]."""
        return np.ones(len(self._fitted()))

    def _seconds(self) -> float:
        """`time(s, n)` is exp(-age of n / seconds), or 1 for 0 seconds."""
        return 0.0

    def _distance(self) -> float:
        """`near(i, i*, n)` is exp(-places between i and i* / distance), or 1 for 0."""
        return 0.0
