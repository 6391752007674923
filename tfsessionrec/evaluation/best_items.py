"""The best items of a system for every row of a batch."""

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfsessionrec.evaluation.list_search import Lists, ListSearch, best_stored
from tfsessionrec.evaluation.ranks import BLOCK_SIZE, Slices
from tfsessionrec.evaluation.system import EmbeddingSystem, SparseSystem, System
from tfsessionrec.scoring import Queries
from tfsessionrec.types import Features


class BestItems:
    """Lists the best of some items for every row of a batch, after its whole history.

    A model with embeddings scores all items, and popularity answers histories without a known item
    (`EmbeddingSystem.use_popularity`). A system of sparse scores lists the items that it scores.

    Args:
        system: The system.
        items: [C] vocabulary indices that may be listed, ascending.
    """

    def __init__(self, system: System, items: NDArray[np.int64]) -> None:
        self._system = system
        self._items = items
        self._search: ListSearch | None = None
        if isinstance(system, EmbeddingSystem):
            self._table = tf.gather(system.table, items)
            popularity = system.candidates.popularity
            assert popularity is not None
            self._popularity = popularity.numpy()[items - system.candidates.first_id]
            self._popular = np.argsort(-self._popularity, kind="stable")

    def __call__(self, batch: Features, k: int, removed: Slices | None = None) -> Lists:
        """The lists of a batch.

        Args:
            batch: B histories.
            k: Length of a list.
            removed: Places in `items` that are left out, for each history. None by default.

        Returns:
            [B, min(k, C)] int64 places in `items`, -1 where none is left, and their float32 scores.
        """
        rows = np.arange(len(batch["item_ids"]))
        if isinstance(self._system, SparseSystem):
            return self._stored(self._system, batch, rows, k, removed)
        queries = self._system.queries(batch, rows, None)
        if queries.dense_terms:
            return self._with_terms(queries, k, removed)
        found, values = self._of_popularity(queries, k, removed)
        assert queries.known is not None
        known = np.flatnonzero(queries.known.numpy())
        if removed is not None:
            removed = Slices(removed.items, removed.start[known], removed.stop[known])
        found[known], values[known] = self._of_known(queries.gather(known), k, removed)
        return found, values

    def _of_known(self, queries: Queries, k: int, removed: Slices | None) -> Lists:
        """The lists of histories with a known item."""
        if self._search is None:
            self._search = ListSearch(self._table.numpy())
        embeddings = queries.embeddings.numpy()
        if not queries.terms or not len(embeddings):
            return self._search(embeddings, k, removed)
        # Items that terms hold are scored by themselves, all others by the product alone.
        ids = [term.stored()[0].numpy() for term in queries.stored_terms]
        stored = np.sort(np.concatenate(ids, axis=1), axis=1)
        places = np.minimum(np.searchsorted(self._items, stored), len(self._items) - 1)
        held = self._items[places] == stored
        held[:, 1:] &= stored[:, 1:] != stored[:, :-1]
        own = queries.score_own(tf.gather(self._table, places), tf.constant(stored)).numpy()
        rows, columns = held.nonzero()
        gone = rows, places[held]
        if removed is not None:
            others = removed.pairs(0, len(stored))
            size = len(self._items)
            out = np.isin(gone[0] * size + gone[1], others[0] * size + others[1])
            held[rows[out], columns[out]] = False
            gone = np.append(gone[0], others[0]), np.append(gone[1], others[1])
        found, values = self._search(embeddings, k, Slices.of_pairs(*gone, len(stored)))
        found = np.append(found, np.where(held, places, -1), axis=1)
        values = np.append(values, np.where(held, own, -np.inf), axis=1)
        order = np.lexsort((found, -values))[:, : min(k, len(self._items))]
        found = np.take_along_axis(found, order, axis=1)
        return found, np.take_along_axis(values, order, axis=1)

    def _stored(
        self,
        system: SparseSystem,
        batch: Features,
        rows: NDArray[np.int64],
        k: int,
        removed: Slices | None,
    ) -> Lists:
        scores = system.scores(batch, rows, None)
        if len(self._items) < scores.shape[1]:
            scores = scores[:, self._items - system.first_item_index]
        return best_stored(scores, k, removed)

    def _of_popularity(self, queries: Queries, k: int, removed: Slices | None) -> Lists:
        """The lists of histories without a known item; the others are empty."""
        k = min(k, len(self._items))
        found = np.full((len(queries.embeddings), k), -1, np.int64)
        values = np.full(found.shape, -np.inf, np.float32)
        assert queries.known is not None
        for row in np.flatnonzero(~queries.known.numpy()):
            best = self._popular[:k]
            if removed is not None:
                gone = removed.items[removed.start[row] : removed.stop[row]]
                best = self._popular[: k + len(gone)]
                best = best[~np.isin(best, gone)][:k]
            found[row, : len(best)], values[row, : len(best)] = best, self._popularity[best]
        return found, values

    def _with_terms(self, queries: Queries, k: int, removed: Slices | None) -> Lists:
        """The lists of a model whose candidates have terms: all scores of a few rows at a time."""
        size, k = len(self._items), min(k, len(self._items))
        rows = max(1, BLOCK_SIZE // (size * (1 + queries.num_features)))
        parts = []
        for first in range(0, len(queries.embeddings), rows):
            last = min(first + rows, len(queries.embeddings))
            some = queries.gather(tf.range(first, last))
            scores = some.score(self._table, tf.constant(self._items, tf.int32))
            scores = some.unknown_by_popularity(scores, tf.constant(self._popularity)).numpy()
            if removed is not None:
                scores[removed.pairs(first, last)] = -np.inf
            best = tf.math.top_k(scores, k)
            parts.append((best.values.numpy(), best.indices.numpy()))
        values, found = (np.concatenate(part) for part in zip(*parts))
        return np.where(np.isneginf(values), -1, found).astype(np.int64), values
