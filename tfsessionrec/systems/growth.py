"""A model that grows by items: what was trained stays, new rows start from their neighbors."""

import dataclasses

import numpy as np
import polars as pl
import scipy.sparse
import tensorflow as tf
from numpy.typing import NDArray

from tfsessionrec.data import Sessions, Vocabulary
from tfsessionrec.models import SessionRec

Rows = NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Growth:
    """A trained model, and a new one with more items.

    Args:
        old: The trained model, with its optimizer.
        old_vocabulary: Its items.
        new: The new model, with weights of its initializers.
        vocabulary: Its items: `old_vocabulary` after `Vocabulary.grow`.
    """

    old: SessionRec
    old_vocabulary: Vocabulary
    new: SessionRec
    vocabulary: Vocabulary

    def copy_weights(self, sessions: Sessions) -> int:
        """Gives the new model the weights of the trained one.

        The rows of items and categories that were trained stay, bit by bit. The row of an item that
        is new in `sessions` is the mean of the rows of its neighbors: items trained before, that
        come directly before or after it among the positive interactions of a session. Where it has
        none, and in rows of new categories, the initial value of the new model stays. The repeat
        rate of a new item is the mean of the others.

        Args:
            sessions: The sessions of the later log.

        Returns:
            How many new items have neighbors.
        """
        items = self.new.backbone.items
        kept = {id(variable) for variable in items.feature_tables.values()}  # values, no weights
        rows = self._rows()
        for old, new in zip(self.old.variables, self.new.variables, strict=True):
            if id(new) in kept:
                continue
            if id(new) in rows:
                new.assign(_with_rows(new, old, rows[id(new)]))
            else:
                new.assign(old)
        table = items.item_table.numpy()
        first, end = self.vocabulary.first_item_index, self._end
        added, means = neighbor_means(table, self.vocabulary, sessions, first, end)
        table[added] = means
        items.item_table.assign(table)
        if self.new.habit is not None:
            rates = self.new.habit.repeat_rates.numpy()
            rates[self._end :] = rates[first : self._end].mean()
            self.new.habit.set_repeat_rates(rates)
        return len(added)

    def copy_moments(self) -> None:
        """Gives the optimizer of the new model the state of the trained one; new rows have none."""
        old_optimizer, optimizer = self.old.optimizer, self.new.optimizer
        optimizer.build(self.new.trainable_variables)
        optimizer.iterations.assign(old_optimizer.iterations)
        rows = self._rows()
        pairs = zip(self.old.trainable_variables, self.new.trainable_variables, strict=True)
        for old, new in pairs:
            moments = zip(old_optimizer.moments(old), optimizer.moments(new), strict=True)
            for before, after in moments:
                grown = id(new) in rows
                after.assign(_with_rows(after, before, rows[id(new)]) if grown else before)

    @property
    def _end(self) -> int:
        """One past the last row of an item that was trained on."""
        return len(self.old_vocabulary) - self.old_vocabulary.num_new_items

    def _rows(self) -> dict[int, tuple[Rows, Rows]]:
        """By variable of the new model that has grown: trained rows, and their place there."""
        old, new = self.old.backbone.items, self.new.backbone.items
        trained = np.arange(self._end)
        rows = {id(new.item_table): (trained, trained)}
        if self.new.habit is not None:
            rows[id(self.new.habit.repeat_rates)] = (trained, trained)
        first = self.old_vocabulary.first_item_index
        before = np.arange(len(self.old_vocabulary))
        after = np.append(before[:first], self.vocabulary.lookup(self.old_vocabulary.ids))
        for name, table in new.category_tables.items():
            numbers = old.feature_tables[name].numpy()[before].reshape(len(before), -1)
            others = new.feature_tables[name].numpy()[after].reshape(len(after), -1)
            width = numbers.shape[1]
            pairs = np.stack([numbers.ravel(), others[:, :width].ravel()])
            pairs = np.unique(np.append(pairs, [[0], [0]], axis=1), axis=1)
            rows[id(table)] = (pairs[0], pairs[1])
        return rows


def neighbor_means(
    table: NDArray[np.float32], vocabulary: Vocabulary, sessions: Sessions, first: int, end: int
) -> tuple[Rows, NDArray[np.float32]]:
    """The means of the rows of items next to new ones in the sessions.

    Each occurrence of a neighbor counts. Only positive interactions are neighbors of each other.

    Args:
        table: [V, D] rows of items.
        vocabulary: The items, new ones included.
        sessions: The sessions.
        first: Index of the first item.
        end: One past the index of the last item that has a row; the others are new.

    Returns:
        The indices of new items with neighbors, ascending, and the mean of each.
    """
    events = sessions.events.filter(pl.col("label") == 1)
    index = vocabulary.lookup(events["item_id"]).astype(np.int64)
    session = events.select(pl.struct("user_id", "session_index").rle_id()).to_series().to_numpy()
    together = session[1:] == session[:-1]
    left, right = index[:-1][together], index[1:][together]
    new, near = np.append(left, right), np.append(right, left)
    used = (new >= end) & (near >= first) & (near < end)
    new, near = new[used], near[used]
    added, place, count = np.unique(new, return_inverse=True, return_counts=True)
    ones = np.ones(len(near), table.dtype)
    neighbors = scipy.sparse.csr_array((ones, (place, near)), shape=(len(added), len(table)))
    return added, neighbors @ table / count[:, np.newaxis].astype(table.dtype)


def _with_rows(new: tf.Variable, old: tf.Variable, rows: tuple[Rows, Rows]) -> NDArray:
    """The values of a variable with rows of another one: `(rows there, rows here)`."""
    values = new.numpy()
    values[rows[1]] = old.numpy()[rows[0]]
    return values
