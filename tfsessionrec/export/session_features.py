"""From a request's flat history to the session batch a model takes."""

from collections.abc import Mapping

import tensorflow as tf


def session_features(
    item_indices: tf.Tensor,
    session_index: tf.Tensor,
    labels: tf.Tensor | None = None,
    *,
    of_items: Mapping[str, tf.Tensor] | None = None,
    of_sessions: Mapping[str, tf.Tensor] | None = None,
    max_sessions: int = 50,
    max_items: int = 20,
) -> dict[str, tf.Tensor]:
    """Cuts each row of a flat history into sessions, newest last, padding at the end.

    A new session begins wherever `session_index` differs from that of the item before it, so any
    non-negative numbers do and gaps mean nothing; a number that comes back later begins one more
    session. Padding is dropped first, wherever it stands. As in training, the newest
    `max_sessions` sessions are kept and, in each, the newest `max_items` items.

    Args:
        item_indices: int32 [B, N] vocabulary indices, oldest first; 0 = padding.
        session_index: int [B, N], which session each item belongs to; negative = padding.
        labels: float [B, N], positive where the item was taken, or None.
        of_items: Further features [B, N] of each item, by name. Defaults to none.
        of_sessions: Features [B, N] of which a session takes that of its first item, by name
            (even if that item is not kept). Defaults to none.
        max_sessions: Sessions to keep of each row. Defaults to 50.
        max_items: Items to keep of each session. Defaults to 20.

    Returns:
        `item_ids` int32 [B, S, I]; if labels were given, `labels` float32 [B, S, I] of 0 and 1;
        each of `of_items` [B, S, I] and each of `of_sessions` [B, S], 0 at padding. S and I are the
        most that a row of this batch needs, and at least 1.

    Example:

    >>> session_features(tf.constant([[5, 6, 7, 0]]), tf.constant([[0, 0, 3, -1]]))["item_ids"]
    <tf.Tensor: shape=(1, 2, 2), dtype=int32, numpy=
    array([[[5, 6],
            [7, 0]]], dtype=int32)>
    """
    # One flat list of the real items of all rows, in order.
    real = tf.where((session_index >= 0) & (item_indices > 0))
    batch_size = tf.shape(item_indices)[0]
    row = tf.cast(real[:, 0], tf.int32)
    number = tf.gather_nd(session_index, real)
    count = tf.size(row)

    begins_session = tf.concat(
        [
            tf.fill([tf.minimum(count, 1)], True),
            (row[1:] != row[:-1]) | (number[1:] != number[:-1]),
        ],
        axis=0,
    )
    session = tf.cumsum(tf.cast(begins_session, tf.int32)) - 1  # counted over the whole batch
    begin = tf.boolean_mask(tf.range(count), begins_session)
    num_sessions = tf.size(begin)

    length = tf.math.unsorted_segment_sum(tf.ones_like(session), session, num_sessions)
    place = tf.range(count) - tf.gather(begin, session)
    item_slot = place - tf.maximum(tf.gather(length, session) - max_items, 0)

    session_row = tf.gather(row, begin)
    per_row = tf.math.unsorted_segment_sum(tf.ones_like(begin), session_row, batch_size)
    place = tf.range(num_sessions) - tf.gather(tf.cumsum(per_row, exclusive=True), session_row)
    slot = place - tf.maximum(tf.gather(per_row, session_row) - max_sessions, 0)
    session_slot = tf.gather(slot, session)

    kept = (item_slot >= 0) & (session_slot >= 0)
    source = tf.boolean_mask(real, kept)
    target = tf.boolean_mask(tf.stack([row, session_slot, item_slot], axis=1), kept)
    needed = tf.maximum(tf.reduce_max(target, axis=0) + 1, 1)
    shape = tf.stack([batch_size, needed[1], needed[2]])

    features = {"item_ids": tf.scatter_nd(target, tf.gather_nd(item_indices, source), shape)}
    if labels is not None:
        taken = tf.cast(tf.gather_nd(labels, source) > 0, tf.float32)
        features["labels"] = tf.scatter_nd(target, taken, shape)
    for name, values in (of_items or {}).items():
        features[name] = tf.scatter_nd(target, tf.gather_nd(values, source), shape)
    if of_sessions:
        first = tf.boolean_mask(tf.gather(real, begin), slot >= 0)
        place = tf.boolean_mask(tf.stack([session_row, slot], axis=1), slot >= 0)
        for name, values in of_sessions.items():
            features[name] = tf.scatter_nd(place, tf.gather_nd(values, first), shape[:2])
    return features
