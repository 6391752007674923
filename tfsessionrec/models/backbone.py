"""The query tower: item embedding, interaction embedding, ISE, SSE."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import tensorflow as tf

from tfsessionrec.backend import build_sublayer, keras
from tfsessionrec.checks import instance
from tfsessionrec.layers import (
    InteractionEmbedding,
    ItemEmbedding,
    ItemSessionEncoder,
    MeanISE,
    SessionContext,
    SessionSequenceEncoder,
)
from tfsessionrec.scoring import unit_length
from tfsessionrec.session_batch import item_mask, last_real, session_mask
from tfsessionrec.types import Config, Features

if TYPE_CHECKING:
    from tfsessionrec.models.query_tower import QueryTower

PARTS = ("items", "ise", "sse", "head", "session_context", "interactions")


@keras.utils.register_keras_serializable(package="tfsessionrec")
class SessionRecBackbone(keras.Model):
    """Maps sessions to one vector per session, without a loss.

    As the query tower of another model, take `as_query_tower()`: one vector per history.

    `E = InteractionEmbedding(ItemEmbedding(items), labels)`, `S_t = ISE(E_t)`,
    `O_1..O_T = SSE(S_1..S_T)`: O_t predicts session t + 1. With a head, O_t is N vectors, and the
    best of them scores a candidate.

    Args:
        items: `ItemEmbedding`, shared with the candidates.
        ise: Item-based session encoder, [B, S, I, D] to [B, S, D]. Default: `MeanISE()`, which
            returns the item itself for a session of one item.
        sse: Session-based sequence encoder, [B, S, D] to [B, S, D].
        head: Layer that makes several queries of each output, [B, S, D] to [B, S, N, D], such as
            `MultiInterestHead`. Defaults to None.
        session_context: `SessionContext`, whose vector is added to each `S_t`. Defaults to None.
        interactions: `InteractionEmbedding`, which adds to the items of the history what the user
            did with them. Default: `InteractionEmbedding()`.

    Call arguments:
        inputs: A session batch: `item_ids` int [B, S, I] (0 is padding), and the keys in `reads`:
            `labels` float [B, S, I], `interaction_types` int [B, S, I], `item_times` int [B, S, I],
            `session_times` int [B, S], context features [B, S]. All but the context features are
            optional. Or the item ids alone; [B, S] means one item per session.

    Returns:
        [B, S, D] float tensor, all positions; zeros at padding. With a head [B, S, N, D]. Vectors
        of length 1 if the items have length 1 (`ItemEmbedding(normalize=True)`).

    Raises:
        ValueError: If `item_ids` is missing or has another rank.

    Example:

    >>> import tfsessionrec as sr
    >>> items = sr.layers.ItemEmbedding(vocabulary_size=10, embedding_dim=4)
    >>> backbone = SessionRecBackbone(items, sr.layers.MeanISE(), sr.layers.SASRecSSE())
    >>> backbone({"item_ids": tf.constant([[[2, 3], [4, 0]]])}).shape
    TensorShape([1, 2, 4])
    >>> backbone.encode({"item_ids": tf.constant([[[2, 3], [4, 0]]])}).shape
    TensorShape([1, 4])

    References:
        SessionRec (arXiv 2502.10157, 2025), figure 2.
    """

    def __init__(
        self,
        items: ItemEmbedding,
        ise: ItemSessionEncoder | None = None,
        sse: SessionSequenceEncoder | None = None,
        head: keras.layers.Layer | None = None,
        session_context: SessionContext | None = None,
        interactions: InteractionEmbedding | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        if sse is None:
            raise ValueError("`sse` should be a session sequence encoder. Received: `sse`=None")
        for name, part, kind in (
            ("items", items, ItemEmbedding),
            ("ise", ise, ItemSessionEncoder),
            ("sse", sse, SessionSequenceEncoder),
            ("head", head, keras.layers.Layer),
            ("session_context", session_context, SessionContext),
            ("interactions", interactions, InteractionEmbedding),
        ):
            if part is not None or name == "items":
                instance(name, part, kind)
        self.items = items
        # `items.interactions`: made from arguments that `ItemEmbedding` accepts for one release.
        self.interactions: InteractionEmbedding = (
            interactions
            or items.interactions
            or InteractionEmbedding(name="interactions", dtype=items.dtype_policy)
        )
        self.ise = MeanISE(name="ise") if ise is None else ise
        self.sse = sse
        self.head = head
        self.session_context = session_context

    def build(self, input_shape: tf.TensorShape | None = None) -> None:
        # Without a call: a loaded model does not know the integer inputs that a call needs.
        dim = self.items.embedding_dim
        for layer, shape in (
            (self.items, None),
            (self.interactions, (None, None, None, dim)),
            (self.ise, (None, None, None, dim)),
            (self.sse, (None, None, dim)),
            (self.head, (None, None, dim)),
            (self.session_context, None),
        ):
            if layer is not None and not layer.built:
                build_sublayer(layer, shape)
        self.built = True

    @property
    def reads(self) -> frozenset[str]:
        """Batch keys that the parts read in addition to `item_ids`."""
        parts = (self.interactions, self.ise, self.sse, self.session_context)
        return frozenset().union(*(part.reads for part in parts if part is not None))

    def call(self, inputs: Features | tf.Tensor, training: bool | None = None) -> tf.Tensor:
        features = session_features(inputs)
        item_ids = features["item_ids"]
        mask = item_mask(item_ids)
        embedded = self.interactions(
            self.items.candidates(item_ids, training),
            item_ids,
            labels=features.get("labels"),
            interaction_types=features.get("interaction_types"),
            item_times=features.get("item_times"),
            training=training,
        )
        sessions = self.ise(embedded, padding_mask=mask, item_ids=item_ids, training=training)
        if self.session_context is not None:
            sessions += self.session_context(features)
        outputs = self.sse(
            sessions,
            padding_mask=session_mask(mask),
            session_times=features.get("session_times"),
            training=training,
        )
        if self.head is not None:
            outputs = self.head(outputs, padding_mask=session_mask(mask))
        return unit_length(outputs) if self.items.normalize else outputs

    def encode(self, features: Features | tf.Tensor) -> tf.Tensor:
        """The output at the last real session: [B, D], with a head [B, N, D].

        Zeros for an empty history.
        """
        features = session_features(features)
        mask = session_mask(item_mask(features["item_ids"]))
        return last_real(self(features, training=False), mask)

    def as_query_tower(self) -> "QueryTower":
        """A Keras model of one query a history [B, D], for a loss of another model.

        The backbone itself gives [B, S, D], one vector a session, which `tfrs.tasks.Retrieval`
        accepts without an error and cannot learn from.
        """
        from tfsessionrec.models.query_tower import QueryTower

        return QueryTower(self)

    def get_config(self) -> Config:
        serialize = keras.utils.serialize_keras_object
        parts = {name: getattr(self, name) for name in PARTS}
        if self.interactions is self.items.interactions:
            parts["interactions"] = None  # It is part of `items`.
        return {
            "name": self.name,
            **{name: None if part is None else serialize(part) for name, part in parts.items()},
        }

    @classmethod
    def from_config(
        cls, config: Config, custom_objects: Config | None = None
    ) -> "SessionRecBackbone":
        config = dict(config)
        for part in PARTS:
            if config.get(part) is not None:
                config[part] = keras.utils.deserialize_keras_object(
                    config[part], custom_objects=custom_objects
                )
        return cls(**config)


def session_features(inputs: Features | tf.Tensor) -> dict[str, tf.Tensor]:
    """A session batch as a dict with `item_ids` of rank 3, int32."""
    features = dict(inputs) if isinstance(inputs, Mapping) else {"item_ids": inputs}
    if "item_ids" not in features:
        raise ValueError(
            f"`inputs` should have the key 'item_ids'. Received: {sorted(features) or 'no key'}"
        )
    rank = len(features["item_ids"].shape)
    if rank not in (2, 3):
        raise ValueError(
            "`item_ids` should have the shape [batch, sessions, items] or [batch, sessions]. "
            f"Received: `item_ids` with shape {tuple(features['item_ids'].shape)}"
        )
    for name in ("item_ids", "labels", "interaction_types", "item_times"):
        if name in features and rank == 2:
            features[name] = tf.expand_dims(features[name], -1)
    features["item_ids"] = tf.cast(features["item_ids"], tf.int32)
    return features
