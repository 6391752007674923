"""Full-catalogue evaluation."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray
from tqdm.auto import tqdm

from tfsessionrec.baselines import Popularity
from tfsessionrec.evaluation.bootstrap import bootstrap_means, cluster_sums
from tfsessionrec.evaluation.list_measures import ListMeasures
from tfsessionrec.evaluation.queries import next_session_queries, target_id_queries
from tfsessionrec.evaluation.query_results import QueryResults
from tfsessionrec.evaluation.query_slices import RULES, slice_kinds, slice_metrics
from tfsessionrec.evaluation.ranking import Ranking
from tfsessionrec.evaluation.ranks import BLOCK_SIZE
from tfsessionrec.evaluation.report import Report
from tfsessionrec.evaluation.sparse_system import SparseSystem
from tfsessionrec.evaluation.system import System, first_item, popularity_counts
from tfsessionrec.metrics import positive_integer

_KINDS = {
    "every": (next_session_queries, "positives of the next session, at every position"),
    "target_ids": (target_id_queries, "`target_ids`, after the whole history"),
}
_UNKNOWN = {"leave_out": "left out", "miss": "counted as misses"}
_PERCENT = 95  # Of an interval.


def evaluate(
    model: Any,
    dataset: tf.data.Dataset | Iterable[Mapping[str, Any]],
    k: int | Iterable[int] = (20, 100),
    *,
    positions: str = "auto",
    filter_seen: bool = False,
    repeats: bool = True,
    unknown_targets: str = "leave_out",
    baselines: Mapping[str, Any] | None = None,
    popularity: ArrayLike | None = None,
    vocabulary: Any = None,
    first_item_index: int | None = None,
    slices: bool | str | Iterable[str] = False,
    bootstrap: int = 0,
    beyond_accuracy: bool = False,
    item_features: ArrayLike | None = None,
    keep_queries: bool = False,
    seed: int = 0,
    block_size: int = BLOCK_SIZE,
    progress: bool = False,
) -> Report:
    """Ranks every item of the catalogue for every query, and takes metrics of the ranks at each k.

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

    With `beyond_accuracy` the best k items of each query are listed (equal scores by lower index; a
    system that scores few items lists these alone), and each k gets

    - `coverage` and `gini`: share of the catalogue in any list, and Gini coefficient of how often
      each item is listed (`tfsessionrec.metrics.gini`);
    - `novelty` and `mean_popularity`: mean over the lists of the mean self-information, in bits,
      and of the mean training clicks of their items;
    - `diversity`: mean over the lists of the mean `1 - cos` of their pairs of items (of the model's
      item embeddings), or, with categories, of the share of pairs of different ones;
    - `serendipity`: recall of targets that are not among the k items most clicked in training.

    Args:
        model: Offers `model(features, training=False)` [B, S, D] (or `encode(features)` [B, D]) and
            `candidate_embeddings()` [vocabulary_size, D]; see `tfsessionrec.models`,
            `tfsessionrec.baselines`. Where it has `candidate_terms`, candidates know the time
            of each query: the batches need `request_times`. Queries of N interests have an axis N
            before the last; the best interest scores. Or it offers
            `sparse_scores(features, rows, positions)`, a SciPy CSR array [Q, vocabulary_size] for
            these rows and positions (without them, each row's whole history); what it does not
            store stands, tied, below what it does.
        dataset: Session batches (`tfsessionrec.data.session_dataset`).
        k: Lengths of the list, `(20, 100)` by default. More than there are items means all.
        positions: `"every"` for the next-session kind, `"target_ids"` for the other, `"auto"` (by
            default) for what the batches hold.
        filter_seen: Whether the items of the query's history (taken or only shown) are removed from
            the ranking, which makes a target among them a miss. False by default; the report says.
        repeats: Whether targets that the query's history holds are asked for. True by default; with
            False a set keeps its other items, and where it has none there is no query.
        unknown_targets: `"leave_out"` (by default) takes targets that the vocabulary does not know
            out of the sets, `"miss"` counts each as one that is never found.
        baselines: Further systems beside the model, by name: anything that `model` may be.
        popularity: [vocabulary_size] counts of a popularity baseline beside the model. By default
            the vocabulary's counts, if it is given and has any.
        vocabulary: The `Vocabulary` of the dataset, for its counts and its first item.
        first_item_index: First vocabulary index that is an item; by default the vocabulary's, or 2.
        slices: Parts of the queries with metrics of their own: `"session_length"`,
            `"earlier_sessions"`, `"target_popularity"` (by the counts; `"new"` are items without a
            click), some of them, or True for all. False by default. The rules stand in the report.
            What a batch does not show, of histories that were cut or laid out as one item a
            session, its keys `running_length` and `earlier_sessions` [B, S, I] may tell.
        bootstrap: How many times the queries are resampled for 95 % intervals of every mean (the
            percentiles of the resamples' means); 0, by default, for none. Rows of the dataset are
            drawn, each with all its queries, or what the batches' key `origin` [B, S, I] groups.
        beyond_accuracy: Whether the lists are measured, see above. Needs counts. False by default.
        item_features: What diversity goes by: [vocabulary_size] categories or
            [vocabulary_size, D] vectors. By default the model's item embeddings; a model without
            any gets no diversity.
        keep_queries: Whether the report keeps the rank of every target, 4 bytes each and system,
            for `compare` and its plots. False by default.
        seed: Seed of the resampling.
        block_size: Scores held at a time, `2**22` by default: memory is about 9 bytes each.
        progress: Whether to show a progress bar. False by default.

    Returns:
        A `Report` with `recall@k`, `precision@k`, `hit_rate@k`, `ndcg@k`, `mrr@k` and `map@k`,
        means over queries, and what else was asked for.

    Raises:
        ValueError: If an argument is out of its range, the dataset holds no query, an index is not
            in the vocabulary, or an embedding or a score is not finite.

    Example: popularity on one history: 3, then 2, then 4. The counts rank 4, 2, 3.

    >>> import tfsessionrec as sr
    >>> model = sr.baselines.Popularity([0, 0, 5, 1, 9])
    >>> batch = {"item_ids": [[[3], [2], [4]]]}
    >>> print(sr.evaluation.evaluate(model, [batch], k=1))  # doctest: +ELLIPSIS
                  model
    recall@1     0.5000
    precision@1  0.5000
    hit_rate@1   0.5000
    ndcg@1       0.5000
    mrr@1        0.5000
    map@1        0.5000
    2 queries, 3 candidates, 0 skipped, ... s
    targets: positives of the next session, at every position
    filter_seen: no
    repeats: yes
    ties: against the targets
    unknown targets left out: 0
    skipped: sessions without a known positive
    """
    begin = time.perf_counter()
    cutoffs = _cutoffs(k)
    for name, value, allowed in (
        ("positions", positions, ("auto", *_KINDS)),
        ("unknown_targets", unknown_targets, tuple(_UNKNOWN)),
    ):
        if value not in allowed:
            *others, last = (f'"{one}"' for one in allowed)
            raise ValueError(
                f"`{name}` should be {', '.join(others)} or {last}. Received: `{name}`={value!r}"
            )
    block_size = positive_integer("block_size", block_size)
    bootstrap = positive_integer("bootstrap", bootstrap) if bootstrap else 0
    first = first_item(first_item_index, vocabulary)
    systems, counts = _systems(model, baselines or {}, popularity, vocabulary, first)
    size = systems["model"].vocabulary_size
    kinds = slice_kinds(slices, counts is not None)
    measures = None
    if beyond_accuracy:
        features = _item_features(item_features, systems["model"], size, first)
        measures = ListMeasures(systems, cutoffs, _needed(counts)[first:], features)
    keep = bool(kinds or bootstrap or keep_queries)
    ranking = Ranking(
        systems,
        cutoffs,
        first_item_index=first,
        filter_seen=bool(filter_seen),
        block_size=block_size,
        measures=measures,
        keep=keep,
    )
    skipped = unknown = repeated = 0
    for batch in tqdm(dataset, desc="evaluate", unit=" batches", disable=not progress):
        if positions == "auto":
            positions = "target_ids" if "target_ids" in batch else "every"
        queries = _KINDS[positions][0](batch, size, first, unknown_targets == "miss")
        if not repeats:
            queries = queries.without_repeats()
        skipped += queries.num_skipped
        unknown += queries.num_unknown
        repeated += queries.num_repeated
        ranking.add(batch, queries)
    ranking.finish()
    if not ranking.num_queries:
        raise ValueError(
            "`dataset` should hold at least one query: a session with a known positive item that "
            f"may be predicted. Received: 0 queries, {skipped} sessions skipped because no "
            "positive of theirs is known"
        )
    options: dict[str, Any] = {
        "targets": _KINDS[positions][1],
        "filter_seen": bool(filter_seen),
        "repeats": True if repeats else f"no, {repeated} targets left out",
        "ties": "against the targets",
        f"unknown targets {_UNKNOWN[unknown_targets]}": unknown,
        "skipped": "sessions without a known positive" + ("" if repeats else " new to the history"),
    }
    means = {name: ranking.metrics(name) for name in systems}
    results = ranking.results() if keep else None
    intervals = {}
    if results is not None and bootstrap:
        intervals = _intervals(results, list(systems), bootstrap, seed)
        options["intervals"] = (
            f"{_PERCENT} %, {bootstrap} resamples of "
            f"{len(np.unique(results.details.origins))} rows with all their queries, seed {seed}"
        )
    if measures is not None:
        options["lists"] = "equal scores by lower index; of sparse systems what they score"
        options["diversity"] = _diversity_rule(item_features, measures)
    options |= {f"slices by {kind}": RULES[kind] for kind in kinds}
    return Report(
        metrics=means.pop("model"),
        baselines=means,
        num_queries=ranking.num_queries,
        num_candidates=size - first,
        num_skipped=skipped,
        options=options,
        seconds=time.perf_counter() - begin,
        intervals=intervals,
        slices=slice_metrics(results, list(systems), kinds, counts) if results else {},
        exposure=measures.exposure() if measures is not None else {},
        queries=results if keep_queries else None,
    )


def _cutoffs(k: int | Iterable[int]) -> list[int]:
    ks = k if isinstance(k, Iterable) and not isinstance(k, str) else [k]
    cutoffs = sorted({positive_integer("k", one) for one in ks})
    if not cutoffs:
        raise ValueError(f"`k` should hold at least one positive integer. Received: `k`={k!r}")
    return cutoffs


def _systems(
    model: Any,
    baselines: Mapping[str, Any],
    popularity: ArrayLike | None,
    vocabulary: Any,
    first: int,
) -> tuple[dict[str, System | SparseSystem], NDArray[Any] | None]:
    """The systems by name, and the counts [vocabulary_size] of the items."""
    taken = {"model", "popularity"} & set(baselines)
    if taken:
        raise ValueError(
            '`baselines` should not be called "model" or "popularity". '
            f"Received: {', '.join(sorted(taken))}"
        )
    given = {"model": model, **baselines}
    dense = {
        name: System(one, first) for name, one in given.items() if not hasattr(one, "sparse_scores")
    }
    sizes = {system.vocabulary_size for system in dense.values()}
    if not sizes:
        sizes = {_vocabulary_size(model, popularity, vocabulary)}
    size = sizes.pop()
    if sizes:
        raise ValueError(
            "All systems should know the same vocabulary. Received: "
            f"{sorted([size, *sizes])} rows of `candidate_embeddings()`"
        )
    systems: dict[str, System | SparseSystem] = {
        name: dense[name] if name in dense else SparseSystem(one, size, first)
        for name, one in given.items()
    }
    counts = popularity_counts(popularity, vocabulary, size)
    if counts is not None:
        systems["popularity"] = System(Popularity(counts), first)
    return systems, counts


def _vocabulary_size(model: Any, popularity: ArrayLike | None, vocabulary: Any) -> int:
    """How long the vocabulary of systems without embeddings is."""
    if vocabulary is None:
        vocabulary = getattr(model, "vocabulary", None)
    if vocabulary is not None:
        return len(vocabulary)
    if popularity is not None:
        return len(np.asarray(popularity))
    raise ValueError(
        "A `model` with `sparse_scores` alone needs `vocabulary` or `popularity`, which tell how "
        "many items there are. Received: neither"
    )


def _needed(counts: NDArray[Any] | None) -> NDArray[Any]:
    if counts is None:
        raise ValueError(
            "`beyond_accuracy` needs the items' counts: give `popularity` or a `vocabulary` that "
            "has any. Received: neither"
        )
    return counts


def _item_features(
    item_features: ArrayLike | None, model: System | SparseSystem, size: int, first: int
) -> NDArray[Any] | None:
    """What diversity goes by, of the candidates."""
    if item_features is None:
        return model.candidates.numpy() if isinstance(model, System) else None
    features = np.asarray(item_features)
    if features.ndim not in (1, 2) or len(features) != size:
        raise ValueError(
            f"`item_features` should be categories of shape {(size,)} or vectors of shape "
            f"({size}, D). Received: `item_features` of shape {features.shape}"
        )
    return features[first:]


def _diversity_rule(item_features: ArrayLike | None, measures: ListMeasures) -> str:
    if measures.features is None:
        return "not measured: the model has no item embeddings"
    if item_features is None:
        return "1 - cosine of the model's item embeddings"
    return "1 - cosine of the given vectors" if measures.features.ndim == 2 else "by categories"


def _intervals(
    results: QueryResults, systems: list[str], samples: int, seed: int
) -> dict[str, dict[str, tuple[float, float]]]:
    """Of each system and metric the lower and upper end."""
    found = {}
    tails = [(100 - _PERCENT) / 2, (100 + _PERCENT) / 2]
    for system in systems:
        values = results.metrics(system)
        sums = cluster_sums(np.stack(list(values.values()), axis=1), results.details.origins)
        means = bootstrap_means(*sums, samples, seed)
        found[system] = {
            name: tuple(np.percentile(column[~np.isnan(column)], tails).tolist())
            for name, column in zip(values, means.T)
            if not np.isnan(column).all()
        }
    return found
