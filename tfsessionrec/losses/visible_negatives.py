"""Which sampled negatives a query may be compared with."""

import tensorflow as tf

from tfsessionrec.losses.sampled_log_sum_exp import find_in_sample, hide_columns


def visible_negatives(sampled_ids: tf.Tensor, mask: tf.Tensor, hidden: tf.Tensor) -> tf.Tensor:
    """True where a sampled id is a negative of the query: no repeat, and none of its positives.

    Args:
        sampled_ids: [N] int32 tensor, ascending.
        mask: [N] bool tensor, False for repeats of an id.
        hidden: [Q, H] int32 tensor of each query's own positives; negative numbers are padding.

    Returns:
        [Q, N] bool tensor.

    Example:

    >>> visible_negatives(
    ...     tf.constant([4, 4, 7]), tf.constant([True, False, True]), tf.constant([[7, -1], [5, 6]])
    ... ).numpy().tolist()
    [[True, False, False], [True, False, True]]
    """
    place, found = find_in_sample(sampled_ids, hidden)
    shape = [tf.shape(hidden)[0], tf.shape(sampled_ids)[0]]
    visible = tf.broadcast_to(tf.where(mask, 0.0, tf.float32.min), shape)
    return tf.equal(hide_columns(visible, place, found), 0.0)
