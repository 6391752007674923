"""Next-session prediction as one multi-objective TFRS model."""

import tensorflow as tf

from tfsessionrec.backend import build_sublayer, keras
from tfsessionrec.checks import instance, number
from tfsessionrec.history_spec import HistorySpec
from tfsessionrec.layers.terms.habit import HabitFeatures
from tfsessionrec.layers.terms.relation import RelationFeatures
from tfsessionrec.layers.terms.trend import TrendFeatures
from tfsessionrec.layers.terms.trend_term import TrendTerm
from tfsessionrec.losses.next_session import next_session
from tfsessionrec.models.backbone import SessionRecBackbone, session_features
from tfsessionrec.models.fitting import FittedModel
from tfsessionrec.scoring import Queries, ScoreTerm
from tfsessionrec.session_batch import item_mask, item_weights, last_items, last_session
from tfsessionrec.tasks import NextSessionRetrieval, SessionRanking
from tfsessionrec.tasks.next_session_retrieval import Candidates
from tfsessionrec.types import Config, Features

PARTS = ("backbone", "retrieval_task", "ranking_task", "trend", "habit", "relation")


@keras.utils.register_keras_serializable(package="tfsessionrec")
class SessionRec(FittedModel):
    """A backbone trained to predict the set of items of the next session, at every position.

    `L = L_retrieval + ranking_weight * L_ranking`, both means over the whole batch: over all
    (position, positive) pairs, and over all (positive, negative) pairs (or shown items). With
    sample weights both are weighted means, `sum of w L / sum of w`: weights of rows [B], of target
    sessions [B, S] or of target items [B, S, I], as `fit(..., sample_weight=...)`, as
    `(x, None, sample_weight)` or as the key `sample_weight` of a batch. An item that weighs 0
    remains in the history; as a target it is neither a positive nor a negative.

    `fit` and `evaluate` report means over the epoch: `loss`, `retrieval_loss`, `ranking_loss`,
    `ranking_auc`. If a subclass changes `compute_loss`, or layers add losses, `loss` is the mean
    over the steps of what was minimized. An epoch that ranks nothing has no `ranking_loss`.

    `compile` takes no `loss`, `metrics` or `loss_weights`, which the tasks decide.

    Args:
        backbone: `SessionRecBackbone`.
        retrieval_task: `NextSessionRetrieval`. Defaults to 512 uniform negatives.
        ranking_task: `SessionRanking`, or None for retrieval alone. Defaults to None.
        ranking_weight: Weight alpha of the ranking loss. Defaults to 0.05.
        trend: `TrendFeatures`, or None. It adds a term that depends on the time to the candidates'
            scores; `model.trend.set_events` sets its events, and batches need `request_times`.
            Defaults to None.
        habit: `HabitFeatures`, or None. It adds a term to the scores of the items that are in the
            user's history; `model.habit.set_repeat_rates` sets how often people take each item
            again. Defaults to None.
        relation: `RelationFeatures`, or None. It scores the items that sessions showed, in the
            ranking loss and in `score_shown`, but not in retrieval from the whole catalogue.
            Training then also ranks unknown items and first sessions. Batches need `match_ids`.
            Defaults to None.
        history: The `HistorySpec` that the model is made for. Batches of another layout give a
            warning, and an export reads histories as it says. Defaults to None: any layout.

    Call arguments:
        inputs: A session batch, see `SessionRecBackbone`; training also reads `is_target` bool
            [B, S], False for sessions that are not predicted, and `sample_weight`.

    Returns:
        [B, S, D] float tensor, all positions; [B, S, N, D] if the backbone has a head.

    Raises:
        ValueError: If `ranking_weight` is negative, or `history` and `retrieval_task` disagree on
            `first_item_index`.

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
        history: HistorySpec | None = None,
        habit: HabitFeatures | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        for name, part, kind in (
            ("backbone", backbone, SessionRecBackbone),
            ("retrieval_task", retrieval_task, NextSessionRetrieval),
            ("ranking_task", ranking_task, SessionRanking),
            ("trend", trend, TrendFeatures),
            ("relation", relation, RelationFeatures),
            ("habit", habit, HabitFeatures),
            ("history", history, HistorySpec),
        ):
            if part is not None or name == "backbone":
                instance(name, part, kind)
        number("ranking_weight", ranking_weight, least=0)
        self.backbone = backbone
        self.retrieval_task = NextSessionRetrieval() if retrieval_task is None else retrieval_task
        if history is not None and history.first_item_index != self.retrieval_task.first_item_index:
            raise ValueError(
                "`history.first_item_index` should be that of `retrieval_task`, "
                f"{self.retrieval_task.first_item_index}. Received: "
                f"`history.first_item_index`={history.first_item_index}"
            )
        self.ranking_task = ranking_task
        self.ranking_weight = ranking_weight
        self.trend = trend
        self.habit = habit
        self.relation = relation
        self.history_spec = history
        # Metrics are already summed over replicas: each replica has the result of all.
        self.distribute_reduction_method = "first"

    def build(self, input_shape: tf.TensorShape | None = None) -> None:
        if not self.backbone.built:
            self.backbone.build()
        for term in (self.trend, self.habit):
            if term is not None and not term.built:
                build_sublayer(term, (None, self.backbone.items.embedding_dim))
        if self.relation is not None and not self.relation.built:
            build_sublayer(self.relation, None)
        self.built = True

    @property
    def reads(self) -> frozenset[str]:
        """The batch keys that the model reads in addition to `item_ids`."""
        keys = set(self.backbone.reads)
        if self.trend is not None:
            keys.add("request_times")
        if self.habit is not None:
            keys |= {"labels", *(["session_times"] if self.habit.half_lives else [])}
        if self.relation is not None:
            keys |= {"labels", "match_ids", "position", "session_times", *self.relation.numeric}
        return frozenset(keys)

    def call(self, inputs: Features | tf.Tensor, training: bool | None = None) -> tf.Tensor:
        return self.backbone(inputs, training=training)

    def encode(self, features: Features | tf.Tensor) -> tf.Tensor:
        """The query of each history: [B, D], with a head [B, N, D].

        It is the output at the last session; zeros for an empty history.
        """
        return self.backbone.encode(self._features(features))

    def candidate_embeddings(self) -> tf.Tensor:
        """All rows of the vocabulary as candidates: [V, D] float32."""
        return tf.cast(self.backbone.items.candidate_table(), tf.float32)

    def queries(self, batch: Features | tf.Tensor, every: bool = False) -> Queries:
        """The queries of a batch, with the terms of trend and habit.

        Args:
            batch: A session batch; with a `trend` it needs `request_times`.
            every: Asks after each session instead of after the whole history. Defaults to False.

        Returns:
            `Queries` of B requests, or with `every` of B S, row by row.

        Raises:
            ValueError: If `request_times` is missing.
        """
        features = self._features(batch)
        outputs = self(features, training=False) if every else self.encode(features)
        return Queries(self._vectors(outputs), self._terms(outputs, features, every))

    def candidate_terms(
        self, query_embeddings: tf.Tensor, features: Features | tf.Tensor
    ) -> ScoreTerm | None:
        """The trend's term of `queries`: of the whole history for the rank of `encode`."""
        every = query_embeddings.shape.rank > (2 if self.backbone.head is None else 3)
        terms = self._trend_terms(query_embeddings, session_features(features), every)
        return terms[0] if terms else None

    @property
    def has_terms(self) -> bool:
        """A score is more than the product of two embeddings."""
        return any(part is not None for part in (self.trend, self.habit, self.relation))

    def score_shown(
        self, features: Features | tf.Tensor, terms: ScoreTerm | None = None
    ) -> tf.Tensor:
        """Scores the items that each session showed, given the sessions before it.

        `score[t, c] = <O_{t-1}, E_c> + trend + habit + relation`; the first session has the
        relation's term only, and so has every session if `with_product` of the relation is False.

        Args:
            features: The batch, with the keys that `trend` and `relation` read.
            terms: Replaces the trend's term: gives [B (S - 1), I] terms of the items
                [B (S - 1), I] that sessions showed after the first. Defaults to None.

        Returns:
            [B, S, I] float32 tensor.
        """
        features = session_features(features)
        outputs = self(features, training=False)[:, :-1]
        trend = self._trend_terms(outputs, features, every=True) if terms is None else (terms,)
        given = (*trend, *self._habit_terms(outputs, features, every=True))
        return self._score_shown(features, outputs, given, self.backbone.items, training=False)

    def compute_loss(self, inputs: Features | tf.Tensor, training: bool = False) -> tf.Tensor:
        """The weighted sum of the task losses; updates their metrics."""
        features = self._features(inputs)
        weights = features.get("sample_weight")
        if weights is not None:
            weights = item_weights(weights, features["item_ids"])
        items = self.backbone.items.training_candidates(training)
        # The session after the last is unknown: its output makes no query.
        outputs = self(features, training=training)[:, :-1]
        terms = self._terms(outputs, features, every=True)
        queries = Queries(self._vectors(outputs), terms)
        target = next_session(
            features["item_ids"],
            features.get("labels"),
            features.get("is_target"),
            self.retrieval_task.first_item_index,
            weights,
        )
        if self.backbone.items.num_new_items:
            target = target.keep(target.item_ids < items.vocabulary_size)
        static_shapes = bool(self.jit_compile)
        loss = self.retrieval_task(queries, target, items, static_shapes=static_shapes)
        # Without labels there are no items shown but not clicked, and nothing to rank.
        if self.ranking_task is not None and "labels" in features:
            scores = self._score_shown(features, outputs, terms, items, training)
            labels, shown = tf.cast(target.positive, tf.float32), target.shown_weights
            if self.relation is None:
                scores = scores[:, 1:]
            else:
                # The relation ranks unknown items and first sessions, too.
                labels, shown = features["labels"], ranked_items(features)
                if weights is not None:
                    shown = tf.where(shown, weights, 0.0)
            loss += self.ranking_weight * self.ranking_task(labels, scores, sample_weight=shown)
        return loss

    def _features(self, inputs: Features | tf.Tensor) -> Features:
        """A batch as a dict; warns if its layout is not that of the model's histories."""
        features = session_features(inputs)
        if self.history_spec is not None:
            self.history_spec.check_layout(features["item_ids"].shape)
        return features

    def _vectors(self, outputs: tf.Tensor) -> tf.Tensor:
        """The backbone's outputs [..., D], with a head [..., N, D], as [R, N, D]."""
        interests = 1 if self.backbone.head is None else outputs.shape[-2]
        return tf.reshape(outputs, [-1, interests, outputs.shape[-1]])

    def _terms(self, outputs: tf.Tensor, features: Features, every: bool) -> tuple[ScoreTerm, ...]:
        """The terms for outputs [B, ..] after the history, or [B, T, ..] of `every` session.

        T are the first sessions of the batch.
        """
        return (
            *self._trend_terms(outputs, features, every),
            *self._habit_terms(outputs, features, every),
        )

    def _habit_terms(
        self, outputs: tf.Tensor, features: Features, every: bool
    ) -> tuple[ScoreTerm, ...]:
        """The habit's term, as `_terms`."""
        if self.habit is None:
            return ()
        item_ids = features["item_ids"]
        ends = self._ends(item_ids, outputs, every)
        term = self.habit.term(
            self._vectors(outputs),
            item_ids,
            ends,
            features.get("labels"),
            features.get("session_times"),
            bool(self.jit_compile),
        )
        return (term,)

    def _ends(self, item_ids: tf.Tensor, outputs: tf.Tensor, every: bool) -> tf.Tensor:
        """[B, T], the last session of each history; of an empty one 0, which is padding."""
        if not every:
            return tf.maximum(last_session(item_ids), 0)[:, tf.newaxis]
        numbers = tf.range(tf.shape(outputs)[1])
        return tf.tile(numbers[tf.newaxis], [tf.shape(item_ids)[0], 1])

    def _trend_terms(
        self, outputs: tf.Tensor, features: Features, every: bool
    ) -> tuple[ScoreTerm, ...]:
        """The trend's term, as `_terms`."""
        if self.trend is None:
            return ()
        if "request_times" not in features:
            raise ValueError(
                "The batch should have `request_times`: candidates know the time. See "
                f"`data.session_dataset`. Received: {sorted(features)}"
            )
        item_ids, follow_items = features["item_ids"], self.trend.follow_items
        times = tf.cast(features["request_times"], tf.int64)
        items = last_items(item_ids, features.get("labels"), follow_items)
        ends = self._ends(item_ids, outputs, every)
        times = tf.reshape(tf.gather(times, ends, batch_dims=1), [-1])
        items = tf.reshape(tf.gather(items, ends, batch_dims=1), [-1, follow_items])
        gates = self.trend.gates(Queries(self._vectors(outputs)).mean)
        return (TrendTerm(self.trend, gates, times, items, bool(self.jit_compile)),)

    def _score_shown(
        self,
        features: Features,
        outputs: tf.Tensor,
        terms: tuple[ScoreTerm, ...],
        items: Candidates,
        training: bool,
    ) -> tf.Tensor:
        """`score_shown` with the outputs and terms at the positions before: [B, S, I]."""
        item_ids = features["item_ids"][:, 1:]
        shown = tf.reshape(item_ids, [-1, tf.shape(item_ids)[-1]])
        queries = Queries(self._vectors(outputs), terms)
        scores = queries.score_own(items.candidates(shown), shown)
        scores = tf.pad(tf.reshape(scores, tf.shape(item_ids)), [[0, 0], [1, 0], [0, 0]])
        if self.relation is None:
            return scores
        means = None
        if self.relation.query_dim:
            means = outputs if self.backbone.head is None else tf.reduce_mean(outputs, axis=2)
            means = tf.pad(means, [[0, 0], [1, 0], [0, 0]])
        inputs = self.relation.inputs(features)._asdict()
        term = self.relation(**inputs, query_embeddings=means, training=training)
        term = tf.cast(term, tf.float32)
        return scores + term if self.relation.with_product else term

    def _results(self, features: Features, loss: tf.Tensor) -> dict[str, tf.Tensor]:
        """Means over the epoch so far, not the last batch's."""
        # Means over all pairs of the epoch, where the loss consists of these.
        has_parts = type(self).compute_loss is SessionRec.compute_loss and not self.losses
        self._totals.add(features, None if has_parts else loss)
        results = {metric.name: metric.result() for metric in self.metrics}
        if not has_parts:
            return {"loss": self._totals.minimized.result(), **results}
        loss = results["retrieval_loss"]
        if "ranking_loss" in results:
            loss += self.ranking_weight * results["ranking_loss"]
        return {"loss": loss, **results}

    def get_config(self) -> Config:
        serialize = keras.utils.serialize_keras_object
        parts = {name: getattr(self, name) for name in PARTS}
        return {
            "name": self.name,
            "ranking_weight": self.ranking_weight,
            "history": None if self.history_spec is None else self.history_spec.to_json(),
            **{name: None if part is None else serialize(part) for name, part in parts.items()},
        }

    @classmethod
    def from_config(cls, config: Config, custom_objects: Config | None = None) -> "SessionRec":
        parts = {
            name: keras.utils.deserialize_keras_object(config[name], custom_objects=custom_objects)
            for name in PARTS
            if config.get(name) is not None  # an earlier release has no habit
        }
        if config.get("history") is not None:
            parts["history"] = HistorySpec.from_json(config["history"])
        return cls(**config | parts)


def ranked_items(features: Features) -> tf.Tensor:
    """[B, S, I] bool: the items among which a session's positives are ranked."""
    shown = item_mask(features["item_ids"])
    if "position" in features:
        shown &= features["position"] > 0
    if "is_target" in features:
        shown &= features["is_target"][..., tf.newaxis]
    return shown
