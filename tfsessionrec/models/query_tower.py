"""The backbone as the query tower of another model."""

import tensorflow as tf

from tfsessionrec.backend import keras
from tfsessionrec.checks import instance
from tfsessionrec.models.backbone import SessionRecBackbone, session_features
from tfsessionrec.session_batch import item_mask, last_real, session_mask
from tfsessionrec.types import Config, Features


@keras.utils.register_keras_serializable(package="tfsessionrec")
class QueryTower(keras.Model):
    """One query a history: the backbone's output at the newest real session.

    `q = O_T` with T the last session that is not padding. This is what `tfrs.tasks.Retrieval` and
    other losses of [B, D] queries take.

    Args:
        backbone: `SessionRecBackbone` without a head.

    Call arguments:
        inputs: A session batch, as the backbone takes it.
        training: Handed on to the backbone, whose dropout it switches.

    Returns:
        [B, D] float tensor; zeros for an empty history.

    Raises:
        ValueError: If the backbone has a head, which makes several queries of a history.

    Example:

    >>> import tfsessionrec as sr
    >>> items = sr.layers.ItemEmbedding(vocabulary_size=10, embedding_dim=4)
    >>> tower = sr.models.SessionRecBackbone(items, sse=sr.layers.GRUSSE()).as_query_tower()
    >>> tower({"item_ids": tf.constant([[[2, 3], [4, 0], [0, 0]]])}).shape
    TensorShape([1, 4])
    """

    def __init__(self, backbone: SessionRecBackbone, **kwargs: object) -> None:
        super().__init__(**kwargs)
        instance("backbone", backbone, SessionRecBackbone)
        if backbone.head is not None:
            raise ValueError(
                "`backbone` should have no head for a query tower [B, D]: a head makes several "
                f"queries of a history. Received: `backbone.head`={backbone.head!r}"
            )
        self.backbone = backbone

    def build(self, input_shape: tf.TensorShape | None = None) -> None:
        if not self.backbone.built:
            self.backbone.build()
        self.built = True

    def call(self, inputs: Features | tf.Tensor, training: bool | None = None) -> tf.Tensor:
        features = session_features(inputs)
        mask = session_mask(item_mask(features["item_ids"]))
        return last_real(self.backbone(features, training=training), mask)

    def get_config(self) -> Config:
        backbone = keras.utils.serialize_keras_object(self.backbone)
        return {"name": self.name, "backbone": backbone}

    @classmethod
    def from_config(cls, config: Config, custom_objects: Config | None = None) -> "QueryTower":
        backbone = keras.utils.deserialize_keras_object(
            config["backbone"], custom_objects=custom_objects
        )
        return cls(**{**config, "backbone": backbone})
