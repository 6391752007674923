"""What each position has to predict."""

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


def next_session(
    item_ids: tf.Tensor,
    labels: tf.Tensor | None = None,
    is_target: tf.Tensor | None = None,
    first_item_index: int = 1,
) -> NextSession:
    """Shifts the sessions by one: position t has session t + 1 to predict.

    An item that stands in the session several times counts once, and is no negative of a session
    in which it was also taken.

    Args:
        item_ids: [B, S, I] int tensor, 0 is padding.
        labels: [B, S, I] tensor, above 0 for positives. Default: every item is positive.
        is_target: [B, S] bool tensor, False for sessions that must not be predicted (they stay
            in the history). Default: all may be.
        first_item_index: Indices below are no targets: padding, and out-of-vocabulary buckets,
            which nobody could be recommended. Defaults to 1.

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
    taken_before = tf.reduce_any(same & earlier & positive[..., tf.newaxis, :], axis=-1)
    positive_once = positive & ~taken_before
    if labels is None:
        return NextSession(item_ids, positive_once, positive_once)
    taken = tf.reduce_any(same & positive[..., tf.newaxis, :], axis=-1)
    negative = real & ~taken
    shown_before = tf.reduce_any(same & earlier & negative[..., tf.newaxis, :], axis=-1)
    return NextSession(item_ids, positive_once, positive_once | (negative & ~shown_before))
