"""Next-session prediction as one multi-objective TFRS model."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfsessionrec.backend import build_sublayer, keras
from tfsessionrec.layers.candidate_terms import CandidateTerms
from tfsessionrec.layers.relation_features import RelationFeatures
from tfsessionrec.layers.trend_features import TrendFeatures
from tfsessionrec.losses.next_session import next_session
from tfsessionrec.masking import item_mask, last_items, session_mask
from tfsessionrec.models.backbone import SessionRecBackbone, session_features
from tfsessionrec.scoring import Queries, score_given
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
        trend: `TrendFeatures`, for candidates that know the time; its events are given by
            `model.trend.set_events`. Batches need `request_times` then. Defaults to None.
        relation: `RelationFeatures`, or None. It scores what sessions showed, in the ranking loss
            and in `score_shown`; retrieval from the whole catalogue goes without. Training then
            ranks unknown items and first sessions too. Batches need `match_ids`. Defaults to None.

    Call arguments:
        inputs: A session batch, see `SessionRecBackbone`; training takes `is_target` bool [B, S]
            too, False for sessions that must not be predicted.

    Returns:
        [B, S, D] float tensor, all positions; [B, S, N, D] if the backbone has a head.

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
        trend: TrendFeatures | None = None,
        relation: RelationFeatures | None = None,
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
        self.trend = trend
        self.relation = relation
        # Metrics are already summed over replicas: each replica has the result of all.
        self.distribute_reduction_method = "first"

    def build(self, input_shape: Any = None) -> None:
        if not self.backbone.built:
            self.backbone.build()
        if self.trend is not None and not self.trend.built:
            build_sublayer(self.trend, (None, self.backbone.items.embedding_dim))
        if self.relation is not None and not self.relation.built:
            build_sublayer(self.relation, None)
        self.built = True

    def call(self, inputs: Features | tf.Tensor, training: bool | None = None) -> tf.Tensor:
        return self.backbone(inputs, training=training)

    def encode(self, features: Features | tf.Tensor) -> tf.Tensor:
        """The query of each history: [B, D], with a head [B, N, D].

        It is the output at the last session; zeros if empty.
        """
        return self.backbone.encode(features)

    def candidate_embeddings(self) -> tf.Tensor:
        """All rows of the vocabulary as candidates: [V, D] float32."""
        return tf.cast(self.backbone.items.candidate_table(), tf.float32)

    def candidate_terms(
        self, query_embeddings: tf.Tensor, features: Features | tf.Tensor
    ) -> CandidateTerms | None:
        """What the candidates' scores have beside the embeddings: one request a query, by row.

        Args:
            query_embeddings: [B, S, D] (or of interests [B, S, N, D]), of the first S positions;
                or [B, D] ([B, N, D]) as `encode` gives them.
            features: The batch, with `request_times`.

        Returns:
            `CandidateTerms` of B S (or B) requests; None without a trend.

        Raises:
            ValueError: If `request_times` is missing.
        """
        if self.trend is None:
            return None
        features = session_features(features)
        if "request_times" not in features:
            raise ValueError(
                "The batch should have `request_times`: candidates know the time. See "
                f"`data.session_dataset`. Received: {sorted(features)}"
            )
        item_ids, times = features["item_ids"], tf.cast(features["request_times"], tf.int64)
        last = last_items(item_ids, features.get("labels"), self.trend.follow_items)
        if query_embeddings.shape.rank == (2 if self.backbone.head is None else 3):
            asked = tf.cast(session_mask(item_mask(item_ids)), tf.int32)
            asked = tf.maximum(tf.reduce_sum(asked, axis=1) - 1, 0)
            times, last = (tf.gather(part, asked, batch_dims=1) for part in (times, last))
            queries = query_embeddings
        else:
            count = tf.shape(query_embeddings)[1]
            times = tf.reshape(times[:, :count], [-1])
            last = tf.reshape(last[:, :count], [-1, self.trend.follow_items])
            queries = tf.reshape(query_embeddings, [-1, *query_embeddings.shape[2:]])
        gates = self.trend.gates(queries)
        return CandidateTerms(self.trend, gates, times, last, bool(self.jit_compile))

    def queries(self, batch: Features | tf.Tensor, every: bool = False) -> Queries:
        """The queries of a batch, with the trend as a term.

        Args:
            batch: A session batch; with a `trend` it needs `request_times`.
            every: Whether to ask after each session instead of after the whole history. Defaults
                to False.

        Returns:
            `Queries` of B requests, or with `every` of B S, row by row.

        Raises:
            ValueError: If `request_times` is missing.
        """
        features = session_features(batch)
        embeddings = self(features, training=False) if every else self.encode(features)
        term = self.candidate_terms(embeddings, features)
        interests = 1 if self.backbone.head is None else embeddings.shape[-2]
        embeddings = tf.reshape(embeddings, [-1, interests, embeddings.shape[-1]])
        return Queries(embeddings, () if term is None else (term,))

    @property
    def has_terms(self) -> bool:
        """Whether a score is more than the product of two embeddings."""
        return self.trend is not None or self.relation is not None

    def score_shown(
        self,
        features: Features | tf.Tensor,
        terms: CandidateTerms | Callable[[tf.Tensor], tf.Tensor] | None = None,
    ) -> tf.Tensor:
        """Scores what each session showed, given the sessions before it.

        `score[t, c] = <O_{t-1}, E_c> + trend + relation`; a session without any before it has the
        relation's term alone, and so has every one with its `with_product` False.

        Args:
            features: The batch, with what `trend` and `relation` need.
            terms: Gives what the trend adds, [B (S - 1), I], to items [B (S - 1), I] shown after
                the first session. Defaults to None: `candidate_terms`.

        Returns:
            [B, S, I] float32 tensor.
        """
        features = session_features(features)
        queries = self(features, training=False)[:, :-1]
        if terms is None:
            terms = self.candidate_terms(queries, features)
        return self._score_shown(features, queries, self.backbone.items, terms, training=False)

    def _score_shown(
        self,
        features: dict[str, Any],
        queries: tf.Tensor,
        items: Any,
        terms: CandidateTerms | Callable[[tf.Tensor], tf.Tensor] | None,
        training: bool,
    ) -> tf.Tensor:
        """`score_shown` with the queries [B, S - 1, D] of the sessions before."""
        item_ids = features["item_ids"][:, 1:]
        interests = queries.shape.rank == 4
        scores = score_given(queries, items.candidates(item_ids), interests=interests)
        if terms is not None:
            shown = tf.reshape(item_ids, [-1, tf.shape(item_ids)[-1]])
            scores += tf.reshape(terms(shown), tf.shape(scores))
        scores = tf.pad(scores, [[0, 0], [1, 0], [0, 0]])
        if self.relation is not None:
            term = self._relation_terms(features, queries, training)
            scores = scores + term if self.relation.with_product else term
        return scores

    def _relation_terms(
        self, features: dict[str, Any], queries: tf.Tensor, training: bool
    ) -> tf.Tensor:
        """What `relation` adds: [B, S, I] float32."""
        relation = self.relation
        assert relation is not None
        missing = [name for name in ("match_ids", *relation.numeric) if name not in features]
        if missing:
            raise ValueError(
                f"The batch should have {', '.join(missing)} for `relation`. See "
                f"`data.session_dataset`. Received: {sorted(features)}"
            )
        names = ("labels", "session_times", "position")
        given = {name: features[name] for name in names if name in features}
        if relation.num_interaction_types and "interaction_types" in features:
            given["interaction_types"] = features["interaction_types"]
        if relation.numeric:
            columns = [tf.cast(features[name], tf.float32) for name in relation.numeric]
            given["numeric"] = tf.stack(columns, axis=-1)
        if relation.query_dim:
            if queries.shape.rank == 4:
                queries = tf.reduce_mean(queries, axis=2)
            given["query_embeddings"] = tf.pad(queries, [[0, 0], [1, 0], [0, 0]])
        term = relation(tf.cast(features["match_ids"], tf.int64), training=training, **given)
        return tf.cast(term, tf.float32)

    def compute_loss(self, inputs: Any, training: bool = False) -> tf.Tensor:
        """The weighted sum of the task losses, updating their metrics."""
        features = session_features(inputs)
        items = self.backbone.items.taught(training)
        # What the last session would predict is not known: its output is not made into a query.
        queries = self(features, training=training)[:, :-1]
        target = next_session(
            features["item_ids"],
            features.get("labels"),
            features.get("is_target"),
            self.retrieval_task.first_item_index,
        )
        if self.backbone.items.num_new_items:
            taught = target.item_ids < items.vocabulary_size
            target = target._replace(positive=target.positive & taught, shown=target.shown & taught)
        static_shapes = bool(self.jit_compile)
        terms = self.candidate_terms(queries, features)
        loss = self.retrieval_task(queries, target, items, static_shapes=static_shapes, terms=terms)
        # Without labels nothing was shown in vain: there is nothing to rank.
        if self.ranking_task is not None and "labels" in features:
            scores = self._score_shown(features, queries, items, terms, training)
            labels, shown = tf.cast(target.positive, tf.float32), target.shown
            if self.relation is None:
                scores = scores[:, 1:]
            else:
                # Unknown items and first sessions have their say too.
                labels, shown = features["labels"], listed(features)
            loss += self.ranking_weight * self.ranking_task(labels, scores, sample_weight=shown)
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
            "trend": self.trend,
            "relation": self.relation,
        }
        return {
            "name": self.name,
            "ranking_weight": self.ranking_weight,
            **{name: None if part is None else serialize(part) for name, part in parts.items()},
        }

    @classmethod
    def from_config(cls, config: Config, custom_objects: Any = None) -> "SessionRec":
        config = dict(config)
        for part in ("backbone", "retrieval_task", "ranking_task", "trend", "relation"):
            if config[part] is not None:
                config[part] = keras.utils.deserialize_keras_object(
                    config[part], custom_objects=custom_objects
                )
        return cls(**config)


def listed(features: Features) -> tf.Tensor:
    """[B, S, I] bool: the items among which a session's taken ones are ranked."""
    shown = item_mask(features["item_ids"])
    if "position" in features:
        shown &= features["position"] > 0
    if "is_target" in features:
        shown &= features["is_target"][..., tf.newaxis]
    return shown


def _features(data: Any) -> Any:
    """The features of what `fit` hands over: `x`, `(x,)`, `(x, y)` or `(x, y, weights)`."""
    return data[0] if isinstance(data, (tuple, list)) else data
