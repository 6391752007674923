"""Evaluation among the items that a session showed."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray
from tqdm.auto import tqdm

from tfsessionrec.evaluation.queries import next_sessions
from tfsessionrec.evaluation.report import Report
from tfsessionrec.evaluation.shown_scores import ShownScores
from tfsessionrec.evaluation.system import System, popularity_counts
from tfsessionrec.metrics import first_positive_rank, pair_auc
from tfsessionrec.scoring import score_given

_GATHERED = 2**24  # Numbers of candidate embeddings gathered at a time.


def evaluate_ranking(
    model: Any,
    dataset: tf.data.Dataset | Iterable[Mapping[str, Any]],
    *,
    popularity: ArrayLike | None = None,
    vocabulary: Any = None,
    empty_history: bool = False,
    unopposed: bool = True,
    progress: bool = False,
) -> Report:
    """Ranks the taken items of the next session among those that it showed.

    A query is a position t of `model(features)` whose session t + 1 exists, may be predicted
    (`is_target`, by default all may) and holds a taken item (`labels` 1). What that session showed,
    in the order of the batch, is ranked, out-of-vocabulary items included: they share an embedding
    and tie. With the best-scored taken item on rank r (ties against it),

    With `position` in the batch only rows with a place in a shown list, 1 or more, count as shown.

    - `mrr` = mean over queries of 1 / r, `hit_rate@1` = mean of [r = 1],
    - `auc` = share of all pairs (taken, not taken) of a session in the right order, ties half,
    - `group_auc` = mean of that share over the queries with a pair.

    Beside the model stand `model, then as displayed` (the model's ties in the order of the batch,
    instead of against the taken item), `as displayed` (the order of the batch) and, with counts,
    `popularity` (by count, equal counts as displayed).

    Args:
        model: Offers `model(features, training=False)` [B, S, D] (of N interests [B, S, N, D])
            and `candidate_embeddings()` [vocabulary_size, D]. If it offers `score_shown(features)`
            [B, S, I], the scores of what each session showed given those before, these decide. Or
            it offers `sparse_scores`, see `evaluate`.
        dataset: Session batches with `labels`.
        popularity: [vocabulary_size] counts. By default the vocabulary's, if it is given and has
            any.
        vocabulary: The `Vocabulary` of the dataset, for its counts.
        empty_history: Whether the first session of each row is asked for too, with a query of
            zeros as `encode` has it for an empty history: to the model all items then tie. False by
            default; the report says.
        unopposed: Whether sessions that showed nothing but taken items count (their rank is 1).
            True by default; the report says.
        progress: Whether to show a progress bar. False by default.

    Returns:
        A `Report`; `num_candidates` is the mean number of shown items.

    Raises:
        ValueError: If no query has an item that was shown but not taken, an index is not in the
            vocabulary, or an embedding is not finite.

    Example: of the second session's items 2 and 4 the latter was taken.

    >>> import tfsessionrec as sr
    >>> model = sr.baselines.Popularity([0, 0, 5, 1, 9])
    >>> batch = {"item_ids": [[[3, 0], [2, 4]]], "labels": [[[1, 0], [0, 1]]]}
    >>> report = sr.evaluation.evaluate_ranking(model, [batch])
    >>> report["mrr"], report.baselines["as displayed"]["mrr"]
    (1.0, 0.5)
    """
    begin = time.perf_counter()
    if hasattr(model, "sparse_scores"):
        known = model.vocabulary if vocabulary is None else vocabulary
        model = ShownScores(model, len(known))
    system = System(model, 0)
    counts = popularity_counts(popularity, vocabulary, system.vocabulary_size)
    level = None if counts is None else np.unique(counts, return_inverse=True)[1]
    # Of each system, in one tuple a batch: rank, pairs in the right order and pairs of each query.
    found: dict[str, list[tuple[NDArray[Any], ...]]] = {}
    num_shown = num_skipped = 0
    for batch in tqdm(dataset, desc="evaluate", unit=" batches", disable=not progress):
        sessions = next_sessions(batch, system.vocabulary_size, empty_history)
        shown = sessions.items > 0
        if "position" in batch:
            place = np.asarray(batch["position"])
            shown &= place[sessions.rows, sessions.positions + 1] > 0
        taken = shown & (sessions.labels > 0)
        asked = taken.any(axis=1)
        if not unopposed:
            opposed = (shown & ~taken).any(axis=1)
            num_skipped += int((asked & ~opposed).sum())
            asked &= opposed
        if not asked.any():
            continue
        items, taken, shown = sessions.items[asked], taken[asked], shown[asked]
        rows, positions = sessions.rows[asked], sessions.positions[asked]
        scores = system.shown_scores(batch, rows, positions)
        if scores is None:
            scores = _scores(system.queries(batch, rows, positions)[0], system.table, items)
        place = np.arange(items.shape[1])
        orders: dict[str, NDArray[Any]] = {
            "model": scores,
            "as displayed": np.broadcast_to(-place, items.shape),
        }
        # What a page would show: where the model cannot tell items apart, their order stays.
        stable = np.argsort(-orders["model"], axis=1, kind="stable")
        orders["model, then as displayed"] = -np.argsort(stable, axis=1)
        if level is not None:
            orders["popularity"] = level[items] * items.shape[1] - place
        for name, scores in orders.items():
            ranks = first_positive_rank(scores, taken, shown)
            found.setdefault(name, []).append((ranks, *pair_auc(scores, taken, shown)))
        num_shown += int(shown.sum())
    results = {
        name: [np.concatenate(part) for part in zip(*parts)] for name, parts in found.items()
    }
    if not results or not results["model"][2].any():
        raise ValueError(
            "`dataset` should hold at least one session, after another, with an item that was "
            "taken and one that was shown but not taken (`labels` 1 and 0). Received: "
            f"{len(results['model'][0]) if results else 0} sessions with a taken item, none of "
            "them with another"
        )
    num_queries = len(results["model"][0])
    means = {name: _metrics(*result) for name, result in results.items()}
    return Report(
        metrics=means.pop("model"),
        baselines=means,
        num_queries=num_queries,
        num_candidates=num_shown / num_queries,
        num_skipped=num_skipped,
        options={
            "targets": "the best-ranked taken item among those shown in the next session",
            "empty_history": bool(empty_history),
            "unopposed": bool(unopposed),
            "ties": "against the targets",
            "skipped": "sessions that showed nothing but taken items",
        },
        seconds=time.perf_counter() - begin,
    )


def _scores(
    queries: NDArray[np.float32], table: tf.Tensor, items: NDArray[np.int64]
) -> NDArray[np.float32]:
    """[Q, I] scores of each query's own items; one index gets one score in a row, bit for bit."""
    rows = max(1, _GATHERED // (items.shape[1] * int(table.shape[1])))
    parts = [
        score_given(
            queries[first : first + rows],
            tf.gather(table, items[first : first + rows]),
            interests=queries.ndim == 3,
        )
        for first in range(0, len(items), rows)
    ]
    # Kernels may round equal products differently by their place, which would break ties.
    same = (items[:, :, None] == items[:, None, :]).argmax(axis=2)
    return np.take_along_axis(np.concatenate([part.numpy() for part in parts]), same, axis=1)


def _metrics(
    ranks: NDArray[np.int64], correct: NDArray[np.float64], pairs: NDArray[np.int64]
) -> dict[str, float]:
    grouped = pairs > 0
    return {
        "mrr": float((1 / ranks).mean()),
        "hit_rate@1": float((ranks == 1).mean()),
        "auc": float(correct.sum() / pairs.sum()),
        "group_auc": float((correct[grouped] / pairs[grouped]).mean()),
    }
