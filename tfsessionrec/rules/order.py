"""Soft rules: they change the order of the candidates."""

import tensorflow as tf

from tfsessionrec import checks
from tfsessionrec.scoring import unit_length

NO_TIME = tf.int64.min


def freshness_bonus(
    item_times: tf.Tensor, request_times: tf.Tensor, strength: tf.Tensor, half_life: float
) -> tf.Tensor:
    """Bonus of candidates by their age, to add to their scores.

    `bonus[b, c] = strength[b] * 2 ** (-max(request_times[b] - item_times[c], 0) / half_life)`

    An item from the future has the bonus of a new one. An item without a time has no bonus. A
    strength that is not finite counts as 0.

    Args:
        item_times: int64 [C], unix seconds; `NO_TIME` for an item without a time.
        request_times: int64 [B], unix seconds.
        strength: float32 [B], the bonus of a new item; negative favors old items.
        half_life: Seconds that halve the bonus.

    Returns:
        [B, C] float32 tensor.

    Raises:
        ValueError: If an argument is of another kind, rank or range.

    Example:

    >>> item_times = tf.constant([100, 90, 200], tf.int64)
    >>> request_times, strength = tf.constant([100], tf.int64), tf.constant([4.0])
    >>> freshness_bonus(item_times, request_times, strength, half_life=10.0).numpy()
    array([[4., 2., 4.]], dtype=float32)
    """
    checks.tensors(
        ("item_times", item_times, "integer", "C"),
        ("request_times", request_times, "integer", "B"),
        ("strength", strength, "number", "B"),
    )
    half_life = checks.number("half_life", half_life, above=0)
    now = request_times[:, tf.newaxis]
    # The cast comes before the difference, so that no int64 overflows.
    age = tf.cast(now, tf.float64) - tf.cast(item_times, tf.float64)
    decay = tf.pow(tf.constant(2.0, tf.float64), -tf.maximum(age, 0) / half_life)
    decay = tf.where(item_times == NO_TIME, tf.zeros_like(decay), decay)
    strength = tf.where(tf.math.is_finite(strength), strength, tf.zeros_like(strength))
    return strength[:, tf.newaxis] * tf.cast(decay, tf.float32)


def category_cap(categories: tf.Tensor, limit: tf.Tensor) -> tf.Tensor:
    """Keeps the first items of each category in a list.

    `keep[b, i] = (number of j < i with categories[b, j] == categories[b, i]) < limit[b]`

    Args:
        categories: int32 [B, L], the category of each item of a list, best first. Items with a
            negative one, which is no category, are always kept.
        limit: int32 [B], the maximum per category. A limit that is not positive keeps all.

    Returns:
        [B, L] bool tensor.

    Raises:
        ValueError: If an argument is of another kind, rank or range.

    Example:

    >>> category_cap(tf.constant([[7, 7, 3, 7, -1, -1, 3]]), tf.constant([1])).numpy()
    array([[ True, False,  True, False,  True,  True, False]])
    """
    checks.tensors(("categories", categories, "integer", "B L"), ("limit", limit, "integer", "B"))
    length = tf.shape(categories)[1]
    # A stable sort puts the items of a category next to each other, in the order of the list.
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


def maximal_marginal_relevance(
    scores: tf.Tensor, embeddings: tf.Tensor, strength: tf.Tensor, picks: tf.Tensor, size: tf.Tensor
) -> tf.Tensor:
    """Reorders a list by relevance and difference from the items before (MMR).

    It picks `picks[b]` items one after another, each time the one of the first `size[b]` with the
    highest

    `(1 - strength[b]) * relevance[b, i] - strength[b] * max over picked j of cosine(e[i], e[j])`

    (the first of equal ones; for the first pick, the cosine is 0), where `relevance` is the score
    scaled to 0 … 1 over the first `size[b]`: `(s - min) / (max - min)`. The others follow in their
    order.

    Args:
        scores: float32 [B, L], best first.
        embeddings: float32 [B, L, D].
        strength: float32 [B], clipped to 0 (the order of the scores) … 1; NaN counts as 0.
        picks: int32 [B], the number of picks.
        size: int32 [B], the number of first items to pick from; the others stay at the end.

    Returns:
        [B, L] int32 tensor, the positions in the list in their new order.

    Raises:
        ValueError: If an argument is of another kind, rank or range.

    Example:

    >>> scores = tf.constant([[3.0, 2.9, 1.0, 0.0]])
    >>> embeddings = tf.constant([[[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.5, 0.5]]])
    >>> strength, two, four = tf.constant([0.5]), tf.constant([2]), tf.constant([4])
    >>> maximal_marginal_relevance(scores, embeddings, strength, two, four).numpy()
    array([[0, 2, 1, 3]], dtype=int32)

    References:
        Carbonell and Goldstein, The use of MMR, diversity-based reranking for reordering documents
        and producing summaries (SIGIR 1998).
    """
    checks.tensors(
        ("scores", scores, "number", "B L"),
        ("embeddings", embeddings, "number", "B L D"),
        ("strength", strength, "number", "B"),
        ("picks", picks, "integer", "B"),
        ("size", size, "integer", "B"),
    )
    length = tf.shape(scores)[1]
    places = tf.range(length)
    strength = tf.where(tf.math.is_nan(strength), tf.zeros_like(strength), strength)
    strength = tf.clip_by_value(strength, 0.0, 1.0)[:, tf.newaxis]
    inside = places < size[:, tf.newaxis]
    picks = tf.where(strength[:, 0] > 0, tf.minimum(picks, tf.minimum(size, length)), 0)

    highest = tf.reduce_max(tf.where(inside, scores, tf.float32.min), axis=1, keepdims=True)
    lowest = tf.reduce_min(tf.where(inside, scores, tf.float32.max), axis=1, keepdims=True)
    relevance = tf.math.divide_no_nan(scores - lowest, highest - lowest)
    relevance = (1 - strength) * tf.where(inside, relevance, 0.0)
    embeddings = unit_length(embeddings)
    never = tf.constant(-10.0)  # below any value of the criterion

    def pick(
        number: tf.Tensor, turn: tf.Tensor, alike: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        similarity = tf.where(number > 0, alike, tf.zeros_like(alike))
        free = inside & (turn == length)
        value = tf.where(free, relevance - strength * similarity, never)
        best = tf.argmax(value, axis=1, output_type=tf.int32)
        here = (places == best[:, tf.newaxis]) & (number < picks)[:, tf.newaxis]
        picked = tf.gather(embeddings, best, axis=1, batch_dims=1)
        cosine = tf.linalg.matvec(embeddings, picked)
        return number + 1, tf.where(here, number, turn), tf.maximum(alike, cosine)

    state = (tf.constant(0), tf.fill(tf.shape(scores), length), tf.fill(tf.shape(scores), -1.0))
    most = tf.reduce_max(tf.concat([picks, [0]], axis=0))
    _, turn, _ = tf.while_loop(lambda number, *_: number < most, pick, state)
    return tf.argsort(turn, axis=1, stable=True)
