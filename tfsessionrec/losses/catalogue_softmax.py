"""Softmax cross-entropy over a whole catalogue without the [positions x catalogue] matrix."""

import tensorflow as tf

from tfsessionrec.losses.loss_sum import LossSum
from tfsessionrec.losses.sampled_log_sum_exp import hide_columns

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
) -> LossSum:
    """Softmax cross-entropy of each query's positives against all other candidates.

    `L_{q,p} = -log( exp(s_p) / (exp(s_p) + sum_{c not in P_q} exp(s_c)) )` with
    `s_c = <query_q, candidate_c>`: `set_softmax_loss` with the whole catalogue as negatives. It
    goes through the queries in blocks of at most `block_elements` scores, or of `least_queries`
    queries if theirs are more, and makes the gradient of a block with its loss: memory does not
    grow with queries x candidates, and no score is made twice.

    Args:
        query_embeddings: [Q, D] float tensor.
        candidate_embeddings: [C, D] float tensor.
        positives: [Q, H] integer tensor of each query's positives P_q, each once; negative
            numbers are padding.
        block_elements: Most scores held at once. Defaults to 2^21.
        least_queries: Fewest queries of a block, whatever the catalogue. Defaults to 64.

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
    count, width, dim = tf.shape(queries)[0], tf.shape(positives)[1], queries.shape[-1]
    most = tf.maximum(block_elements // tf.shape(candidates)[0], least_queries)
    blocks = tf.maximum(-(-count // most), 1)
    rows = -(-count // blocks)
    padding = [[0, blocks * rows - count], [0, 0]]
    positives = tf.pad(positives, padding, constant_values=-1)
    positives = tf.reshape(positives, [blocks, rows, width])

    @tf.custom_gradient
    def blocked(queries: tf.Tensor, candidates: tf.Tensor) -> tuple:
        def block(
            index: tf.Tensor, total: tf.Tensor, by_query: tf.TensorArray, by_candidate: tf.Tensor
        ) -> tuple:
            query, real = queries[index], positives[index] >= 0
            columns = tf.maximum(positives[index], 0)
            logits = tf.matmul(query, candidates, transpose_b=True)
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
            by_query = by_query.write(index, tf.matmul(shares, candidates) * scale)
            by_candidate += tf.matmul(shares, query * scale, transpose_a=True)
            return index + 1, total, by_query, by_candidate

        by_query = tf.TensorArray(tf.float32, size=blocks, element_shape=[None, dim])
        _, total, by_query, by_candidate = tf.while_loop(
            lambda index, *_: index < blocks,
            block,
            (0, 0.0, by_query, tf.zeros_like(candidates)),
            parallel_iterations=1,
        )
        by_query = by_query.stack()
        return total, lambda upstream: (upstream * by_query, upstream * by_candidate)

    queries = tf.reshape(tf.pad(queries, padding), [blocks, rows, dim])
    pairs = tf.reduce_sum(tf.cast(positives >= 0, tf.float32))
    return LossSum(blocked(queries, candidates), pairs)
