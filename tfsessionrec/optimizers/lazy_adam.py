"""Adam that updates only the rows of a sparse gradient."""

from collections.abc import Sequence

import tensorflow as tf
from tensorflow.python.ops import control_flow_util

from tfsessionrec.backend import keras
from tfsessionrec.checks import number
from tfsessionrec.types import Config


@keras.utils.register_keras_serializable(package="tfsessionrec")
class LazyAdam(keras.optimizers.Adam):
    """Adam whose step for an embedding table costs as much as the gradient has rows.

    For dense gradients this is Adam. For sparse ones (rows gathered from a table) it updates the
    rows of the gradient and their moments and leaves the others unchanged, whereas Keras' Adam
    decays every row of the table at every step.

    `m_r = b1 m_r + (1 - b1) g_r`, `v_r = b2 v_r + (1 - b2) g_r^2`,
    `x_r = x_r - lr sqrt(1 - b2^t) / (1 - b1^t) m_r / (sqrt(v_r) + eps)` for rows r of the gradient.

    With `jit_compile`, which Keras turns on where it finds a GPU, XLA compiles the updates for
    dense gradients only: a sparse one has another number of rows at each step, and XLA would
    compile for each number.

    Args:
        learning_rate, beta_1, beta_2, epsilon, ...: As in `tf.keras.optimizers.Adam`, without
            `amsgrad`.

    Example:

    >>> table = tf.Variable([[1.0], [1.0]])
    >>> gradient = tf.IndexedSlices(tf.constant([[1.0]]), tf.constant([1]), tf.constant([2, 1]))
    >>> _ = LazyAdam(0.5).apply_gradients([(gradient, table)])
    >>> table.numpy().round(3).ravel().tolist()
    [1.0, 0.5]

    References:
        Adam (Kingma & Ba, 2015).
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 0.001,
        **kwargs: object,
    ) -> None:
        is_schedule = isinstance(learning_rate, keras.optimizers.schedules.LearningRateSchedule)
        is_config = isinstance(learning_rate, dict) and "class_name" in learning_rate
        if not is_schedule and not is_config:
            number("learning_rate", learning_rate, above=0)
        if kwargs.get("amsgrad"):
            raise ValueError(
                "`amsgrad` should be False: LazyAdam does not support it. Received: True"
            )
        super().__init__(learning_rate=learning_rate, **kwargs)

    def update_step(self, gradient: tf.Tensor | tf.IndexedSlices, variable: tf.Variable) -> None:
        if not isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable)
            return
        dtype = variable.dtype
        step = tf.cast(self.iterations + 1, dtype)
        beta_1, beta_2 = tf.cast(self.beta_1, dtype), tf.cast(self.beta_2, dtype)
        rate = tf.cast(tf.convert_to_tensor(self.learning_rate), dtype)
        rate *= tf.sqrt(1 - tf.pow(beta_2, step)) / (1 - tf.pow(beta_1, step))
        first, second = self.moments(variable)
        rows, values = gradient.indices, gradient.values
        m = beta_1 * tf.gather(first, rows) + (1 - beta_1) * values
        v = beta_2 * tf.gather(second, rows) + (1 - beta_2) * tf.square(values)
        change = rate * m / (tf.sqrt(v) + self.epsilon)
        if _in_xla():
            # A row that occurs twice gets the same value twice.
            changed = tf.gather(variable, rows) - change
            variable.scatter_update(tf.IndexedSlices(changed, rows))
        else:
            variable.scatter_sub(tf.IndexedSlices(change, rows))
        first.scatter_update(tf.IndexedSlices(m, rows))
        second.scatter_update(tf.IndexedSlices(v, rows))

    def _update_step_xla(
        self, gradient: tf.Tensor | tf.IndexedSlices, variable: tf.Variable, key: int
    ) -> None:
        if isinstance(gradient, tf.IndexedSlices):
            self._update_step(gradient, variable)
        else:
            super()._update_step_xla(gradient, variable, key)

    def _deduplicate_sparse_grad(
        self, grads: Sequence[tf.Tensor | tf.IndexedSlices]
    ) -> list[tf.Tensor | tf.IndexedSlices]:
        """Sums over the occurrences of a row; XLA's `tf.unique` takes a loop over all of them."""
        if not _in_xla():
            return super()._deduplicate_sparse_grad(grads)
        return [_summed(g) if isinstance(g, tf.IndexedSlices) else g for g in grads]

    def moments(self, variable: tf.Variable) -> tuple[tf.Variable, tf.Variable]:
        """The first and second moment of a variable that the optimizer is built for."""
        place = self._index_dict[self._var_key(variable)]
        return self._momentums[place], self._velocities[place]

    def get_config(self) -> Config:
        config = super().get_config()
        config.pop("amsgrad")
        return config


def _in_xla() -> bool:
    """Whether the code is traced for XLA."""
    graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
    return graph is not None and control_flow_util.GraphOrParentsInXlaContext(graph)


def _summed(gradient: tf.IndexedSlices) -> tf.IndexedSlices:
    """As many rows as before, each occurrence of a row with the sum over all of them."""
    order = tf.argsort(gradient.indices, stable=True)
    rows = tf.gather(gradient.indices, order)
    is_new = tf.not_equal(rows[1:], rows[:-1])
    run = tf.pad(tf.cumsum(tf.cast(is_new, tf.int32)), [[1, 0]])
    values = tf.gather(gradient.values, order)
    sums = tf.math.unsorted_segment_sum(values, run, tf.shape(run)[0])
    return tf.IndexedSlices(tf.gather(sums, run), rows, gradient.dense_shape)
