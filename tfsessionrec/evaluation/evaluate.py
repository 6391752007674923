"""Full-catalogue evaluation."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray
from tqdm.auto import tqdm

from tfsessionrec import checks
from tfsessionrec.baselines import Popularity
from tfsessionrec.data import Vocabulary
from tfsessionrec.evaluation.arguments import (
    check_shared,
    check_systems,
    each_batch,
)
from tfsessionrec.evaluation.choices import (
    TARGETS,
    UNKNOWN,
    Choices,
    Positions,
    UnknownTargets,
    list_lengths,
)
from tfsessionrec.evaluation.compare import PERCENT, intervals
from tfsessionrec.evaluation.list_measures import list_measures, list_rules
from tfsessionrec.evaluation.query_results import QueryResults
from tfsessionrec.evaluation.query_slices import RULES, slice_kinds, slice_metrics
from tfsessionrec.evaluation.ranking import Ranking
from tfsessionrec.evaluation.ranks import BLOCK_SIZE
from tfsessionrec.evaluation.report import Report
from tfsessionrec.evaluation.report_data import Targets
from tfsessionrec.evaluation.system import (
    EmbeddingSystem,
    System,
    first_item,
    known_size,
    popularity_counts,
    read_systems,
)
from tfsessionrec.types import Features


def evaluate(
    model: object,
    dataset: tf.data.Dataset | Iterable[Features],
    k: int | Iterable[int] = (20, 100),
    *,
    positions: Positions = "auto",
    filter_seen: bool = False,
    repeats: bool = True,
    unknown_targets: UnknownTargets = "leave_out",
    baselines: Mapping[str, object] | None = None,
    popularity: ArrayLike | None = None,
    vocabulary: Vocabulary | None = None,
    first_item_index: int | None = None,
    slices: bool | str | Iterable[str] = False,
    bootstrap: int = 0,
    repetition: bool = False,
    beyond_accuracy: bool = False,
    item_features: ArrayLike | None = None,
    keep_queries: bool = False,
    seed: int = 0,
    block_size: int = BLOCK_SIZE,
    progress: bool = False,
) -> Report:
    """Ranks every item of the catalogue for every query, and computes metrics of the ranks.

    A query has a **set** of targets, each item once, and each target is ranked against all other
    items of the catalogue (`rank_targets` has the definition; ties count against the target,
    nothing is sampled, nothing is sorted). Two kinds of dataset make queries:

    - *next session*: every position t of `model(features)` whose session t + 1 exists, may be
      predicted (`is_target`, by default all may) and holds a positive (`labels`, by default all
      items are). The targets are its positives. With one item a session this is next-item
      prediction at every position.
    - *target_ids*: one query a row, `model.encode(features)`, for the set `target_ids`. A row with
      an empty history is a query like any other.

    Padding and out-of-vocabulary entries are neither candidates nor targets. A set keeps its known
    items; a set without any gives no query. The report counts the unknown targets, and in
    `num_skipped` the sessions that gave no query.

    The metrics are those of the literature on baskets too: recall divides by the size of the set,
    the best possible DCG is that of min(k, size) hits, and `hit_rate` is the personalized hit ratio
    (PHR).

    With `repetition` the targets that the query's history holds (clicked or only shown, however far
    back: what `filter_seen` and `repeats` go by) and the new ones have metrics of their own. With T
    the targets and H the history, each k gets

    - `recall_rep@k = |{t in T and H : rank(t) <= k}| / |T and H|`, `hit_rate_rep` and `ndcg_rep`:
      the metrics of the targets in H alone, each at its rank among all items. The means are over
      the queries with such a target, whose number the report has;
    - `recall_expl`, `hit_rate_expl` and `ndcg_expl`: those of the targets outside H;
    - `repetition_ratio`: mean over the lists, see below, of the share of their items that H holds.

    With `beyond_accuracy` the best k items of each query are listed (equal scores by lower index; a
    system that scores few items lists only these), and each k gets

    - `coverage` and `gini`: share of the catalogue in any list, and Gini coefficient of how often
      each item is listed (`tfsessionrec.metrics.gini`);
    - `novelty` and `mean_popularity`: mean over the lists of the mean self-information, in bits,
      and of the mean training clicks of their items;
    - `diversity`: mean over the lists of the mean `1 - cos` of their pairs of items (of the model's
      item embeddings), or, with categories, of the share of pairs of different ones;
    - `serendipity`: recall of targets that are not among the k items most clicked in training.

    Args:
        model: One of three kinds. A `tfsessionrec.query_model.QueryModel`, such as those of
            `tfsessionrec.models`; with a trend its batches need `request_times`. Or an object with
            `model(features, training=False)` [B, S, D] (or `encode(features)` [B, D]) and
            `candidate_embeddings()` [vocabulary_size, D]; N vectors for each query have an axis N
            before the last, and the best of them scores. Or an object with
            `sparse_scores(features, rows, positions)`, a SciPy CSR array [Q, vocabulary_size] for
            these rows and positions (without them, for each row's whole history), such as those of
            `tfsessionrec.baselines`; items that are not stored rank, tied, below stored ones.
        dataset: Session batches (`tfsessionrec.data.session_dataset`).
        k: Lengths of the list, `(20, 100)` by default. More than there are items means all.
        positions: `"auto"` (by default) for the kind of query that the batches hold, `"every"` for
            the next-session kind, `"target_ids"` for the other.
        filter_seen: Whether the items of the query's history (clicked or only shown) are removed
            from the ranking, which makes a target among them a miss. False by default.
        repeats: Whether targets that the query's history holds are asked for. True by default; with
            False a set keeps its other items, and a set without any gives no query.
        unknown_targets: `"leave_out"` (by default) removes targets that the vocabulary does not
            know from the sets, and the report has the figures with them as misses too; `"miss"`
            counts each as one that is never found.
        baselines: Further systems by name, of the same kinds as `model`.
        popularity: [vocabulary_size] counts of a popularity baseline. By default the counts of
            `vocabulary`, if it has any.
        vocabulary: The `Vocabulary` of the dataset, for its counts and its first item. With it, a
            model with embeddings answers as its export does: where a history holds no known item,
            the counts rank the items (`scoring.popularity_scores`), unless a trend does.
        first_item_index: First vocabulary index that is an item; by default the vocabulary's, the
            model's (`NextSessionRetrieval(first_item_index=)`), or 2. They should agree.
        slices: Parts of the queries with metrics of their own: `"session_length"`,
            `"earlier_sessions"`, `"target_popularity"` (by the counts; `"new"` are items without a
            click), some of them, or True for all. False by default. The report has the rules. For
            histories that were cut or hold one item a session, the batches' keys `running_length`
            and `earlier_sessions` [B, S, I] replace the counts of the batch.
        bootstrap: Number of resamples for 95 % intervals of every mean (percentiles of the
            resamples' means); 0, by default, for none. Rows of the dataset are drawn, each with all
            its queries, or groups of the batches' key `origin` [B, S, I].
        repetition: Whether repeated and new targets have metrics of their own, see above. False by
            default.
        beyond_accuracy: Whether the lists are measured, see above. Needs counts. False by default.
        item_features: Attributes for diversity: [vocabulary_size] categories or
            [vocabulary_size, D] vectors. By default the model's item embeddings; a model without
            any gets no diversity.
        keep_queries: Whether the report keeps the rank of every target, 4 bytes for each target and
            system, for `compare` and its plots. False by default.
        seed: Seed of the resampling.
        block_size: Scores held at a time, `2**22` by default: memory is about 9 bytes each.
        progress: Whether to show a progress bar. False by default.

    Returns:
        A `Report` with `recall@k`, `precision@k`, `hit_rate@k`, `ndcg@k`, `mrr@k` and `map@k`,
        means over queries, and the further results that were asked for.

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
    known targets         2
    unknown targets       0
    2 queries, 3 candidates, 0 skipped, ... s
    targets: positives of the next session, at every position
    filter_seen: no
    repeats: yes
    ties: against the targets
    unknown targets left out: 0
    skipped: sessions without a known positive

    Example: the third basket repeats 3 and takes 2 for the first time. Of the list (4, 2) of the
    two most popular items the history holds 4.

    >>> items = [[[3, 0], [4, 0], [2, 3]]]
    >>> batch = {"item_ids": items, "is_target": [[False, False, True]]}
    >>> report = sr.evaluation.evaluate(model, [batch], k=2, repetition=True)
    >>> report["recall@2"], report["recall_rep@2"], report["recall_expl@2"]
    (0.5, 0.0, 1.0)
    >>> report["repetition_ratio@2"], report.targets["repetition"]["repetition_ratio"]
    (0.5, 0.5)

    References: Li, Jullien, Ariannezhad, de Rijke, "A Next Basket Recommendation Reality Check",
    ACM Transactions on Information Systems 2023, arXiv:2109.14233 (repetition and exploration).
    """
    begin = time.perf_counter()
    check_shared(
        dataset, vocabulary, popularity,
        beyond_accuracy=beyond_accuracy, keep_queries=keep_queries, progress=progress,
    )  # fmt: skip
    bootstrap = _resamples(bootstrap, seed)
    first = first_item(first_item_index, vocabulary, model)
    choices = Choices(
        list_lengths(k), positions, filter_seen, repeats, unknown_targets, first, block_size,
        repetition,
    )  # fmt: skip
    systems, counts = _systems(model, baselines, popularity, vocabulary, first)
    kinds = slice_kinds(slices, counts is not None)
    measures = None
    if beyond_accuracy:
        measures = list_measures(systems, choices.cutoffs, first, counts, item_features)
    ranking = Ranking(systems, choices, measures, bool(kinds or bootstrap or keep_queries))
    asked = _ask_all(ranking, tqdm(dataset, "evaluate", unit=" batches", disable=not progress))
    results = ranking.results() if ranking.keep else None
    means = {name: ranking.metrics(name) for name in systems}
    options = _options(choices, asked) | _unknown_histories(ranking)
    ends = _ends(results, list(systems), bootstrap, seed, options)
    options |= _further_rules(ranking, item_features, kinds)
    return Report(
        metrics=means.pop("model"),
        baselines=means,
        num_queries=ranking.num_queries,
        num_candidates=systems["model"].vocabulary_size - first,
        num_skipped=asked.skipped,
        options=options,
        intervals=ends,
        slices=slice_metrics(results, list(systems), kinds, counts) if results else {},
        exposure=measures.exposure() if measures is not None else {},
        queries=results if keep_queries else None,
        targets=_targets(ranking, asked),
        seconds=time.perf_counter() - begin,
    )


@dataclass(frozen=True)
class _Asked:
    """The kind of all queries, and the sessions and targets that were left out."""

    kind: Positions
    skipped: int = 0
    known: int = 0
    unknown: int = 0
    missed: int = 0
    repeated: int = 0


def _ask_all(ranking: Ranking, batches: Iterable[Features]) -> _Asked:
    """Ranks the targets of every batch.

    Raises:
        ValueError: If there is no query.
    """
    choices, size = ranking.choices, ranking.systems["model"].vocabulary_size
    kind = choices.positions
    skipped = known = unknown = missed = repeated = 0
    for batch in each_batch(batches):
        if kind == "auto":
            kind = choices.kind_of(batch)
        queries = choices.ask(batch, kind, size)
        skipped += queries.num_skipped
        known += int((queries.targets > 0).sum())
        unknown += queries.num_unknown
        missed += queries.num_missed
        repeated += queries.num_repeated
        ranking.add(batch, queries)
    ranking.finish()
    if not ranking.num_queries:
        raise ValueError(
            "`dataset` should hold at least one query: a session with a known positive item that "
            f"may be predicted. Received: 0 queries, {skipped} sessions skipped because no "
            "positive of theirs is known"
        )
    return _Asked(kind, skipped, known, unknown, missed, repeated)


def _targets(ranking: Ranking, asked: _Asked) -> Targets:
    """The numbers of targets, and the metrics with those that are left out as misses."""
    targets: Targets = {"known": asked.known, "unknown": asked.unknown}
    if asked.unknown and ranking.choices.unknown_targets == "leave_out":
        targets["unknown_as_misses"] = {
            name: ranking.metrics_missed(name, asked.missed) for name in ranking.systems
        }
    if ranking.repetition is not None:
        targets["repetition"] = ranking.repetition.targets()
    return targets


def _options(choices: Choices, asked: _Asked) -> dict[str, object]:
    """The choices and the counts that belong to them, as a report shows them."""
    skipped = "sessions without a known positive"
    return {
        "targets": TARGETS[asked.kind],
        "filter_seen": choices.filter_seen,
        "repeats": True if choices.repeats else f"no, {asked.repeated} targets left out",
        "ties": "against the targets",
        f"unknown targets {UNKNOWN[choices.unknown_targets]}": asked.unknown,
        "skipped": skipped + ("" if choices.repeats else " new to the history"),
    }


def _further_rules(
    ranking: Ranking, item_features: ArrayLike | None, slices: Sequence[str]
) -> dict[str, str]:
    """The rules of the further results that were asked for."""
    rules = {} if ranking.repetition is None else ranking.repetition.rules()
    if ranking.measures is not None:
        rules |= list_rules(ranking.measures, item_features)
    return rules | {f"slices by {kind}": RULES[kind] for kind in slices}


def _unknown_histories(ranking: Ranking) -> dict[str, object]:
    """How the model answers histories without a known item."""
    count = ranking.num_by_popularity
    if count is None:
        return {}
    return {"histories without a known item": f"{count:,}, ranked by popularity in training"}


def _resamples(bootstrap: int, seed: int) -> int:
    checks.non_negative_integer("seed", seed)
    return checks.non_negative_integer("bootstrap", bootstrap)


def _ends(
    results: QueryResults | None,
    systems: Sequence[str],
    samples: int,
    seed: int,
    options: dict[str, object],
) -> dict[str, dict[str, tuple[float, float]]]:
    """The ends of the intervals, whose rule becomes an option; none without `samples`."""
    if results is None or not samples:
        return {}
    options["intervals"] = _interval_rule(results, samples, seed)
    return intervals(results, systems, samples, seed)


def _interval_rule(results: QueryResults, samples: int, seed: int) -> str:
    rows = len(np.unique(results.details.origins))
    return f"{PERCENT} %, {samples} resamples of {rows} rows with all their queries, seed {seed}"


def _systems(
    model: object,
    baselines: Mapping[str, object] | None,
    popularity: ArrayLike | None,
    vocabulary: Vocabulary | None,
    first: int,
) -> tuple[dict[str, System], NDArray[np.number] | None]:
    """The systems by name, and the counts [vocabulary_size] of the items."""
    baselines = {} if baselines is None else baselines
    checks.mapping("baselines", baselines, "systems")
    check_systems("baselines", baselines.values())
    reserved = {"model", "popularity"} & set(baselines)
    if reserved:
        raise ValueError(
            '`baselines` should not be called "model" or "popularity". '
            f"Received: {', '.join(sorted(reserved))}"
        )
    size = known_size(model, vocabulary, popularity)
    given = {"model": model, **baselines}
    systems = dict(zip(given, read_systems(list(given.values()), first, default_size=size)))
    counts = popularity_counts(popularity, vocabulary, systems["model"].vocabulary_size)
    for system in systems.values():
        if vocabulary is not None and isinstance(system, EmbeddingSystem):
            system.use_popularity(np.asarray(vocabulary.counts))
    if counts is not None:
        systems["popularity"] = EmbeddingSystem(Popularity(counts), first)
    return systems, counts
