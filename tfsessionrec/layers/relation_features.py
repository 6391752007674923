"""What ties the items a request shows to the sessions before it."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfsessionrec.backend import build_sublayer, keras
from tfsessionrec.checks import positive_integer, rate
from tfsessionrec.types import Config

NEAR = 6  # places around the last touched item that are told apart


@keras.utils.register_keras_serializable(package="tfsessionrec")
class RelationFeatures(keras.layers.Layer):
    """Scores shown items by their relation to the sessions before, and by what is shown with them.

    Of an item that session s shows, matched by its id alone (unknown items count too), and of the
    same row's sessions before s:

    - for each interaction type, `log(1 + n)` of its n touches (rows with a positive label);
    - whether it was touched, 1 / d and `log(1 + d)` for the d sessions and `log(1 + t)` and
      `exp(-t / 60)` for the t seconds since; the type of that touch; 1 / (1 + r) and [r = 0], where
      r of the shown items were touched after it;
    - `log(1 + m)` of the m rows that showed it, whether there was any, `log(1 + d)` since;
    - its distance to the shown item that was touched last: `sign(p) log(1 + |p|)`, `exp(-|p| / 3)`
      and one of `|p| < 6` in places p, or beyond;
    - its place, one of `num_positions`;
    - for each numeric column, with `x = sign(v) log(1 + |v|)`: x less the mean of the list, the
      share of the list that is lower, whether none is, x less that of the item touched last, x less
      the mean of the touched items;
    - of the request: `log(1 + n)` of the n items shown and of the n sessions before, `log(1 + t)`
      of the seconds since the session before, and the type of its last row that has one.

    With these features f_c, a pooling over the list and a small network,

    `a_c = relu(W f_c)`, `h_c = relu(V [a_c, mean a, max a])`, `term_c = (w + U q) . h_c`,

    q being the query (with `query_dim`). w and U start from zero: the layer starts neutral. What a
    session shows is known at its request; what is taken of it is not, and counts from the next
    session on. The features cost one sort of each row's items.

    Args:
        numeric: Names of the numeric columns, in the order of `numeric` in the call. Default: none.
        num_interaction_types: Types told apart, 1 .. n, beside all others. Defaults to 0.
        num_positions: Places told apart; later ones share the last. Defaults to 32.
        hidden_dims: Widths of the two layers. Defaults to (64, 32).
        query_dim: Size of the queries that gate the term; 0 for a term without them. Defaults to 0.
        with_product: Whether `SessionRec` adds the term to the product of embeddings. Where most
            items shown are new, what ranking teaches an id is lost on them. Defaults to True.
        dropout: On both hidden layers. Defaults to 0.2.
        output_initializer: Of w and U. Defaults to zeros.

    Call arguments:
        match_ids: [B, S, I] integer tensor, equal where items are equal; 0 is padding.
        labels: [B, S, I] tensor, above 0 where taken. Default: everything is.
        interaction_types: [B, S, I] integer tensor.
        session_times: [B, S] integer tensor, unix seconds. Default: no time passes.
        position: [B, S, I] integer tensor, the place in the shown list from 1 on; 0 where the row
            was not part of one. Default: everything was shown, in its order.
        numeric: [B, S, I, M] float tensor, the numeric columns.
        query_embeddings: [B, S, query_dim] float tensor: the query of each session.

    Returns:
        [B, S, I] float tensor of terms, 0 where nothing is shown.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> layer = RelationFeatures(output_initializer="ones")
    >>> layer(tf.constant([[[7, 8], [8, 9]]])).shape
    TensorShape([1, 2, 2])

    References:
        Which features decide is known from the winners of the RecSys Challenge 2019 (trivago);
        their form and the network are this package's choice.
    """

    def __init__(
        self,
        numeric: Sequence[str] = (),
        num_interaction_types: int = 0,
        num_positions: int = 32,
        hidden_dims: Sequence[int] = (64, 32),
        query_dim: int = 0,
        with_product: bool = True,
        dropout: float = 0.2,
        output_initializer: Any = "zeros",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if isinstance(numeric, str):
            raise ValueError(
                f"`numeric` should be a sequence of names. Received: `numeric`={numeric!r}"
            )
        for name, value in (
            ("num_interaction_types", num_interaction_types),
            ("query_dim", query_dim),
        ):
            if not isinstance(value, int) or value < 0:
                raise ValueError(
                    f"`{name}` should be a non-negative integer. Received: `{name}`={value!r}"
                )
        if len(hidden_dims) != 2:
            raise ValueError(
                f"`hidden_dims` should be two widths. Received: `hidden_dims`={hidden_dims!r}"
            )
        self.numeric = tuple(numeric)
        self.num_interaction_types = num_interaction_types
        self.num_positions = positive_integer("num_positions", num_positions)
        self.hidden_dims = tuple(positive_integer("hidden_dims", dim) for dim in hidden_dims)
        self.query_dim = query_dim
        self.with_product = with_product
        self.dropout = rate("dropout", dropout)
        self.output_initializer = keras.initializers.get(output_initializer)
        self.first, self.second = (
            keras.layers.Dense(dim, activation="relu", name=name)
            for dim, name in zip(self.hidden_dims, ("first", "second"), strict=True)
        )
        self.output_weight = self._output("output_weight", use_bias=False)
        self.gate = self._output("gate", use_bias=False) if query_dim else None
        self.drop = keras.layers.Dropout(self.dropout)

    def _output(self, name: str, use_bias: bool) -> Any:
        units = self.hidden_dims[1] if name == "gate" else 1
        initializer = self.output_initializer.__class__.from_config(
            self.output_initializer.get_config()
        )
        return keras.layers.Dense(
            units, use_bias=use_bias, kernel_initializer=initializer, name=name
        )

    @property
    def num_types(self) -> int:
        """Types told apart: 0 for all others, then each."""
        return self.num_interaction_types + 1

    @property
    def num_features(self) -> int:
        """F, the places not counted."""
        return 3 * self.num_types + 10 + 3 + 2 * NEAR + 1 + 2 + 5 * len(self.numeric)

    def build(self, input_shape: Any = None) -> None:
        first, second = self.hidden_dims
        build_sublayer(self.first, (None, None, None, self.num_features + self.num_positions))
        build_sublayer(self.second, (None, None, None, 3 * first))
        build_sublayer(self.output_weight, (None, None, None, second))
        if self.gate is not None:
            build_sublayer(self.gate, (None, None, self.query_dim))
        self.built = True

    def features(
        self,
        match_ids: tf.Tensor,
        labels: tf.Tensor | None = None,
        interaction_types: tf.Tensor | None = None,
        session_times: tf.Tensor | None = None,
        position: tf.Tensor | None = None,
        numeric: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """The features above but for the places: [B, S, I, num_features] float32."""
        real, shown, place = _listed(match_ids, position)
        touched_now = real if labels is None else real & (labels > 0)
        types = tf.zeros_like(place) if interaction_types is None else interaction_types
        types = tf.cast(types, tf.int32)
        types = tf.where((types > 0) & (types < self.num_types), types, 0)
        sessions = tf.shape(match_ids)[1]
        number = tf.zeros_like(place) + tf.range(sessions)[:, tf.newaxis]
        if session_times is None:
            times = tf.zeros(tf.shape(match_ids)[:2], tf.int64)
        else:
            times = tf.cast(session_times, tf.int64)

        past = _Past(match_ids, number)
        one_hot = tf.one_hot(types, self.num_types)
        counts = past.sums(tf.where(touched_now[..., tf.newaxis], one_hot, 0.0))
        touch = past.last(touched_now)
        touched = touch >= 0
        steps = number - past.gather(number, touch)
        cell_times = times[..., tf.newaxis] + tf.zeros_like(number, tf.int64)
        seconds = tf.maximum(cell_times - past.gather(cell_times, touch), 0)
        last_type = past.gather(types, touch)
        num_shown = past.sums(tf.cast(shown, tf.float32)[..., tf.newaxis])[..., 0]
        showing = past.last(shown)
        since_shown = number - past.gather(number, showing)

        # The order of the touches within the list.
        candidate = touched & shown
        age = tf.where(candidate, touch, -1)
        later = tf.reduce_sum(
            tf.cast(age[..., tf.newaxis, :] > age[..., tf.newaxis], tf.int32), axis=-1
        )
        anchor = tf.argmax(age, axis=-1, output_type=tf.int32)[..., tf.newaxis]
        anchored = tf.reduce_any(candidate, axis=-1, keepdims=True)
        apart = place - tf.gather(place, anchor, batch_dims=2)

        def when(condition: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
            return tf.where(condition, tf.cast(value, tf.float32), 0.0)

        def log(value: tf.Tensor) -> tf.Tensor:
            return tf.math.log1p(tf.cast(value, tf.float32))

        distance = tf.cast(apart, tf.float32)
        columns = [
            when(touched, tf.ones_like(distance)),
            when(touched, 1.0 / tf.cast(tf.maximum(steps, 1), tf.float32)),
            when(touched, log(steps)),
            when(touched, log(seconds)),
            when(touched, tf.exp(-tf.cast(seconds, tf.float32) / 60.0)),
            when(candidate, 1.0 / tf.cast(1 + later, tf.float32)),
            when(candidate, later == 0),
            log(num_shown),
            when(showing >= 0, tf.ones_like(distance)),
            when(showing >= 0, log(since_shown)),
            when(anchored, tf.sign(distance) * log(tf.abs(apart))),
            when(anchored, tf.exp(-tf.abs(distance) / 3.0)),
        ]
        columns += self._numeric_features(numeric, shown, candidate, anchor, anchored)
        near = tf.one_hot(tf.clip_by_value(apart, -NEAR, NEAR) + NEAR, 2 * NEAR + 1)
        wide = [
            log(counts),
            when(touched[..., tf.newaxis], tf.one_hot(last_type, self.num_types)),
            when(anchored[..., tf.newaxis], near),
        ]
        request = self._request_features(real, shown, types, times)
        request = request[..., tf.newaxis, :] + tf.zeros_like(distance)[..., tf.newaxis]
        found = tf.concat([tf.stack(columns, axis=-1), *wide, request], axis=-1)
        return tf.where(shown[..., tf.newaxis], found, 0.0)

    def _numeric_features(
        self,
        numeric: tf.Tensor | None,
        shown: tf.Tensor,
        candidate: tf.Tensor,
        anchor: tf.Tensor,
        anchored: tf.Tensor,
    ) -> list[tf.Tensor]:
        """Five columns [B, S, I] a numeric column."""
        if (0 if numeric is None else numeric.shape[-1]) != len(self.numeric):
            raise ValueError(
                f"`numeric` should hold the columns {', '.join(self.numeric) or 'none'}. "
                f"Received: `numeric` of shape {None if numeric is None else tuple(numeric.shape)}"
            )
        columns = []
        size = tf.reduce_sum(tf.cast(shown, tf.float32), axis=-1, keepdims=True)
        for values in [] if numeric is None else tf.unstack(tf.cast(numeric, tf.float32), axis=-1):
            x = tf.sign(values) * tf.math.log1p(tf.abs(values))
            lower = (x[..., tf.newaxis, :] < x[..., tf.newaxis]) & shown[..., tf.newaxis, :]
            share = tf.math.divide_no_nan(tf.reduce_sum(tf.cast(lower, tf.float32), -1), size)
            relative = x - tf.gather(x, anchor, batch_dims=2)
            columns += [
                x - _mean(x, shown),
                share,
                tf.cast(share == 0, tf.float32),
                tf.where(anchored, relative, 0.0),
                tf.where(anchored, x - _mean(x, candidate), 0.0),
            ]
        return columns

    def _request_features(
        self, real: tf.Tensor, shown: tf.Tensor, types: tf.Tensor, times: tf.Tensor
    ) -> tf.Tensor:
        """[B, S, 3 + num_types]: what all items of a request share."""
        size = tf.reduce_sum(tf.cast(shown, tf.float32), axis=-1)
        before = tf.zeros_like(size) + tf.cast(tf.range(tf.shape(real)[1]), tf.float32)
        since = tf.maximum(times[:, 1:] - times[:, :-1], 0)
        since = tf.pad(tf.cast(since, tf.float32), [[0, 0], [1, 0]])
        # The type of the last row; rows that were shown in vain have none of their own.
        places = tf.range(tf.shape(real)[2])
        last = tf.reduce_max(tf.where(real & (types > 0), places, 0), axis=-1, keepdims=True)
        last_type = tf.gather(types, last, batch_dims=2)[..., 0]
        last_type = tf.pad(tf.one_hot(last_type, self.num_types)[:, :-1], [[0, 0], [1, 0], [0, 0]])
        scalars = tf.stack([size, before, since], axis=-1)
        return tf.concat([tf.math.log1p(scalars), last_type], axis=-1)

    def call(
        self,
        match_ids: tf.Tensor,
        labels: tf.Tensor | None = None,
        interaction_types: tf.Tensor | None = None,
        session_times: tf.Tensor | None = None,
        position: tf.Tensor | None = None,
        numeric: tf.Tensor | None = None,
        query_embeddings: tf.Tensor | None = None,
        training: bool | None = None,
    ) -> tf.Tensor:
        if (query_embeddings is None) != (self.gate is None):
            raise ValueError(
                "`query_embeddings` should be given exactly with `query_dim`. Received: "
                f"`query_dim`={self.query_dim}, `query_embeddings`={query_embeddings}"
            )
        features = self.features(
            match_ids, labels, interaction_types, session_times, position, numeric
        )
        _, shown, place = _listed(match_ids, position)
        place = tf.one_hot(
            tf.clip_by_value(place - 1, 0, self.num_positions - 1), self.num_positions
        )
        inputs = tf.cast(tf.concat([features, place], axis=-1), self.compute_dtype)
        item = self.drop(self.first(inputs), training=training)
        mask = tf.cast(shown, item.dtype)[..., tf.newaxis]
        size = tf.maximum(tf.reduce_sum(mask, axis=-2, keepdims=True), 1)
        mean = tf.reduce_sum(item * mask, axis=-2, keepdims=True) / size
        peak = tf.reduce_max(item * mask, axis=-2, keepdims=True)  # nothing is below zero
        together = [item, mean + tf.zeros_like(item), peak + tf.zeros_like(item)]
        hidden = self.drop(self.second(tf.concat(together, axis=-1)), training=training)
        term = self.output_weight(hidden)[..., 0]
        if self.gate is not None:
            gate = self.gate(tf.cast(query_embeddings, self.compute_dtype))
            term += tf.einsum("bsih,bsh->bsi", hidden, gate)
        return tf.where(shown, term, tf.zeros_like(term))

    def get_config(self) -> Config:
        config = super().get_config()
        config.update(
            numeric=list(self.numeric),
            num_interaction_types=self.num_interaction_types,
            num_positions=self.num_positions,
            hidden_dims=list(self.hidden_dims),
            query_dim=self.query_dim,
            with_product=self.with_product,
            dropout=self.dropout,
            output_initializer=keras.initializers.serialize(self.output_initializer),
        )
        return config


def _listed(
    match_ids: tf.Tensor, position: tf.Tensor | None
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Which rows are real, which were shown, and their places from 1 on; each [B, S, I]."""
    real = tf.not_equal(match_ids, 0)
    if position is None:
        place = tf.range(1, tf.shape(match_ids)[2] + 1) + tf.zeros_like(match_ids, tf.int32)
    else:
        place = tf.cast(position, tf.int32)
    return real, real & (place > 0), place


