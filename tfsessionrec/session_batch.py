"""The session batch: its keys, its masks, and the layout of histories.

`padding_mask` is True where real, everywhere; padding comes last on every axis.
"""

from collections.abc import Mapping
from typing import NamedTuple, TypedDict

import tensorflow as tf

from tfsessionrec.history_spec import HistorySpec


class SessionBatch(TypedDict, total=False):
    """A batch of B histories of S sessions of I items; `item_ids` alone is required.

    Padding is 0 (`False`). Context features have keys of their own: [B, S] or [B, S, I].
    """

    item_ids: tf.Tensor  # int32 [B, S, I], vocabulary indices
    labels: tf.Tensor  # float32 [B, S, I], 1 positive, 0 shown but not clicked
    interaction_types: tf.Tensor  # int32 [B, S, I], 1..n
    item_times: tf.Tensor  # int64 [B, S, I], unix seconds
    match_ids: tf.Tensor  # int64 [B, S, I], equal where raw ids are equal
    position: tf.Tensor  # int32 [B, S, I], place in the shown list from 1, 0: not part of one
    session_times: tf.Tensor  # int64 [B, S], start of the session, unix seconds
    request_times: tf.Tensor  # int64 [B, S], when the session after is asked for
    is_target: tf.Tensor  # bool [B, S], whether this session may be predicted
    sample_weight: tf.Tensor  # float32 [B, S, I], [B, S] or [B], of the targets in the losses
    target_ids: tf.Tensor  # int32 [B, T], the held-out items
    history_ids: tf.Tensor  # int32 [B, N], all items of the history, whatever the model reads
    history_labels: tf.Tensor  # float32 [B, N], their labels
    history_begin: tf.Tensor  # int64 [B, S], place of a session's first item in `history_ids`
    history_end: tf.Tensor  # int64 [B, S], place after its last item


class HistoryTable(NamedTuple):
    """Where the sessions of B histories are, in a flat list of P items.

    Attributes:
        first: int64 [B], number of the first session of each history that is read.
        last: int64 [B], number after its last session.
        stop: int64 [B], place after its last item.
        session_begin: int64 [M + 1], place of the first item of each session; the last entry is an
            empty session.
        session_end: int64 [M + 1], place after its last item.
    """

    first: tf.Tensor
    last: tf.Tensor
    stop: tf.Tensor
    session_begin: tf.Tensor
    session_end: tf.Tensor


class Places(NamedTuple):
    """The cells of a batch, as places in the flat list of items; the list's length at padding.

    Attributes:
        items: int64 [B, S, I].
        first: int64 [B, S], each session's first item, read or not.
        last: int64 [B, S], its last item.
    """

    items: tf.Tensor
    first: tf.Tensor
    last: tf.Tensor


def history_table(
    spec: HistorySpec, starts: tf.Tensor, begin: tf.Tensor, stop: tf.Tensor, longest: int
) -> HistoryTable:
    """Cuts histories into the sessions that a model reads, and keeps the newest.

    Args:
        spec: Gives the kind of session and its most items.
        starts: bool [P], True at the first item of each session of the log (or request).
        begin: int64 [B], place of each history's first item, where a session starts.
        stop: int64 [B], place after its last item; it may be inside a session.
        longest: Newest sessions to keep.
    """
    count = tf.size(starts, tf.int64)
    if spec.session == "whole":
        begin = tf.maximum(begin, stop - spec.max_items)
        first = tf.range(tf.size(begin, tf.int64))
        last = first + tf.cast(stop > begin, tf.int64)
        sessions = begin, stop
    elif spec.session == "item":
        first, last = begin, stop
        every = tf.range(count)
        sessions = every, every + 1
    else:
        number = tf.cumsum(tf.cast(starts, tf.int64)) - 1
        number = tf.concat([number, [0]], axis=0)  # a history at the end of the list may be empty
        first = tf.gather(number, begin)
        last = tf.where(stop > begin, tf.gather(number, tf.maximum(stop - 1, 0)) + 1, first)
        starting = tf.boolean_mask(tf.range(count), starts)
        sessions = starting, tf.concat([starting, [count]], axis=0)[1:]
    session_begin, session_end = (tf.concat([part, [count]], axis=0) for part in sessions)
    first = tf.maximum(first, last - longest)
    return HistoryTable(first, last, stop, session_begin, session_end)


