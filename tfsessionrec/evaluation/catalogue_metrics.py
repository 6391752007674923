"""Full-catalogue metrics in the logs of `model.fit`."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfsessionrec.backend import keras
from tfsessionrec.checks import positive_integer
from tfsessionrec.evaluation.evaluate import evaluate
from tfsessionrec.evaluation.queries import next_sessions


class CatalogueMetrics(keras.callbacks.Callback):
    """Adds exact NDCG@k, HitRate@k ... over the whole catalogue to the logs of every epoch.

    At the end of an epoch the model ranks all items for the queries of `dataset`, as `evaluate`
    does, and each metric stands in the logs as `val_ndcg@20`. Callbacks after this one see it:
    list `EarlyStopping`, `ModelCheckpoint` and `TensorBoard` behind it. Nothing is added to the
    model, so nothing of it reaches a saved or served one.

    The dataset is read once and held in memory. Of more than `max_queries` queries, rows are drawn
    at random, once: every epoch answers the same ones, and training waits no longer than they take.

    Args:
        dataset: Session batches to be evaluated on, not those of training.
        k: Lengths of the list, 20 by default.
        metrics: Which metrics are logged, as `evaluate` names them without their k; `("ndcg",
            "hit_rate")` by default.
        max_queries: Queries an epoch, about; None for all. 1,000 by default.
        every: Epochs between two evaluations, 1 by default. Epochs between them repeat the last
            values, so that callbacks which watch one always find it.
        prefix: What names in the logs begin with, `"val_"` by default.
        seed: Of the draw of rows, 0 by default.
        **options: Further arguments of `evaluate`: `filter_seen`, `vocabulary`, `positions` ...

    Raises:
        ValueError: If an argument is out of its range, `dataset` is empty, or `evaluate` knows no
            metric of a name.

    Example:

    ```python
    metrics = sr.evaluation.CatalogueMetrics(validation, k=20, vocabulary=vocabulary)
    stop = tf.keras.callbacks.EarlyStopping("val_ndcg@20", mode="max", patience=3)
    model.fit(train, epochs=50, callbacks=[metrics, stop])
    ```
    """

    def __init__(
        self,
        dataset: tf.data.Dataset | Iterable[Mapping[str, Any]],
        k: int | Iterable[int] = 20,
        *,
        metrics: Iterable[str] = ("ndcg", "hit_rate"),
        max_queries: int | None = 1000,
        every: int = 1,
        prefix: str = "val_",
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__()
        ks = k if isinstance(k, Iterable) and not isinstance(k, str) else [k]
        self.k = sorted({positive_integer("k", one) for one in ks})
        self.names = [metrics] if isinstance(metrics, str) else list(metrics)
        self.every = positive_integer("every", every)
        self.prefix = prefix
        self.options = options
        if max_queries is not None:
            max_queries = positive_integer("max_queries", max_queries)
        self._batches = _drawn([_arrays(batch) for batch in dataset], max_queries, seed)
        if not self._batches:
            raise ValueError("`dataset` should hold at least one batch. Received: none")
        self._traced: _Traced | None = None
        self._last: dict[str, float] = {}

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        if self._traced is None or self._traced.model is not model:
            self._traced = _Traced(model)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if epoch % self.every == 0 or not self._last:
            report = evaluate(self._traced, self._batches, self.k, **self.options)
            wanted = [f"{name}@{k}" for name in self.names for k in self.k]
            unknown = [name for name in wanted if name not in report.metrics]
            if unknown:
                raise ValueError(
                    "`metrics` should be among those of `evaluate`: "
                    f"{', '.join(report.metrics)}. Received: {unknown}"
                )
            self._last = {self.prefix + name: report[name] for name in wanted}
        if logs is not None:
            logs.update(self._last)


class _Traced:
    """A model whose graphs outlive an epoch and a `fit`; to `evaluate` it is plain Python."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._every = tf.function(lambda f: model(f, training=False), reduce_retracing=True)
        self._encode = tf.function(lambda f: model.encode(f), reduce_retracing=True)
        self.candidate_embeddings = model.candidate_embeddings
        if getattr(model, "trend", None) is not None:
            self.candidate_terms = model.candidate_terms

    def __call__(self, features: Any, training: bool = False) -> Any:
        return self._every(features)

    def encode(self, features: Any) -> Any:
        return self._encode(features)


def _arrays(batch: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in batch.items()}


def _drawn(
    batches: list[dict[str, np.ndarray]], max_queries: int | None, seed: int
) -> list[dict[str, np.ndarray]]:
    """The batches with so many of their rows that about `max_queries` queries are left."""
    counts = [_queries(batch) for batch in batches]
    total = sum(int(count.sum()) for count in counts)
    if max_queries is None or total <= max_queries:
        return batches
    # One order of all rows; those are kept whose queries, summed up, stay below the limit.
    flat = np.concatenate(counts)
    order = np.random.default_rng(seed).permutation(len(flat))
    kept = np.zeros(len(flat), bool)
    kept[order] = np.cumsum(flat[order]) <= max_queries
    kept[order[np.flatnonzero(flat[order])[:1]]] = True
    masks = np.split(kept & (flat > 0), np.cumsum([len(count) for count in counts])[:-1])
    return [
        {name: value[mask] for name, value in batch.items()}
        for batch, mask in zip(batches, masks, strict=True)
        if mask.any()
    ]


def _queries(batch: Mapping[str, np.ndarray]) -> np.ndarray:
    """[B], how many queries each row has."""
    rows = len(batch["item_ids"])
    if "target_ids" in batch:
        return np.ones(rows, np.int64)
    sessions = next_sessions(batch, int(batch["item_ids"].max()) + 1)
    asked = ((sessions.labels > 0) & (sessions.items > 0)).any(axis=1)
    return np.bincount(sessions.rows[asked], minlength=rows)
