"""The product of a table of bytes with queries."""

import functools

import tensorflow as tf

LARGEST = 63.0  # of a query: pairs of products then fit 16 bits, where a processor adds them so


def codes_product(codes: tf.Tensor, queries: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Scores rows of bytes against queries that are rounded to 7 bits.

    `step[b] * product[b, c] ≈ sum_d (codes[c, d] - 128) * queries[b, d]`

    Args:
        codes: uint8 [C, D].
        queries: float32 [B, D].

    Returns:
        Products float32 [B, C] and steps float32 [B].

    Example:

    >>> codes = tf.constant([[130, 128], [127, 138]], tf.uint8)
    >>> product, step = codes_product(codes, tf.ones([1, 2]))
    >>> (product * step[:, tf.newaxis]).numpy().round(3)
    array([[2., 9.]], dtype=float32)
    """
    # oneDNN refuses a product with nothing.
    batch, dim = tf.shape(queries)[0], tf.shape(queries)[1]
    queries = tf.pad(queries, [[0, tf.maximum(1 - batch, 0)], [0, 0]])
    step = tf.reduce_max(tf.abs(queries), axis=1) / LARGEST
    rounded = tf.round(tf.math.divide_no_nan(tf.transpose(queries), step))
    # Of few queries, two rows are taken for one of twice the length, which is a little faster:
    # [a b] [[q 0] [0 q]] = [aq bq].
    together = tf.where((batch <= 8) & (tf.shape(codes)[0] % 2 == 0), 2, 1)
    twice = tf.eye(together)[:, tf.newaxis, :, tf.newaxis] * rounded[:, tf.newaxis]
    columns = together * tf.shape(rounded)[1]
    twice = tf.reshape(twice, [together * dim, columns])
    # The fastest operation for bytes: the others multiply them one by one, or make a copy of the
    # table for each call. It still works more than it reads: an instruction takes four bytes of a
    # row for 16 queries, so that up to 16 cost little more than one.
    product = tf.raw_ops.QuantizedMatMulWithBiasAndDequantize(
        a=tf.bitcast(tf.reshape(codes, [-1, together * dim]), tf.quint8),
        b=tf.bitcast(tf.cast(twice, tf.int8), tf.qint8),
        bias=-128.0 * tf.reduce_sum(twice, axis=0),
        # With these a unit of the product is 1; the last two are not used.
        min_a=0.0,
        max_a=255.0,
        min_b=-127.0,
        max_b=127.0,
        min_freezed_output=0.0,
        max_freezed_output=0.0,
        Toutput=tf.float32,
        input_quant_mode="SCALED",
    )
    product = tf.transpose(tf.reshape(product, [tf.shape(codes)[0], -1]))
    # Rows are cut, not columns: what is left lies together, and is not copied.
    return product[:batch], step[:batch]


@functools.cache
def has_codes_product() -> bool:
    """Whether TensorFlow can do it here; it can with oneDNN."""
    try:
        tf.function(codes_product)(tf.zeros([1, 1], tf.uint8), tf.zeros([1, 1]))
    except tf.errors.OpError:
        return False
    return True
