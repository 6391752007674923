"""The next session of each position, and its (query, positive) pairs."""

from typing import NamedTuple

import tensorflow as tf

from tfsessionrec.session_batch import item_mask


class NextSession(NamedTuple):
    """The session after each position but the last: [B, S - 1, I] each.

    Attributes:
        item_ids: int, the items of the next session.
        positive: bool, True at items to retrieve, each item once.
        shown: bool, True at items to rank: the positives and the items shown in that session
            without a positive interaction.
        weights: float, the weight of each item in the losses; None: all weigh 1.
    """

    item_ids: tf.Tensor
    positive: tf.Tensor
    shown: tf.Tensor
    weights: tf.Tensor | None = None

    def keep(self, mask: tf.Tensor) -> "NextSession":
        """The same sessions without the items where `mask` [B, S - 1, I] is False."""
        return self._replace(positive=self.positive & mask, shown=self.shown & mask)

    @property
    def shown_weights(self) -> tf.Tensor:
        """`shown`; with `weights` float32 [B, S - 1, I], 0 where an item is not ranked."""
        if self.weights is None:
            return self.shown
        return tf.where(self.shown, self.weights, 0.0)


class Pairs(NamedTuple):
    """P (query, positive) pairs of Q queries.

    Attributes:
        positives: [Q, H] int, the ids of each query's positives; -1 is padding.
        rows: [P] int32, the query of each pair, ascending.
        item_ids: [P] int, the positive of each pair; 0 where there is none.
        weights: [P] bool, False for pairs that are padding; float32 weights, 0 for padding, if the
            target has weights.
        positive_weights: [Q, H] float32, the weights of `positives`; None: all weigh 1.
    """

    positives: tf.Tensor
    rows: tf.Tensor
    item_ids: tf.Tensor
    weights: tf.Tensor
    positive_weights: tf.Tensor | None = None


def next_session(
    item_ids: tf.Tensor,
    labels: tf.Tensor | None = None,
    is_target: tf.Tensor | None = None,
    first_item_index: int = 1,
    weights: tf.Tensor | None = None,
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
        weights: [B, S, I] float tensor, the weight of each item as a target: an item that a
            session holds several times has its largest weight, of its positive interactions if
            there are any. Default: all weigh 1.

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
    if weights is not None:
        weights = weights[:, 1:]
    if item_ids.shape[-1] == 1:
        return NextSession(item_ids, positive, real, weights)
    width = tf.shape(item_ids)[-1]
    same = item_ids[..., :, tf.newaxis] == item_ids[..., tf.newaxis, :]
    earlier = tf.range(width)[:, tf.newaxis] > tf.range(width)
    positive_before = tf.reduce_any(same & earlier & positive[..., tf.newaxis, :], axis=-1)
    positive_once = positive & ~positive_before
    if weights is not None:
        counted = same & (positive[..., tf.newaxis, :] | ~positive[..., tf.newaxis])
        counted &= real[..., tf.newaxis, :]
        weights = tf.reduce_max(tf.where(counted, weights[..., tf.newaxis, :], 0.0), axis=-1)
    if labels is None:
        return NextSession(item_ids, positive_once, positive_once, weights)
    negative = real & ~tf.reduce_any(same & positive[..., tf.newaxis, :], axis=-1)
    negative_before = tf.reduce_any(same & earlier & negative[..., tf.newaxis, :], axis=-1)
    shown = positive_once | (negative & ~negative_before)
    return NextSession(item_ids, positive_once, shown, weights)


def positive_pairs(target: NextSession, static_shapes: bool = False) -> tuple[Pairs, tf.Tensor]:
    """The (query, positive) pairs of a batch's positions.

    A positive that weighs 0 makes no pair, but remains among the `positives` of its query.

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
    positive = counts = tf.reshape(target.positive, [-1, width])
    own_weights = None
    if target.weights is not None:
        own_weights = tf.reshape(tf.where(target.positive, target.weights, 0.0), [-1, width])
        counts = tf.not_equal(own_weights, 0.0)
    kept = tf.ones_like(positive[:, 0])
    if not static_shapes:
        kept = tf.reduce_any(counts, axis=-1)
        ids, positive = tf.boolean_mask(ids, kept), tf.boolean_mask(positive, kept)
        if own_weights is not None:
            own_weights = tf.boolean_mask(own_weights, kept)
    ids = tf.where(positive, ids, -1)
    rows = tf.repeat(tf.range(tf.shape(ids)[0]), width)
    pair_ids = tf.reshape(ids, [-1])
    weights = tf.reshape(positive if own_weights is None else own_weights, [-1])
    if not static_shapes:
        paired = weights if own_weights is None else tf.not_equal(weights, 0.0)
        rows, pair_ids, weights = (
            tf.boolean_mask(part, paired) for part in (rows, pair_ids, weights)
        )
    return Pairs(ids, rows, tf.maximum(pair_ids, 0), weights, own_weights), kept
