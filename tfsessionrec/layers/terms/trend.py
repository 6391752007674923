"""Candidates that know the time: features of what happened to them before a request."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from tfsessionrec.backend import build_sublayer, keras
from tfsessionrec.checks import is_number, positive_integer, sequence, unix_seconds
from tfsessionrec.layers.terms.trend_counts import FollowerCounts, InteractionCounts
from tfsessionrec.types import Config

ARGUMENTS = (
    "vocabulary_size",
    "half_lives",
    "age_half_lives",
    "follow_half_lives",
    "follow_items",
    "follow_steps",
    "follow_events",
    "refresh",
    "first_item_index",
)


class TrendTable(NamedTuple):
    """The features of `TrendFeatures` at one moment, without neutral ones: small, for serving.

    Attributes:
        item_ids: int32 [n], ascending: the items with a feature of their own that is not 0.
        values: float32 [n, H + A], those features.
        leaders: int32 [m], ascending: items that others followed.
        followers: int32 [m], the item that followed each.
        follow_values: float32 [m, M], the features of that pair.
    """

    item_ids: NDArray[np.int32]
    values: NDArray[np.float32]
    leaders: NDArray[np.int32]
    followers: NDArray[np.int32]
    follow_values: NDArray[np.float32]


@keras.utils.register_keras_serializable(package="tfsessionrec")
class TrendFeatures(keras.layers.Layer):
    """Adds a term to the candidates' scores that depends on the time of the request.

    At a request at time t (unix seconds) after item x, a candidate c has the features

    - `log(1 + 10 n_h(c, t))` for each of `half_lives`, with the decayed count of its interactions
      `n_h(c, t) = sum over events e of c, t_e < t, of 2^(-(t - t_e) / h)`;
    - `2^(-(t - first(c)) / h)` for each of `age_half_lives`: 1 for an item whose first event was
      just now, 0 for one without an event before t;
    - `log(1 + 10 m_h(x, c, t))` for each of `follow_half_lives`, with m counting the events of c
      at most `follow_steps` places after an x in the same session: where visitors of x went.
      The same for the items before x, up to `follow_items` of them.

    Together they are f in R^F, and with the query embedding O the term is

    `term(c) = (b + W O) . f(c)`,

    an additive term (b) and an input of the candidate's embedding (`O . (E_c + W^T f(c))`) in one.
    b and W start from zero: the layer starts neutral, and it stays neutral for items without
    events.

    Time goes in ticks: t is the last multiple of `refresh` before the request, as if a table of the
    features were made every `refresh` seconds, which is how they are served. Only events strictly
    before the tick count, so that nothing of the future leaks; with `refresh=1` it is exact to the
    second. `set_events` sets the events; they are data, not weights, and are not saved with the
    layer.

    Args:
        vocabulary_size: Rows of the vocabulary.
        half_lives: Seconds. Defaults to 5 minutes, 15 minutes, 1 hour, 4 hours.
        age_half_lives: Seconds. Defaults to one day.
        follow_half_lives: Seconds. Defaults to none; with some, requests need their last item.
        follow_items: Number of newest items of the history whose followers count, each with
            features of its own. Defaults to 1.
        follow_steps: Items at most this many places after x follow it. Defaults to 2.
        follow_events: Newest events after an x that count; bounds the cost of a request. Defaults
            to 256.
        refresh: Seconds between two tables. Defaults to 60.
        first_item_index: Lower indices have no events. Defaults to 2.

    Call arguments:
        query_embeddings: [R, D] float tensor; [R, N, D] for N vectors a query, whose mean counts.
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
        **kwargs: object,
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
        self._interactions = InteractionCounts(self.half_lives, self.age_half_lives)
        self._followers = FollowerCounts(
            self.follow_half_lives, self.follow_steps, self.follow_events
        )

    @property
    def num_features(self) -> int:
        """F."""
        followed = self.follow_items * len(self.follow_half_lives)
        return len(self.half_lives) + len(self.age_half_lives) + followed

    def build(self, input_shape: tf.TensorShape) -> None:
        dim = int(input_shape[-1])
        self.gate = keras.layers.Dense(
            self.num_features,
            kernel_initializer="zeros",
            name="gate",
            dtype="float32",  # half precision rounds large counts
        )
        build_sublayer(self.gate, (None, dim))
        self.built = True

    def set_events(
        self, item_ids: ArrayLike, times: ArrayLike, session_ids: ArrayLike | None = None
    ) -> None:
        """Replaces the log of interactions; each counts from its time on.

        Args:
            item_ids: [E] vocabulary indices.
            times: [E] integers, unix seconds.
            session_ids: [E] integers; the events of a session are in their order. Needed with
                `follow_half_lives` only.

        Raises:
            ValueError: If the arguments are not integers of one length.
        """
        items = _integers("item_ids", item_ids)
        times = _integers("times", times, items)
        if items.size and not 0 <= items.min() <= items.max() < self.vocabulary_size:
            raise ValueError(
                f"`item_ids` should be from 0 to {self.vocabulary_size - 1}. Received: "
                f"{items.min()} to {items.max()}"
            )
        if self.follow_half_lives:
            if session_ids is None:
                raise ValueError(
                    "`session_ids` should be given with `follow_half_lives`. Received: None"
                )
            sessions = _integers("session_ids", session_ids, items)
            self._followers.assign(items, times, sessions, self.first_item_index)
        known = items >= self.first_item_index
        self._interactions.assign(items[known], times[known])

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
            static_shapes: Uses operations of fixed shapes only, as XLA needs. Defaults to False.
        """
        ticks = tf.cast(times, tf.int64) // self.refresh * self.refresh
        candidates = tf.cast(candidate_ids, tf.int64)
        parts = []
        if self.half_lives or self.age_half_lives:
            parts.append(self._interactions.features(ticks, candidates, static_shapes))
        if self.follow_half_lives:
            last = tf.cast(last_item_ids, tf.int64)
            if len(last.shape) == 1:
                last = last[:, tf.newaxis]
            parts += [
                self._followers.features(ticks, last[:, place], candidates, static_shapes)
                for place in range(self.follow_items)
            ]
        return tf.concat(parts, axis=1)

    def table(self, time: int) -> TrendTable:
        """The features of all candidates for requests from `time` on, as they are served.

        Args:
            time: Unix seconds; only events before its tick count.

        Returns:
            `TrendTable`, without what is neutral: features that are all under a thousandth.
        """
        tick = int(unix_seconds("time", time)) // self.refresh * self.refresh
        item_ids, values = self._interactions.table(tick)
        return TrendTable(item_ids, values, *self._followers.table(tick))

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

    def get_config(self) -> Config:
        return super().get_config() | {name: getattr(self, name) for name in ARGUMENTS}


def _seconds(name: str, values: Sequence[float]) -> tuple[float, ...]:
    sequence(name, values, "seconds")
    if not all(is_number(value) and 0 < value < math.inf for value in values):
        raise ValueError(
            f"`{name}` should be positive numbers of seconds. Received: `{name}`={values!r}"
        )
    return tuple(float(value) for value in values)


def _integers(
    name: str, values: ArrayLike, events: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """A vector of integers, as long as the one of `events`."""
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and not np.issubdtype(array.dtype, np.integer)):
        raise ValueError(
            f"`{name}` should be a vector of integers. Received: {array.dtype} of shape "
            f"{array.shape}"
        )
    if events is not None and len(array) != len(events):
        raise ValueError(
            f"`{name}` should have one entry an event. Received: {len(array)} for {len(events)} "
            "events"
        )
    return array.astype(np.int64)