def _mean(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Mean over the last axis where the mask is True, kept as an axis; 0 where it is nowhere."""
    weights = tf.cast(mask, values.dtype)
    total = tf.reduce_sum(values * weights, axis=-1, keepdims=True)
    return tf.math.divide_no_nan(total, tf.reduce_sum(weights, axis=-1, keepdims=True))


class _Past:
    """What happened to the item of each cell in the sessions before the cell's own.

    The N = S I cells of a row are sorted by their id, in order of time. An id is then a run of
    cells, a session of it a part of the run; what came before the part, within the run, is the
    past: differences of running sums.
    """

    def __init__(self, match_ids: tf.Tensor, number: tf.Tensor) -> None:
        self._shape = tf.shape(match_ids)
        ids, sessions = self._flat(match_ids), self._flat(number)
        self._order = tf.argsort(ids, axis=1, stable=True)
        self._rank = tf.argsort(self._order, axis=1)
        ids, sessions = (tf.gather(x, self._order, batch_dims=1) for x in (ids, sessions))
        new_id = tf.not_equal(ids[:, 1:], ids[:, :-1])
        new_part = new_id | tf.not_equal(sessions[:, 1:], sessions[:, :-1])
        self._run, self._part = (
            _last_true(tf.pad(new, [[0, 0], [1, 0]], constant_values=True))[:, 1:]
            for new in (new_id, new_part)
        )

    def sums(self, values: tf.Tensor) -> tf.Tensor:
        """Of [B, S, I, C] values, their sums over the past of each cell."""
        values = tf.gather(self._flat(values), self._order, batch_dims=1)
        before = tf.cumsum(values, axis=1, exclusive=True)
        part, run = (tf.gather(before, at, batch_dims=1) for at in (self._part, self._run))
        return self._back(part - run)

    def last(self, flags: tf.Tensor) -> tf.Tensor:
        """The newest flagged cell [B, S, I] of the past, as its place in S I; -1 if none."""
        flags = tf.gather(self._flat(flags), self._order, batch_dims=1)
        found = tf.gather(_last_true(flags), self._part, batch_dims=1)
        cell = tf.gather(self._order, tf.maximum(found, 0), batch_dims=1)
        return self._back(tf.where(found >= self._run, cell, -1))

    def gather(self, values: tf.Tensor, cells: tf.Tensor) -> tf.Tensor:
        """The values [B, S, I] of the cells that `last` found; of -1, any."""
        cells = tf.maximum(self._flat(cells), 0)
        return tf.reshape(tf.gather(self._flat(values), cells, batch_dims=1), self._shape)

    def _flat(self, values: tf.Tensor) -> tf.Tensor:
        shape = [self._shape[0], self._shape[1] * self._shape[2], *values.shape[3:]]
        return tf.reshape(values, shape)

    def _back(self, values: tf.Tensor) -> tf.Tensor:
        values = tf.gather(values, self._rank, batch_dims=1)
        return tf.reshape(values, tf.concat([self._shape, tf.shape(values)[2:]], axis=0))


def _last_true(flags: tf.Tensor) -> tf.Tensor:
    """[B, N] to [B, N + 1]: where the last True before each place is, the end counted; -1 if none.

    Example:

    >>> _last_true(tf.constant([[True, False, True]])).numpy()
    array([[-1,  0,  0,  2]], dtype=int32)
    """
    size = tf.shape(flags)[1]
    places = tf.range(size)
    found = tf.sort(tf.where(flags, places, size), axis=1)
    number = tf.cumsum(tf.cast(flags, tf.int32), axis=1)
    listed, number = (
        tf.pad(found, [[0, 0], [1, 0]], constant_values=-1),
        tf.pad(number, [[0, 0], [1, 0]]),
    )
    return tf.gather(listed, number, batch_dims=1)
