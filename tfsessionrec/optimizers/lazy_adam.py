"""Adam that updates only the rows of a sparse gradient."""

import tensorflow as tf

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
        first.scatter_update(tf.IndexedSlices(m, rows))
        second.scatter_update(tf.IndexedSlices(v, rows))
        change = rate * m / (tf.sqrt(v) + self.epsilon)
        variable.scatter_sub(tf.IndexedSlices(change, rows))

    def moments(self, variable: tf.Variable) -> tuple[tf.Variable, tf.Variable]:
        """The first and second moment of a variable that the optimizer is built for."""
        place = self._index_dict[self._var_key(variable)]
        return self._momentums[place], self._velocities[place]

    def get_config(self) -> Config:
        config = super().get_config()
        config.pop("amsgrad")
        return config
