"""Evaluation among the items that a session showed."""

import functools
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray
from tqdm.auto import tqdm

from tfsessionrec.data import Vocabulary
from tfsessionrec.evaluation.arguments import check_shared, each_batch
from tfsessionrec.evaluation.queries import next_sessions
from tfsessionrec.evaluation.report import Report
from tfsessionrec.evaluation.system import (
    EmbeddingSystem,
    SparseSystem,
    first_item,
    known_size,
    model_features,
    popularity_counts,
    read_systems,
    runs_as_graph,
)
from tfsessionrec.metrics import first_positive_rank, pair_auc
from tfsessionrec.query_model import ShownScorer
from tfsessionrec.types import Features

_GATHERED = 2**24  # Numbers of candidate embeddings gathered at a time.
_SPARSE_ROWS = 4096  # Queries whose sparse scores are held at a time.


def evaluate_ranking(
    model: object,
    dataset: tf.data.Dataset | Iterable[Features],
    *,
    popularity: ArrayLike | None = None,
    vocabulary: Vocabulary | None = None,
    empty_history: bool = False,
    unopposed: bool = True,
    progress: bool = False,
) -> Report:
    """Ranks the clicked items of the next session among those that it showed.

    A query is a position t of `model(features)` whose session t + 1 exists, may be predicted
    (`is_target`, by default all may) and holds a clicked item (`labels` 1). The items that this
    session showed are ranked, in the order of the batch, out-of-vocabulary items included: they
    share an embedding and tie. With `position` in the batch, only items with a place in a shown
    list, 1 or more, count as shown. With the best-scored clicked item on rank r (ties against it),

    - `mrr` = mean over queries of 1 / r, `hit_rate@1` = mean of [r = 1],
    - `auc` = share of all pairs (clicked, not clicked) of a session in the right order, ties half,
    - `group_auc` = mean of that share over the queries with a pair.

    Next to the model the report has `model, then as displayed` (the model's ties in the order of
    the batch, instead of against the clicked item), `as displayed` (the order of the batch) and,
    with counts, `popularity` (by count, equal counts as displayed).

    Args:
        model: What `evaluate` takes. If it offers `score_shown(features)` [B, S, I], the scores of
            the items that each session showed given those before, these decide.
        dataset: Session batches with `labels`.
        popularity: [vocabulary_size] counts. By default those of `vocabulary`, if it has any.
        vocabulary: The `Vocabulary` of the dataset, for its counts.
        empty_history: Whether the first session of each row is asked for too. A model with
            embeddings answers by popularity then, as its export does; without a `vocabulary` all
            items tie. False by default.
        unopposed: Whether sessions that showed only clicked items count (their rank is 1). True by
            default.
        progress: Whether to show a progress bar. False by default.

    Returns:
        A `Report`; `num_candidates` is the mean number of shown items.

    Raises:
        ValueError: If no query has an item that was shown but not clicked, an index is not in the
            vocabulary, or an embedding is not finite.

    Example: of the second session's items 2 and 4 the latter was clicked.

    >>> import tfsessionrec as sr
    >>> model = sr.baselines.Popularity([0, 0, 5, 1, 9])
    >>> batch = {"item_ids": [[[3, 0], [2, 4]]], "labels": [[[1, 0], [0, 1]]]}
    >>> report = sr.evaluation.evaluate_ranking(model, [batch])
    >>> report["mrr"], report.baselines["as displayed"]["mrr"]
    (1.0, 0.5)
    """
    begin = time.perf_counter()
    check_shared(
        dataset, vocabulary, popularity,
        empty_history=empty_history, unopposed=unopposed, progress=progress,
    )  # fmt: skip
    size, score = _scorer(model, vocabulary, popularity)
    counts = popularity_counts(popularity, vocabulary, size)
    level = None if counts is None else np.unique(counts, return_inverse=True)[1]
    # By system one tuple a batch: rank, pairs in the right order and pairs of each query.
    found: dict[str, list[tuple[NDArray[np.number], ...]]] = {}
    num_shown = num_skipped = 0
    shown = tqdm(dataset, desc="evaluate", unit=" batches", disable=not progress)
    for batch in each_batch(shown):
        queries = _ShownItems.of(batch, size, empty_history)
        if not unopposed:
            opposed = np.any(queries.shown & ~queries.clicked, axis=1)
            num_skipped += int((~opposed).sum())
            queries = queries.select(opposed)
        if not len(queries.rows):
            continue
        for name, scores in _orders(score(batch, queries), queries.items, level).items():
            ranks = first_positive_rank(scores, queries.clicked, queries.shown)
            pairs = pair_auc(scores, queries.clicked, queries.shown)
            found.setdefault(name, []).append((ranks, *pairs))
        num_shown += int(queries.shown.sum())
    results = {
        name: [np.concatenate(part) for part in zip(*parts)] for name, parts in found.items()
    }
    num_queries = _check_opposed(results)
    means = {name: _metrics(*result) for name, result in results.items()}
    return Report(
        metrics=means.pop("model"),
        baselines=means,
        num_queries=num_queries,
        num_candidates=num_shown / num_queries,
        num_skipped=num_skipped,
        options={
            "targets": "the best-ranked clicked item among those shown in the next session",
            "empty_history": bool(empty_history),
            "unopposed": bool(unopposed),
            "ties": "against the targets",
            "skipped": "sessions that showed only clicked items",
        },
        seconds=time.perf_counter() - begin,
    )


