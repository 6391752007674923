"""Not too many of one kind."""

import tensorflow as tf


def category_cap(categories: tf.Tensor, limit: tf.Tensor) -> tf.Tensor:
    """Keeps the first items of each category in a list.

    `keep[b, i] = (number of j < i with categories[b, j] == categories[b, i]) < limit[b]`

    Args:
        categories: int32 [B, L], the category of each item of a list, best first; a negative one
            is no category and always kept.
        limit: int32 [B], how many of a category; a limit that is not positive keeps all.

    Returns:
        [B, L] bool tensor.

    Example:

    >>> category_cap(tf.constant([[7, 7, 3, 7, -1, -1, 3]]), tf.constant([1])).numpy()
    array([[ True, False,  True, False,  True,  True, False]])
    """
    length = tf.shape(categories)[1]
    # Items of a category stand together once sorted, in the order of the list.
    order = tf.argsort(categories, axis=1, stable=True)
    together = tf.gather(categories, order, batch_dims=1)
    begins = tf.concat(
        [tf.ones_like(together[:, :1], tf.bool), together[:, 1:] != together[:, :-1]], axis=1
    )
    begins = tf.reshape(begins, [-1])
    places = tf.range(tf.size(begins))
    first = tf.gather(tf.boolean_mask(places, begins), tf.cumsum(tf.cast(begins, tf.int32)) - 1)
    before = tf.reshape(places - first, tf.shape(categories))
    # Back to the order of the list.
    before = tf.gather(before, tf.argsort(order, axis=1), batch_dims=1)
    limit = tf.where(limit > 0, limit, length)[:, tf.newaxis]
    return (before < limit) | (categories < 0)
