"""A short list of items that are not all alike."""

import tensorflow as tf

from tfsessionrec.scoring import unit_length


def maximal_marginal_relevance(
    scores: tf.Tensor, embeddings: tf.Tensor, strength: tf.Tensor, picks: tf.Tensor, size: tf.Tensor
) -> tf.Tensor:
    """Reorders a list so that each item is good and unlike those before it.

    One after another, `picks[b]` items are taken, each the one of the first `size[b]` with the
    highest

    `(1 - strength[b]) * relevance[b, i] - strength[b] * max over taken j of cosine(e[i], e[j])`

    (of equal ones the first; with nothing taken yet, the cosine is 0), where `relevance` is the
    score brought to 0 … 1 over the first `size[b]`: `(s - min) / (max - min)`. The others follow in
    their order.

    Args:
        scores: float32 [B, L], best first.
        embeddings: float32 [B, L, D].
        strength: float32 [B], 0 (the order of the scores) to 1; beyond, it is the nearer of both,
            and 0 if it is not a number.
        picks: int32 [B], how many to take.
        size: int32 [B], how many items from the first on may be taken; the others stay behind.

    Returns:
        [B, L] int32 tensor, places in the list as they should follow each other.

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
    never = tf.constant(-10.0)  # below any sum of the two

    def take(
        number: tf.Tensor, turn: tf.Tensor, alike: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        similarity = tf.where(number > 0, alike, tf.zeros_like(alike))
        free = inside & (turn == length)
        value = tf.where(free, relevance - strength * similarity, never)
        best = tf.argmax(value, axis=1, output_type=tf.int32)
        here = (places == best[:, tf.newaxis]) & (number < picks)[:, tf.newaxis]
        taken = tf.gather(embeddings, best, axis=1, batch_dims=1)
        cosine = tf.linalg.matvec(embeddings, taken)
        return number + 1, tf.where(here, number, turn), tf.maximum(alike, cosine)

    state = (tf.constant(0), tf.fill(tf.shape(scores), length), tf.fill(tf.shape(scores), -1.0))
    most = tf.reduce_max(tf.concat([picks, [0]], axis=0))
    _, turn, _ = tf.while_loop(lambda number, *_: number < most, take, state)
    return tf.argsort(turn, axis=1, stable=True)