@dataclass(frozen=True)
class _ShownItems:
    """The queries of one batch, and the items that are ranked for each.

    Args:
        rows: [Q], row of the batch.
        positions: [Q], position t of the query; session t + 1 showed the items.
        items: [Q, I] vocabulary indices, 0 for padding.
        clicked: [Q, I].
        shown: [Q, I], False for padding.
    """

    rows: NDArray[np.int64]
    positions: NDArray[np.int64]
    items: NDArray[np.int64]
    clicked: NDArray[np.bool_]
    shown: NDArray[np.bool_]

    @classmethod
    def of(cls, batch: Features, vocabulary_size: int, empty_history: bool) -> "_ShownItems":
        """Every session with a clicked item that may be predicted."""
        sessions = next_sessions(batch, vocabulary_size, empty_history)
        shown = sessions.items > 0
        if "position" in batch:
            place = np.asarray(batch["position"])
            shown &= place[sessions.rows, sessions.positions + 1] > 0
        clicked = shown & (sessions.labels > 0)
        every = cls(sessions.rows, sessions.positions, sessions.items, clicked, shown)
        return every.select(np.any(clicked, axis=1))

    def select(self, chosen: NDArray[np.bool_]) -> "_ShownItems":
        """The queries where `chosen` [Q] is True."""
        return _ShownItems(
            self.rows[chosen],
            self.positions[chosen],
            self.items[chosen],
            self.clicked[chosen],
            self.shown[chosen],
        )


_Scorer = Callable[[Features, _ShownItems], NDArray[np.float32]]


@runtime_checkable
class _MayHaveTerms(Protocol):
    """A model whose `score_shown` equals the product of embeddings unless it has terms."""

    @property
    def has_terms(self) -> bool: ...


def _scorer(
    model: object, vocabulary: Vocabulary | None, popularity: ArrayLike | None
) -> tuple[int, _Scorer]:
    """The size of the vocabulary, and the function that scores the shown items [Q, I]."""
    size = known_size(model, vocabulary, popularity)
    (system,) = read_systems([model], 0, default_size=size)
    size = system.vocabulary_size
    if isinstance(system, SparseSystem):
        return size, functools.partial(_sparse_scores, system)
    if isinstance(model, ShownScorer) and not (
        isinstance(model, _MayHaveTerms) and not model.has_terms
    ):
        shown = model.score_shown
        if runs_as_graph(model):
            shown = tf.function(shown, reduce_retracing=True)
        return size, functools.partial(_own_scores, shown)
    if vocabulary is not None:
        system = EmbeddingSystem(model, first_item(None, vocabulary, model))
        system.use_popularity(np.asarray(vocabulary.counts))
    return size, functools.partial(_products, system)


