"""The product of a table of bytes with queries."""

import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

JOINED = 4  # rows of the table that make one; few and long ones are read fastest
ZERO = 64  # added to a query, so that its bytes have no sign
LARGEST = 63.0  # of a query: pairs of products then fit 16 bits, where a processor adds them so


def join_rows(codes: np.ndarray) -> np.ndarray:
    """Rows 0, C/4, C/2, 3C/4 as one, then 1, C/4 + 1 ...: int8 [C, D] to [C/4, 4 D].

    A product with a table in this order has the scores of its rows in their own.

    Args:
        codes: int8 [C, D], C a multiple of 4.

    Example:

    >>> join_rows(np.array([[1], [2], [3], [4], [5], [6], [7], [8]], np.int8))
    array([[1, 3, 5, 7],
           [2, 4, 6, 8]], dtype=int8)
    """
    num_rows, dim = codes.shape
    apart = codes.reshape(JOINED, num_rows // JOINED, dim)
    return np.ascontiguousarray(apart.swapaxes(0, 1)).reshape(-1, JOINED * dim)


def place_of(rows: tf.Tensor, num_rows: int) -> tf.Tensor:
    """Places of rows of a table of C rows in the result of `join_rows`, reshaped to [C, D]."""
    joined = num_rows // JOINED
    return rows % joined * JOINED + rows // joined


def bias_of(codes: np.ndarray) -> np.ndarray:
    """The bias of joined rows in `joined_product`: float32 [C/4]."""
    return -ZERO * codes.sum(axis=1, dtype=np.float32)


def joined_product(
    codes: tf.Variable, bias: tf.Variable, dim: int
) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function that scores rows of bytes against queries rounded to 7 bits.

    `step[b] * product[b, c] ≈ sum_d codes[c, d] * queries[b, d]`, with
    `step[b] = max_d |queries[b, d]| / 63`.

    The operation keeps the table once more, in an order of its own, from its first run on. So it
    is a function that is never inlined: all that call it in a signature share one. The table must
    not change.

    Args:
        codes: int8 [C/4, 4 D], from `join_rows`.
        bias: float32 [C/4], from `bias_of`.
        dim: D.

    Returns:
        A function of queries float32 [B, D] that returns products float32 [B, C].

    Example:

    >>> codes = join_rows(np.array([[2, 0], [-1, 10], [3, 3], [0, 0]], np.int8))
    >>> product = joined_product(tf.Variable(codes), tf.Variable(bias_of(codes)), dim=2)
    >>> (product(tf.constant([[1.0, 1.0]])) / 63).numpy().round(3)
    array([[2., 9., 6., 0.]], dtype=float32)
    """

    @tf.function(
        input_signature=[tf.TensorSpec([None, dim])], experimental_attributes={"_noinline": True}
    )
    def product(queries: tf.Tensor) -> tf.Tensor:
        with tf.device("CPU:0"):
            # oneDNN refuses a product with nothing.
            batch = tf.shape(queries)[0]
            queries = tf.pad(queries, [[0, tf.maximum(1 - batch, 0)], [0, 0]])
            rounded = tf.round(tf.math.divide_no_nan(queries, query_step(queries)[:, tf.newaxis]))
            # A query next to zeros for each of the joined rows: [a b] [[q 0] [0 q]] = [aq bq].
            apart = rounded[:, tf.newaxis, tf.newaxis] * tf.eye(JOINED)[:, :, tf.newaxis]
            apart = tf.reshape(apart, [-1, JOINED * dim])
            products = _quantized_matmul(
                tf.bitcast(tf.cast(apart + ZERO, tf.uint8), tf.quint8),
                tf.bitcast(codes, tf.qint8),
                tf.convert_to_tensor(bias),
            )
            return tf.reshape(products, [-1, codes.shape[0] * JOINED])[:batch]

    # Not the function itself, which a module that holds it would save.
    return lambda queries: product(queries)


def query_step(queries: tf.Tensor) -> tf.Tensor:
    """The unit of the results of `joined_product`: float32 [B]."""
    return tf.reduce_max(tf.abs(queries), axis=1) / LARGEST


def _quantized_matmul(a: tf.Tensor, b: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """`a bᵀ + bias`, of quint8 [M, K], qint8 [N, K] that never changes, and float32 [N].

    Models quantized for oneDNN consist of this operation; `tf.raw_ops` does not have it. Those that
    it has multiply bytes one by one, or put b in another order at each call, or need the table as
    a, of which an instruction multiplies four bytes, not 64.
    """
    tensors, limits = [a, b, bias], [0.0, 255.0, -127.0, 127.0]  # with these a unit is 1

    def types(*dtypes: tf.DType) -> tf.compat.v1.AttrValue:
        numbers = [dtype.as_datatype_enum for dtype in dtypes]
        return tf.compat.v1.AttrValue(list=tf.compat.v1.AttrValue.ListValue(type=numbers))

    def text(*words: bytes) -> tf.compat.v1.AttrValue:
        return tf.compat.v1.AttrValue(list=tf.compat.v1.AttrValue.ListValue(s=words))

    def one(dtype: tf.DType) -> tf.compat.v1.AttrValue:
        return tf.compat.v1.AttrValue(type=dtype.as_datatype_enum)

    yes = tf.compat.v1.AttrValue(b=True)
    operation = tf.compat.v1.get_default_graph().create_op(
        "_QuantizedMatMul",
        [*tensors, *map(tf.constant, limits)],
        [tf.float32],
        name="quantized_matmul",
        attrs={
            "Tdevice_inputs": types(*(tensor.dtype for tensor in tensors)),
            "Thost_inputs": types(*[tf.float32] * len(limits)),
            "Tdevice_outputs": types(tf.float32),
            "Thost_outputs": types(),
            "T1": one(a.dtype),
            "T2": one(b.dtype),
            "Tbias": one(tf.float32),
            "U": one(tf.float32),
            "Tout": one(tf.float32),
            "transpose_b": yes,
            "is_weight_const": yes,
            "fused_ops": text(b"BiasAdd", b"Dequantize"),
            "input_quant_mode": tf.compat.v1.AttrValue(s=b"SCALED"),
        },
    )
    return operation.outputs[0]


@functools.cache
def has_joined_product() -> bool:
    """Whether this TensorFlow has the operation, which it has if it was built with oneDNN."""
    try:
        codes, bias = tf.Variable(tf.zeros([1, JOINED], tf.int8)), tf.Variable([0.0])
        joined_product(codes, bias, dim=1)(tf.zeros([1, 1]))
    except (tf.errors.OpError, RuntimeError):  # no kernel, or not even the operation
        return False
    return True
