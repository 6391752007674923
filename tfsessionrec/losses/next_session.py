"""The next session of each position, and its (query, positive) pairs."""

from typing import NamedTuple

import tensorflow as tf

from tfsessionrec.masking import item_mask


class NextSession(NamedTuple):
    """The session after each position but the last: [B, S - 1, I] each.

    Attributes:
        item_ids: int, the items of the next session.
        positive: bool, True at items to retrieve, each item once.
        shown: bool, True at items to rank: the positives and the items shown in that session
            without a positive interaction.
    """

    item_ids: tf.Tensor
    positive: tf.Tensor
    shown: tf.Tensor

    def keep(self, mask: tf.Tensor) -> "NextSession":
        """The same sessions without the items where `mask` [B, S - 1, I] is False."""
        return NextSession(self.item_ids, self.positive & mask, self.shown & mask)


class Pairs(NamedTuple):
    """P (query, positive) pairs of Q queries.

    Attributes:
        positives: [Q, H] int, the ids of each query's positives; -1 is padding.
        rows: [P] int32, the query of each pair, ascending.
        item_ids: [P] int, the positive of each pair; 0 where there is none.
        weights: [P] bool, False for pairs that are padding.
    """

    positives: tf.Tensor
    rows: tf.Tensor
    item_ids: tf.Tensor
    weights: tf.Tensor


def next_session(
    item_ids: tf.Tensor,
    labels: tf.Tensor | None = None,
    is_target: tf.Tensor | None = None,
    first_item_index: int = 1,
) -> NextSession:
    """Shifts the sessions by one: position t has to predict session t + 1.

    An item that a session holds several times counts once. It is no negative of a session in which
    it is also positive.

    Args:
        item_ids: [B, S, I] int tensor, 0 is padding.
        labels: [B, S, I] tensor, above 0 for positives. Default: every item is positive.
        is_target: [B, S] bool tensor, False for sessions that are not predicted (they stay in the
            history). Default: all are predicted.
        first_item_index: Lower indices are no targets: padding, and out-of-vocabulary buckets,
            which cannot be recommended. Defaults to 1.

    Returns:
        `NextSession`.

    Example:

    >>> target = next_session(tf.constant([[[2, 0], [3, 4]]]), tf.constant([[[1, 0], [0, 1]]]))
    >>> target.positive.numpy().tolist(), target.shown.numpy().tolist()
    ([[[False, True]]], [[[True, True]]])
    """
    item_ids = item_ids[:, 1:]
    real = item_mask(item_ids) & (item_ids >= first_item_index)
    if is_target is not None:
        real &= is_target[:, 1:, tf.newaxis]
    positive = real if labels is None else real & (labels[:, 1:] > 0)
    if item_ids.shape[-1] == 1:
        return NextSession(item_ids, positive, real)
    width = tf.shape(item_ids)[-1]
    same = item_ids[..., :, tf.newaxis] == item_ids[..., tf.newaxis, :]
    earlier = tf.range(width)[:, tf.newaxis] > tf.range(width)
    positive_before = tf.reduce_any(same & earlier & positive[..., tf.newaxis, :], axis=-1)
    positive_once = positive & ~positive_before
    if labels is None:
        return NextSession(item_ids, positive_once, positive_once)
    negative = real & ~tf.reduce_any(same & positive[..., tf.newaxis, :], axis=-1)
    negative_before = tf.reduce_any(same & earlier & negative[..., tf.newaxis, :], axis=-1)
    return NextSession(item_ids, positive_once, positive_once | (negative & ~negative_before))


def positive_pairs(target: NextSession, static_shapes: bool = False) -> tuple[Pairs, tf.Tensor]:
    """The (query, positive) pairs of a batch's positions.

    Args:
        target: `NextSession`.
        static_shapes: Keeps positions and pairs without a positive, with weight False, instead of
            dropping them; XLA needs fixed shapes. Defaults to False.

    Returns:
        `Pairs`, and the positions that are their queries: [B (S - 1)] bool.

    Example:

    >>> target = next_session(tf.constant([[[2, 0], [3, 4], [0, 0]]]))
    >>> pairs, kept = positive_pairs(target)
    >>> pairs.rows.numpy().tolist(), pairs.item_ids.numpy().tolist(), kept.numpy().tolist()
    ([0, 0], [3, 4], [True, False])
    """
    width = tf.shape(target.item_ids)[-1]
    ids = tf.reshape(target.item_ids, [-1, width])
    positive = tf.reshape(target.positive, [-1, width])
    kept = tf.ones_like(positive[:, 0])
    if not static_shapes:
        kept = tf.reduce_any(positive, axis=-1)
        ids, positive = tf.boolean_mask(ids, kept), tf.boolean_mask(positive, kept)
    ids = tf.where(positive, ids, -1)
    rows = tf.repeat(tf.range(tf.shape(ids)[0]), width)
    pair_ids, weights = tf.reshape(ids, [-1]), tf.reshape(positive, [-1])
    if not static_shapes:
        rows, pair_ids, weights = (
            tf.boolean_mask(part, weights) for part in (rows, pair_ids, weights)
        )
    return Pairs(ids, rows, tf.maximum(pair_ids, 0), weights), kept
