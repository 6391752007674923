"""Random numbers of training: by default TensorFlow's, within `seeded` functions of seed and step.

A seeded step draws the same numbers in every process, so that a resumed training equals one that
was not interrupted. TensorFlow's own counters start again in a new process.
"""

import contextlib
import contextvars
from collections.abc import Iterator

import tensorflow as tf

_MIX = 1_000_003


class _Draws:
    """Seeds of the draws of a step: the n-th draw has `[mixed seed and n, step]`."""

    def __init__(self, seed: int, step: tf.Variable | tf.Tensor) -> None:
        self._seed = seed
        self._step = step
        self._count = 0

    def next_seed(self) -> tf.Tensor:
        self._count += 1
        first = (self._seed * _MIX + self._count) % 2**62
        return tf.stack([tf.constant(first, tf.int64), tf.cast(self._step, tf.int64)])


_active: contextvars.ContextVar[_Draws | None] = contextvars.ContextVar("draws", default=None)


@contextlib.contextmanager
def seeded(seed: int | None, step: tf.Variable | tf.Tensor) -> Iterator[None]:
    """Makes the draws within a function of the seed, the step and their order.

    Args:
        seed: The seed. None: draws are those of TensorFlow's generator.
        step: Integer scalar, such as the number of steps that an optimizer has made. Replicas of a
            distribution strategy draw different numbers.

    Example:

    >>> with seeded(7, tf.constant(3)):
    ...     one = uniform([2])
    >>> with seeded(7, tf.constant(3)):
    ...     same = uniform([2])
    >>> bool(tf.reduce_all(one == same))
    True
    """
    if seed is not None:
        replica = tf.distribute.get_replica_context()
        if replica is not None and replica.num_replicas_in_sync > 1:
            step = tf.cast(step, tf.int64) * replica.num_replicas_in_sync
            step += tf.cast(replica.replica_id_in_sync_group, tf.int64)
    token = _active.set(None if seed is None else _Draws(seed, step))
    try:
        yield
    finally:
        _active.reset(token)


def is_seeded() -> bool:
    """Whether draws are within `seeded`."""
    return _active.get() is not None


def uniform(
    shape: tf.Tensor | list[int],
    minval: int | float = 0,
    maxval: int | float | None = None,
    dtype: tf.DType = tf.float32,
) -> tf.Tensor:
    """`tf.random.uniform`."""
    draws = _active.get()
    if draws is None:
        return tf.random.uniform(shape, minval, maxval, dtype)
    return tf.random.stateless_uniform(shape, draws.next_seed(), minval, maxval, dtype)


def categorical(logits: tf.Tensor, num_samples: int, dtype: tf.DType = tf.int64) -> tf.Tensor:
    """`tf.random.categorical`."""
    draws = _active.get()
    if draws is None:
        return tf.random.categorical(logits, num_samples, dtype)
    return tf.random.stateless_categorical(logits, num_samples, draws.next_seed(), dtype)


def dropout(
    values: tf.Tensor, rate: float, noise_shape: tf.Tensor | list[int] | None = None
) -> tf.Tensor:
    """`tf.nn.dropout`."""
    draws = _active.get()
    if draws is None:
        return tf.nn.dropout(values, rate, noise_shape)
    return tf.nn.experimental.stateless_dropout(
        values, rate, draws.next_seed(), noise_shape=noise_shape
    )
