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