def lay_out(
    table: HistoryTable, max_items: int, width: int | None = None, item_width: int | None = None
) -> Places:
    """Lays out histories: [B, S] sessions of [I] items, the newest `max_items` of each.

    Args:
        table: The histories.
        max_items: Newest items to keep of each session.
        width: S. Defaults to None: the most sessions of any history, 1 at the least.
        item_width: I. Defaults to None: the most items of any session, 1 at the least.
    """
    outside = tf.size(table.session_begin, tf.int64) - 1
    sessions = ranges(table.first, table.last, outside, width)
    first = tf.gather(table.session_begin, sessions)
    padding = table.session_begin[-1]
    end = tf.minimum(tf.gather(table.session_end, sessions), table.stop[:, tf.newaxis])
    items = ranges(tf.maximum(first, end - max_items), end, padding, item_width)
    return Places(items, first, tf.where(sessions < outside, end - 1, padding))


def request_batch(
    spec: HistorySpec,
    item_ids: tf.Tensor,
    session_index: tf.Tensor,
    labels: tf.Tensor | None = None,
    of_items: Mapping[str, tf.Tensor] | None = None,
    of_sessions: Mapping[str, tf.Tensor] | None = None,
) -> SessionBatch:
    """Lays out the flat histories of requests, as training lays out those of a log.

    A session starts wherever `session_index` differs from that of the item before it, so that any
    non-negative numbers do and gaps mean nothing; a number that comes back later starts another
    session. Padding is dropped first, wherever it is, and so are items with a label of 0 or less
    where sessions are not the real ones.

    Args:
        spec: The part of a history that the model reads.
        item_ids: int32 [B, N] vocabulary indices, oldest first; 0 is padding.
        session_index: int [B, N], the session of each item; negative is padding.
        labels: float [B, N], above 0 for positive items. Defaults to None: every item is positive.
        of_items: Further features [B, N] of the items, by name. Defaults to none.
        of_sessions: Features [B, N] of which a session takes that of its first item, by name (even
            if `max_items` leaves that item out). Defaults to none.

    Returns:
        `item_ids` int32 [B, S, I]; with labels and real sessions `labels` float32 [B, S, I] of 0
        and 1; each of `of_items` [B, S, I] and of `of_sessions` [B, S], 0 at padding. S and I are
        the most that a row of this batch needs, and at least 1.

    Example:

    >>> ids, sessions = tf.constant([[5, 6, 7, 0]]), tf.constant([[0, 0, 3, -1]])
    >>> request_batch(HistorySpec(), ids, sessions)["item_ids"].numpy().tolist()
    [[[5, 6], [7, 0]]]
    >>> request_batch(HistorySpec(session="item"), ids, sessions)["item_ids"].numpy().tolist()
    [[[5], [6], [7]]]
    """
    real = (session_index >= 0) & (item_ids > 0)
    columns = dict(of_items or {})
    if labels is not None and spec.session == "real":
        columns["labels"] = tf.cast(labels > 0, tf.float32)
    elif labels is not None:
        real &= labels > 0
    # One flat list of the items of all rows, in order; every column ends in a 0 for padding.
    where = tf.where(real)
    row, number = where[:, 0], tf.gather_nd(session_index, where)
    changed = (row[1:] != row[:-1]) | (number[1:] != number[:-1])
    starts = tf.concat([tf.fill([tf.minimum(tf.size(row), 1)], True), changed], axis=0)
    count = tf.reduce_sum(tf.cast(real, tf.int64), axis=1)
    stop = tf.cumsum(count)
    table = history_table(spec, starts, stop - count, stop, spec.max_sessions)
    places = lay_out(table, spec.max_items)

    def flat(values: tf.Tensor) -> tf.Tensor:
        return tf.concat([tf.gather_nd(values, where), tf.zeros([1], values.dtype)], axis=0)

    columns["item_ids"] = item_ids
    batch = {name: tf.gather(flat(values), places.items) for name, values in columns.items()}
    for name, values in (of_sessions or {}).items():
        batch[name] = tf.gather(flat(values), places.first)
    return batch  # type: ignore[return-value]


def ranges(begin: tf.Tensor, end: tf.Tensor, outside: tf.Tensor, width: int | None) -> tf.Tensor:
    """begin, begin + 1, ..., end - 1 along a new last axis, then `outside`."""
    if width is None:
        columns = tf.range(tf.maximum(tf.reduce_max(end - begin), 1))
    else:
        columns = tf.ensure_shape(tf.range(tf.constant(width, tf.int64)), [width])
    indices = begin[..., tf.newaxis] + columns
    return tf.where(indices < end[..., tf.newaxis], indices, outside)


