"""Look-ups in the sessions before: the history of each shown item."""

import tensorflow as tf


class Past:
    """The history of the item of each cell: its cells in earlier sessions of the row.

    The N = S I cells of a row are sorted by their id, in order of time. An id is then a run of
    cells, a session of it a part of the run. The cells before the part, within the run, are the
    past, so that sums over it are differences of running sums.

    Args:
        match_ids: [B, S, I] integer tensor, equal where items are equal.
        session: [B, S, I] int32 tensor, the number of each cell's session.
    """

    def __init__(self, match_ids: tf.Tensor, session: tf.Tensor) -> None:
        self._shape = tf.shape(match_ids)
        ids, sessions = self._flat(match_ids), self._flat(session)
        self._order = tf.argsort(ids, axis=1, stable=True)
        self._rank = tf.argsort(self._order, axis=1)
        ids, sessions = (tf.gather(x, self._order, batch_dims=1) for x in (ids, sessions))
        new_id = tf.not_equal(ids[:, 1:], ids[:, :-1])
        new_part = new_id | tf.not_equal(sessions[:, 1:], sessions[:, :-1])
        self._run, self._part = (
            _last_true(tf.pad(new, [[0, 0], [1, 0]], constant_values=True))[:, 1:]
            for new in (new_id, new_part)
        )

    def sums(self, values: tf.Tensor) -> tf.Tensor:
        """Sums of `values` [B, S, I, C] over the past of each cell."""
        values = tf.gather(self._flat(values), self._order, batch_dims=1)
        before = tf.cumsum(values, axis=1, exclusive=True)
        part, run = (tf.gather(before, at, batch_dims=1) for at in (self._part, self._run))
        return self._back(part - run)

    def last(self, flags: tf.Tensor) -> tf.Tensor:
        """The newest cell of the past with a flag [B, S, I], as its place in S I; -1 if none."""
        flags = tf.gather(self._flat(flags), self._order, batch_dims=1)
        found = tf.gather(_last_true(flags), self._part, batch_dims=1)
        cell = tf.gather(self._order, tf.maximum(found, 0), batch_dims=1)
        return self._back(tf.where(found >= self._run, cell, -1))

    def gather(self, values: tf.Tensor, cells: tf.Tensor) -> tf.Tensor:
        """The values [B, S, I] of the cells that `last` gives; arbitrary for -1."""
        cells = tf.maximum(self._flat(cells), 0)
        return tf.reshape(tf.gather(self._flat(values), cells, batch_dims=1), self._shape)

    def _flat(self, values: tf.Tensor) -> tf.Tensor:
        shape = [self._shape[0], self._shape[1] * self._shape[2], *values.shape[3:]]
        return tf.reshape(values, shape)

    def _back(self, values: tf.Tensor) -> tf.Tensor:
        values = tf.gather(values, self._rank, batch_dims=1)
        return tf.reshape(values, tf.concat([self._shape, tf.shape(values)[2:]], axis=0))


def _last_true(flags: tf.Tensor) -> tf.Tensor:
    """Place of the last True before each place, the end included: [B, N] to [B, N + 1]; -1 if none.

    Example:

    >>> _last_true(tf.constant([[True, False, True]])).numpy()
    array([[-1,  0,  0,  2]], dtype=int32)
    """
    size = tf.shape(flags)[1]
    places = tf.range(size)
    found = tf.sort(tf.where(flags, places, size), axis=1)
    number = tf.cumsum(tf.cast(flags, tf.int32), axis=1)
    listed, number = (
        tf.pad(found, [[0, 0], [1, 0]], constant_values=-1),
        tf.pad(number, [[0, 0], [1, 0]]),
    )
    return tf.gather(listed, number, batch_dims=1)
