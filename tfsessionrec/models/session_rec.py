"""Next-session prediction as one multi-objective TFRS model."""

from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfsessionrec.backend import keras
from tfsessionrec.losses.next_session import next_session
from tfsessionrec.models.backbone import SessionRecBackbone, session_features
from tfsessionrec.scoring import score_given
from tfsessionrec.tasks import NextSessionRetrieval, SessionRanking
from tfsessionrec.types import Config, Features


@keras.utils.register_keras_serializable(package="tfsessionrec")
class SessionRec(tfrs.Model):
    """A backbone trained to predict the set of items of the next session, at every position.

    `L = L_retrieval + ranking_weight * L_ranking`, both means over the whole batch: over all
    (position, positive) pairs, and over all (positive, negative) pairs (or shown items).

    `fit` and `evaluate` report means over the epoch: `loss`, `retrieval_loss`, `ranking_loss`,
    `ranking_auc`.

    Args:
        backbone: `SessionRecBackbone`.
        retrieval_task: `NextSessionRetrieval`. Defaults to 512 uniform negatives.
        ranking_task: `SessionRanking`, or None for retrieval alone. Defaults to None.
        ranking_weight: Weight alpha of the ranking loss. Defaults to 0.05.

    Call arguments:
        inputs: A session batch, see `SessionRecBackbone`; training takes `is_target` bool [B, S]
            too, False for sessions that must not be predicted.

    Returns:
        [B, S, D] float tensor, all positions.

    Raises:
        ValueError: If `ranking_weight` is negative.

    Example:

    >>> import tfsessionrec as sr
    >>> items = sr.layers.ItemEmbedding(vocabulary_size=10, embedding_dim=4)
    >>> backbone = sr.models.SessionRecBackbone(items, sr.layers.MeanISE(), sr.layers.SASRecSSE())
    >>> model = SessionRec(backbone, sr.tasks.NextSessionRetrieval(num_negatives=4))
    >>> model.compile(optimizer="adam")
    >>> batch = {"item_ids": tf.constant([[[2, 3], [4, 0], [5, 6]]])}
    >>> history = model.fit(tf.data.Dataset.from_tensors(batch), verbose=0)
    >>> sorted(history.history)
    ['loss', 'retrieval_loss']

    References:
        SessionRec (arXiv 2502.10157, 2025).
    """

    def __init__(
        self,
        backbone: SessionRecBackbone,
        retrieval_task: NextSessionRetrieval | None = None,
        ranking_task: SessionRanking | None = None,
        ranking_weight: float = 0.05,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if ranking_weight < 0:
            raise ValueError(
                "`ranking_weight` should not be negative. Received: "
                f"`ranking_weight`={ranking_weight!r}"
            )
        self.backbone = backbone
        self.retrieval_task = NextSessionRetrieval() if retrieval_task is None else retrieval_task
        self.ranking_task = ranking_task
        self.ranking_weight = ranking_weight
        # Metrics are already summed over replicas: each replica has the result of all.
        self.distribute_reduction_method = "first"

    def build(self, input_shape: Any = None) -> None:
        if not self.backbone.built:
            self.backbone.build()
        self.built = True

    def call(self, inputs: Features | tf.Tensor, training: bool | None = None) -> tf.Tensor:
        return self.backbone(inputs, training=training)

    def encode(self, features: Features | tf.Tensor) -> tf.Tensor:
        """The query of each history: [B, D], the output at its last session; zeros if empty."""
        return self.backbone.encode(features)

    def candidate_embeddings(self) -> tf.Tensor:
        """All rows of the vocabulary as candidates: [V, D] float32."""
        return tf.cast(self.backbone.items.candidate_table(), tf.float32)

    def compute_loss(self, inputs: Any, training: bool = False) -> tf.Tensor:
        """The weighted sum of the task losses, updating their metrics."""
        features = session_features(inputs)
        items = self.backbone.items
        # What the last session would predict is not known: its output is not made into a query.
        queries = self(features, training=training)[:, :-1]
        target = next_session(
            features["item_ids"],
            features.get("labels"),
            features.get("is_target"),
            self.retrieval_task.first_item_index,
        )
        static_shapes = bool(self.jit_compile)
        loss = self.retrieval_task(queries, target, items, static_shapes=static_shapes)
        # Without labels nothing was shown in vain: there is nothing to rank.
        if self.ranking_task is not None and "labels" in features:
            scores = score_given(queries, items.candidates(target.item_ids))
            labels = tf.cast(target.positive, tf.float32)
            loss += self.ranking_weight * self.ranking_task(
                labels, scores, sample_weight=target.shown
            )
        return loss

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        features = _features(data)
        with tf.GradientTape() as tape:
            loss = self.compute_loss(features, training=True)
            if self.losses:  # regularisation; replicas' gradients are summed
                loss += tf.add_n(self.losses) / self.distribute_strategy.num_replicas_in_sync
        self.optimizer.minimize(loss, self.trainable_variables, tape=tape)
        return self._results()

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        self.compute_loss(_features(data), training=False)
        return self._results()

    def _results(self) -> dict[str, tf.Tensor]:
        """Means over the epoch so far, not the last batch's."""
        results = {metric.name: metric.result() for metric in self.metrics}
        loss = results["retrieval_loss"]
        if "ranking_loss" in results:
            loss += self.ranking_weight * results["ranking_loss"]
        return {"loss": loss, **results}

    def get_config(self) -> Config:
        serialize = keras.utils.serialize_keras_object
        parts = {
            "backbone": self.backbone,
            "retrieval_task": self.retrieval_task,
            "ranking_task": self.ranking_task,
        }
        return {
            "name": self.name,
            "ranking_weight": self.ranking_weight,
            **{name: None if part is None else serialize(part) for name, part in parts.items()},
        }

    @classmethod
    def from_config(cls, config: Config, custom_objects: Any = None) -> "SessionRec":
        config = dict(config)
        for part in ("backbone", "retrieval_task", "ranking_task"):
            if config[part] is not None:
                config[part] = keras.utils.deserialize_keras_object(
                    config[part], custom_objects=custom_objects
                )
        return cls(**config)


def _features(data: Any) -> Any:
    """The features of what `fit` hands over: `x`, `(x,)`, `(x, y)` or `(x, y, weights)`."""
    return data[0] if isinstance(data, (tuple, list)) else data