def item_mask(item_ids: tf.Tensor) -> tf.Tensor:
    """True where `item_ids` holds an item (index 0 is padding). Same shape, bool."""
    return tf.not_equal(item_ids, 0)


def session_mask(item_padding_mask: tf.Tensor) -> tf.Tensor:
    """True for sessions with at least one real item. [..., S, I] bool to [..., S] bool."""
    return tf.reduce_any(item_padding_mask, axis=-1)


def masked_mean(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Mean of `values` [..., I, D] over `mask` [..., I]; zeros where the mask is empty."""
    weights = tf.cast(mask, values.dtype)[..., tf.newaxis]
    count = tf.reduce_sum(weights, axis=-2)
    total = tf.reduce_sum(values * weights, axis=-2)
    return tf.math.divide_no_nan(total, count)


def last_true(mask: tf.Tensor) -> tf.Tensor:
    """The last position of `mask` [B, S] that is True: int32 [B], -1 if none is."""
    return tf.reduce_max(tf.where(mask, tf.range(tf.shape(mask)[1]), -1), axis=1)


def last_session(item_ids: tf.Tensor) -> tf.Tensor:
    """The position of the last real session of each history.

    Args:
        item_ids: int32 [B, S, I], 0 is padding.

    Returns:
        int32 [B], -1 where a history is empty.

    Example:

    >>> last_session(tf.constant([[[5, 6], [7, 0], [0, 0]], [[0, 0], [0, 0], [0, 0]]])).numpy()
    array([ 1, -1], dtype=int32)
    """
    return last_true(session_mask(item_mask(item_ids)))


def has_known_item(item_ids: tf.Tensor, first_item_index: int, every: bool = False) -> tf.Tensor:
    """Whether each history holds an item of the vocabulary: bool [B].

    Args:
        item_ids: int32 [B, S, I].
        first_item_index: Vocabulary index of the first item.
        every: Whether the history up to and including each session is asked for: bool [B S], row by
            row. Defaults to False.

    Example:

    >>> has_known_item(tf.constant([[[1], [5]], [[1], [0]]]), 2, every=True).numpy()
    array([False,  True, False, False])
    """
    known = tf.reduce_any(item_ids >= first_item_index, axis=2)
    if not every:
        return tf.reduce_any(known, axis=1)
    return tf.reshape(tf.cumsum(tf.cast(known, tf.int32), axis=1) > 0, [-1])


def last_real(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """The entry of `values` [B, S, ...] at the last real position of `mask` [B, S]; zeros if none.

    Example:

    >>> last_real(tf.constant([[[1.0], [2.0], [3.0]]]), tf.constant([[True, True, False]])).numpy()
    array([[2.]], dtype=float32)
    """
    last = last_true(mask)
    chosen = tf.gather(values, tf.maximum(last, 0), axis=1, batch_dims=1)
    found = tf.reshape(last >= 0, [-1] + [1] * (len(chosen.shape) - 1))
    return tf.where(found, chosen, tf.zeros_like(chosen))


def last_items(item_ids: tf.Tensor, labels: tf.Tensor | None = None, count: int = 1) -> tf.Tensor:
    """The newest positive items up to and including each session: [B, S, I] to [B, S, count].

    Newest first, 0 where there are fewer. Without labels every item is positive.

    Example:

    >>> last_items(tf.constant([[[2, 3], [4, 0]]]), count=2).numpy().tolist()
    [[[3, 2], [4, 3]]]
    """
    positive = item_mask(item_ids)
    if labels is not None:
        positive &= tf.cast(labels, tf.float32) > 0
    sessions, width = tf.shape(item_ids)[1], tf.shape(item_ids)[2]
    flat = tf.reshape(positive, [-1, sessions * width])
    # Positive items first, in order.
    order = tf.argsort(tf.cast(~flat, tf.int32), axis=1, stable=True)
    items = tf.gather(tf.reshape(item_ids, tf.shape(flat)), order, batch_dims=1)
    so_far = tf.cumsum(tf.reduce_sum(tf.cast(positive, tf.int32), axis=2), axis=1)
    places = so_far[..., tf.newaxis] - 1 - tf.range(count)
    found = tf.gather(items, tf.maximum(places, 0), batch_dims=1)
    return tf.where(places >= 0, found, tf.zeros_like(found))


def positive_negative_pairs(labels: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """True at [..., p, n] where item p of a list is positive and item n negative; [..., I, I]."""
    mask = tf.cast(mask, tf.bool)
    positive = mask & (tf.cast(labels, tf.float32) > 0)
    negative = mask & ~positive
    return positive[..., :, tf.newaxis] & negative[..., tf.newaxis, :]


def pair_weights(labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """The weight of each (positive p, negative n) pair of a list: [..., I, I] float32.

    `w_p * w_n / mean of the w of the list's negatives`: a positive weighs its pairs, a negative
    weighs relative to the others, and equal weights of a list are the weights of its pairs.

    Args:
        labels: [..., I] tensor, above 0 for positives.
        weights: [..., I] bool tensor, True where an item counts; or float weights, 0 where not.

    Example:

    >>> pair_weights(tf.constant([1, 0, 0]), tf.constant([5.0, 1.0, 3.0])).numpy()[0].tolist()
    [0.0, 2.5, 7.5]
    """
    weights = tf.convert_to_tensor(weights)
    if weights.dtype.is_bool:
        return tf.cast(positive_negative_pairs(labels, weights), tf.float32)
    weights = tf.cast(weights, tf.float32)
    pairs = positive_negative_pairs(labels, weights)
    relative = relative_weights(labels, weights)
    return tf.where(pairs, weights[..., :, tf.newaxis] * relative[..., tf.newaxis, :], 0.0)


def relative_weights(labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """The weight of each negative by the mean of its list's negatives above 0; [..., I] float32."""
    negative = tf.cast(weights, tf.bool) & ~(tf.cast(labels, tf.float32) > 0)
    own = tf.where(negative, weights, 0.0)
    count = tf.reduce_sum(tf.cast(negative, tf.float32), axis=-1, keepdims=True)
    return tf.math.divide_no_nan(own * count, tf.reduce_sum(own, axis=-1, keepdims=True))


def item_weights(weights: tf.Tensor, item_ids: tf.Tensor) -> tf.Tensor:
    """Weights of rows [B], of sessions [B, S] or of items [B, S, I] as weights of items.

    Args:
        weights: Float tensor.
        item_ids: [B, S, I] int tensor.

    Returns:
        [B, S, I] float32 tensor.

    Raises:
        ValueError: If the shape is none of these.

    Example:

    >>> item_weights(tf.constant([2.0]), tf.constant([[[5, 6]]])).numpy().tolist()
    [[[2.0, 2.0]]]
    """
    weights = tf.cast(tf.convert_to_tensor(weights), tf.float32)
    rank = weights.shape.rank
    fits = rank in (1, 2, 3) and all(
        size in (None, 1, whole) or whole is None
        for size, whole in zip(weights.shape, item_ids.shape[:rank], strict=True)
    )
    if not fits:
        raise ValueError(
            "`sample_weight` should have the shape [B], [B, S] or [B, S, I], for `item_ids` "
            f"{tuple(item_ids.shape)}. Received: `sample_weight` of shape {tuple(weights.shape)}"
        )
    for _ in range(3 - rank):
        weights = weights[..., tf.newaxis]
    return tf.broadcast_to(weights, tf.shape(item_ids))


def misplaced_rows(item_ids: tf.Tensor) -> tf.Tensor:
    """The number of rows of `item_ids` [B, S, I] in which a session follows an empty one: int32."""
    real = session_mask(item_mask(item_ids))
    return tf.math.count_nonzero(tf.reduce_any(real[:, 1:] & ~real[:, :-1], axis=1), dtype=tf.int32)


def check_padding(item_ids: tf.Tensor) -> None:
    """Checks that the padding of a batch comes last.

    Args:
        item_ids: [B, S, I] int tensor, 0 is padding.

    Raises:
        ValueError: If a session follows an empty one, as in batches that are padded at the left.

    Example:

    >>> check_padding(tf.constant([[[5], [0]]]))
    """
    raise_misplaced(int(misplaced_rows(tf.convert_to_tensor(item_ids))))


def raise_misplaced(num_rows: int) -> None:
    """Raises a `ValueError` if the padding of any row does not come last."""
    if num_rows:
        raise ValueError(
            "`item_ids` should have its padding last: in [B, S, I] the newest session comes "
            "directly before the empty ones, as positions count from the first. Received: "
            f"{num_rows} rows with a session after an empty one (batches padded at the left?)"
        )
