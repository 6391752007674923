"""Two trained systems as one."""

import dataclasses
import os
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from tfsessionrec.data import Sessions
from tfsessionrec.evaluation import Ensemble
from tfsessionrec.history_spec import HistorySpec
from tfsessionrec.query_model import QueryModel, SparseScorer
from tfsessionrec.scoring import Queries
from tfsessionrec.session_batch import SessionBatch, last_session, request_batch
from tfsessionrec.systems.registry import BASELINES
from tfsessionrec.systems.trained_system import Ranked, RawId, TrainedSystem
from tfsessionrec.types import Features


class NextItemView:
    """A model that reads one item a session, as batches of sessions ask it.

    Args:
        model: The model.
        history: What it reads.
    """

    def __init__(self, model: QueryModel, history: HistorySpec) -> None:
        self._model = model
        self._history = history

    @property
    def systems(self) -> tuple[QueryModel]:
        """The model, whose trend learns in evaluation in the order of time."""
        return (self._model,)

    def candidate_embeddings(self) -> tf.Tensor:
        """[V, D] float32."""
        return self._model.candidate_embeddings()

    def queries(self, batch: Features, every: bool = False) -> Queries:
        """The query of each row, after its whole history."""
        if every:
            raise ValueError("A next-item model in an ensemble is asked after whole histories only")
        return self._model.queries(self._by_item(batch))

    def _by_item(self, batch: Features) -> SessionBatch:
        """The batch [B, S, I] as one of single items, [B, L, 1]."""
        items = tf.convert_to_tensor(batch["item_ids"])
        shape = tf.shape(items)
        flat = [shape[0], shape[1] * shape[2]]

        def of_items(values: tf.Tensor) -> tf.Tensor:
            return tf.reshape(tf.convert_to_tensor(values), flat)

        def of_sessions(values: tf.Tensor) -> tf.Tensor:
            values = tf.convert_to_tensor(values)[..., tf.newaxis]
            return of_items(tf.broadcast_to(values, shape))

        labels = batch.get("labels")
        item_features, session_features = {}, {}
        for name, values in batch.items():
            if name in ("item_ids", "labels", "target_ids", "session_times", "request_times"):
                continue
            rank = len(np.shape(values))
            if rank == 3:
                item_features[name] = of_items(values)
            elif rank == 2:
                session_features[name] = of_sessions(values)
        if "item_times" in item_features:
            session_features["session_times"] = item_features["item_times"]
        if "request_times" in batch:
            # Every query is asked after the whole history, of which some items are not positive.
            last = tf.maximum(last_session(items), 0)
            asked = tf.gather(tf.convert_to_tensor(batch["request_times"]), last, batch_dims=1)
            session_features["request_times"] = tf.broadcast_to(asked[:, tf.newaxis], flat)
        return request_batch(
            self._history,
            of_items(items),
            tf.zeros(flat, tf.int32),
            None if labels is None else of_items(labels),
            item_features,
            session_features,
        )


class EnsembleSystem(TrainedSystem):
    """Two trained systems as one, joined by rank or by score.

    Args:
        first: A system; its log and items are evaluated.
        second: Another, of the same items.
        fusion: `"rrf"`, rank fusion (default), or `"score"`; see `evaluation.Ensemble`.
        weight: Weight of the second; the first has 1. Defaults to 1.

    Raises:
        ValueError: If the systems do not know the same items, or one reads a history as one
            session.
    """

    def __init__(
        self,
        first: TrainedSystem,
        second: TrainedSystem,
        fusion: str = "rrf",
        weight: float = 1.0,
    ) -> None:
        ids = [one.vocabulary.ids.tolist() for one in (first, second)]
        sizes = [len(one.vocabulary) for one in (first, second)]
        if ids[0] != ids[1] or sizes[0] != sizes[1]:
            raise ValueError(
                "`--ensemble` should name a model of the same items, trained on the same log. "
                f"Received: {first.settings.model} of {sizes[0]} items, {second.settings.model} of "
                f"{sizes[1]}"
            )
        self.members = (first, second)
        settings = dataclasses.replace(first.settings, history=_joined(first, second))
        super().__init__(settings, first.vocabulary)
        self._ensemble = Ensemble(
            [_view(first), _view(second)],
            [1.0, weight],
            fusion,
            vocabulary_size=sizes[0],
            first_item_index=first.vocabulary.first_item_index,
        )

    @property
    def scorer(self) -> Ensemble:
        return self._ensemble

    @property
    def has_trend(self) -> bool:
        return any(member.has_trend for member in self.members)

    def events_learned(self, events: Sessions) -> Sessions:
        """Every event, if a member has a trend; otherwise those that a baseline learns."""
        if self.has_trend:
            return events
        baselines = [one for one in self.members if one.settings.model in BASELINES]
        return baselines[0].events_learned(events) if baselines else events

    def prepare(self, sessions: Sessions) -> None:
        for member in self.members:
            member.prepare(sessions)

    def recommend(
        self,
        history: Sequence[Sequence[RawId]] | Sequence[RawId],
        k: int = 10,
        *,
        filter_seen: bool = False,
        time: float | None = None,
    ) -> Ranked:
        sessions = self.sessions_of(history)
        items = [item for session in sessions for item in session]
        index = [number for number, session in enumerate(sessions) for _ in session]
        batch = request_batch(
            self.history,
            tf.constant([self.vocabulary.lookup(items)], tf.int32),
            tf.constant([index], tf.int32),
        )
        if time is not None:
            shape = tf.shape(batch["item_ids"])[:2]
            batch["request_times"] = tf.fill(shape, tf.constant(int(time), tf.int64))
        scores = self._ensemble.sparse_scores(batch)
        order = np.lexsort((scores.indices, -scores.data))
        ids = self.vocabulary.raw(scores.indices[order]).tolist()
        seen = set(items) if filter_seen else set()
        ranked = zip(ids, scores.data[order].tolist(), strict=True)
        return [(item, score) for item, score in ranked if item not in seen][:k]

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        raise ValueError(f"An ensemble is not saved: save its members. Received: {path}")


def _view(system: TrainedSystem) -> QueryModel | SparseScorer:
    if system.history.session == "item":
        assert isinstance(system.scorer, QueryModel)
        return NextItemView(system.scorer, system.history)
    return system.scorer


def _joined(first: TrainedSystem, second: TrainedSystem) -> HistorySpec:
    """What both members read, of real sessions."""
    for system in (first, second):
        if system.history.session == "whole":
            raise ValueError(
                "`--ensemble` takes models of sessions and of single items. Received: "
                f"{system.settings.model}, which reads a history as one session"
            )
    both = (first.history, second.history)
    # Baselines and next-item models read whatever there is: the limits are those of the other.
    limiting = [
        one.history
        for one in (first, second)
        if one.history.session == "real" and one.settings.model not in BASELINES
    ]
    context: Mapping[str, tuple[str | int, ...] | None] = {
        **both[1].session_context,
        **both[0].session_context,
    }
    return dataclasses.replace(
        both[0],
        session="real",
        max_sessions=limiting[0].max_sessions if limiting else 50,
        max_items=limiting[0].max_items if limiting else 200,
        labels=any(one.labels for one in both),
        interaction_types=both[0].interaction_types or both[1].interaction_types,
        session_times=any(one.session_times for one in both),
        item_times=any(one.item_times or one.session == "item" for one in both),
        session_context=context,
        request_times=True,
        relation=None,
    )
