"""How often, how lately and how regularly the items of a history were taken."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

NO_ITEM = 2**31 - 1  # padding of ascending ids


class HabitCounts(NamedTuple):
    """The distinct items of B rows, and numbers of each in R = B T histories, row by row.

    Attributes:
        item_ids: int32 [B, U], ascending; `NO_ITEM` at the end where a row has fewer.
        taken: float32 [R, U], sessions of the history with the item; 0 for items that come later in
            the row than the history ends.
        shares: float32 [R, H, U], the share of sessions with the item, for each weighing of
            sessions: all alike first.
        due: float32 [R, U], how near the time since the item was taken last is to its mean gap.
    """

    item_ids: tf.Tensor
    taken: tf.Tensor
    shares: tf.Tensor
    due: tf.Tensor


def habit_counts(
    item_ids: tf.Tensor,
    taken: tf.Tensor,
    ends: tf.Tensor,
    first_item_index: int,
    session_half_lives: Sequence[float] = (),
    half_lives: Sequence[float] = (),
    session_times: tf.Tensor | None = None,
    static_shapes: bool = False,
) -> HabitCounts:
    """Counts the items of a history, for each session that a history may end with.

    With s = 0, 1, ... the sessions with an item that was taken, up to and including session t,

    `share_h(c) = sum over s with c of w_h(s) / sum over s of w_h(s)`, `w_h(s) = 2^(-age(s) / h)`;

    `due(c) = min(since / gap, gap / since)`, for c that was taken at least twice, with `since` the
    sessions from the last one with c to the next one, and `gap` the mean of those between two.

    Args:
        item_ids: [B, S, I] integers.
        taken: [B, S, I] bool, False for padding and for items without a positive interaction.
        ends: [B, T] int32, the last session of each history.
        first_item_index: Lower indices are no items.
        session_half_lives: Half-lives h of shares by age in sessions. Defaults to none.
        half_lives: Half-lives h of shares by age in seconds. Defaults to none.
        session_times: [B, S] integers, unix seconds; read with `half_lives` only.
        static_shapes: Makes U = S I, as XLA needs, not the most distinct items of a row.

    Returns:
        `HabitCounts`.

    Example:

    >>> ids = tf.constant([[[5, 6], [5, 0], [7, 0]]])
    >>> counts = habit_counts(ids, ids > 0, tf.constant([[1, 2]]), 2)
    >>> counts.item_ids.numpy()
    array([[5, 6, 7]], dtype=int32)
    >>> counts.taken.numpy()
    array([[2., 1., 0.],
           [2., 1., 1.]], dtype=float32)
    """
    real = taken & (item_ids >= first_item_index)
    distinct, holds = _distinct(tf.where(real, tf.cast(item_ids, tf.int32), NO_ITEM), static_shapes)
    sessions = tf.shape(item_ids)[1]
    before = ends[..., tf.newaxis] - tf.range(sessions)  # [B, T, S]
    counted = (before >= 0) & tf.reduce_any(taken, axis=2)[:, tf.newaxis]
    ages = [tf.cast(before, tf.float32) / half_life for half_life in session_half_lives]
    if half_lives:
        times = tf.cast(session_times, tf.int64)
        newest = tf.gather(times, ends, batch_dims=1)[..., tf.newaxis]
        seconds = tf.cast(tf.maximum(newest - times[:, tf.newaxis], 0), tf.float32)
        ages += [seconds / half_life for half_life in half_lives]
    weights = [tf.ones_like(before, tf.float32), *(2.0**-age for age in ages)]
    weights = tf.stack([tf.where(counted, one, 0.0) for one in weights], axis=2)  # [B, T, H, S]
    batch, ended, size = tf.shape(ends)[0], tf.shape(ends)[1], tf.shape(distinct)[1]
    kinds = len(ages) + 1
    sums = tf.matmul(tf.reshape(weights, [batch, ended * kinds, sessions]), holds)
    sums = tf.reshape(sums, [batch * ended, kinds, size])
    whole = tf.reshape(tf.reduce_sum(weights, axis=-1), [batch * ended, kinds, 1])
    count = sums[:, 0]
    from_first = tf.cast(tf.range(1, sessions + 1), tf.float32)[:, tf.newaxis]
    last = _at(_running_max(from_first * holds), ends)  # from 1 on
    first = tf.cast(sessions + 1, tf.float32)
    first -= _at(_running_max((first - from_first) * holds), ends)
    since = tf.cast(tf.reshape(ends, [-1, 1]), tf.float32) + 2.0 - last
    gap = tf.math.divide_no_nan(last - first, count - 1.0)
    due = tf.minimum(tf.math.divide_no_nan(since, gap), gap / since)
    due = tf.where(count >= 2, due, 0.0)
    return HabitCounts(distinct, count, tf.math.divide_no_nan(sums, whole), due)


def _distinct(item_ids: tf.Tensor, static_shapes: bool) -> tuple[tf.Tensor, tf.Tensor]:
    """The distinct items [B, U] of rows [B, S, I], and 1.0 where a session holds one [B, S, U]."""
    batch, sessions, width = tf.unstack(tf.shape(item_ids))
    flat = tf.reshape(item_ids, [batch, sessions * width])
    order = tf.argsort(flat, axis=1, stable=True)
    ids = tf.gather(flat, order, batch_dims=1)
    real = ids < NO_ITEM
    new = tf.concat([real[:, :1], (ids[:, 1:] > ids[:, :-1]) & real[:, 1:]], axis=1)
    slot = tf.maximum(tf.cumsum(tf.cast(new, tf.int32), axis=1) - 1, 0)
    slots = sessions * width if static_shapes else tf.maximum(tf.reduce_max(slot), 0) + 1
    row = tf.zeros_like(slot) + tf.range(batch)[:, tf.newaxis]
    distinct = tf.tensor_scatter_nd_min(
        tf.fill([batch, slots], NO_ITEM), tf.stack([row, slot], axis=-1), ids
    )
    holds = tf.tensor_scatter_nd_max(
        tf.zeros([batch, sessions, slots]),
        tf.stack([row, order // width, slot], axis=-1),
        tf.cast(real, tf.float32),
    )
    return distinct, holds


def _running_max(values: tf.Tensor) -> tf.Tensor:
    """The greatest value up to and including each place of axis 1, in steps of 1, 2, 4, ..."""
    places = tf.range(tf.shape(values)[1])
    _, values = tf.while_loop(
        lambda step, _: step < tf.size(places),
        lambda step, values: (
            2 * step,
            tf.maximum(values, tf.gather(values, tf.maximum(places - step, 0), axis=1)),
        ),
        (1, values),
    )
    return values


def _at(values: tf.Tensor, ends: tf.Tensor) -> tf.Tensor:
    """[B, S, U] at the places [B, T]: [B T, U]."""
    return tf.reshape(tf.gather(values, ends, batch_dims=1), [-1, tf.shape(values)[2]])
