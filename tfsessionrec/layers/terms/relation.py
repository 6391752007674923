"""The relation of the items a request shows to the sessions before it."""

from collections.abc import Sequence

import tensorflow as tf

from tfsessionrec.backend import build_sublayer, keras
from tfsessionrec.checks import boolean, non_negative_integer, positive_integer, rate, sequence
from tfsessionrec.layers.dropout import Dropout
from tfsessionrec.layers.terms.relation_features import (
    RelationInputs,
    num_relation_features,
    relation_features,
)
from tfsessionrec.types import Config, Features


@keras.utils.register_keras_serializable(package="tfsessionrec")
class RelationFeatures(keras.layers.Layer):
    """Scores shown items by their relation to the sessions before, and to the list around them.

    For an item that session s shows, matched by its id alone (unknown items count too), the
    features come from the same row's sessions before s:

    - for each interaction type, `log(1 + n)` of its n touches (rows with a positive label);
    - whether it was touched, 1 / d and `log(1 + d)` for the d sessions and `log(1 + t)` and
      `exp(-t / 60)` for the t seconds since; the type of that touch; 1 / (1 + r) and [r = 0], where
      r of the shown items were touched after it;
    - `log(1 + m)` of the m rows that showed it, whether there was any, `log(1 + d)` since;
    - its distance to the shown item that was touched last: `sign(p) log(1 + |p|)`, `exp(-|p| / 3)`
      and one of `|p| < 6` in places p, or further away;
    - its place, one of `num_positions`;
    - for each numeric column, with `x = sign(v) log(1 + |v|)`: x less the mean of the list, the
      share of the list that is lower, whether none is, x less that of the item touched last, x less
      the mean of the touched items;
    - of the request: `log(1 + n)` of the n items shown and of the n sessions before, `log(1 + t)`
      of the seconds since the session before, and the type of its last row that has one.

    With these features f_c, a pooling over the list and a small network,

    `a_c = relu(W f_c)`, `h_c = relu(V [a_c, mean a, max a])`, `term_c = (w + U q) . h_c`,

    q being the query (with `query_dim`). w and U start from zero: the layer starts neutral. The
    list that a session shows is known at its request; its clicks are not, and count from the next
    session on. The features cost one sort of each row's items.

    Args:
        numeric: Names of the numeric columns, in the order of `numeric` in the call. Default: none.
        num_interaction_types: Types 1 .. n have features of their own, all others share one.
            Defaults to 0.
        num_positions: Places 1 .. n have features of their own, later ones share the last.
            Defaults to 32.
        hidden_dims: Widths of the two layers. Defaults to (64, 32).
        query_dim: Size of the queries that gate the term; 0 for a term without them. Defaults to 0.
        with_product: Adds the term to the product of embeddings in `SessionRec`; if False, the term
            alone is the score, which suits logs where most items shown are new. Defaults to True.
        dropout: On both hidden layers. Defaults to 0.2.
        output_initializer: Of w and U. Defaults to zeros.

    Call arguments:
        match_ids: [B, S, I] integer tensor, equal where items are equal; 0 is padding.
        labels: [B, S, I] tensor, above 0 where clicked. Default: every item is clicked.
        interaction_types: [B, S, I] integer tensor.
        session_times: [B, S] integer tensor, unix seconds. Default: all sessions at one time.
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
        The choice of features follows the winners of the RecSys Challenge 2019 (trivago); their
        form and the network are this package's choice.
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
        output_initializer: str | keras.initializers.Initializer = "zeros",
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        sequence("numeric", numeric, "names")
        sequence("hidden_dims", hidden_dims, "two widths")
        if len(hidden_dims) != 2:
            raise ValueError(
                f"`hidden_dims` should be two widths. Received: `hidden_dims`={hidden_dims!r}"
            )
        self.numeric = tuple(numeric)
        self.num_interaction_types = non_negative_integer(
            "num_interaction_types", num_interaction_types
        )
        self.num_positions = positive_integer("num_positions", num_positions)
        self.hidden_dims = tuple(positive_integer("hidden_dims", dim) for dim in hidden_dims)
        self.query_dim = non_negative_integer("query_dim", query_dim)
        self.with_product = boolean("with_product", with_product)
        self.dropout = rate("dropout", dropout)
        self.output_initializer = keras.initializers.get(output_initializer)
        self.first, self.second = (
            keras.layers.Dense(dim, activation="relu", name=name)
            for dim, name in zip(self.hidden_dims, ("first", "second"), strict=True)
        )
        self.output_weight = self._output("output_weight", use_bias=False)
        self.gate = self._output("gate", use_bias=False) if query_dim else None
        self.drop = Dropout(self.dropout)

    def _output(self, name: str, use_bias: bool) -> keras.layers.Layer:
        units = self.hidden_dims[1] if name == "gate" else 1
        initializer = self.output_initializer.__class__.from_config(
            self.output_initializer.get_config()
        )
        return keras.layers.Dense(
            units, use_bias=use_bias, kernel_initializer=initializer, name=name
        )

    @property
    def num_types(self) -> int:
        """Types with features of their own: 0 for all others, then each."""
        return self.num_interaction_types + 1

    @property
    def num_features(self) -> int:
        """F, without the places."""
        return num_relation_features(self.num_types, len(self.numeric))

    @property
    def reads(self) -> frozenset[str]:
        """Batch keys that the layer reads."""
        keys = {"match_ids", "labels", "session_times", "position", *self.numeric}
        return frozenset(keys | {"interaction_types"} if self.num_interaction_types else keys)

    def build(self, input_shape: tf.TensorShape | None = None) -> None:
        first, second = self.hidden_dims
        build_sublayer(self.first, (None, None, None, self.num_features + self.num_positions))
        build_sublayer(self.second, (None, None, None, 3 * first))
        build_sublayer(self.output_weight, (None, None, None, second))
        if self.gate is not None:
            build_sublayer(self.gate, (None, None, self.query_dim))
        self.built = True

    def inputs(self, batch: Features) -> RelationInputs:
        """The columns of a batch for the call.

        Raises:
            ValueError: If `match_ids` or a numeric column is missing.
        """
        missing = [name for name in ("match_ids", *self.numeric) if name not in batch]
        if missing:
            raise ValueError(
                f"The batch should have {', '.join(missing)} for `relation`. See "
                f"`data.session_dataset`. Received: {sorted(batch)}"
            )
        types = batch.get("interaction_types") if self.num_interaction_types else None
        columns = [tf.cast(batch[name], tf.float32) for name in self.numeric]
        return RelationInputs(
            match_ids=tf.cast(batch["match_ids"], tf.int64),
            labels=batch.get("labels"),
            interaction_types=types,
            session_times=batch.get("session_times"),
            position=batch.get("position"),
            numeric=tf.stack(columns, axis=-1) if columns else None,
        )

    def features(
        self,
        match_ids: tf.Tensor,
        labels: tf.Tensor | None = None,
        interaction_types: tf.Tensor | None = None,
        session_times: tf.Tensor | None = None,
        position: tf.Tensor | None = None,
        numeric: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """The features above without the places: [B, S, I, num_features] float32."""
        if (0 if numeric is None else numeric.shape[-1]) != len(self.numeric):
            raise ValueError(
                f"`numeric` should hold the columns {', '.join(self.numeric) or 'none'}. "
                f"Received: `numeric` of shape {None if numeric is None else tuple(numeric.shape)}"
            )
        inputs = RelationInputs(
            match_ids, labels, interaction_types, session_times, position, numeric
        )
        return relation_features(inputs, self.num_types)

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
        listed = RelationInputs(match_ids, position=position)
        shown = listed.shown
        place = tf.one_hot(
            tf.clip_by_value(listed.place - 1, 0, self.num_positions - 1), self.num_positions
        )
        inputs = tf.cast(tf.concat([features, place], axis=-1), self.compute_dtype)
        item = self.drop(self.first(inputs), training=training)
        mask = tf.cast(shown, item.dtype)[..., tf.newaxis]
        size = tf.maximum(tf.reduce_sum(mask, axis=-2, keepdims=True), 1)
        mean = tf.reduce_sum(item * mask, axis=-2, keepdims=True) / size
        peak = tf.reduce_max(item * mask, axis=-2, keepdims=True)  # `item` is never below zero
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
