"""Softmax cross-entropy over a whole catalogue without the [queries x catalogue] matrix."""

from collections.abc import Callable

import tensorflow as tf

from tfsessionrec import checks
from tfsessionrec.losses.retrieval import LossSum, hide_columns
from tfsessionrec.scoring import Queries, as_queries, places_among, score_with_winner

# Scores held at once: 8 MiB of float32, which stay in a CPU's cache; but enough queries that the
# product of matrices amortizes its launch cost.
BLOCK_ELEMENTS = 1 << 21
LEAST_QUERIES = 64


def catalogue_softmax_loss(
    queries: Queries | tf.Tensor,
    candidate_embeddings: tf.Tensor,
    positives: tf.Tensor,
    block_elements: int = BLOCK_ELEMENTS,
    least_queries: int = LEAST_QUERIES,
    candidate_ids: tf.Tensor | None = None,
    weights: tf.Tensor | None = None,
) -> LossSum:
    """Softmax cross-entropy of each query's positives against all other candidates.

    `L_{q,p} = -log( exp(s_p) / (exp(s_p) + sum_{c not in P_q} exp(s_c)) )` with s the scores of
    `Queries`: `set_softmax_loss` with the whole catalogue as negatives. The loss goes through the
    queries in blocks of at most `block_elements` scores, but at least `least_queries` queries, and
    computes the gradient of a block with its loss: memory does not grow with queries x candidates,
    and each score is computed once.

    Args:
        queries: `Queries`, or [Q, D] float tensor of plain ones. The features of their terms get no
            gradient, their gates do.
        candidate_embeddings: [C, D] float tensor.
        positives: [Q, H] integer tensor of each query's positives P_q, numbers of candidates, each
            once; negative numbers are padding.
        block_elements: Most scores held at once. Defaults to 2^21.
        least_queries: Fewest queries of a block, whatever the catalogue. Defaults to 64.
        candidate_ids: [C] integer tensor, the candidates' vocabulary indices, each once; only terms
            read it. Defaults to 0 .. C - 1.
        weights: [Q, H] float tensor, the weight of each positive. Default: all weigh 1.

    Returns:
        `LossSum` over all (query, positive) pairs.

    Raises:
        ValueError: If an argument is of another kind, rank or range.

    Example:

    >>> loss = catalogue_softmax_loss(tf.zeros([1, 2]), tf.zeros([4, 2]), tf.constant([[3, -1]]))
    >>> round(float(loss.mean), 4)  # log 4
    1.3863
    """
    _check(queries, candidate_embeddings, positives, candidate_ids)
    block_elements = checks.positive_integer("block_elements", block_elements)
    least_queries = checks.positive_integer("least_queries", least_queries)
    queries = as_queries(queries)
    embeddings = tf.cast(queries.embeddings, tf.float32)
    candidates = tf.cast(candidate_embeddings, tf.float32)
    positives = tf.cast(positives, tf.int32)
    if candidate_ids is None:
        candidate_ids = tf.range(tf.shape(candidates)[0])
    count = tf.shape(embeddings)[0]
    interests, dim = embeddings.shape[1:]
    num_features = queries.num_features
    # A block holds its features in addition to its scores.
    least = max(least_queries // (1 + num_features), 1)
    most = tf.maximum(block_elements // (1 + num_features) // tf.shape(candidates)[0], least)
    blocks = tf.maximum(-(-count // most), 1)
    rows = -(-count // blocks)
    padding = [0, blocks * rows - count], [0, 0]

    def cut(values: tf.Tensor, *shape: int) -> tf.Tensor:
        return tf.reshape(tf.pad(values, padding), [blocks, rows, *shape])

    def features(block: tf.Tensor) -> tf.Tensor:
        numbers = tf.minimum(block * rows + tf.range(rows), count - 1)
        parts = [term.gather(numbers).features(candidate_ids) for term in queries.dense_terms]
        return tf.concat(parts, axis=1)

    own = tf.pad(positives, padding, constant_values=-1)
    own = tf.reshape(own, [blocks, rows, tf.shape(positives)[1]])
    own_weights = None
    if weights is not None:
        weights = tf.where(positives >= 0, tf.cast(weights, tf.float32), 0.0)
        own_weights = cut(weights, tf.shape(positives)[1])
    gates = tf.zeros([count, 0])
    if queries.dense_terms:
        gates = tf.concat([term.gates for term in queries.dense_terms], axis=1)
        gates = tf.cast(gates, tf.float32)
    places, stored = _stored(queries, count, candidate_ids)
    width = tf.shape(stored)[1]
    total = _blocked_loss(
        cut(tf.reshape(embeddings, [count, interests * dim]), interests, dim),
        candidates,
        cut(gates, num_features),
        cut(stored, width),
        cut(places, width) if queries.stored_terms else None,
        own,
        own_weights,
        features if queries.dense_terms else None,
    )
    counts = tf.cast(positives >= 0, tf.float32) if weights is None else weights
    return LossSum(total, tf.reduce_sum(counts))


def _check(
    queries: Queries | tf.Tensor,
    candidate_embeddings: tf.Tensor,
    positives: tf.Tensor,
    candidate_ids: tf.Tensor | None,
) -> None:
    if not isinstance(queries, Queries):
        checks.tensors(("queries", queries, "number", "Q D"))
    checks.tensors(
        ("candidate_embeddings", candidate_embeddings, "number", "C D"),
        ("positives", positives, "integer", "Q H"),
    )
    if candidate_ids is not None:
        checks.tensors(("candidate_ids", candidate_ids, "integer", "C"))


def _stored(
    queries: Queries, count: tf.Tensor, candidate_ids: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The numbers [Q, U] of the candidates that terms hold, and the terms [Q, U]; 0 for others."""
    if not queries.stored_terms:
        return tf.zeros([count, 0], tf.int32), tf.zeros([count, 0])
    item_ids, terms = (
        tf.concat(parts, axis=1)
        for parts in zip(*(term.stored() for term in queries.stored_terms), strict=True)
    )
    candidate_ids = tf.cast(candidate_ids, item_ids.dtype)
    order = tf.cond(
        tf.reduce_all(candidate_ids[1:] > candidate_ids[:-1]),
        lambda: tf.range(tf.size(candidate_ids)),
        lambda: tf.argsort(candidate_ids),
    )
    places, found = places_among(item_ids, tf.gather(candidate_ids, order))
    return tf.gather(order, places), tf.where(found, tf.cast(terms, tf.float32), 0.0)


def _blocked_loss(
    queries: tf.Tensor,
    candidates: tf.Tensor,
    gates: tf.Tensor,
    stored: tf.Tensor,
    places: tf.Tensor | None,
    positives: tf.Tensor,
    weights: tf.Tensor | None,
    features: Callable[[tf.Tensor], tf.Tensor] | None,
) -> tf.Tensor:
    """The sum of the losses of blocks, with the gradient computed block by block.

    Args:
        queries: [blocks, rows, N, D].
        candidates: [C, D].
        gates: [blocks, rows, F].
        stored: [blocks, rows, U], terms of single candidates.
        places: [blocks, rows, U], the numbers of these candidates; None for U = 0.
        positives: [blocks, rows, H].
        weights: [blocks, rows, H], or None: all weigh 1.
        features: Makes the features [rows, F, C] of a block of that number; None for F = 0.
    """

    @tf.custom_gradient
    def loss(
        queries: tf.Tensor, candidates: tf.Tensor, gates: tf.Tensor, stored: tf.Tensor
    ) -> tuple:
        def step(
            index: tf.Tensor,
            total: tf.Tensor,
            by_query: tf.TensorArray,
            by_candidate: tf.Tensor,
            by_gate: tf.TensorArray,
            by_stored: tf.TensorArray,
        ) -> tuple:
            known = None if features is None else features(index)
            block_loss, block_by_query, by_candidate, block_by_gate, block_by_stored = _block(
                queries[index],
                candidates,
                gates[index],
                stored[index],
                None if places is None else places[index],
                positives[index],
                None if weights is None else weights[index],
                known,
                by_candidate,
            )
            by_query = by_query.write(index, block_by_query)
            if block_by_gate is not None:
                by_gate = by_gate.write(index, block_by_gate)
            if block_by_stored is not None:
                by_stored = by_stored.write(index, block_by_stored)
            return index + 1, total + block_loss, by_query, by_candidate, by_gate, by_stored

        blocks = tf.shape(queries)[0]
        by_query = tf.TensorArray(tf.float32, size=blocks, element_shape=queries.shape[1:])
        by_gate = tf.TensorArray(tf.float32, size=blocks, element_shape=gates.shape[1:])
        by_stored = tf.TensorArray(tf.float32, size=blocks, element_shape=stored.shape[1:])
        _, total, by_query, by_candidate, by_gate, by_stored = tf.while_loop(
            lambda index, *_: index < blocks,
            step,
            (0, 0.0, by_query, tf.zeros_like(candidates), by_gate, by_stored),
            parallel_iterations=1,
        )
        by_query = by_query.stack()
        by_gate = tf.zeros_like(gates) if features is None else by_gate.stack()
        by_stored = tf.zeros_like(stored) if places is None else by_stored.stack()
        gradients = by_query, by_candidate, by_gate, by_stored
        return total, lambda upstream: tuple(upstream * one for one in gradients)

    return loss(queries, candidates, gates, stored)


def _block(
    queries: tf.Tensor,
    candidates: tf.Tensor,
    gates: tf.Tensor,
    stored: tf.Tensor,
    places: tf.Tensor | None,
    positives: tf.Tensor,
    weights: tf.Tensor | None,
    features: tf.Tensor | None,
    by_candidate: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor | None, tf.Tensor | None]:
    """The loss of some queries and its gradients, that of the candidates added to `by_candidate`.

    Args:
        queries: [R, N, D].
        candidates: [C, D].
        gates: [R, F].
        stored: [R, U], terms of single candidates.
        places: [R, U], the numbers of these candidates, or None.
        positives: [R, H].
        weights: [R, H], or None.
        features: [R, F, C], or None.
        by_candidate: [C, D].

    Returns:
        Loss [], and its gradients by queries [R, N, D], candidates [C, D], gates [R, F] (None
        without features) and stored terms [R, U] (None without places).
    """
    real, columns = positives >= 0, tf.maximum(positives, 0)
    logits, winners = score_with_winner(queries, candidates)
    if features is not None:
        logits += tf.squeeze(tf.matmul(gates[:, tf.newaxis], features), axis=1)
    if places is not None:
        logits = tf.tensor_scatter_nd_add(logits, _cells(places), stored)
    positive_logits = tf.gather(logits, columns, axis=1, batch_dims=1)
    logits = hide_columns(logits, columns, real)
    largest = tf.reduce_max(logits, axis=1, keepdims=True)
    shares = tf.exp(logits - largest)  # of the negatives, times their sum
    sums = tf.reduce_sum(shares, axis=1, keepdims=True)
    margins = tf.math.log(sums) + largest - positive_logits
    losses = tf.where(real, tf.nn.softplus(margins), 0.0)
    pulls = tf.where(real, tf.sigmoid(margins), 0.0)
    if weights is not None:
        losses, pulls = losses * weights, pulls * weights
    total = tf.reduce_sum(losses)

    # dL/ds is -p_positive at the positives, and their sum times the share at the negatives. The
    # factors that a row shares are applied to the narrow side of the products.
    pull = tf.reduce_sum(pulls, axis=1, keepdims=True)
    shares = tf.tensor_scatter_nd_sub(
        shares, _cells(columns), tf.math.divide_no_nan(pulls * sums, pull)
    )
    scale = pull / sums
    by_query = []
    for number, one in enumerate(tf.unstack(queries, axis=1)):
        won = shares if winners is None else tf.where(winners == number, shares, 0.0)
        by_query.append(tf.matmul(won, candidates) * scale)
        by_candidate += tf.matmul(won, one * scale, transpose_a=True)
    by_gate = None
    if features is not None:
        by_gate = tf.squeeze(tf.matmul(features, shares[..., tf.newaxis]), axis=-1) * scale
    by_stored = None
    if places is not None:
        by_stored = tf.gather(shares, places, axis=1, batch_dims=1) * scale
    return total, tf.stack(by_query, axis=1), by_candidate, by_gate, by_stored


def _cells(columns: tf.Tensor) -> tf.Tensor:
    """The cells [R, U, 2] of a matrix, (row, column) each, of columns [R, U] of its rows."""
    rows = tf.range(tf.shape(columns)[0])[:, tf.newaxis] + tf.zeros_like(columns)
    return tf.stack([rows, columns], axis=-1)
