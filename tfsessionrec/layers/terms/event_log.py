"""A log of interactions with fast look-ups at any moment."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray


class EventLog:
    """Events by key and time with decayed sums, to look up the events before a time.

    Each event stores the decayed sum of its key's events up to and including it,
    `s_e = 1 + 2^(-(t_e - t_(e-1)) / h) s_(e-1)`. A look-up is one binary search and one gather:
    memory grows with the events only, and the number of keys does not change the cost.

    The log holds variables, so that traced graphs read a new log. No layer owns them, and they are
    not saved.

    Args:
        half_lives: Seconds after which the weight of an event is one half.
    """

    def __init__(self, half_lives: Sequence[float]) -> None:
        self.half_lives = tuple(half_lives)
        # A dict of a plain object: Keras would treat variables of its layers as weights.
        self._variables = {
            "codes": _variable(np.zeros(0, np.int64)),  # key * span + seconds, ascending
            "values": _variable(np.zeros(1, np.int32)),  # the value of each event
            "sums": _variable(np.zeros((1, len(self.half_lives)), np.float32)),
            "origin": _variable(np.int64(0)),
            "span": _variable(np.int64(1)),
        }

    def assign(
        self, keys: NDArray[np.int64], times: NDArray[np.int64], values: NDArray[np.int64]
    ) -> None:
        """Replaces the events: key, time in seconds and value of each, in any order."""
        order = np.lexsort((times, keys))
        keys, times, values = keys[order], times[order], values[order]
        origin = int(times.min()) if times.size else 0
        # Two seconds after the last event: a later time finds all events of its key.
        span = (int(times.max()) - origin if times.size else 0) + 2
        arrays = {
            "codes": keys * span + times - origin,
            "values": np.append(values, 0).astype(np.int32),
            "sums": np.append(
                decayed_sums(keys, times, self.half_lives),
                np.zeros((1, len(self.half_lives)), np.float32),
                axis=0,
            ),
            "origin": np.int64(origin),
            "span": np.int64(span),
        }
        for name, array in arrays.items():
            self._variables[name].assign(array)

    def before(
        self, keys: tf.Tensor, times: tf.Tensor, static_shapes: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Finds where each key's events before a time end.

        Args:
            keys: [...] int64.
            times: [...] int64, same shape.
            static_shapes: Uses operations that XLA compiles well. Defaults to False.

        Returns:
            `end` [...] int64, the number of the first event that is not before, and `begin` [...]:
            events of lower codes have other keys.
        """
        origin, span = self._variables["origin"], self._variables["span"]
        begin = keys * span
        wanted = begin + tf.clip_by_value(times - origin, 0, span - 1)
        codes = tf.convert_to_tensor(self._variables["codes"])
        return search(codes, wanted, static_shapes), begin

    def event(self, places: tf.Tensor, begin: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Reads events: `found` bool, `time` int64, `value` int32 and `sums` [..., H].

        Args:
            places: [...] int64, numbers of events; outside the log `found` is False.
            begin: [...] int64, of `before`: events of lower codes have other keys.
        """
        codes = tf.convert_to_tensor(self._variables["codes"])
        count = tf.size(codes, tf.int64)
        found = (places >= 0) & (places < count)
        places = tf.where(found, places, count)
        code = tf.gather(tf.concat([codes, [0]], 0), places)
        found &= code >= begin
        time = code - begin + self._variables["origin"]
        return (
            found,
            time,
            tf.gather(self._variables["values"], places),
            tf.gather(self._variables["sums"], places),
        )

    def keys_before(self, time: int) -> NDArray[np.int64]:
        """The keys of all events before a time."""
        keys, times, _ = self._events()
        return keys[times < time]

    def newest_before(self, time: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Finds the newest events of each key before a time.

        Args:
            time: Seconds.
            count: Most events of a key.

        Returns:
            Key and value of each event, [n, 2], and the seconds since it, [n].
        """
        keys, times, values = self._events()
        before = times < time
        keys, times, values = keys[before], times[before], values[before]
        last = np.searchsorted(keys, keys, side="right")
        newest = last - np.arange(len(keys)) <= count
        return np.stack([keys, values], axis=1)[newest], time - times[newest]

    def _events(self) -> tuple[NDArray[np.int64], ...]:
        """Key, time and value of each, by key and time."""
        codes, span = self._variables["codes"].numpy(), self._variables["span"].numpy()
        keys = codes // span
        times = codes - keys * span + self._variables["origin"].numpy()
        return keys, times, self._variables["values"].numpy()[:-1].astype(np.int64)


def decayed_sums(
    keys: NDArray[np.int64], times: NDArray[np.int64], half_lives: Sequence[float]
) -> NDArray[np.float32]:
    """Decayed count of each key's events up to and including each event: [E, H].

    Args:
        keys: [E], ascending.
        times: [E] seconds, ascending within a key.
        half_lives: Seconds.

    Example: two events ten seconds apart.

    >>> decayed_sums(np.array([7, 7, 8]), np.array([0, 10, 0]), [10.0]).ravel()
    array([1. , 1.5, 1. ], dtype=float32)
    """
    # A linear recurrence, by doubling: log2 of the longest run of a key rounds.
    same = np.diff(keys, prepend=-1) == 0
    gaps = np.diff(times, prepend=times[:1])
    sums = np.empty((len(keys), len(half_lives)), np.float32)
    for column, half_life in enumerate(half_lives):
        decay = np.where(same, np.exp2(-np.maximum(gaps, 0) / half_life), 0.0)
        total, step = np.ones(len(keys)), 1
        while decay.any():
            total[step:] += decay[step:] * total[:-step]
            decay[step:] = decay[step:] * decay[:-step]
            decay[:step] = 0.0
            step *= 2
        sums[:, column] = total
    return sums


def _variable(value: ArrayLike) -> tf.Variable:
    """A variable of any length on the host, where int64 searches run."""
    value = np.asarray(value)
    shape = tf.TensorShape([None, *value.shape[1:]] if value.ndim else [])
    with tf.device("/cpu:0"):
        return tf.Variable(value, trainable=False, shape=shape)


def search(ascending: tf.Tensor, values: tf.Tensor, static_shapes: bool) -> tf.Tensor:
    """Counts the numbers of `ascending` [E] that are less than each of `values` [...]: int64.

    With `static_shapes` it halves in explicit steps: XLA compiles `tf.searchsorted` to a comparison
    of all with all.
    """
    if not static_shapes:
        # `tf.searchsorted` calls this op, but fails in a graph where `values` is statically empty.
        found = tf.raw_ops.LowerBound(
            sorted_inputs=ascending[tf.newaxis],
            values=tf.reshape(values, [1, tf.size(values)]),
            out_type=tf.int64,
        )
        return tf.reshape(found, tf.shape(values))
    count = tf.size(ascending, tf.int64)
    padded = tf.concat([ascending, [ascending.dtype.max]], axis=0)
    found = tf.zeros_like(values, tf.int64)
    for bit in reversed(range(36)):
        wanted = found + (1 << bit)
        less = tf.gather(padded, tf.minimum(wanted, count + 1) - 1) < values
        found = tf.where((wanted <= count) & less, wanted, found)
    return found
