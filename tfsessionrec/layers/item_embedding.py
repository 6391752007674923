"""Items as vectors: identity, side features, and what the user did with them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfsessionrec.backend import build_sublayer, keras
from tfsessionrec.types import Config


@keras.utils.register_keras_serializable(package="tfsessionrec")
class ItemEmbedding(keras.layers.Layer):
    """Embeds items, the same way in a history and as candidates.

    Without side features `E_i = V_i`, a row of a table. With them (or with `mlp_dims`)
    `E_i = MLP(concat(V_i, F_1[i], F_2[i], ...))`. Items of a **history** also carry what the user
    did with them: `E_i + A[label] + T[interaction type]`. Candidates carry neither (nothing has
    been done with them yet): `candidates(item_ids)`.

    Args:
        vocabulary_size: Rows of the table: padding (0), out-of-vocabulary buckets, items.
        embedding_dim: Dimension D of the result.
        features: Side features of the items by name, each an array with one row an item index
            (`vocabulary_size` rows): integers [V] are categories, integers [V, M] are bags of
            categories padded with 0, floats [V] or [V, F] are taken as they are. Default: none.
        feature_dim: Dimension of each category's embedding. Defaults to 16.
        mlp_dims: Hidden widths of the MLP over the concatenation. Defaults to no MLP without side
            features and to `(embedding_dim,)` with them.
        interaction_embedding: Whether history items carry a vector that says positive or
            negative. Defaults to True.
        num_interaction_types: Interaction types (click, cart, ...) beside padding; their vectors
            are added where the batch has `interaction_types`. Defaults to 0: none.
        embeddings_initializer: Initialiser of the item table. Defaults to a normal of 0.02.

    Call arguments:
        item_ids: Integer tensor of any shape; 0 is padding, whose vector means nothing.
        labels: Float tensor of that shape, 1 positive, 0 shown but not taken. Default: positive.
        interaction_types: Integer tensor of that shape, 0 is padding. Optional.

    Returns:
        Float tensor [..., D].

    Raises:
        ValueError: If a size is not positive or a feature has another number of rows.

    Example:

    >>> layer = ItemEmbedding(vocabulary_size=10, embedding_dim=4)
    >>> layer(tf.constant([[[2, 3]]]), labels=tf.constant([[[1.0, 0.0]]])).shape
    TensorShape([1, 1, 2, 4])
    >>> layer.candidates(tf.constant([2, 3])).shape
    TensorShape([2, 4])

    References:
        "Embedding Module" in SessionRec (arXiv 2502.10157, 2025), figure 2. Where the polarity of
        an interaction enters is not drawn there: the added vector is this package's choice.
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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, value in (("vocabulary_size", vocabulary_size), ("embedding_dim", embedding_dim)):
            if not isinstance(value, (int, np.integer)) or value < 1:
                raise ValueError(
                    f"`{name}` should be a positive integer. Received: `{name}`={value!r}"
                )
        self.vocabulary_size = int(vocabulary_size)
        self.embedding_dim = int(embedding_dim)
        self.feature_dim = feature_dim
        self.interaction_embedding = interaction_embedding
        self.num_interaction_types = num_interaction_types
        self.embeddings_initializer = keras.initializers.get(
            embeddings_initializer or keras.initializers.RandomNormal(stddev=0.02)
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
            self.label_table = self._table("label_table", 2, self.embedding_dim)
        if self.num_interaction_types:
            self.interaction_type_table = self._table(
                "interaction_type_table", self.num_interaction_types + 1, self.embedding_dim
            )
        self.built = True

    def _table(self, name: str, rows: int, dim: int) -> Any:
        # An initialiser without a seed gives equal values each time it is called: one a table.
        initializer = type(self.embeddings_initializer).from_config(
            self.embeddings_initializer.get_config()
        )
        return self.add_weight(
            name=name, shape=(rows, dim), initializer=initializer, trainable=True
        )

    def candidates(self, item_ids: tf.Tensor) -> tf.Tensor:
        """Embeds items as candidates: [...] int to [..., D] float, without interaction vectors."""
        if not self.built:
            self.build()
        embedded = self._gather(self.item_table, item_ids)
        if not self.mlp:
            return embedded
        parts = [embedded]
        for name, feature in self.features.items():
            values = tf.gather(self.feature_tables[name], item_ids)
            if not feature["num_categories"]:
                values = tf.cast(values, embedded.dtype)
                parts.append(values if len(feature["shape"]) > 1 else values[..., tf.newaxis])
                continue
            vectors = self._gather(self.category_tables[name], values)
            if len(feature["shape"]) > 1:
                weights = tf.cast(values > 0, vectors.dtype)[..., tf.newaxis]
                vectors = tf.math.divide_no_nan(
                    tf.reduce_sum(vectors * weights, -2), tf.reduce_sum(weights, -2)
                )
            parts.append(vectors)
        hidden = tf.concat(parts, axis=-1)
        for dense in self.mlp:
            hidden = dense(hidden)
        return hidden

    def candidate_table(self) -> tf.Tensor:
        """All `vocabulary_size` items as candidates: [V, D] float."""
        if not self.built:
            self.build()
        if not self.mlp:
            return tf.cast(tf.convert_to_tensor(self.item_table), self.compute_dtype)
        return self.candidates(tf.range(self.vocabulary_size))

    def call(
        self,
        item_ids: tf.Tensor,
        labels: tf.Tensor | None = None,
        interaction_types: tf.Tensor | None = None,
    ) -> tf.Tensor:
        embedded = self.candidates(item_ids)
        if self.interaction_embedding:
            # Two rows: a blend costs less than a gather, and its gradient much less.
            table = tf.cast(tf.convert_to_tensor(self.label_table), embedded.dtype)
            if labels is None:
                embedded += table[1]
            else:
                positive = tf.cast(labels, embedded.dtype)[..., tf.newaxis]
                embedded += positive * table[1] + (1 - positive) * table[0]
        if self.num_interaction_types and interaction_types is not None:
            embedded += self._gather(self.interaction_type_table, interaction_types)
        return embedded

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
            num_interaction_types=self.num_interaction_types,
            embeddings_initializer=keras.initializers.serialize(self.embeddings_initializer),
        )
        return config


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
