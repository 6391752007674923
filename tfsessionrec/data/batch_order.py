"""The rows of each batch, and their order in each epoch."""

import dataclasses

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfsessionrec import checks

_NEWEST = 0.99  # quantile of the times that caps the recency boost: clocks may be wrong


@dataclasses.dataclass(frozen=True)
class BatchOrder:
    """How rows are drawn and cut into batches.

    Args:
        batch_size: Rows a batch. Give either this or `batch_positions`.
        batch_positions: Cells [B, S] a batch: as many rows as fit.
        shuffle: Whether the order is random.
        seed: Seed of the order. None: it differs from run to run.
        window: Seconds within which the rows of a shuffled batch lie, see `session_dataset`.
        recency_half_life: Seconds of age that halve the probability of a row, see
            `session_dataset`.
        drop_remainder: Whether every batch has `batch_size` rows.
        first_epoch: The n-th pass over the batches has the order of epoch `first_epoch + n`, which
            follows from the seed and that number alone. None: passes differ, but not by number.
    """

    batch_size: int | None = None
    batch_positions: int | None = None
    shuffle: bool = False
    seed: int | None = None
    window: float | None = None
    recency_half_life: float | None = None
    drop_remainder: bool = False
    first_epoch: int | None = None

    def __post_init__(self) -> None:
        if self.batch_positions is not None and self.batch_size is not None:
            raise ValueError(
                "Only one of `batch_size` and `batch_positions` should be given. Received: "
                f"`batch_size`={self.batch_size}, `batch_positions`={self.batch_positions}"
            )
        checks.boolean("shuffle", self.shuffle)
        if self.seed is not None:
            checks.integer("seed", self.seed)
        if self.first_epoch is not None:
            checks.non_negative_integer("first_epoch", self.first_epoch)
        if self.window is not None and not (
            checks.is_number(self.window) and 0 <= self.window < np.inf
        ):
            raise ValueError(
                "`shuffle_window` should be a number of seconds. Received: "
                f"`shuffle_window`={self.window!r}"
            )
        half_life = self.recency_half_life
        if half_life is not None and not (checks.is_number(half_life) and 0 < half_life < np.inf):
            raise ValueError(
                "`recency_half_life` should be a positive number of seconds. Received: "
                f"`recency_half_life`={half_life!r}"
            )

    def batches(
        self, lengths: NDArray[np.int64], times: NDArray[np.int64]
    ) -> tuple[tf.data.Dataset, int]:
        """One int64 vector of row numbers a batch, and the number of batches.

        Args:
            lengths: [E], sessions of each row.
            times: [E], when the last session of each row starts, unix seconds.
        """
        bounds = self._bounds(np.sort(lengths) if self.shuffle else lengths)
        if self.shuffle:
            dataset = self._shuffled(lengths, times, bounds)
        else:
            pairs = (bounds[:-1], bounds[1:])
            dataset = tf.data.Dataset.from_tensor_slices(pairs).map(tf.range)
        return dataset, len(bounds) - 1

    def _bounds(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        if self.batch_positions is not None:
            return _bounds_by_positions(lengths, self.batch_positions)
        size, rows = self.batch_size or 128, len(lengths)
        if self.drop_remainder:
            rows -= rows % size
            if rows == 0:
                raise ValueError(
                    "`drop_remainder` leaves no batch: fewer rows than `batch_size`. "
                    f"Received: `batch_size`={size} for {len(lengths)} rows"
                )
        return np.minimum(np.arange(0, rows + size, size), rows)

    def _shuffled(
        self, lengths: NDArray[np.int64], times: NDArray[np.int64], bounds: NDArray[np.int64]
    ) -> tf.data.Dataset:
        lengths_, times_ = tf.constant(lengths), tf.constant(times)
        starts, ends = tf.constant(bounds[:-1]), tf.constant(bounds[1:])
        recency = None
        if self.recency_half_life is not None:
            draws = recency_draws(lengths, times, self.recency_half_life)
            recency = tuple(tf.constant(part) for part in draws)

        def epoch(number: tf.Tensor) -> tf.data.Dataset:
            order, batch_order = tf.unstack(
                tf.random.experimental.stateless_split(tf.stack([number, 0]), 2)
            )
            rows = tf.random.experimental.stateless_shuffle(
                tf.range(tf.size(lengths_, tf.int64)), seed=order
            )[: ends[-1]]
            if recency is not None:
                rows = _redrawn(rows, tf.stack([number, 2]), *recency)
            if self.window is not None:
                delay = self.window * tf.random.stateless_uniform(
                    tf.shape(rows), tf.stack([number, 1])
                )
                close = tf.cast(tf.gather(times_, rows), tf.float64) + tf.cast(delay, tf.float64)
                rows = tf.gather(rows, tf.argsort(close, stable=True))
            rows = tf.gather(rows, tf.argsort(tf.gather(lengths_, rows), stable=True))
            batch = tf.random.experimental.stateless_shuffle(
                tf.range(tf.size(starts)), seed=batch_order
            )
            return tf.data.Dataset.from_tensor_slices(
                (tf.gather(starts, batch), tf.gather(ends, batch))
            ).map(lambda start, end: rows[start:end])

        return self._numbers().flat_map(epoch)

    def _numbers(self) -> tf.data.Dataset:
        """One random number a pass."""
        if self.first_epoch is None or self.seed is None:
            numbers = tf.data.Dataset.random(seed=self.seed, rerandomize_each_iteration=True)
            return numbers.take(1)
        seed = self.seed % 2**62
        with tf.device("/cpu:0"):
            started = tf.Variable(self.first_epoch, dtype=tf.int64, trainable=False)

        def number(seed: tf.Tensor) -> tf.Tensor:
            pair = tf.stack([seed, started.assign_add(1)])
            return tf.random.stateless_uniform([], pair, 0, tf.int64.max, tf.int64)

        return tf.data.Dataset.from_tensors(tf.constant(seed, tf.int64)).map(number)


def recency_draws(
    lengths: NDArray[np.int64], times: NDArray[np.int64], half_life: float
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """The distribution from which rows of equal length are drawn, newer rows more often.

    Returns:
        Rows sorted by length; for each of them g, the number of its length among all lengths; and
        g plus the cumulative share of the draws of that length.
    """
    rows = np.argsort(lengths, kind="stable")
    _, start, group = np.unique(lengths[rows], return_index=True, return_inverse=True)
    seconds = times.astype(np.float64)
    age = np.maximum(np.quantile(seconds, _NEWEST) - seconds[rows], 0)
    # Ages relative to the newest row of the length: 2 ** -age is never 0 for a whole length.
    age -= np.minimum.reduceat(age, start)[group]
    weight = 2.0 ** (-age / half_life)
    total = np.cumsum(weight)
    before = (total[start] - weight[start])[group]
    share = (total - before) / np.add.reduceat(weight, start)[group]
    return rows, group.astype(np.float64), group + share


def _redrawn(
    rows: tf.Tensor, seed: tf.Tensor, by_length: tf.Tensor, groups: tf.Tensor, shares: tf.Tensor
) -> tf.Tensor:
    """Replaces each row by a drawn row of the same length."""
    draws = tf.random.stateless_uniform(tf.shape(groups), seed, dtype=tf.float64)
    places = tf.searchsorted(shares, groups + draws, side="right", out_type=tf.int64)
    places = tf.minimum(places, tf.size(by_length, tf.int64) - 1)
    drawn = tf.gather(by_length, places)
    row_of = tf.scatter_nd(by_length[:, tf.newaxis], drawn, tf.shape(drawn, tf.int64))
    return tf.gather(row_of, rows)


def _bounds_by_positions(lengths: NDArray[np.int64], batch_positions: int) -> NDArray[np.int64]:
    """Cuts rows, in order, so that rows × longest stays within `batch_positions`."""
    bounds, longest = [0], 0
    for row, length in enumerate(lengths.tolist()):
        longest = max(longest, length)
        if row > bounds[-1] and (row + 1 - bounds[-1]) * longest > batch_positions:
            bounds.append(row)
            longest = length
    return np.array([*bounds, len(lengths)], np.int64)
