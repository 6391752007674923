"""Item embeddings from ids and side features."""

import warnings
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from tfsessionrec import draws
from tfsessionrec.backend import IS_KERAS_3, build_sublayer, keras
from tfsessionrec.checks import boolean, non_negative_integer, positive_integer, rate, sequence
from tfsessionrec.layers.interaction_embedding import InteractionEmbedding
from tfsessionrec.scoring import unit_length
from tfsessionrec.types import Config

# Arguments that moved to `InteractionEmbedding`. `ItemEmbedding` accepts them for one release.
_MOVED = (
    "interaction_embedding",
    "num_interaction_types",
    "num_item_time_buckets",
    "balance_interactions",
    "history_dropout",
)
_AUTOCAST = "autocast" if IS_KERAS_3 else "experimental_autocast"


@keras.utils.register_keras_serializable(package="tfsessionrec")
class ItemEmbedding(keras.layers.Layer):
    """Embeds items, the same way in a history and as candidates.

    Without side features `E_i = V_i`, a row of a table. With them (or with `mlp_dims`)
    `E_i = MLP(concat(V_i, F_1[i], F_2[i], ...))`.

    A **new item**, absent from training, has its features alone: its `V_i` is zeros. New items
    are the last `num_new_items` rows. `id_dropout` prepares the model for them: in training, each
    occurrence of an item, in a history or as a candidate, gets zeros for its `V_i` with that
    probability, independently of the other occurrences.

    With `normalize`, `E_i / |E_i|` replaces `E_i`, so that popular items do not get longer vectors
    than others. `SessionRecBackbone` then normalizes its outputs too, so that scores are cosines,
    which need a `temperature` well below 1 in the loss.

    `InteractionEmbedding` adds to the items of a history what the user did with them.

    Args:
        vocabulary_size: Rows of the table: padding (0), out-of-vocabulary buckets, items.
        embedding_dim: Dimension D of the result.
        features: Side features of the items by name, each an array with one row per item index
            (`vocabulary_size` rows): integers [V] are categories, integers [V, M] are bags of
            categories padded with 0, floats [V] or [V, F] are used unchanged. Default: none.
        feature_dim: Dimension of the embedding of each category. Defaults to 16.
        mlp_dims: Hidden widths of the MLP over the concatenation. Defaults to `(embedding_dim,)`
            with side features and to no MLP without.
        embeddings_initializer: Initializer of the tables. Defaults to a normal of 0.02.
        id_dropout: Probability in [0, 1) of dropping `V_i` in training. Defaults to 0.
        num_new_items: How many of the last rows are new items (`Vocabulary.num_new_items`).
            Defaults to 0.
        normalize: Whether to scale the vectors to length 1. Defaults to False.

    Call arguments:
        item_ids: Integer tensor of any shape; 0 is padding, whose vector has no meaning.
        training: Whether to apply `id_dropout`.

    Returns:
        Float tensor [..., D].

    Raises:
        ValueError: If a size or a probability is out of range, or a feature has another number of
            rows.

    Example:

    >>> layer = ItemEmbedding(vocabulary_size=10, embedding_dim=4)
    >>> layer(tf.constant([[[2, 3]]])).shape
    TensorShape([1, 1, 2, 4])
    >>> layer.candidates(tf.constant([2, 3])).shape
    TensorShape([2, 4])

    References:
        "Embedding Module" in SessionRec (arXiv 2502.10157, 2025), figure 2. Dropping ids to prepare
        for new items: DropoutNet (Volkovs et al., NIPS 2017). Items and sessions of length 1: NISER
        (Gupta et al., 2019), section 3.
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding_dim: int,
        features: Mapping[str, ArrayLike | Config] | None = None,
        feature_dim: int = 16,
        mlp_dims: tuple[int, ...] | None = None,
        embeddings_initializer: keras.initializers.Initializer | str | Config | None = None,
        id_dropout: float = 0.0,
        num_new_items: int = 0,
        normalize: bool = False,
        **kwargs: object,
    ) -> None:
        moved: Config = {name: kwargs.pop(name) for name in _MOVED if name in kwargs}
        super().__init__(**kwargs)
        self.vocabulary_size = positive_integer("vocabulary_size", vocabulary_size)
        self.embedding_dim = positive_integer("embedding_dim", embedding_dim)
        if not non_negative_integer("num_new_items", num_new_items) < vocabulary_size:
            raise ValueError(
                "`num_new_items` should be an integer from 0 to below `vocabulary_size`. Received: "
                f"`num_new_items`={num_new_items!r}"
            )
        self.feature_dim = positive_integer("feature_dim", feature_dim)
        self.embeddings_initializer = keras.initializers.get(
            embeddings_initializer or keras.initializers.RandomNormal(stddev=0.02)
        )
        self.id_dropout = float(rate("id_dropout", id_dropout))
        self.num_new_items = int(num_new_items)
        self.normalize = boolean("normalize", normalize)
        # A saved configuration holds the description of each feature. Its values are weights.
        self._feature_values: dict[str, np.ndarray] = {}
        if not isinstance(features, Mapping | None):
            raise ValueError(
                "`features` should be a mapping of names to values. Received: "
                f"`features`={features!r}"
            )
        self.features: dict[str, Config] = {}
        for name, feature in dict(features or {}).items():
            if not isinstance(feature, Mapping):
                values = np.asarray(feature)
                feature = _describe(name, values, self.vocabulary_size)
                self._feature_values[name] = values
            self.features[name] = dict(feature)
        if mlp_dims is not None:
            sequence("mlp_dims", mlp_dims, "widths")
        elif self.features:
            mlp_dims = (self.embedding_dim,)
        self.mlp_dims = None if mlp_dims is None else tuple(mlp_dims)
        self.interactions = self._moved_interactions(moved) if moved else None

    def _moved_interactions(self, moved: Config) -> InteractionEmbedding:
        """The layer that the arguments which moved to `InteractionEmbedding` describe."""
        warnings.warn(
            f"`ItemEmbedding` will not accept {', '.join(moved)} in the next release. Give them to "
            "`InteractionEmbedding`, and that to `SessionRecBackbone(interactions=...)`.",
            FutureWarning,
            stacklevel=3,
        )
        return InteractionEmbedding(
            **moved,
            embeddings_initializer=keras.initializers.serialize(self.embeddings_initializer),
            name="interactions",
            dtype=self.dtype_policy,
        )

    def build(self, input_shape: tf.TensorShape | None = None) -> None:
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
        if self.interactions is not None:
            build_sublayer(self.interactions, (None, None, None, self.embedding_dim))
        self.built = True

    def _table(self, name: str, rows: int, dim: int) -> tf.Variable:
        # An initializer without a seed repeats its values: each table needs one of its own.
        initializer = type(self.embeddings_initializer).from_config(
            self.embeddings_initializer.get_config()
        )
        # Rows are cast after the look-up. A cast of the table would make its gradient dense.
        return self.add_weight(
            name=name,
            shape=(rows, dim),
            initializer=initializer,
            trainable=True,
            **{_AUTOCAST: False},
        )

    def candidates(self, item_ids: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Embeds items: [...] int to [..., D] float."""
        if not self.built:
            self.build()
        return self._embed(self._look_up(self.item_table, item_ids), item_ids, training)

    def candidate_table(self, training: bool | None = None) -> tf.Tensor:
        """Embeds all `vocabulary_size` items: [V, D] float."""
        if not self.built:
            self.build()
        table = tf.cast(tf.convert_to_tensor(self.item_table), self.compute_dtype)
        return self._embed(table, tf.range(self.vocabulary_size), training)

    def training_candidates(self, training: bool = False) -> "ItemEmbedding | _TrainingCandidates":
        """The candidates of a loss: without new items, and with id dropout if `training`.

        New items are never positive. As negatives they would only be pushed away, and with them
        the features that no other item has.

        Returns:
            An object with `vocabulary_size`, `candidates(item_ids)` and `candidate_table()`; this
            layer itself if there is no difference.
        """
        if not self.num_new_items and not (self.id_dropout and training):
            return self
        return _TrainingCandidates(self, training)

    def taught(self, training: bool = False) -> "ItemEmbedding | _TrainingCandidates":
        """The former name of `training_candidates`."""
        warnings.warn(
            "`taught` is now `training_candidates`. The next release will not have the old name.",
            FutureWarning,
            stacklevel=2,
        )
        return self.training_candidates(training)

    def _embed(self, vectors: tf.Tensor, item_ids: tf.Tensor, training: bool | None) -> tf.Tensor:
        """Combines id vectors [..., D] with the features of the items, and normalizes."""
        embedded = self._combine(vectors, item_ids, training)
        return unit_length(embedded) if self.normalize else embedded

    def _combine(self, vectors: tf.Tensor, item_ids: tf.Tensor, training: bool | None) -> tf.Tensor:
        """Combines id vectors [..., D] with the features of the items."""
        kept = None
        if self.num_new_items:
            kept = tf.less(item_ids, self.vocabulary_size - self.num_new_items)
        if self.id_dropout and training:
            drawn = draws.uniform(tf.shape(item_ids)) >= self.id_dropout
            kept = drawn if kept is None else kept & drawn
        if kept is not None:
            vectors *= tf.cast(kept, vectors.dtype)[..., tf.newaxis]
        if not self.mlp:
            return vectors
        parts = [vectors]
        for name, feature in self.features.items():
            values = tf.nn.embedding_lookup(self.feature_tables[name], item_ids)
            if not feature["num_categories"]:
                values = tf.cast(values, self.compute_dtype)
                parts.append(values if len(feature["shape"]) > 1 else values[..., tf.newaxis])
                continue
            categories = self._look_up(self.category_tables[name], values)
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
        given = {
            "labels": labels,
            "interaction_types": interaction_types,
            "item_times": item_times,
        }
        if self.interactions is not None:
            return self.interactions(embedded, item_ids, **given, training=training)
        unread = [f"`{name}`" for name, value in given.items() if value is not None]
        if unread:
            raise ValueError(
                f"`ItemEmbedding` does not read {', '.join(unread)}. Give them to an "
                "`InteractionEmbedding`, together with the result of this layer."
            )
        return embedded

    def _look_up(self, table: tf.Variable, indices: tf.Tensor) -> tf.Tensor:
        return tf.cast(tf.nn.embedding_lookup(table, indices), self.compute_dtype)

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
            embeddings_initializer=keras.initializers.serialize(self.embeddings_initializer),
            id_dropout=self.id_dropout,
            num_new_items=self.num_new_items,
            normalize=self.normalize,
        )
        if self.interactions is not None:
            moved = self.interactions.get_config()
            config.update({name: moved[name] for name in _MOVED})
        return config


