"""Losses over the items that a session showed: lists with labels."""

import tensorflow as tf

from tfsessionrec import checks
from tfsessionrec.losses.retrieval import LossSum, set_softmax
from tfsessionrec.session_batch import pair_weights, relative_weights


def binary_cross_entropy_loss(logits: tf.Tensor, labels: tf.Tensor, mask: tf.Tensor) -> LossSum:
    """Binary cross-entropy of each shown item.

    `L = mean over items of log(1 + exp(s)) - y s`.

    Args:
        logits: [..., I] float tensor of scores s.
        labels: [..., I] tensor of y, 1 positive or 0 negative.
        mask: [..., I] bool tensor, True where an item counts; or float weights of the items.

    Returns:
        `LossSum` over the items of `mask`.

    Raises:
        ValueError: If an argument is of another kind, rank or range.

    Example:

    >>> loss = binary_cross_entropy_loss(
    ...     tf.constant([[0.0, 5.0]]), tf.constant([[1.0, 0.0]]), tf.constant([[True, False]])
    ... )
    >>> round(float(loss.mean), 4)
    0.6931
    """
    _check(logits, labels, mask)
    weights = tf.cast(mask, tf.float32)
    terms = tf.nn.sigmoid_cross_entropy_with_logits(
        labels=tf.cast(labels, tf.float32), logits=tf.cast(logits, tf.float32)
    )
    return LossSum(tf.reduce_sum(terms * weights), tf.reduce_sum(weights))


def pairwise_logistic_loss(logits: tf.Tensor, labels: tf.Tensor, mask: tf.Tensor) -> LossSum:
    """Pairwise logistic loss over the (positive, negative) pairs of each list.

    `L = mean over pairs (p, n) of log(1 + exp(s_n - s_p))`, over the pairs of each list.

    Args:
        logits: [..., I] float tensor of scores s.
        labels: [..., I] tensor, above 0 for positives.
        mask: [..., I] bool tensor, True where an item counts; or float weights of the items, from
            which `pair_weights` makes those of the pairs.

    Returns:
        `LossSum` over all pairs; 0 of 0 if no list has both a positive and a negative.

    Raises:
        ValueError: If an argument is of another kind, rank or range.

    Example:

    >>> loss = pairwise_logistic_loss(
    ...     tf.constant([[0.0, 0.0]]), tf.constant([[1.0, 0.0]]), tf.constant([[True, True]])
    ... )
    >>> round(float(loss.mean), 4)
    0.6931

    References:
        RankNet (Burges et al., 2005). SessionRec uses it, according to a secondary source.
    """
    _check(logits, labels, mask)
    scores = tf.cast(logits, tf.float32)
    pairs = pair_weights(labels, mask)
    margins = scores[..., tf.newaxis, :] - scores[..., :, tf.newaxis]
    return LossSum(tf.reduce_sum(tf.nn.softplus(margins) * pairs), tf.reduce_sum(pairs))


def listwise_softmax_loss(logits: tf.Tensor, labels: tf.Tensor, mask: tf.Tensor) -> LossSum:
    """Softmax cross-entropy of each positive against all negatives of its list.

    `L = mean over positives p of -log( exp(s_p) / (exp(s_p) + sum_{n in N} exp(s_n)) )` with N the
    negatives of p's list: the other positives are in no denominator.

    Args:
        logits: [..., I] float tensor of scores s.
        labels: [..., I] tensor, above 0 for positives.
        mask: [..., I] bool tensor, True where an item counts; or float weights: a positive weighs
            its term, a negative its `exp(s_n)`, relative to the mean of the list's negatives.

    Returns:
        `LossSum` over the positives of lists with a negative; 0 of 0 if no list has both.

    Raises:
        ValueError: If an argument is of another kind, rank or range.

    Example:

    >>> loss = listwise_softmax_loss(
    ...     tf.zeros([1, 3]), tf.constant([[1.0, 0.0, 0.0]]), tf.ones([1, 3], tf.bool)
    ... )
    >>> round(float(loss.mean), 4)  # log 3
    1.0986

    References:
        ListNet with top-one probabilities (Cao et al., "Learning to rank: from pairwise approach
        to listwise approach", ICML 2007). The omission of the other positives from the
        denominator is this package's choice, as in `set_softmax_loss`.
    """
    _check(logits, labels, mask)
    scores, weights = tf.cast(logits, tf.float32), tf.convert_to_tensor(mask)
    mask = tf.cast(weights, tf.bool)
    positive = mask & (tf.cast(labels, tf.float32) > 0)
    negative = mask & ~positive
    weighed = scores
    if not weights.dtype.is_bool:
        weights = tf.cast(weights, tf.float32)
        relative = relative_weights(labels, weights)
        weighed += tf.math.log(tf.where(negative, relative, 1.0))
    log_sums = tf.reduce_logsumexp(
        tf.where(negative, weighed, scores.dtype.min), axis=-1, keepdims=True
    )
    counted = positive & tf.reduce_any(negative, axis=-1, keepdims=True)
    if not weights.dtype.is_bool:
        counted = tf.where(counted, weights, 0.0)
    return set_softmax(scores, log_sums, counted)


def _check(logits: tf.Tensor, labels: tf.Tensor, mask: tf.Tensor) -> None:
    checks.tensors(
        ("logits", logits, "number", "... I"),
        ("labels", labels, "number or boolean", "... I"),
        ("mask", mask, "number or boolean", "... I"),
    )
