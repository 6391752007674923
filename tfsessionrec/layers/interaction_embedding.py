"""How a user's history carries the interactions with its items."""

import tensorflow as tf

from tfsessionrec.backend import build_sublayer, keras
from tfsessionrec.checks import boolean, non_negative_integer, rate
from tfsessionrec.layers.dropout import Dropout
from tfsessionrec.layers.time_gap_embedding import TimeGapEmbedding
from tfsessionrec.types import Config


@keras.utils.register_keras_serializable(package="tfsessionrec")
class InteractionEmbedding(keras.layers.Layer):
    """Adds to the items of a history what the user did with them, and when.

    `H_i = E_i` for a positive item, `g ⊙ E_i + b` for an item shown but not clicked; then
    `H_i + T[interaction type] + G[time since the previous item]`. Only histories pass through this
    layer. Candidates do not, because the user has not interacted with them yet.

    Args:
        interaction_embedding: Whether to scale and shift items shown but not clicked. A shift alone
            would not do: the mean over a session would reveal how many items were clicked, but not
            which. Defaults to True.
        num_interaction_types: Number of interaction types (click, cart, ...), padding not counted.
            Their vectors are added if the batch has `interaction_types`. Defaults to 0: none.
        num_item_time_buckets: Buckets of the time since the previous item, see `TimeGapEmbedding`.
            Their vectors are added if the batch has `item_times`. Defaults to 0: none.
        balance_interactions: Whether positive and negative items contribute equally to the mean
            over a session, whatever their numbers. The vectors of a session (the last axis) are
            multiplied by `n / n_kind`, so that the mean equals the mean of the positive items plus
            the mean of the negative ones. A session with one kind is unchanged. Defaults to False.
        history_dropout: Dropout rate in [0, 1) of the result, for encoders without dropout of their
            own. Defaults to 0.
        embeddings_initializer: Initializer of T. Defaults to a normal of 0.02.

    Call arguments:
        item_embeddings: [..., D] float tensor, from `ItemEmbedding`.
        item_ids: [...] integer tensor; 0 is padding.
        labels: [...] float tensor: 1 positive, 0 shown but not clicked. Default: all positive.
        interaction_types: [...] integer tensor; 0 is padding. Optional.
        item_times: [..., S, I] int64 tensor, unix seconds of each item. Optional.
        training: Whether to apply dropout.

    Returns:
        [..., D] float tensor.

    Raises:
        ValueError: If an argument is out of range.

    Example:

    >>> layer = InteractionEmbedding()
    >>> layer.build((None, None, None, 1))
    >>> _ = layer.negative_scale.assign([0.5])
    >>> layer(tf.constant([[[[4.0], [6.0]]]]), tf.constant([[[2, 3]]]),
    ...       labels=tf.constant([[[1.0, 0.0]]])).numpy().ravel()
    array([4., 3.], dtype=float32)

    References:
        "Embedding Module" in SessionRec (arXiv 2502.10157, 2025), figure 2. The figure does not
        show where the label enters: scale and shift are this package's choice.
    """

    def __init__(
        self,
        interaction_embedding: bool = True,
        num_interaction_types: int = 0,
        num_item_time_buckets: int = 0,
        balance_interactions: bool = False,
        history_dropout: float = 0.0,
        embeddings_initializer: keras.initializers.Initializer | str | Config | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.interaction_embedding = boolean("interaction_embedding", interaction_embedding)
        self.num_interaction_types = non_negative_integer(
            "num_interaction_types", num_interaction_types
        )
        self.num_item_time_buckets = non_negative_integer(
            "num_item_time_buckets", num_item_time_buckets
        )
        self.balance_interactions = boolean("balance_interactions", balance_interactions)
        self.history_dropout = rate("history_dropout", history_dropout)
        self.embeddings_initializer = keras.initializers.get(
            embeddings_initializer or keras.initializers.RandomNormal(stddev=0.02)
        )
        self.dropout_layer = Dropout(self.history_dropout, dtype=self.dtype_policy)

    @property
    def reads(self) -> frozenset[str]:
        """Batch keys that this layer reads in addition to `item_ids`."""
        keys = {
            "labels": self.interaction_embedding or self.balance_interactions,
            "interaction_types": self.num_interaction_types,
            "item_times": self.num_item_time_buckets,
        }
        return frozenset(key for key, is_read in keys.items() if is_read)

    def build(self, input_shape: tf.TensorShape) -> None:
        dim = int(input_shape[-1])
        if self.interaction_embedding:
            self.negative_scale = self.add_weight(
                name="negative_scale", shape=(dim,), initializer="ones", trainable=True
            )
            self.negative_shift = self.add_weight(
                name="negative_shift", shape=(dim,), initializer="zeros", trainable=True
            )
        if self.num_interaction_types:
            self.interaction_type_table = self.add_weight(
                name="interaction_type_table",
                shape=(self.num_interaction_types + 1, dim),
                initializer=self.embeddings_initializer,
                trainable=True,
            )
        self.time_gaps = None
        if self.num_item_time_buckets:
            self.time_gaps = build_sublayer(
                TimeGapEmbedding(
                    self.num_item_time_buckets, dim, name="time_gaps", dtype=self.dtype_policy
                ),
                None,
            )
        self.built = True

    def call(
        self,
        item_embeddings: tf.Tensor,
        item_ids: tf.Tensor,
        labels: tf.Tensor | None = None,
        interaction_types: tf.Tensor | None = None,
        item_times: tf.Tensor | None = None,
        training: bool | None = None,
    ) -> tf.Tensor:
        embedded = item_embeddings
        # Without labels nothing is negative, but training needs a gradient (of zero) for both.
        if self.interaction_embedding and (labels is not None or training is not False):
            labels = tf.ones_like(embedded[..., 0]) if labels is None else labels
            negative = 1 - tf.cast(labels, embedded.dtype)[..., tf.newaxis]
            scale, shift = (
                tf.cast(tf.convert_to_tensor(vector), embedded.dtype)
                for vector in (self.negative_scale, self.negative_shift)
            )
            embedded += negative * (embedded * (scale - 1) + shift)
        if self.num_interaction_types and interaction_types is not None:
            types = tf.nn.embedding_lookup(self.interaction_type_table, interaction_types)
            embedded += tf.cast(types, self.compute_dtype)
        if self.time_gaps is not None and item_times is not None:
            embedded += self.time_gaps(item_times, item_ids)
        if self.balance_interactions and labels is not None:
            embedded *= tf.cast(_balance(item_ids, labels), embedded.dtype)[..., tf.newaxis]
        return self.dropout_layer(embedded, training=training)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return tuple(input_shape)

    def get_config(self) -> Config:
        config = super().get_config()
        config.update(
            interaction_embedding=self.interaction_embedding,
            num_interaction_types=self.num_interaction_types,
            num_item_time_buckets=self.num_item_time_buckets,
            balance_interactions=self.balance_interactions,
            history_dropout=self.history_dropout,
            embeddings_initializer=keras.initializers.serialize(self.embeddings_initializer),
        )
        return config


def _balance(item_ids: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Factors [..., I] that give positive and negative items equal shares of a session's mean."""
    real = tf.cast(item_ids != 0, tf.float32)
    positive = real * tf.cast(labels > 0, tf.float32)
    factor = tf.zeros_like(real)
    for kind in (positive, real - positive):
        share = tf.reduce_sum(kind, axis=-1, keepdims=True)
        factor += kind * tf.math.divide_no_nan(tf.reduce_sum(real, axis=-1, keepdims=True), share)
    return factor
