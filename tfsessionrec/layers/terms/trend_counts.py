"""Counts of what happened to candidates before a moment, the features of a trend."""

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfsessionrec.layers.terms.event_log import EventLog, search

NEUTRAL = 1e-3
SCALE = 10.0  # log(1 + 10 n): the logarithm begins to bend at a tenth of an event


class InteractionCounts:
    """Decayed counts of candidates' interactions, and their ages.

    `log(1 + 10 n_h)` for each of `half_lives`, then `2^(-age / h)` for each of `age_half_lives`.

    Args:
        half_lives: Seconds.
        age_half_lives: Seconds.
    """

    def __init__(self, half_lives: Sequence[float], age_half_lives: Sequence[float]) -> None:
        self._half_lives, self._age_half_lives = half_lives, age_half_lives
        self._log = EventLog(half_lives)
        self.num_features = len(half_lives) + len(age_half_lives)

    def assign(self, item_ids: NDArray[np.int64], times: NDArray[np.int64]) -> None:
        """Replaces the interactions: item and time of each."""
        _, item = np.unique(item_ids, return_inverse=True)
        first = np.full(len(item_ids), np.iinfo(np.int64).max)
        np.minimum.at(first, item, times)
        self._log.assign(item_ids, times, times - first[item])

    def features(
        self, ticks: tf.Tensor, candidate_ids: tf.Tensor, static_shapes: bool = False
    ) -> tf.Tensor:
        """[R, num_features, C] at ticks [R], for candidates [C] of all or [R, C] of each."""
        if len(candidate_ids.shape) == 2:
            return self._features(ticks, candidate_ids, static_shapes)
        candidate_ids = candidate_ids[tf.newaxis]
        if static_shapes:
            return self._features(ticks, candidate_ids, static_shapes)
        # Requests of one tick share their features.
        ticks, number = tf.unique(ticks)
        return tf.gather(self._features(ticks, candidate_ids, static_shapes), number)

    def _features(self, ticks: tf.Tensor, candidates: tf.Tensor, static: bool) -> tf.Tensor:
        now = ticks[:, tf.newaxis] + tf.zeros_like(candidates)
        items = candidates + tf.zeros_like(now)
        end, begin = self._log.before(items, now, static)
        found, time, first, sums = self._log.event(end - 1, begin)
        since = tf.cast(now - time, tf.float32)
        parts = [
            _log_count(sums[..., place] * _decay(since, half_life), found)
            for place, half_life in enumerate(self._half_lives)
        ]
        # The value of an event is the seconds from its item's first event to it.
        age = since + tf.cast(first, tf.float32)
        parts += [
            tf.where(found, _decay(age, half_life), 0.0) for half_life in self._age_half_lives
        ]
        return tf.stack(parts, axis=1)

    def table(self, tick: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Item ids [n] and features [n, num_features] at a tick, of items that have some."""
        items = np.unique(self._log.keys_before(tick))
        values = np.zeros((len(items), self.num_features), np.float32)
        if values.size:
            now = tf.constant([tick], tf.int64)
            values = tf.transpose(self.features(now, tf.constant(items))[0]).numpy()
        some = values.max(axis=1, initial=0) > NEUTRAL
        return items[some].astype(np.int32), values[some]


class FollowerCounts:
    """Decayed counts of which items followed which in their sessions.

    `log(1 + 10 m_h(x, c))` for each of `half_lives`.

    Args:
        half_lives: Seconds.
        steps: An item follows those at most this many places before it.
        events: Newest events after an item that count.
    """

    def __init__(self, half_lives: Sequence[float], steps: int, events: int) -> None:
        self._half_lives, self._steps, self._events = half_lives, steps, events
        self._log = EventLog(())

    def assign(
        self,
        item_ids: NDArray[np.int64],
        times: NDArray[np.int64],
        session_ids: NDArray[np.int64],
        first_item_index: int,
    ) -> None:
        """Replaces the events; the events of a session are in their order.

        Events of lower indices than `first_item_index` take their places in the session, and do not
        count.
        """
        leader, follower, time = followers(item_ids, times, session_ids, self._steps)
        known = np.minimum(leader, follower) >= first_item_index
        self._log.assign(leader[known], time[known], follower[known])

    def features(
        self,
        ticks: tf.Tensor,
        last_item_ids: tf.Tensor,
        candidate_ids: tf.Tensor,
        static_shapes: bool = False,
    ) -> tf.Tensor:
        """[R, len(half_lives), C] at ticks [R] after items [R], for candidates [C] or [R, C]."""
        end, begin = self._log.before(last_item_ids, ticks, static_shapes)
        places = end[:, tf.newaxis] - 1 - tf.range(self._events, dtype=tf.int64)
        found, time, item, _ = self._log.event(places, begin[:, tf.newaxis])
        found &= (last_item_ids > 0)[:, tf.newaxis]
        since = tf.cast(ticks[:, tf.newaxis] - time, tf.float32)
        weights = [tf.where(found, _decay(since, half_life), 0.0) for half_life in self._half_lives]
        item = tf.cast(item, tf.int64)
        if len(candidate_ids.shape) == 2:
            same = tf.cast(candidate_ids[..., tf.newaxis] == item[:, tf.newaxis], tf.float32)
            counts = tf.matmul(tf.stack(weights, 1), same, transpose_b=True)
        else:
            counts = _counts_of_shared(weights, found, item, candidate_ids, static_shapes)
        return _log_count(counts, True)

    def table(self, tick: int) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
        """Leaders [m], followers [m] and their features [m, len(half_lives)] at a tick."""
        pairs, since = self._log.newest_before(tick, self._events)
        pairs, number = np.unique(pairs, axis=0, return_inverse=True)
        values = np.zeros((len(pairs), len(self._half_lives)))
        for place, half_life in enumerate(self._half_lives):
            np.add.at(values[:, place], number.ravel(), np.exp2(-since / half_life))
        values = np.log1p(SCALE * values)
        some = values.max(axis=1, initial=0) > NEUTRAL
        leader, follower = pairs[some].astype(np.int32).T
        return leader, follower, values[some].astype(np.float32)


def followers(
    items: NDArray[np.int64], times: NDArray[np.int64], sessions: NDArray[np.int64], steps: int
) -> tuple[NDArray[np.int64], ...]:
    """Pairs of items of a session, the second at most `steps` places after the first.

    Args:
        items: [E].
        times: [E].
        sessions: [E]; the events of a session are in their order.
        steps: Most places from the first to the second.

    Returns:
        First item, second item, and time of the second: [P] each.

    Example:

    >>> events = np.array([5, 6, 7]), np.array([0, 1, 2]), np.array([0, 0, 0])
    >>> [part.tolist() for part in followers(*events, steps=2)]
    [[5, 6, 5], [6, 7, 7], [1, 2, 2]]
    """
    order = np.argsort(sessions, kind="stable")
    items, times, sessions = items[order], times[order], sessions[order]
    first, second = [], []
    for step in range(1, steps + 1):
        (start,) = np.nonzero(sessions[step:] == sessions[:-step])
        first.append(start)
        second.append(start + step)
    return (
        items[np.concatenate(first)],
        items[np.concatenate(second)],
        times[np.concatenate(second)],
    )


def _counts_of_shared(
    weights: list[tf.Tensor],
    found: tf.Tensor,
    item: tf.Tensor,
    candidates: tf.Tensor,
    static_shapes: bool,
) -> tf.Tensor:
    """[R, M, C]: the sums of M weights [R, events] of events by their items, for candidates [C]."""
    columns = tf.argsort(candidates)
    ascending = tf.gather(candidates, columns)
    width, rows = tf.shape(candidates)[0], tf.shape(item)[0]
    place = tf.minimum(tf.cast(search(ascending, item, static_shapes), tf.int32), width - 1)
    hit = found & (tf.gather(ascending, place) == item)
    # Each event goes to the column of its item; events of other items go to one cell at the end.
    cell = tf.where(hit, tf.range(rows)[:, tf.newaxis] * width + place, rows * width)
    counts = [
        tf.math.unsorted_segment_sum(
            tf.reshape(weight, [-1]), tf.reshape(cell, [-1]), rows * width + 1
        )
        for weight in weights
    ]
    counts = tf.reshape(tf.stack(counts)[:, :-1], [len(counts), rows, width])
    # Repeats of a candidate all read the column of the first.
    own = tf.cast(search(ascending, candidates, static_shapes), tf.int32)
    return tf.transpose(tf.gather(counts, own, axis=2), [1, 0, 2])


def _log_count(counts: tf.Tensor, found: tf.Tensor | bool) -> tf.Tensor:
    return tf.where(found, tf.math.log1p(SCALE * counts), 0.0)


def _decay(seconds: tf.Tensor, half_life: float) -> tf.Tensor:
    return tf.exp(seconds * (-math.log(2) / half_life))