class _TrainingCandidates:
    """The candidates of a loss, see `ItemEmbedding.training_candidates`."""

    def __init__(self, items: ItemEmbedding, training: bool) -> None:
        self.vocabulary_size = items.vocabulary_size - items.num_new_items
        self._items = items
        self._training = training

    def candidates(self, item_ids: tf.Tensor) -> tf.Tensor:
        return self._items.candidates(item_ids, self._training)

    def candidate_table(self) -> tf.Tensor:
        return self._items.candidate_table(self._training)[: self.vocabulary_size]


def _describe(name: str, values: np.ndarray, vocabulary_size: int) -> Config:
    """Kind and size of a side feature, in JSON types."""
    if values.ndim not in (1, 2) or len(values) != vocabulary_size:
        raise ValueError(
            f"`features[{name!r}]` should have one row per item index: shape "
            f"[{vocabulary_size}] or [{vocabulary_size}, n]. Received: shape {list(values.shape)}"
        )
    if np.issubdtype(values.dtype, np.integer):
        if values.min() < 0:
            raise ValueError(
                f"`features[{name!r}]` should hold categories of 0 and above. Received: a minimum "
                f"of {values.min()}"
            )
        num_categories = int(values.max()) + 1
        return {"shape": list(values.shape), "dtype": "int32", "num_categories": num_categories}
    if not np.issubdtype(values.dtype, np.floating):
        raise ValueError(
            f"`features[{name!r}]` should hold integers or floats. Received: {values.dtype}"
        )
    return {"shape": list(values.shape), "dtype": "float32", "num_categories": 0}
