"""The query tower: item embedding, ISE, SSE."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tfsessionrec.backend import build_sublayer, keras
from tfsessionrec.layers.ise.mean import MeanISE
from tfsessionrec.masking import item_mask, last_real, session_mask
from tfsessionrec.scoring import unit_length
from tfsessionrec.types import Config, Features

PARTS = ("items", "ise", "sse", "head", "session_context")


@keras.utils.register_keras_serializable(package="tfsessionrec")
class SessionRecBackbone(keras.Model):
    """Sessions in, one vector a session out; no loss, so that it serves as anybody's query tower.

    `E = ItemEmbedding(items, labels)`, `S_t = ISE(E_t)`, `O_1..O_T = SSE(S_1..S_T)`: O_t speaks of
    session t + 1. With a head, O_t is N vectors, of which the best one scores a candidate.

    Args:
        items: `ItemEmbedding`, shared with the candidates.
        ise: Item-based session encoder, [B, S, I, D] to [B, S, D]. Default: `MeanISE()`, which for
            one item a session is that item.
        sse: Session-based sequence encoder, [B, S, D] to [B, S, D].
        head: What makes several queries of each output, [B, S, D] to [B, S, N, D], as
            `MultiInterestHead` does. Defaults to None.
        session_context: `SessionContext`, whose vector is added to each `S_t`. Defaults to None.

    Call arguments:
        inputs: A session batch: `item_ids` int [B, S, I] (0 is padding), optionally `labels`
            float [B, S, I], `interaction_types` int [B, S, I], `item_times` int [B, S, I] and
            `session_times` int [B, S]; with a context also its features [B, S]. Or just the item
            ids; [B, S] is taken as one item a session.

    Returns:
        [B, S, D] float tensor, all positions; zeros at padding. With a head [B, S, N, D]. Vectors
        of length 1 if the items are (`ItemEmbedding(normalize=True)`).

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
        items: Any,
        ise: Any = None,
        sse: Any = None,
        head: Any = None,
        session_context: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if sse is None:
            raise ValueError("`sse` should be a session sequence encoder. Received: `sse`=None")
        self.items = items
        self.ise = MeanISE(name="ise") if ise is None else ise
        self.sse = sse
        self.head = head
        self.session_context = session_context

    def build(self, input_shape: Any = None) -> None:
        # Without a call: what is saved does not know the integer inputs that a call needs.
        dim = self.items.embedding_dim
        for layer, shape in (
            (self.items, None),
            (self.ise, (None, None, None, dim)),
            (self.sse, (None, None, dim)),
            (self.head, (None, None, dim)),
            (self.session_context, None),
        ):
            if layer is not None and not layer.built:
                build_sublayer(layer, shape)
        self.built = True

    def call(self, inputs: Features | tf.Tensor, training: bool | None = None) -> tf.Tensor:
        features = session_features(inputs)
        mask = item_mask(features["item_ids"])
        embedded = self.items(
            features["item_ids"],
            labels=features.get("labels"),
            interaction_types=features.get("interaction_types"),
            item_times=features.get("item_times"),
            training=training,
        )
        sessions = self.ise(
            embedded, padding_mask=mask, item_ids=features["item_ids"], training=training
        )
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

    def get_config(self) -> Config:
        serialize = keras.utils.serialize_keras_object
        parts = {name: getattr(self, name) for name in PARTS}
        return {
            "name": self.name,
            **{name: None if part is None else serialize(part) for name, part in parts.items()},
        }

    @classmethod
    def from_config(cls, config: Config, custom_objects: Any = None) -> "SessionRecBackbone":
        config = dict(config)
        for part in PARTS:
            if config.get(part) is not None:
                config[part] = keras.utils.deserialize_keras_object(
                    config[part], custom_objects=custom_objects
                )
        return cls(**config)


def session_features(inputs: Features | tf.Tensor) -> dict[str, Any]:
    """A session batch as a dict with `item_ids` of rank 3, int32."""
    features: dict[str, Any] = dict(inputs) if isinstance(inputs, Mapping) else {"item_ids": inputs}
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
