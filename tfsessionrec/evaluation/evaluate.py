"""Full-catalogue evaluation."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray
from tqdm.auto import tqdm

from tfsessionrec.baselines import Popularity
from tfsessionrec.evaluation.queries import Queries, next_session_queries, target_id_queries
from tfsessionrec.evaluation.ranks import BLOCK_SIZE, Slices, rank_targets
from tfsessionrec.evaluation.report import Report
from tfsessionrec.evaluation.system import System, first_item, popularity_counts
from tfsessionrec.metrics import hit_rate, mrr, ndcg, positive_integer, recall

_METRICS: tuple[Callable[[ArrayLike, int], NDArray[np.float64]], ...] = (
    recall,
    hit_rate,
    ndcg,
    mrr,
)
_KINDS = {
    "every": (next_session_queries, "positives of the next session, at every position"),
    "target_ids": (target_id_queries, "`target_ids`, after the whole history"),
}
_TOGETHER = 2**14  # Queries ranked at a time.


def evaluate(
    model: Any,
    dataset: tf.data.Dataset | Iterable[Mapping[str, Any]],
    k: int | Iterable[int] = (20, 100),
    *,
    positions: str = "auto",
    filter_seen: bool = False,
    popularity: ArrayLike | None = None,
    vocabulary: Any = None,
    first_item_index: int | None = None,
    block_size: int = BLOCK_SIZE,
    progress: bool = False,
) -> Report:
    """Ranks every item of the catalogue for every query: Recall, HitRate, NDCG and MRR at each k.

    A query has a **set** of targets, each item once, and one item is ranked against all others of
    the catalogue (`rank_targets` has the definition; ties count against us, nothing is sampled,
    nothing is sorted). Two kinds of dataset make queries:

    - *next session*: every position t of `model(features)` whose session t + 1 exists, may be
      predicted (`is_target`, by default all may) and holds a positive (`labels`, by default all
      items are). The targets are its positives. With one item a session this is next-item
      prediction at every position.
    - *target_ids*: one query a row, `model.encode(features)`, for the set `target_ids`. A row with
      an empty history is a query like any other.

    Padding and out-of-vocabulary entries are neither candidates nor targets. A set keeps its known
    items; where it has none there is no query. The report says how many targets were unknown, and
    in `num_skipped` how many sessions gave no query.

    Args:
        model: Offers `model(features, training=False)` [B, S, D] (or `encode(features)` [B, D]) and
            `candidate_embeddings()` [vocabulary_size, D]; see `tfsessionrec.models`,
            `tfsessionrec.baselines`. Where it has `candidate_terms`, candidates know the time
            of each query: the batches need `request_times`. Queries of N interests have an axis N
            before the last; the best interest scores.
        dataset: Session batches (`tfsessionrec.data.session_dataset`).
        k: Lengths of the list, `(20, 100)` by default. More than there are items means all.
        positions: `"every"` for the next-session kind, `"target_ids"` for the other, `"auto"` (by
            default) for what the batches hold.
        filter_seen: Whether the items of the query's history (taken or only shown) are removed from
            the ranking, which makes a target among them a miss. False by default; the report says.
        popularity: [vocabulary_size] counts of a popularity baseline beside the model. By default
            the vocabulary's counts, if it is given and has any.
        vocabulary: The `Vocabulary` of the dataset, for its counts and its first item.
        first_item_index: First vocabulary index that is an item; by default the vocabulary's, or 2.
        block_size: Scores held at a time, `2**22` by default: memory is about 9 bytes each.
        progress: Whether to show a progress bar. False by default.

    Returns:
        A `Report` with `recall@k`, `hit_rate@k`, `ndcg@k` and `mrr@k`, means over queries.

    Raises:
        ValueError: If an argument is out of its range, the dataset holds no query, an index is not
            in the vocabulary, or an embedding is not finite.

    Example: popularity on one history: 3, then 2, then 4. The counts rank 4, 2, 3.

    >>> import tfsessionrec as sr
    >>> model = sr.baselines.Popularity([0, 0, 5, 1, 9])
    >>> batch = {"item_ids": [[[3], [2], [4]]]}
    >>> print(sr.evaluation.evaluate(model, [batch], k=1))  # doctest: +ELLIPSIS
                 model
    recall@1    0.5000
    hit_rate@1  0.5000
    ndcg@1      0.5000
    mrr@1       0.5000
    2 queries, 3 candidates, 0 skipped, ... s
    targets: positives of the next session, at every position
    filter_seen: no
    ties: against the targets
    unknown targets left out: 0
    skipped: sessions without a known positive
    """
    begin = time.perf_counter()
    ks = k if isinstance(k, Iterable) and not isinstance(k, str) else [k]
    cutoffs = sorted({positive_integer("k", one) for one in ks})
    if not cutoffs:
        raise ValueError(f"`k` should hold at least one positive integer. Received: `k`={k!r}")
    if positions not in ("auto", *_KINDS):
        raise ValueError(
            '`positions` should be "auto", "every" or "target_ids". '
            f"Received: `positions`={positions!r}"
        )
    block_size = positive_integer("block_size", block_size)
    first = first_item(first_item_index, vocabulary)
    systems = {"model": System(model, first)}
    size = systems["model"].vocabulary_size
    counts = popularity_counts(popularity, vocabulary, size)
    if counts is not None:
        systems["popularity"] = System(Popularity(counts), first)
    ranking = _Ranking(systems, cutoffs, first, bool(filter_seen), block_size)
    skipped = unknown = 0
    for batch in tqdm(dataset, desc="evaluate", unit=" batches", disable=not progress):
        if positions == "auto":
            positions = "target_ids" if "target_ids" in batch else "every"
        queries = _KINDS[positions][0](batch, size, first)
        skipped += queries.num_skipped
        unknown += queries.num_unknown
        if len(queries.rows):
            ranking.add(batch, queries)
    ranking.finish()
    if not ranking.num_queries:
        raise ValueError(
            "`dataset` should hold at least one query: a session with a known positive item that "
            f"may be predicted. Received: 0 queries, {skipped} sessions skipped because no "
            "positive of theirs is known"
        )
    means = {
        name: {metric: total / ranking.num_queries for metric, total in sums.items()}
        for name, sums in ranking.sums.items()
    }
    return Report(
        metrics=means.pop("model"),
        baselines=means,
        num_queries=ranking.num_queries,
        num_candidates=size - first,
        num_skipped=skipped,
        options={
            "targets": _KINDS[positions][1],
            "filter_seen": bool(filter_seen),
            "ties": "against the targets",
            "unknown targets left out": unknown,
            "skipped": "sessions without a known positive",
        },
        seconds=time.perf_counter() - begin,
    )


class _Ranking:
    """Collects queries, ranks many at a time, and sums the metrics of each system."""

    def __init__(
        self,
        systems: Mapping[str, System],
        cutoffs: Sequence[int],
        first_item_index: int,
        filter_seen: bool,
        block_size: int,
    ) -> None:
        self.systems = systems
        self.cutoffs = cutoffs
        self.first_item_index = first_item_index
        self.filter_seen = filter_seen
        self.block_size = block_size
        self.num_queries = 0
        self.sums: dict[str, dict[str, float]] = {name: {} for name in systems}
        self._queries: list[Queries] = []
        self._embeddings: dict[str, list[NDArray[np.float32]]] = {name: [] for name in systems}
        self._terms: dict[str, list[Any]] = {name: [] for name in systems}

    def add(self, batch: Mapping[str, Any], queries: Queries) -> None:
        for name, system in self.systems.items():
            embeddings, terms = system.queries(batch, queries.rows, queries.positions)
            self._embeddings[name].append(embeddings)
            if terms is not None:
                self._terms[name].append(terms)
        self._queries.append(queries)
        if sum(len(queries.rows) for queries in self._queries) >= _TOGETHER:
            self.finish()

    def finish(self) -> None:
        """Ranks what has been collected."""
        if not self._queries:
            return
        width = max(queries.targets.shape[1] for queries in self._queries)
        targets = np.concatenate(
            [
                np.pad(queries.targets, [(0, 0), (0, width - queries.targets.shape[1])])
                for queries in self._queries
            ]
        )
        # Few targets first: a block of queries costs as much as its largest set. Then by time:
        # requests of one moment share what is true of the candidates.
        times = [terms.times for every in self._terms.values() for terms in every]
        keys = [np.concatenate(times)] if len(times) == len(self._queries) else []
        order = np.lexsort([*keys, (targets > 0).sum(axis=1)])
        targets = targets[order] - self.first_item_index
        removed = None
        if self.filter_seen:
            removed = Slices.concatenate([queries.seen for queries in self._queries])
            removed = Slices(
                removed.items - self.first_item_index, removed.start[order], removed.stop[order]
            )
        for name, system in self.systems.items():
            terms = None
            if self._terms[name]:
                first, *others = self._terms[name]
                terms = first.join(others).gather(order)
                self._terms[name].clear()
            ranks = rank_targets(
                np.concatenate(self._embeddings[name])[order],
                system.candidates,
                targets,
                removed=removed,
                block_size=self.block_size,
                terms=terms,
                first_candidate_id=self.first_item_index,
            )
            sums = self.sums[name]
            for metric in _METRICS:
                for k in self.cutoffs:
                    key = f"{metric.__name__}@{k}"
                    sums[key] = sums.get(key, 0.0) + float(metric(ranks, k).sum())
            self._embeddings[name].clear()
        self.num_queries += len(targets)
        self._queries.clear()
