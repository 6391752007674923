"""Features of shown items by their relation to the sessions before, and to the list around them."""

from typing import NamedTuple

import tensorflow as tf

from tfsessionrec.layers.terms.relation_past import Past

NEAR = 6  # places around the item touched last that have features of their own


class RelationInputs(NamedTuple):
    """Columns of a batch that a relation reads; None where the batch does not have them.

    Attributes:
        match_ids: [B, S, I] integers, equal where items are equal; 0 is padding.
        labels: [B, S, I], above 0 where clicked. Default: every item is clicked.
        interaction_types: [B, S, I] integers.
        session_times: [B, S] integers, unix seconds. Default: all sessions at one time.
        position: [B, S, I] integers, the place in the shown list from 1 on; 0 where the row was not
            part of one. Default: everything was shown, in its order.
        numeric: [B, S, I, M] floats, the numeric columns.
    """

    match_ids: tf.Tensor
    labels: tf.Tensor | None = None
    interaction_types: tf.Tensor | None = None
    session_times: tf.Tensor | None = None
    position: tf.Tensor | None = None
    numeric: tf.Tensor | None = None

    @property
    def real(self) -> tf.Tensor:
        """[B, S, I] bool: False for padding."""
        return tf.not_equal(self.match_ids, 0)

    @property
    def shown(self) -> tf.Tensor:
        """[B, S, I] bool: the rows that were shown."""
        return self.real & (self.place > 0)

    @property
    def place(self) -> tf.Tensor:
        """[B, S, I] int32: the place in the shown list from 1 on."""
        if self.position is not None:
            return tf.cast(self.position, tf.int32)
        places = tf.range(1, tf.shape(self.match_ids)[2] + 1)
        return places + tf.zeros_like(self.match_ids, tf.int32)

    @property
    def touched(self) -> tf.Tensor:
        """[B, S, I] bool: the rows with a positive label."""
        return self.real if self.labels is None else self.real & (self.labels > 0)

    @property
    def times(self) -> tf.Tensor:
        """[B, S] int64."""
        if self.session_times is None:
            return tf.zeros(tf.shape(self.match_ids)[:2], tf.int64)
        return tf.cast(self.session_times, tf.int64)

    def types(self, num_types: int) -> tf.Tensor:
        """[B, S, I] int32: the type of each row from 1 on; 0 for all others."""
        if self.interaction_types is None:
            return tf.zeros_like(self.match_ids, tf.int32)
        types = tf.cast(self.interaction_types, tf.int32)
        return tf.where((types > 0) & (types < num_types), types, 0)


def num_relation_features(num_types: int, num_numeric: int) -> int:
    """F of `relation_features`."""
    return 3 * num_types + 10 + 3 + 2 * NEAR + 1 + 2 + 5 * num_numeric


def relation_features(inputs: RelationInputs, num_types: int) -> tf.Tensor:
    """The features of `RelationFeatures` but for the places.

    Args:
        inputs: The batch's columns.
        num_types: Interaction types with features of their own, type 0 included.

    Returns:
        [B, S, I, F] float32 tensor, 0 where nothing is shown.
    """
    shown, types = inputs.shown, inputs.types(num_types)
    number = tf.zeros_like(types) + tf.range(tf.shape(types)[1])[:, tf.newaxis]
    past = Past(inputs.match_ids, number)
    touch = past.last(inputs.touched)
    touched = touch >= 0
    candidate = touched & shown
    age = tf.where(candidate, touch, -1)
    anchor = _Anchor(candidate, tf.argmax(age, axis=-1, output_type=tf.int32)[..., tf.newaxis])
    place = inputs.place
    apart = place - tf.gather(place, anchor.place, batch_dims=2)
    near = tf.one_hot(tf.clip_by_value(apart, -NEAR, NEAR) + NEAR, 2 * NEAR + 1)
    one_hot = tf.one_hot(types, num_types)
    counts = past.sums(tf.where(inputs.touched[..., tf.newaxis], one_hot, 0.0))
    columns = [
        *_touch_columns(past, number, touch, inputs.times),
        *_order_columns(candidate, age),
        *_showing_columns(past, number, shown),
        *_distance_columns(apart, anchor),
        *_numeric_columns(inputs.numeric, shown, anchor),
    ]
    wide = [
        _log(counts),
        _when(touched[..., tf.newaxis], tf.one_hot(past.gather(types, touch), num_types)),
        _when(anchor.exists[..., tf.newaxis], near),
    ]
    request = _request_columns(inputs, num_types)
    request = request[..., tf.newaxis, :] + tf.zeros_like(columns[0])[..., tf.newaxis]
    found = tf.concat([tf.stack(columns, axis=-1), *wide, request], axis=-1)
    return tf.where(shown[..., tf.newaxis], found, 0.0)


class _Anchor(NamedTuple):
    """The shown item that was touched last before.

    Attributes:
        candidates: [B, S, I] bool, the shown items that were touched before.
        place: [B, S, 1] int32, the index of the one touched last; 0 where there is none.
    """

    candidates: tf.Tensor
    place: tf.Tensor

    @property
    def exists(self) -> tf.Tensor:
        """[B, S, 1] bool."""
        return tf.reduce_any(self.candidates, axis=-1, keepdims=True)


