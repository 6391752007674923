"""Softmax cross-entropy over a whole catalogue without the [positions x catalogue] matrix."""

from collections.abc import Callable

import tensorflow as tf

from tfsessionrec.losses.retrieval import LossSum, hide_columns
from tfsessionrec.scoring import score_with_winner

# Scores held at once: 8 MiB of float32, which stay in a CPU's cache; but no fewer queries than
# make a product worth its start.
BLOCK_ELEMENTS = 1 << 21
LEAST_QUERIES = 64


def catalogue_softmax_loss(
    query_embeddings: tf.Tensor,
    candidate_embeddings: tf.Tensor,
    positives: tf.Tensor,
    block_elements: int = BLOCK_ELEMENTS,
    least_queries: int = LEAST_QUERIES,
    gates: tf.Tensor | None = None,
    features: Callable[[tf.Tensor], tf.Tensor] | None = None,
) -> LossSum:
    """Softmax cross-entropy of each query's positives against all other candidates.

    `L_{q,p} = -log( exp(s_p) / (exp(s_p) + sum_{c not in P_q} exp(s_c)) )` with
    `s_c = <query_q, candidate_c>`, with interests `max_n <query_{q,n}, candidate_c>`:
    `set_softmax_loss` with the whole catalogue as negatives. It goes through the queries in
    blocks of at most `block_elements` scores, or of `least_queries` queries if theirs are more, and
    makes the gradient of a block with its loss: memory does not grow with queries x candidates, and
    no score is made twice.

    Args:
        query_embeddings: [Q, D] float tensor, or [Q, N, D] of interests, N static.
        candidate_embeddings: [C, D] float tensor.
        positives: [Q, H] integer tensor of each query's positives P_q, each once; negative
            numbers are padding.
        block_elements: Most scores held at once. Defaults to 2^21.
        least_queries: Fewest queries of a block, whatever the catalogue. Defaults to 64.
        gates: [Q, F] float tensor. With it, `s_c` has the term `<gates_q, f_{q,c}>` besides.
        features: Makes the f of some queries, [R] int32 numbers to [R, F, C] float32; called once
            a block. No gradient goes into it.

    Returns:
        `LossSum` over all (query, positive) pairs.

    Example:

    >>> loss = catalogue_softmax_loss(tf.zeros([1, 2]), tf.zeros([4, 2]), tf.constant([[3, -1]]))
    >>> round(float(loss.mean), 4)  # log 4
    1.3863
    """
    queries = tf.cast(query_embeddings, tf.float32)
    candidates = tf.cast(candidate_embeddings, tf.float32)
    positives = tf.cast(positives, tf.int32)
    interests, dim = queries.shape[1:] if queries.shape.rank == 3 else (1, queries.shape[-1])
    count, width = tf.shape(queries)[0], tf.shape(positives)[1]
    least = least_queries
    if gates is None:
        gates = tf.zeros([count, 0])
    elif features is not None:
        gates = tf.cast(gates, tf.float32)
        # A block's features are held beside its scores.
        block_elements //= 1 + int(gates.shape[1])
        least = max(least // (1 + int(gates.shape[1])), 1)
    most = tf.maximum(block_elements // tf.shape(candidates)[0], least)
    blocks = tf.maximum(-(-count // most), 1)
    rows = -(-count // blocks)
    padding = [0, blocks * rows - count], [0, 0]
    positives = tf.pad(positives, padding, constant_values=-1)
    positives = tf.reshape(positives, [blocks, rows, width])

    @tf.custom_gradient
    def blocked(queries: tf.Tensor, candidates: tf.Tensor, gates: tf.Tensor) -> tuple:
        def block(
            index: tf.Tensor,
            total: tf.Tensor,
            by_query: tf.TensorArray,
            by_candidate: tf.Tensor,
            by_gate: tf.TensorArray,
        ) -> tuple:
            query, real = queries[index], positives[index] >= 0
            columns = tf.maximum(positives[index], 0)
            logits, winners = score_with_winner(query, candidates)
            if features is not None:
                numbers = tf.minimum(index * rows + tf.range(rows), count - 1)
                known = features(numbers)
                logits += tf.squeeze(tf.matmul(gates[index][:, tf.newaxis], known), axis=1)
            positive_logits = tf.gather(logits, columns, axis=1, batch_dims=1)
            logits = hide_columns(logits, columns, real)
            largest = tf.reduce_max(logits, axis=1, keepdims=True)
            shares = tf.exp(logits - largest)  # of the negatives, times their sum
            sums = tf.reduce_sum(shares, axis=1, keepdims=True)
            margins = tf.math.log(sums) + largest - positive_logits
            total += tf.reduce_sum(tf.where(real, tf.nn.softplus(margins), 0.0))

            # dL/ds is -p_positive at the positives, their sum times the share at the negatives.
            # What a row has in common is put to the narrow side of the products.
            pulls = tf.where(real, tf.sigmoid(margins), 0.0)
            pull = tf.reduce_sum(pulls, axis=1, keepdims=True)
            places = tf.range(tf.shape(columns)[0])[:, tf.newaxis] + tf.zeros_like(columns)
            shares = tf.tensor_scatter_nd_sub(
                shares,
                tf.stack([places, columns], axis=-1),
                tf.math.divide_no_nan(pulls * sums, pull),
            )
            scale = pull / sums
            by_interest = []
            for number, one in enumerate(tf.unstack(query, axis=1)):
                won = shares if winners is None else tf.where(winners == number, shares, 0.0)
                by_interest.append(tf.matmul(won, candidates) * scale)
                by_candidate += tf.matmul(won, one * scale, transpose_a=True)
            by_query = by_query.write(index, tf.stack(by_interest, axis=1))
            if features is not None:
                pulled = tf.squeeze(tf.matmul(known, shares[..., tf.newaxis]), axis=-1)
                by_gate = by_gate.write(index, pulled * scale)
            return index + 1, total, by_query, by_candidate, by_gate

        by_query = tf.TensorArray(tf.float32, size=blocks, element_shape=[None, interests, dim])
        by_gate = tf.TensorArray(tf.float32, size=blocks, element_shape=[None, gates.shape[-1]])
        _, total, by_query, by_candidate, by_gate = tf.while_loop(
            lambda index, *_: index < blocks,
            block,
            (0, 0.0, by_query, tf.zeros_like(candidates), by_gate),
            parallel_iterations=1,
        )
        by_query = by_query.stack()
        by_gate = tf.zeros_like(gates) if features is None else by_gate.stack()
        return total, lambda upstream: (
            upstream * by_query,
            upstream * by_candidate,
            upstream * by_gate,
        )

    queries = tf.reshape(queries, [count, interests * dim])
    queries = tf.reshape(tf.pad(queries, padding), [blocks, rows, interests, dim])
    pairs = tf.reduce_sum(tf.cast(positives >= 0, tf.float32))
    gates = tf.reshape(tf.pad(gates, padding), [blocks, rows, gates.shape[1]])
    return LossSum(blocked(queries, candidates, gates), pairs)
