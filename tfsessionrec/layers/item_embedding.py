"""Items as vectors: identity, side features, and what the user did with them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfsessionrec.backend import build_sublayer, keras
from tfsessionrec.checks import rate
from tfsessionrec.layers.time_gap_embedding import TimeGapEmbedding
from tfsessionrec.scoring import unit_length
from tfsessionrec.types import Config


@keras.utils.register_keras_serializable(package="tfsessionrec")
class ItemEmbedding(keras.layers.Layer):
    """Embeds items, the same way in a history and as candidates.

    Without side features `E_i = V_i`, a row of a table. With them (or with `mlp_dims`)
    `E_i = MLP(concat(V_i, F_1[i], F_2[i], ...))`. Items of a **history** also carry what the user
    did with them, and when: `E_i + A[label] + T[interaction type] + G[time since the item before]`.
    Candidates carry none of it (nothing has been done with them yet): `candidates(item_ids)`.

    A **new item**, which training has not seen, is known by its features alone: its `V_i` is zeros.
    Those are the last `num_new_items` rows. `id_dropout` makes the model fit to read such items: in
    training, each occurrence of an item, in a history or as a candidate, has zeros for its `V_i`
    with that probability, drawn anew for each.

    With `normalize`, `E_i / |E_i|` takes the place of `E_i`, in a history and as a candidate:
    popular items then have no longer vectors than others. `SessionRecBackbone` makes its outputs
    as long, so that scores are cosines: they want a `temperature` well below 1 in the loss.

    Args:
        vocabulary_size: Rows of the table: padding (0), out-of-vocabulary buckets, items.
        embedding_dim: Dimension D of the result.
        features: Side features of the items by name, each an array with one row an item index
            (`vocabulary_size` rows): integers [V] are categories, integers [V, M] are bags of
            categories padded with 0, floats [V] or [V, F] are taken as they are. Default: none.
        feature_dim: Dimension of each category's embedding. Defaults to 16.
        mlp_dims: Hidden widths of the MLP over the concatenation. Defaults to no MLP without side
            features and to `(embedding_dim,)` with them.
        interaction_embedding: Whether a history item that was shown but not taken is scaled and
            shifted, `g ⊙ E_i + b`; a positive one is left as it is. Scaled too, because an added
            vector alone is lost in a mean over the session: all that is left of it then is how
            many were taken, not which. Defaults to True.
        num_interaction_types: Interaction types (click, cart, ...) beside padding; their vectors
            are added where the batch has `interaction_types`. Defaults to 0: none.
        embeddings_initializer: Initialiser of the item table. Defaults to a normal of 0.02.
        id_dropout: Probability in [0, 1) of leaving out `V_i` in training. Defaults to 0.
        num_new_items: How many of the last rows are new items (`Vocabulary.num_new_items`).
            Defaults to 0.
        num_item_time_buckets: Buckets of the time since the item before, see `TimeGapEmbedding`;
            their vectors are added where the batch has `item_times`. Defaults to 0: none.
        normalize: Whether items are vectors of length 1. Defaults to False.
        history_dropout: Dropout rate in [0, 1) of the vectors of a history, for encoders without
            one of their own; candidates are left whole. Defaults to 0.
        balance_interactions: Whether the two kinds weigh the same in the mean over a session, be
            there one item taken among twenty shown: the vectors of a session (the last axis) are
            multiplied by `n / n_kind`, so that their mean is that of the positives plus that of the
            others. A session of one kind stays as it is. Defaults to False.

    Call arguments:
        item_ids: Integer tensor of any shape; 0 is padding, whose vector means nothing.
        labels: Float tensor of that shape, 1 positive, 0 shown but not taken. Default: positive.
        interaction_types: Integer tensor of that shape, 0 is padding. Optional.
        item_times: [..., S, I] int64 tensor, unix seconds of each item. Optional.
        training: Whether ids and parts of vectors may be dropped.

    Returns:
        Float tensor [..., D].

    Raises:
        ValueError: If a size or a probability is out of range, or a feature has another number of
            rows.

    Example:

    >>> layer = ItemEmbedding(vocabulary_size=10, embedding_dim=4)
    >>> layer(tf.constant([[[2, 3]]]), labels=tf.constant([[[1.0, 0.0]]])).shape
    TensorShape([1, 1, 2, 4])
    >>> layer.candidates(tf.constant([2, 3])).shape
    TensorShape([2, 4])

    References:
        "Embedding Module" in SessionRec (arXiv 2502.10157, 2025), figure 2. Where the polarity of
        an interaction enters is not drawn there: scale and shift are this package's choice.
        Leaving out ids to make a model ready for new items: DropoutNet (Volkovs et al., NIPS 2017).
        Items and sessions of length 1: NISER (Gupta et al., 2019), section 3.
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding_dim: int,
        features: Mapping[str, Any] | None = None,
        feature_dim: int = 16,
        mlp_dims: tuple[int, ...] | None = None,
        interaction_embedding: bool = True,
        num_interaction_types: int = 0,
        embeddings_initializer: Any = None,
        id_dropout: float = 0.0,
        num_new_items: int = 0,
        num_item_time_buckets: int = 0,
        normalize: bool = False,
        history_dropout: float = 0.0,
        balance_interactions: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, value in (("vocabulary_size", vocabulary_size), ("embedding_dim", embedding_dim)):
            if not isinstance(value, (int, np.integer)) or value < 1:
                raise ValueError(
                    f"`{name}` should be a positive integer. Received: `{name}`={value!r}"
                )
        if not 0 <= id_dropout < 1:
            raise ValueError(
                f"`id_dropout` should be in [0, 1). Received: `id_dropout`={id_dropout!r}"
            )
        if not (
            isinstance(num_new_items, (int, np.integer)) and 0 <= num_new_items < vocabulary_size
        ):
            raise ValueError(
                "`num_new_items` should be an integer from 0 to below `vocabulary_size`. Received: "
                f"`num_new_items`={num_new_items!r}"
            )
        self.vocabulary_size = int(vocabulary_size)
        self.embedding_dim = int(embedding_dim)
        self.feature_dim = feature_dim
        self.interaction_embedding = interaction_embedding
        self.balance_interactions = balance_interactions
        self.num_interaction_types = num_interaction_types
        self.embeddings_initializer = keras.initializers.get(
            embeddings_initializer or keras.initializers.RandomNormal(stddev=0.02)
        )
        self.id_dropout = float(id_dropout)
        self.num_new_items = int(num_new_items)
        self.num_item_time_buckets = num_item_time_buckets
        self.normalize = normalize
        self.history_dropout = rate("history_dropout", history_dropout)
        self.dropout_layer = keras.layers.Dropout(self.history_dropout, dtype=self.dtype_policy)
        self.time_gaps = None
        if num_item_time_buckets:
            self.time_gaps = TimeGapEmbedding(
                num_item_time_buckets,
                self.embedding_dim,
                name="time_gaps",
                dtype=self.dtype_policy,
            )
        # A saved configuration holds each feature's description; its values are weights.
        self._feature_values: dict[str, np.ndarray] = {}
        self.features: dict[str, Config] = {}
        for name, feature in dict(features or {}).items():
            if not isinstance(feature, Mapping):
                values = np.asarray(feature)
                feature = _describe(name, values, self.vocabulary_size)
                self._feature_values[name] = values
            self.features[name] = dict(feature)
        if mlp_dims is None and self.features:
            mlp_dims = (self.embedding_dim,)
        self.mlp_dims = None if mlp_dims is None else tuple(mlp_dims)

    def build(self, input_shape: Any = None) -> None:
        self.item_table = self._table("item_table", self.vocabulary_size, self.embedding_dim)
        self.feature_tables, self.category_tables = {}, {}
        width = self.embedding_dim
        for name, feature in self.features.items():
            self.feature_tables[name] = self.add_weight(
                name=f"feature_{name}",
                shape=tuple(feature["shape"]),
                dtype=feature["dtype"],
                initializer="zeros",
                trainable=False,
            )
            if name in self._feature_values:
                self.feature_tables[name].assign(
                    self._feature_values[name].astype(feature["dtype"])
                )
            if feature["num_categories"]:
                self.category_tables[name] = self._table(
                    f"categories_{name}", feature["num_categories"], self.feature_dim
                )
                width += self.feature_dim
            else:
                width += feature["shape"][1] if len(feature["shape"]) > 1 else 1
        self.mlp = []
        if self.mlp_dims is not None:
            for index, units in enumerate((*self.mlp_dims, self.embedding_dim)):
                last = index == len(self.mlp_dims)
                dense = keras.layers.Dense(
                    units,
                    activation=None if last else "relu",
                    name=f"mlp_{index}",
                    dtype=self.dtype_policy,
                )
                self.mlp.append(build_sublayer(dense, (None, width)))
                width = units
        if self.interaction_embedding:
            shape = (self.embedding_dim,)
            self.negative_scale = self.add_weight(
                name="negative_scale", shape=shape, initializer="ones", trainable=True
            )
            self.negative_shift = self.add_weight(
                name="negative_shift", shape=shape, initializer="zeros", trainable=True
            )
        if self.num_interaction_types:
            self.interaction_type_table = self._table(
                "interaction_type_table", self.num_interaction_types + 1, self.embedding_dim
            )
        if self.time_gaps is not None:
            build_sublayer(self.time_gaps, None)
        self.built = True

    def _table(self, name: str, rows: int, dim: int) -> Any:
        # An initialiser without a seed gives equal values each time it is called: one a table.
        initializer = type(self.embeddings_initializer).from_config(
            self.embeddings_initializer.get_config()
        )
        return self.add_weight(
            name=name, shape=(rows, dim), initializer=initializer, trainable=True
        )

    def candidates(self, item_ids: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Embeds items as candidates: [...] int to [..., D] float, without interaction vectors."""
        if not self.built:
            self.build()
        return self._embed(self._gather(self.item_table, item_ids), item_ids, training)

    def candidate_table(self, training: bool | None = None) -> tf.Tensor:
        """All `vocabulary_size` items as candidates: [V, D] float."""
        if not self.built:
            self.build()
        table = tf.cast(tf.convert_to_tensor(self.item_table), self.compute_dtype)
        return self._embed(table, tf.range(self.vocabulary_size), training)

    def taught(self, training: bool = False) -> "ItemEmbedding | _TaughtItems":
        """The candidates of a loss: without new items, and with id dropout where `training`.

        New items are never a positive. As negatives they would only be pushed away, and with them
        the features that they share with nobody.

        Returns:
            An object with `vocabulary_size`, `candidates(item_ids)` and `candidate_table()`; this
            layer itself where that makes no difference.
        """
        if not self.num_new_items and not (self.id_dropout and training):
            return self
        return _TaughtItems(self, training)

    def _embed(self, vectors: tf.Tensor, item_ids: tf.Tensor, training: bool | None) -> tf.Tensor:
        """What the ids' vectors [..., D] and the features of the items make, normalised."""
        embedded = self._combine(vectors, item_ids, training)
        return unit_length(embedded) if self.normalize else embedded

    def _combine(self, vectors: tf.Tensor, item_ids: tf.Tensor, training: bool | None) -> tf.Tensor:
        """What the ids' vectors [..., D] and the features of the items make."""
        kept = None
        if self.num_new_items:
            kept = tf.less(item_ids, self.vocabulary_size - self.num_new_items)
        if self.id_dropout and training:
            drawn = tf.random.uniform(tf.shape(item_ids)) >= self.id_dropout
            kept = drawn if kept is None else kept & drawn
        if kept is not None:
            vectors *= tf.cast(kept, vectors.dtype)[..., tf.newaxis]
        if not self.mlp:
            return vectors
        parts = [vectors]
        for name, feature in self.features.items():
            values = tf.gather(self.feature_tables[name], item_ids)
            if not feature["num_categories"]:
                values = tf.cast(values, self.compute_dtype)
                parts.append(values if len(feature["shape"]) > 1 else values[..., tf.newaxis])
                continue
            categories = self._gather(self.category_tables[name], values)
            if len(feature["shape"]) > 1:
                weights = tf.cast(values > 0, categories.dtype)[..., tf.newaxis]
                categories = tf.math.divide_no_nan(
                    tf.reduce_sum(categories * weights, -2), tf.reduce_sum(weights, -2)
                )
            parts.append(categories)
        hidden = tf.concat(parts, axis=-1)
        for dense in self.mlp:
            hidden = dense(hidden)
        return hidden

    def call(
        self,
        item_ids: tf.Tensor,
        labels: tf.Tensor | None = None,
        interaction_types: tf.Tensor | None = None,
        item_times: tf.Tensor | None = None,
        training: bool | None = None,
    ) -> tf.Tensor:
        embedded = self.candidates(item_ids, training)
        # Without labels nothing is negative; training still wants a gradient, of zero, to both.
        if self.interaction_embedding and (labels is not None or training is not False):
            labels = tf.ones_like(embedded[..., 0]) if labels is None else labels
            negative = 1 - tf.cast(labels, embedded.dtype)[..., tf.newaxis]
            scale, shift = (
                tf.cast(tf.convert_to_tensor(vector), embedded.dtype)
                for vector in (self.negative_scale, self.negative_shift)
            )
            embedded += negative * (embedded * (scale - 1) + shift)
        if self.num_interaction_types and interaction_types is not None:
            embedded += self._gather(self.interaction_type_table, interaction_types)
        if self.time_gaps is not None and item_times is not None:
            embedded += self.time_gaps(item_times, item_ids)
        if self.balance_interactions and labels is not None:
            embedded *= tf.cast(_balance(item_ids, labels), embedded.dtype)[..., tf.newaxis]
        return self.dropout_layer(embedded, training=training)

    def _gather(self, table: Any, indices: tf.Tensor) -> tf.Tensor:
        return tf.cast(tf.gather(table, indices), self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (*tuple(input_shape), self.embedding_dim)

    def get_config(self) -> Config:
        config = super().get_config()
        config.update(
            vocabulary_size=self.vocabulary_size,
            embedding_dim=self.embedding_dim,
            features={name: dict(feature) for name, feature in self.features.items()} or None,
            feature_dim=self.feature_dim,
            mlp_dims=self.mlp_dims,
            interaction_embedding=self.interaction_embedding,
            balance_interactions=self.balance_interactions,
            num_interaction_types=self.num_interaction_types,
            embeddings_initializer=keras.initializers.serialize(self.embeddings_initializer),
            id_dropout=self.id_dropout,
            num_new_items=self.num_new_items,
            num_item_time_buckets=self.num_item_time_buckets,
            normalize=self.normalize,
            history_dropout=self.history_dropout,
        )
        return config


class _TaughtItems:
    """Candidates as `ItemEmbedding.taught` describes them."""

    def __init__(self, items: ItemEmbedding, training: bool) -> None:
        self.vocabulary_size = items.vocabulary_size - items.num_new_items
        self._items = items
        self._training = training

    def candidates(self, item_ids: tf.Tensor) -> tf.Tensor:
        return self._items.candidates(item_ids, self._training)

    def candidate_table(self) -> tf.Tensor:
        return self._items.candidate_table(self._training)[: self.vocabulary_size]


def _describe(name: str, values: np.ndarray, vocabulary_size: int) -> Config:
    """Kind and size of a side feature, in plain JSON types."""
    if values.ndim not in (1, 2) or len(values) != vocabulary_size:
        raise ValueError(
            f"`features[{name!r}]` should have one row an item index: shape [{vocabulary_size}] or "
            f"[{vocabulary_size}, n]. Received: shape {list(values.shape)}"
        )
    if np.issubdtype(values.dtype, np.integer):
        if values.min() < 0:
            raise ValueError(
                f"`features[{name!r}]` should hold categories of 0 and above. Received: a minimum "
                f"of {values.min()}"
            )
        return {
            "shape": list(values.shape),
            "dtype": "int32",
            "num_categories": int(values.max()) + 1,
        }
    if not np.issubdtype(values.dtype, np.floating):
        raise ValueError(
            f"`features[{name!r}]` should hold integers or floats. Received: {values.dtype}"
        )
    return {"shape": list(values.shape), "dtype": "float32", "num_categories": 0}


def _balance(item_ids: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Factors [..., I] that give positives and negatives of a session equal shares of its mean."""
    real = tf.cast(item_ids != 0, tf.float32)
    positive = real * tf.cast(labels > 0, tf.float32)
    factor = tf.zeros_like(real)
    for kind in (positive, real - positive):
        share = tf.reduce_sum(kind, axis=-1, keepdims=True)
        factor += kind * tf.math.divide_no_nan(tf.reduce_sum(real, axis=-1, keepdims=True), share)
    return factor