def _own_scores(
    score_shown: Callable[[Features], tf.Tensor], batch: Features, queries: _ShownItems
) -> NDArray[np.float32]:
    """Scores by the model's own `score_shown`."""
    features = model_features(batch)
    output = tf.cast(tf.convert_to_tensor(score_shown(features)), tf.float32).numpy()
    if output.shape != features["item_ids"].shape:
        raise ValueError(
            f"`model.score_shown(features)` should have the shape of `item_ids`, "
            f"{tuple(features['item_ids'].shape)}. Received: {output.shape}"
        )
    scores = output[queries.rows, queries.positions + 1]
    if not np.isfinite(scores).all():
        raise ValueError(
            "`model.score_shown(features)` should be finite. Received: NaN or infinity"
        )
    return scores


def _products(
    system: EmbeddingSystem, batch: Features, queries: _ShownItems
) -> NDArray[np.float32]:
    """Scores by embeddings; within a query one index gets one score, bit for bit."""
    found, items = system.queries(batch, queries.rows, queries.positions), queries.items
    rows = max(1, _GATHERED // (items.shape[1] * int(system.table.shape[1])))
    popularity = None
    if system.candidates.popularity is not None:  # an unknown item scores below all items
        below = np.full(system.candidates.first_id, np.finfo(np.float32).min, np.float32)
        popularity = np.append(below, system.candidates.popularity.numpy())
    parts = []
    for first in range(0, len(items), rows):
        some = items[first : first + rows]
        asked = found.gather(np.arange(first, first + len(some)))
        scores = asked.score_own(tf.gather(system.table, some), tf.constant(some))
        if popularity is not None:
            scores = asked.unknown_by_popularity(scores, popularity[some])
        parts.append(scores.numpy())
    # Kernels may round equal products differently by their place, which would break ties.
    same = (items[:, :, None] == items[:, None, :]).argmax(axis=2)
    return np.take_along_axis(np.concatenate(parts), same, axis=1)


def _sparse_scores(
    system: SparseSystem, batch: Features, queries: _ShownItems
) -> NDArray[np.float32]:
    """Scores by a sparse system: an item without a score ranks below all that have one."""
    found = np.full(queries.items.shape, np.finfo(np.float32).min, np.float32)
    for first in range(0, len(found), _SPARSE_ROWS):
        some = slice(first, first + _SPARSE_ROWS)
        items = queries.items[some]
        scores = system.scores(batch, queries.rows[some], queries.positions[some])
        # A stored 0 is a score: look up places in the stored data instead of values.
        places = scores.copy()
        places.data = np.arange(1, len(places.data) + 1)
        query = np.broadcast_to(np.arange(len(items))[:, None], items.shape)
        at = np.asarray(places[query.ravel(), items.ravel()]).reshape(items.shape)
        found[some] = np.where(at > 0, np.append(scores.data, 0)[at - 1], found[some])
    return found


def _orders(
    scores: NDArray[np.float32], items: NDArray[np.int64], level: NDArray[np.int64] | None
) -> dict[str, NDArray[np.number]]:
    """Scores [Q, I] of the model and of the baselines.

    Args:
        scores: [Q, I], those of the model.
        items: [Q, I].
        level: [vocabulary_size], rank of each item's count; None without counts.
    """
    place = np.arange(items.shape[1])
    # A page shows items that the model cannot distinguish in their former order.
    stable = np.argsort(-scores, axis=1, kind="stable")
    orders: dict[str, NDArray[np.number]] = {
        "model": scores,
        "as displayed": np.broadcast_to(-place, items.shape),
        "model, then as displayed": -np.argsort(stable, axis=1),
    }
    if level is not None:
        orders["popularity"] = level[items] * items.shape[1] - place
    return orders


def _check_opposed(results: dict[str, list[NDArray[np.number]]]) -> int:
    """The number of queries, of which at least one should have a pair."""
    if not results or not results["model"][2].any():
        raise ValueError(
            "`dataset` should hold at least one session, after another, with an item that was "
            "clicked and one that was shown but not clicked (`labels` 1 and 0). Received: "
            f"{len(results['model'][0]) if results else 0} sessions with a clicked item, none of "
            "them with another"
        )
    return len(results["model"][0])


def _metrics(
    ranks: NDArray[np.number], correct: NDArray[np.number], pairs: NDArray[np.number]
) -> dict[str, float]:
    grouped = pairs > 0
    return {
        "mrr": float((1 / ranks).mean()),
        "hit_rate@1": float((ranks == 1).mean()),
        "auc": float(correct.sum() / pairs.sum()),
        "group_auc": float((correct[grouped] / pairs[grouped]).mean()),
    }