def _touch_columns(
    past: Past, number: tf.Tensor, touch: tf.Tensor, times: tf.Tensor
) -> list[tf.Tensor]:
    """Whether an item was touched, and sessions and seconds since."""
    touched = touch >= 0
    steps = number - past.gather(number, touch)
    cell_times = times[..., tf.newaxis] + tf.zeros_like(number, tf.int64)
    seconds = tf.maximum(cell_times - past.gather(cell_times, touch), 0)
    return [
        tf.cast(touched, tf.float32),
        _when(touched, 1.0 / tf.cast(tf.maximum(steps, 1), tf.float32)),
        _when(touched, _log(steps)),
        _when(touched, _log(seconds)),
        _when(touched, tf.exp(-tf.cast(seconds, tf.float32) / 60.0)),
    ]


def _order_columns(candidate: tf.Tensor, age: tf.Tensor) -> list[tf.Tensor]:
    """The order of the touches within the list."""
    later = tf.cast(age[..., tf.newaxis, :] > age[..., tf.newaxis], tf.int32)
    later = tf.reduce_sum(later, axis=-1)
    return [
        _when(candidate, 1.0 / tf.cast(1 + later, tf.float32)),
        _when(candidate, later == 0),
    ]


def _showing_columns(past: Past, number: tf.Tensor, shown: tf.Tensor) -> list[tf.Tensor]:
    """How often an item was shown, and sessions since."""
    num_shown = past.sums(tf.cast(shown, tf.float32)[..., tf.newaxis])[..., 0]
    showing = past.last(shown)
    since = number - past.gather(number, showing)
    return [
        _log(num_shown),
        tf.cast(showing >= 0, tf.float32),
        _when(showing >= 0, _log(since)),
    ]


def _distance_columns(apart: tf.Tensor, anchor: _Anchor) -> list[tf.Tensor]:
    """The signed distance in places to the item touched last."""
    distance = tf.cast(apart, tf.float32)
    return [
        _when(anchor.exists, tf.sign(distance) * _log(tf.abs(apart))),
        _when(anchor.exists, tf.exp(-tf.abs(distance) / 3.0)),
    ]


def _numeric_columns(
    numeric: tf.Tensor | None, shown: tf.Tensor, anchor: _Anchor
) -> list[tf.Tensor]:
    """Five columns [B, S, I] for each numeric column."""
    columns = []
    size = tf.reduce_sum(tf.cast(shown, tf.float32), axis=-1, keepdims=True)
    for values in [] if numeric is None else tf.unstack(tf.cast(numeric, tf.float32), axis=-1):
        x = tf.sign(values) * tf.math.log1p(tf.abs(values))
        lower = (x[..., tf.newaxis, :] < x[..., tf.newaxis]) & shown[..., tf.newaxis, :]
        share = tf.math.divide_no_nan(tf.reduce_sum(tf.cast(lower, tf.float32), -1), size)
        columns += [
            x - _mean(x, shown),
            share,
            tf.cast(share == 0, tf.float32),
            _when(anchor.exists, x - tf.gather(x, anchor.place, batch_dims=2)),
            _when(anchor.exists, x - _mean(x, anchor.candidates)),
        ]
    return columns


def _request_columns(inputs: RelationInputs, num_types: int) -> tf.Tensor:
    """[B, S, 3 + num_types]: features that all items of a request share."""
    real, types, times = inputs.real, inputs.types(num_types), inputs.times
    size = tf.reduce_sum(tf.cast(inputs.shown, tf.float32), axis=-1)
    before = tf.zeros_like(size) + tf.cast(tf.range(tf.shape(real)[1]), tf.float32)
    since = tf.maximum(times[:, 1:] - times[:, :-1], 0)
    since = tf.pad(tf.cast(since, tf.float32), [[0, 0], [1, 0]])
    # The type of the last row that has one; rows that were shown but not clicked have none.
    places = tf.range(tf.shape(real)[2])
    last = tf.reduce_max(tf.where(real & (types > 0), places, 0), axis=-1, keepdims=True)
    last_type = tf.gather(types, last, batch_dims=2)[..., 0]
    last_type = tf.pad(tf.one_hot(last_type, num_types)[:, :-1], [[0, 0], [1, 0], [0, 0]])
    scalars = tf.stack([size, before, since], axis=-1)
    return tf.concat([tf.math.log1p(scalars), last_type], axis=-1)


def _when(condition: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    return tf.where(condition, tf.cast(value, tf.float32), 0.0)


def _log(value: tf.Tensor) -> tf.Tensor:
    return tf.math.log1p(tf.cast(value, tf.float32))


def _mean(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Mean over the last axis where the mask is True, kept as an axis; 0 for an empty mask."""
    weights = tf.cast(mask, values.dtype)
    total = tf.reduce_sum(values * weights, axis=-1, keepdims=True)
    return tf.math.divide_no_nan(total, tf.reduce_sum(weights, axis=-1, keepdims=True))
