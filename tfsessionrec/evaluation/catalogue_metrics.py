"""Full-catalogue metrics in the logs of `model.fit`."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfsessionrec.backend import keras
from tfsessionrec.checks import choice, non_negative_integer, positive_integer, text
from tfsessionrec.evaluation.arguments import check_dataset, each_batch, names
from tfsessionrec.evaluation.choices import list_lengths
from tfsessionrec.evaluation.evaluate import evaluate
from tfsessionrec.evaluation.queries import next_sessions
from tfsessionrec.evaluation.query_results import METRICS
from tfsessionrec.query_model import as_query_model
from tfsessionrec.scoring import Queries
from tfsessionrec.types import Features

_METRICS = (
    *METRICS,
    *("coverage", "gini", "novelty", "mean_popularity", "diversity", "serendipity"),
)
_Batch = dict[str, NDArray[np.generic]]


class CatalogueMetrics(keras.callbacks.Callback):
    """Adds exact NDCG@k, HitRate@k ... over the whole catalogue to the logs of every epoch.

    At the end of an epoch the model ranks all items for the queries of `dataset`, as `evaluate`
    does, and the logs get each metric as `val_ndcg@20`. List callbacks that read it, such as
    `EarlyStopping`, `ModelCheckpoint` and `TensorBoard`, after this one. The model itself does not
    change, so that nothing of it is saved or served.

    The dataset is read once and held in memory. If it has more than `max_queries` queries, rows are
    drawn at random, once: every epoch answers the same queries.

    Args:
        dataset: Session batches to evaluate on, not those of training.
        k: Lengths of the list, 20 by default.
        metrics: Names of the logged metrics, as in `evaluate` without their k; `("ndcg",
            "hit_rate")` by default.
        max_queries: Approximate number of queries an epoch, 1,000 by default; None for all.
        every: Epochs between two evaluations, 1 by default. Epochs between them repeat the last
            values, so that callbacks always find them.
        prefix: Prefix of the names in the logs, `"val_"` by default.
        seed: Seed of the draw of rows, 0 by default.
        **options: Further arguments of `evaluate`: `filter_seen`, `vocabulary`, `positions` ...

    Raises:
        ValueError: If an argument is out of its range, `dataset` is empty, or `evaluate` does not
            know a metric.

    Example:

    ```python
    metrics = sr.evaluation.CatalogueMetrics(validation, k=20, vocabulary=vocabulary)
    stop = tf.keras.callbacks.EarlyStopping("val_ndcg@20", mode="max", patience=3)
    model.fit(train, epochs=50, callbacks=[metrics, stop])
    ```
    """

    def __init__(
        self,
        dataset: tf.data.Dataset | Iterable[Features],
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
        self.k = list_lengths(k)
        self.names = names("metrics", [metrics] if isinstance(metrics, str) else metrics)
        for name in self.names:
            choice("metrics", name, _METRICS)
        self.every = positive_integer("every", every)
        text("prefix", prefix)
        self.prefix = prefix
        non_negative_integer("seed", seed)
        check_dataset(dataset)
        self.options = options
        if max_queries is not None:
            max_queries = positive_integer("max_queries", max_queries)
        arrays = [
            {name: np.asarray(value) for name, value in one.items()} for one in each_batch(dataset)
        ]
        self._batches = _draw_rows(arrays, max_queries, seed)
        if not self._batches:
            raise ValueError("`dataset` should hold at least one batch. Received: none")
        self._traced: _Traced | None = None
        self._last: dict[str, float] = {}

    @property
    def num_queries(self) -> int:
        """Queries of an epoch."""
        return sum(int(_num_queries(batch).sum()) for batch in self._batches)

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        if self._traced is None or self._traced.model is not model:
            self._traced = _Traced(model)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
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
    """A `QueryModel` that keeps its graphs from one epoch, and one `fit`, to the next."""

    def __init__(self, model: object) -> None:
        self.model = model
        found = as_query_model(model)
        self._queries = tf.function(found.queries, reduce_retracing=True)
        self.candidate_embeddings = found.candidate_embeddings

    def queries(self, batch: Features, every: bool = False) -> Queries:
        return self._queries(batch, every=every)


def _draw_rows(batches: list[_Batch], max_queries: int | None, seed: int) -> list[_Batch]:
    """The batches with as many of their rows as give about `max_queries` queries."""
    counts = [_num_queries(batch) for batch in batches]
    total = sum(int(count.sum()) for count in counts)
    if max_queries is None or total <= max_queries:
        return batches
    # Rows in random order, up to the limit of queries.
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


def _num_queries(batch: Mapping[str, NDArray[np.generic]]) -> NDArray[np.int64]:
    """[B], number of queries of each row."""
    items = batch["item_ids"].astype(np.int64)
    if "target_ids" in batch:
        return np.ones(len(items), np.int64)
    sessions = next_sessions(batch, int(items.max()) + 1)
    asked = ((sessions.labels > 0) & (sessions.items > 0)).any(axis=1)
    return np.bincount(sessions.rows[asked], minlength=len(items))
