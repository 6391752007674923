"""Hard rules: masks [B, C] of the candidates that may be recommended."""

import tensorflow as tf

from tfsessionrec import checks


def allow_only(rows: tf.Tensor, is_listed: tf.Tensor, num_items: int) -> tf.Tensor:
    """Allows only the listed candidates; all candidates if nothing is listed.

    `allowed[b, c] = (c in rows[b]) or not any(is_listed[b])`

    A list that holds unknown items only allows none.

    Args:
        rows: int [B, A], indices of candidates; negative is an unknown item or padding.
        is_listed: bool [B, A], False where `rows` is padding.
        num_items: C, the number of candidates.

    Returns:
        [B, C] bool tensor.

    Raises:
        ValueError: If an argument is of another kind, rank or range.

    Example:

    >>> rows = tf.constant([[2, -1], [-1, -1], [-1, -1]])
    >>> is_listed = tf.constant([[True, False], [False, False], [True, False]])
    >>> allow_only(rows, is_listed, num_items=3).numpy()
    array([[False, False,  True],
           [ True,  True,  True],
           [False, False, False]])
    """
    checks.tensors(("rows", rows, "integer", "B A"), ("is_listed", is_listed, "boolean", "B A"))
    num_items = checks.positive_integer("num_items", num_items)
    no_list = tf.logical_not(tf.reduce_any(is_listed, axis=1, keepdims=True))
    return mark(rows, num_items, True) | no_list


def exclude(rows: tf.Tensor, num_items: int) -> tf.Tensor:
    """Allows all candidates except the listed ones.

    `allowed[b, c] = (c not in rows[b])`

    Args:
        rows: int [B, X], indices of candidates in any order, with repetitions; negative is padding.
        num_items: C, the number of candidates.

    Returns:
        [B, C] bool tensor.

    Raises:
        ValueError: If an argument is of another kind, rank or range.

    Example:

    >>> exclude(tf.constant([[2, 0], [1, -1]]), num_items=3).numpy()
    array([[False,  True, False],
           [ True, False,  True]])
    """
    checks.tensors(("rows", rows, "integer", "B X"))
    return mark(rows, checks.positive_integer("num_items", num_items), False)


def mark(rows: tf.Tensor, num_items: int, value: bool) -> tf.Tensor:
    """[B, C] bool tensor: `value` for the listed candidates, its opposite for the others.

    It writes one byte per candidate, which costs little compared with the scores.
    """
    real = tf.where(rows >= 0)
    cells = tf.stack([real[:, 0], tf.cast(tf.gather_nd(rows, real), tf.int64)], axis=1)
    others = tf.fill([tf.shape(rows)[0], num_items], not value)
    return tf.tensor_scatter_nd_update(others, cells, tf.fill([tf.shape(cells)[0]], value))


def has_tags(item_tags: tf.Tensor, tag_mask: tf.Tensor) -> tf.Tensor:
    """Allows the candidates with one of the requested tags; all candidates if none is requested.

    `allowed[b, c] = (item_tags[c] & tag_mask[b] != 0) or tag_mask[b] == 0`

    Args:
        item_tags: int64 [C], one bit for each of up to 64 tags.
        tag_mask: int64 [B], the requested tags, as a sum of their bits.

    Returns:
        [B, C] bool tensor.

    Raises:
        ValueError: If an argument is of another kind, rank or range.

    Example:

    >>> item_tags = tf.constant([0b01, 0b10, 0b11, 0b00], tf.int64)
    >>> has_tags(item_tags, tf.constant([0b01, 0b11, 0b00], tf.int64)).numpy()
    array([[ True, False,  True, False],
           [ True,  True,  True, False],
           [ True,  True,  True,  True]])
    """
    checks.tensors(("item_tags", item_tags, "integer", "C"), ("tag_mask", tag_mask, "integer", "B"))
    requested = tag_mask[:, tf.newaxis]
    return (tf.bitwise.bitwise_and(item_tags, requested) != 0) | (requested == 0)
