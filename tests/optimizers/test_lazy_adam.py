"""LazyAdam against Adam and against its own equations."""

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec.optimizers import LazyAdam


def test_dense_gradients_give_adam():
    values = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
    results = []
    for optimizer in (tf.keras.optimizers.Adam(0.1), LazyAdam(0.1)):
        variable = tf.Variable(values)
        for step in range(3):
            optimizer.apply_gradients([(tf.constant(values * (step + 1)), variable)])
        results.append(variable.numpy())
    np.testing.assert_allclose(*results, rtol=1e-6)


def test_sparse_gradients_touch_their_rows_only():
    table = tf.Variable(np.ones([4, 1], np.float32))
    optimizer = LazyAdam(0.1, beta_1=0.9, beta_2=0.99, epsilon=1e-7)
    # row 2 twice in the first step: its gradients add up
    steps = [([2, 0, 2], [1.0, -2.0, 3.0]), ([2], [1.0])]
    x, m, v = np.ones(4), np.zeros(4), np.zeros(4)
    for step, (rows, values) in enumerate(steps, start=1):
        slices = tf.IndexedSlices(tf.constant(values)[:, None], tf.constant(rows), [4, 1])
        optimizer.apply_gradients([(slices, table)])
        for row in set(rows):
            g = sum(value for r, value in zip(rows, values, strict=True) if r == row)
            m[row] = 0.9 * m[row] + 0.1 * g
            v[row] = 0.99 * v[row] + 0.01 * g * g
            rate = 0.1 * np.sqrt(1 - 0.99**step) / (1 - 0.9**step)
            x[row] -= rate * m[row] / (np.sqrt(v[row]) + 1e-7)
        np.testing.assert_allclose(table.numpy()[:, 0], x, rtol=1e-5)
    # Keras' Adam would have moved row 0 again in the second step
    assert x[1] == x[3] == 1


def test_configuration_and_bad_argument():
    config = LazyAdam(0.3, beta_2=0.98).get_config()
    assert LazyAdam.from_config(config).get_config() == config
    with pytest.raises(ValueError, match="`amsgrad` should be False"):
        LazyAdam(amsgrad=True)


def updated(steps: list[list[int]], **options: bool) -> tuple[np.ndarray, tf.Graph]:
    """A table of 6 rows after a step for each list of rows, and the graph of a step."""
    table, weights = tf.Variable(np.ones([6, 2], np.float32)), tf.Variable([1.0, 2.0])
    optimizer = LazyAdam(0.1)
    optimizer.jit_compile = options.pop("by_variable", False)  # what Keras sets where a GPU is
    optimizer.build([table, weights])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32)], **options)
    def step(rows: tf.Tensor) -> None:
        values = tf.cast(tf.stack([rows + 1, tf.range(tf.size(rows))], axis=1), tf.float32)
        slices = tf.IndexedSlices(values, rows, tf.constant([6, 2]))
        optimizer.apply_gradients([(slices, table), (tf.constant([1.0, -1.0]), weights)])

    for rows in steps:
        step(tf.constant(rows, tf.int32))
    return np.concatenate([table.numpy().ravel(), weights.numpy()]), step.get_concrete_function()


STEPS = [[2, 0, 2, 5], [2], [4, 4, 4, 1, 2, 0, 1]]


def test_xla_sums_over_the_occurrences_of_a_row_without_a_loop_over_them():
    compiled, function = updated(STEPS, jit_compile=True)
    np.testing.assert_allclose(compiled, updated(STEPS)[0], rtol=1e-6)
    assert "Unique" not in {op.type for op in function.graph.get_operations()}


def test_keras_compiles_no_update_of_a_changing_number_of_rows():
    """On a GPU Keras gives each update to XLA, which would compile each number of rows anew."""
    by_variable, function = updated(STEPS, by_variable=True)
    np.testing.assert_allclose(by_variable, updated(STEPS)[0], rtol=1e-6)
    compiled = [
        tuple(argument.type for argument in one.signature.input_arg)
        for one in function.graph.as_graph_def().library.function
        if one.attr["_XlaMustCompile"].b
    ]
    resource, dense = tf.resource.as_datatype_enum, tf.float32.as_datatype_enum
    assert len(compiled) == 1, compiled
    assert compiled[0].count(dense) == 1
    assert set(compiled[0]) <= {resource, dense, tf.int32}
