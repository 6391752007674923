"""Log-sum-exp over a whole catalogue without the [positions x catalogue] matrix."""

import tensorflow as tf

from tfsessionrec.losses.sampled_log_sum_exp import hide_columns

# Scores held at once: 4 MiB of float32, which stays in a CPU's cache; but no fewer queries than
# make a product worth its start.
BLOCK_ELEMENTS = 1 << 20
LEAST_QUERIES = 64


def catalogue_log_sum_exp(
    query_embeddings: tf.Tensor,
    candidate_embeddings: tf.Tensor,
    hidden: tf.Tensor,
    block_elements: int = BLOCK_ELEMENTS,
    least_queries: int = LEAST_QUERIES,
) -> tf.Tensor:
    """Log-sum-exp of every query's scores over all candidates, in blocks of queries.

    `lse_q = log sum_{c not in H_q} exp(<query_q, candidate_c>)`. A block of queries holds at most
    `block_elements` scores, or those of `least_queries` queries if they are more. It is made again
    in the backward pass, so that memory does not grow with queries x candidates.

    Args:
        query_embeddings: [Q, D] float tensor.
        candidate_embeddings: [C, D] float tensor.
        hidden: [Q, H] integer tensor of the candidates left out of a query's sum; negative
            numbers are padding.
        block_elements: Most scores held at once. Defaults to 2^20.
        least_queries: Fewest queries of a block, whatever the catalogue. Defaults to 64.

    Returns:
        [Q] float32 tensor.

    Example:

    >>> catalogue_log_sum_exp(tf.zeros([1, 2]), tf.zeros([4, 2]), tf.constant([[3, -1]])).numpy()
    array([1.0986123], dtype=float32)
    """
    queries = tf.cast(query_embeddings, tf.float32)
    candidates = tf.cast(candidate_embeddings, tf.float32)
    count = tf.shape(queries)[0]
    most = tf.maximum(block_elements // tf.shape(candidates)[0], least_queries)
    blocks = -(-count // most)
    blocks = tf.maximum(blocks, 1)
    rows = -(-count // blocks)
    dim = queries.shape[-1]
    padding = [[0, blocks * rows - count], [0, 0]]
    hidden = tf.reshape(
        tf.pad(hidden, padding, constant_values=-1), [blocks, rows, tf.shape(hidden)[1]]
    )

    @tf.custom_gradient
    def blocked(queries: tf.Tensor, candidates: tf.Tensor) -> tuple:
        def logits_of(index: tf.Tensor) -> tf.Tensor:
            logits = tf.matmul(queries[index], candidates, transpose_b=True)
            columns = hidden[index]
            return hide_columns(logits, tf.maximum(columns, 0), columns >= 0)

        def forward(index: tf.Tensor, sums: tf.TensorArray) -> tuple:
            return index + 1, sums.write(index, tf.reduce_logsumexp(logits_of(index), axis=1))

        sums = tf.TensorArray(tf.float32, size=blocks, element_shape=[None])
        _, sums = tf.while_loop(
            lambda index, _: index < blocks, forward, (0, sums), parallel_iterations=1
        )
        log_sums = sums.stack()

        def gradient(upstream: tf.Tensor) -> tuple:
            def backward(
                index: tf.Tensor, by_query: tf.TensorArray, by_candidate: tf.Tensor
            ) -> tuple:
                share = tf.exp(logits_of(index) - log_sums[index][:, tf.newaxis])
                share *= upstream[index][:, tf.newaxis]
                by_query = by_query.write(index, tf.matmul(share, candidates))
                by_candidate += tf.matmul(share, queries[index], transpose_a=True)
                return index + 1, by_query, by_candidate

            by_query = tf.TensorArray(tf.float32, size=blocks, element_shape=[None, dim])
            _, by_query, by_candidate = tf.while_loop(
                lambda index, *_: index < blocks,
                backward,
                (0, by_query, tf.zeros_like(candidates)),
                parallel_iterations=1,
            )
            return by_query.stack(), by_candidate

        return log_sums, gradient

    queries = tf.reshape(tf.pad(queries, padding), [blocks, rows, dim])
    return tf.reshape(blocked(queries, candidates), [-1])[:count]
