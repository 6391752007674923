"""Candidates that know the time: what happened to them before a request."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from tfsessionrec.backend import build_sublayer, keras
from tfsessionrec.checks import positive_integer
from tfsessionrec.layers.event_log import EventLog, search
from tfsessionrec.layers.trend_table import TrendTable
from tfsessionrec.types import Config

_NEUTRAL = 1e-3
SCALE = 10.0  # log(1 + 10 n): a tenth of an event is where the logarithm begins to bend


@keras.utils.register_keras_serializable(package="tfsessionrec")
class TrendFeatures(keras.layers.Layer):
    """What is true of candidates at the moment of a request, as a term of their scores.

    At a request at time t (unix seconds) after item x, a candidate c has the features

    - `log(1 + 10 n_h(c, t))` for each of `half_lives`, with the decayed count of its interactions
      `n_h(c, t) = sum over events e of c, t_e < t, of 2^(-(t - t_e) / h)`;
    - `2^(-(t - first(c)) / h)` for each of `age_half_lives`: 1 for an item whose first event was
      just now, 0 for one without an event before t;
    - `log(1 + 10 m_h(x, c, t))` for each of `follow_half_lives`, with m counting the events of c
      that came within `follow_steps` after an x in the same session: where visitors of x went.
      The same for the items before x, up to `follow_items` of them.

    Together they are f in R^F, and with the query embedding O the term is

    `term(c) = (b + W O) . f(c)`,

    an additive term (b) and an input of the candidate's embedding (`O . (E_c + W^T f(c))`) in one.
    b and W start from zero: the layer starts neutral, and so it is for items without events.

    Time goes in ticks: t is the last multiple of `refresh` before the request, as if a table of
    the features was made anew every `refresh` seconds, which is how they are served. Only events
    strictly before the tick count, so that nothing of the future can come in; with `refresh=1` it
    is exact to the second. The events are given by `set_events`; they are data, no weights, and
    are not saved with the layer.

    Args:
        vocabulary_size: Rows of the vocabulary.
        half_lives: Seconds. Defaults to 5 minutes, 15 minutes, 1 hour, 4 hours.
        age_half_lives: Seconds. Defaults to one day.
        follow_half_lives: Seconds. Defaults to none; with some, requests need their last item.
        follow_items: Of how many of the newest items of the history followers are counted, each
            with features of its own. Defaults to 1.
        follow_steps: Items within so many places after x follow it. Defaults to 2.
        follow_events: Only so many newest events after an x are counted, which bounds the cost of
            a request. Defaults to 256.
        refresh: Seconds between two tables. Defaults to 60.
        first_item_index: Lower indices have no events. Defaults to 2.

    Call arguments:
        query_embeddings: [R, D] float tensor; [R, N, D] for several interests, whose mean counts.
        times: [R] integer tensor of the requests' times, unix seconds.
        last_item_ids: [R, `follow_items`] integer tensor, x and the items before it, newest first,
            0 for none; or [R], x alone.
        candidate_ids: [R, C] integer tensor, the candidates of each request; or [C], candidates
            that all requests share.

    Returns:
        [R, C] float32 tensor of terms.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> layer = TrendFeatures(vocabulary_size=5, half_lives=[60], age_half_lives=[], refresh=1)
    >>> layer.set_events(item_ids=[2, 2, 3], times=[0, 60, 90])
    >>> features = layer.features(tf.constant([120]), tf.constant([0]), tf.constant([2, 3, 4]))
    >>> features.numpy().round(3)  # log(1 + 10 (1/4 + 1/2)), log(1 + 10 / sqrt(2)), none
    array([[[2.14 , 2.088, 0.   ]]], dtype=float32)

    References:
        Decayed counts are folklore of news recommendation; their place in the model is this
        package's choice.
    """

    def __init__(
        self,
        vocabulary_size: int,
        half_lives: Sequence[float] = (300.0, 900.0, 3600.0, 14400.0),
        age_half_lives: Sequence[float] = (86400.0,),
        follow_half_lives: Sequence[float] = (),
        follow_items: int = 1,
        follow_steps: int = 2,
        follow_events: int = 256,
        refresh: int = 60,
        first_item_index: int = 2,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.vocabulary_size = positive_integer("vocabulary_size", vocabulary_size)
        self.half_lives = _seconds("half_lives", half_lives)
        self.age_half_lives = _seconds("age_half_lives", age_half_lives)
        self.follow_half_lives = _seconds("follow_half_lives", follow_half_lives)
        self.follow_items = positive_integer("follow_items", follow_items)
        self.follow_steps = positive_integer("follow_steps", follow_steps)
        self.follow_events = positive_integer("follow_events", follow_events)
        self.refresh = positive_integer("refresh", refresh)
        self.first_item_index = positive_integer("first_item_index", first_item_index)
        if not self.num_features:
            raise ValueError(
                "One of `half_lives`, `age_half_lives`, `follow_half_lives` should hold a number. "
                "Received: none"
            )
        self._interactions = EventLog(self.half_lives)
        self._followers = EventLog(())

    @property
    def num_features(self) -> int:
        """F."""
        return len(self.half_lives) + len(self.age_half_lives) + self._num_followed

    @property
    def _num_followed(self) -> int:
        return self.follow_items * len(self.follow_half_lives)

    def build(self, input_shape: Any = None) -> None:
        dim = int(input_shape[-1])
        self.gate = keras.layers.Dense(
            self.num_features,
            kernel_initializer="zeros",
            name="gate",
            dtype="float32",  # counts reach far beyond what half precision can tell apart
        )
        build_sublayer(self.gate, (None, dim))
        self.built = True

    def set_events(
        self, item_ids: ArrayLike, times: ArrayLike, session_ids: ArrayLike | None = None
    ) -> None:
        """Replaces the log of interactions; all of them, each counts from its time on.

        Args:
            item_ids: [E] vocabulary indices.
            times: [E] integers, unix seconds.
            session_ids: [E] integers; events of one session follow each other in the order given.
                Needed with `follow_half_lives` only.

        Raises:
            ValueError: If the arguments are not integers of one length.
        """
        items = _integers("item_ids", item_ids)
        columns = {"times": times}
        if self.follow_half_lives:
            if session_ids is None:
                raise ValueError("`session_ids` should be given: what follows what is counted")
            columns["session_ids"] = session_ids
        given = {name: _integers(name, column) for name, column in columns.items()}
        for name, column in given.items():
            if len(column) != len(items):
                raise ValueError(
                    f"`{name}` should have one entry an event. Received: {len(column)} for "
                    f"{len(items)} events"
                )
        if items.size and not 0 <= items.min() <= items.max() < self.vocabulary_size:
            raise ValueError(
                f"`item_ids` should be from 0 to {self.vocabulary_size - 1}. Received: "
                f"{items.min()} to {items.max()}"
            )
        known = items >= self.first_item_index
        items_known, times_known = items[known], given["times"][known]
        first = np.full(self.vocabulary_size, np.iinfo(np.int64).max)
        np.minimum.at(first, items_known, times_known)
        self._interactions.assign(items_known, times_known, times_known - first[items_known])
        if self.follow_half_lives:
            leader, follower, time = followers(
                items, given["times"], given["session_ids"], self.follow_steps
            )
            known = np.minimum(leader, follower) >= self.first_item_index
            self._followers.assign(leader[known], time[known], follower[known])

    def gates(self, query_embeddings: tf.Tensor) -> tf.Tensor:
        """Weights of the features, `b + W O`: [R, F] float32."""
        queries = tf.cast(query_embeddings, tf.float32)
        if len(queries.shape) == 3:
            queries = tf.reduce_mean(queries, axis=1)
        if not self.built:
            build_sublayer(self, queries.shape)
        return self.gate(queries)

    def features(
        self,
        times: tf.Tensor,
        last_item_ids: tf.Tensor,
        candidate_ids: tf.Tensor,
        static_shapes: bool = False,
    ) -> tf.Tensor:
        """Features of candidates: [R, F, C] float32.

        Args:
            times: [R] integers.
            last_item_ids: [R, `follow_items`] (or [R]) integers, newest first, 0 for none.
            candidate_ids: [R, C] integers, or [C] shared by all requests.
            static_shapes: Whether to keep to operations of fixed shapes, as XLA needs.
        """
        ticks = tf.cast(times, tf.int64) // self.refresh * self.refresh
        candidates = tf.cast(candidate_ids, tf.int64)
        parts = []
        if self.half_lives or self.age_half_lives:
            if len(candidates.shape) == 1 and not static_shapes:
                # Requests of one tick share a table.
                ticks_once, number = tf.unique(ticks)
                parts.append(tf.gather(self._trends(ticks_once, candidates, False), number))
            else:
                parts.append(self._trends(ticks, candidates, static_shapes))
        if self.follow_half_lives:
            last = tf.cast(last_item_ids, tf.int64)
            if len(last.shape) == 1:
                last = last[:, tf.newaxis]
            for place in range(self.follow_items):
                parts.append(self._follows(ticks, last[:, place], candidates, static_shapes))
        return tf.concat(parts, axis=1)

    def table(self, time: int) -> TrendTable:
        """The features of all candidates for requests from `time` on, as they are served.

        Args:
            time: Unix seconds; only events before its tick count.

        Returns:
            `TrendTable`, without what is neutral: features that are all under a thousandth.
        """
        tick = int(time) // self.refresh * self.refresh
        items = np.unique(self._interactions.keys_before(tick))
        values = np.zeros((len(items), self.num_features - self._num_followed), np.float32)
        if len(items) and values.shape[1]:
            now = tf.constant([tick], tf.int64)
            values = tf.transpose(self._trends(now, tf.constant(items), False)[0]).numpy()
        some = values.max(axis=1, initial=0) > _NEUTRAL
        pairs, since = self._followers.newest_before(tick, self.follow_events)
        pairs, number = np.unique(pairs, axis=0, return_inverse=True)
        follow_values = np.zeros((len(pairs), len(self.follow_half_lives)))
        for place, half_life in enumerate(self.follow_half_lives):
            np.add.at(follow_values[:, place], number.ravel(), np.exp2(-since / half_life))
        follow_values = np.log1p(SCALE * follow_values)
        kept = follow_values.max(axis=1, initial=0) > _NEUTRAL
        return TrendTable(
            item_ids=items[some].astype(np.int32),
            values=values[some],
            leaders=pairs[kept, 0].astype(np.int32),
            followers=pairs[kept, 1].astype(np.int32),
            follow_values=follow_values[kept].astype(np.float32),
        )

    def call(
        self,
        query_embeddings: tf.Tensor,
        times: tf.Tensor,
        last_item_ids: tf.Tensor,
        candidate_ids: tf.Tensor,
        static_shapes: bool = False,
    ) -> tf.Tensor:
        features = self.features(times, last_item_ids, candidate_ids, static_shapes)
        return tf.squeeze(tf.matmul(self.gates(query_embeddings)[:, tf.newaxis], features), 1)

    def _trends(self, ticks: tf.Tensor, candidates: tf.Tensor, static: bool) -> tf.Tensor:
        """Counts and ages: [R, H + A, C]."""
        if len(candidates.shape) == 1:
            candidates = candidates[tf.newaxis]
        now = ticks[:, tf.newaxis] + tf.zeros_like(candidates)
        items = candidates + tf.zeros_like(now)
        end, begin = self._interactions.before(items, now, static)
        found, time, first, sums = self._interactions.event(end - 1, begin)
        since = tf.cast(now - time, tf.float32)
        parts = [
            _log_count(sums[..., place] * _decay(since, half_life), found)
            for place, half_life in enumerate(self.half_lives)
        ]
        # Each event knows how many seconds before it the item's first one was.
        age = since + tf.cast(first, tf.float32)
        parts += [tf.where(found, _decay(age, half_life), 0.0) for half_life in self.age_half_lives]
        return tf.stack(parts, axis=1)

    def _follows(
        self, ticks: tf.Tensor, last: tf.Tensor, candidates: tf.Tensor, static: bool
    ) -> tf.Tensor:
        """Counts of what came after the last item: [R, M, C]."""
        log = self._followers
        end, begin = log.before(last, ticks, static)
        places = end[:, tf.newaxis] - 1 - tf.range(self.follow_events, dtype=tf.int64)
        found, time, item, _ = log.event(places, begin[:, tf.newaxis])
        found &= (last > 0)[:, tf.newaxis]
        since = tf.cast(ticks[:, tf.newaxis] - time, tf.float32)
        weights = [
            tf.where(found, _decay(since, half_life), 0.0) for half_life in self.follow_half_lives
        ]
        item = tf.cast(item, tf.int64)
        if len(candidates.shape) == 2:
            same = tf.cast(candidates[..., tf.newaxis] == item[:, tf.newaxis], tf.float32)
            counts = tf.matmul(tf.stack(weights, 1), same, transpose_b=True)
            return _log_count(counts, True)
        # Each event goes to the column of its item, if that is among the candidates.
        columns = tf.argsort(candidates)
        ascending = tf.gather(candidates, columns)
        width = tf.shape(candidates)[0]
        place = tf.minimum(tf.cast(search(ascending, item, static), tf.int32), width - 1)
        hit = found & (tf.gather(ascending, place) == item)
        rows = tf.shape(ticks)[0]
        cell = tf.range(rows)[:, tf.newaxis] * width + place
        cell = tf.where(hit, cell, rows * width)
        counts = [
            tf.math.unsorted_segment_sum(
                tf.reshape(weight, [-1]), tf.reshape(cell, [-1]), rows * width + 1
            )
            for weight in weights
        ]
        counts = tf.reshape(tf.stack(counts)[:, :-1], [len(counts), rows, width])
        # A candidate that is there twice has its count at the first of its places.
        own = tf.cast(search(ascending, candidates, static), tf.int32)
        return _log_count(tf.transpose(tf.gather(counts, own, axis=2), [1, 0, 2]), True)

    def get_config(self) -> Config:
        config = super().get_config()
        for name in (
            "vocabulary_size",
            "half_lives",
            "age_half_lives",
            "follow_half_lives",
            "follow_items",
            "follow_steps",
            "follow_events",
            "refresh",
            "first_item_index",
        ):
            config[name] = getattr(self, name)
        return config


def followers(
    items: NDArray[np.int64], times: NDArray[np.int64], sessions: NDArray[np.int64], steps: int
) -> tuple[NDArray[np.int64], ...]:
    """Pairs of items of a session, the second within some steps after the first.

    Args:
        items: [E].
        times: [E].
        sessions: [E]; the events of a session in their order.
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


def _log_count(counts: tf.Tensor, found: tf.Tensor | bool) -> tf.Tensor:
    return tf.where(found, tf.math.log1p(SCALE * counts), 0.0)


def _decay(seconds: tf.Tensor, half_life: float) -> tf.Tensor:
    return tf.exp(seconds * (-math.log(2) / half_life))


def _seconds(name: str, values: Sequence[float]) -> tuple[float, ...]:
    numbers = tuple(float(value) for value in values)
    if not all(0 < number < math.inf for number in numbers):
        raise ValueError(
            f"`{name}` should be positive numbers of seconds. Received: `{name}`={values!r}"
        )
    return numbers


def _integers(name: str, values: ArrayLike) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and not np.issubdtype(array.dtype, np.integer)):
        raise ValueError(
            f"`{name}` should be a vector of integers. Received: {array.dtype} of shape "
            f"{array.shape}"
        )
    return array.astype(np.int64)
