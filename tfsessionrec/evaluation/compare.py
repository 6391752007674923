"""A paired test between two systems."""

from collections.abc import Iterable

import numpy as np

from tfsessionrec.checks import positive_integer
from tfsessionrec.evaluation.bootstrap import bootstrap_means, cluster_sums, randomisation_p_values
from tfsessionrec.evaluation.comparison import Comparison
from tfsessionrec.evaluation.query_results import QueryResults
from tfsessionrec.evaluation.report import Report


def compare(
    report_a: Report,
    report_b: Report,
    metrics: Iterable[str] | None = None,
    *,
    systems: tuple[str, str] = ("model", "model"),
    samples: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Tests whether two systems differ on the same queries, query by query.

    - The **p-value** is that of a paired randomisation test: were both systems the same, the
      difference of each row of the dataset (all its queries together, which are no independent
      observations) could as well have the other sign. `p = (1 + as extreme a sum of differences
      with random signs) / (1 + samples)`, two-sided.
    - The **interval** of the mean difference is the paired bootstrap's: rows are drawn with
      replacement, each with all its queries, and the 2.5th and 97.5th percentiles taken.

    Args:
        report_a: Of `evaluate(..., keep_queries=True)`.
        report_b: Of the same dataset; it may be the same report, see `systems`.
        metrics: Names such as `"ndcg@20"`. By default all that both have for each query.
        systems: Which system of each report: `"model"`, or the name of a baseline.
        samples: How many times rows are drawn, and signs. 1000 by default.
        seed: Seed of the draws.

    Returns:
        A `Comparison`; differences are b - a.

    Raises:
        ValueError: If a report kept no queries, or the two asked for different ones; if a system or
            a metric is not there.

    Example:

    >>> import tfsessionrec as sr
    >>> batch = {"item_ids": [[[3], [2], [4]], [[4], [2], [3]]]}
    >>> reports = [
    ...     sr.evaluation.evaluate(sr.baselines.Popularity(counts), [batch], k=1, keep_queries=True)
    ...     for counts in ([0, 0, 5, 1, 9], [0, 0, 9, 5, 1])
    ... ]
    >>> found = sr.evaluation.compare(*reports, metrics=["recall@1"])
    >>> found["recall@1"]["a"], found["recall@1"]["b"]
    (0.25, 0.5)

    References: Smucker, Allan and Carterette, A comparison of statistical significance tests for
    information retrieval evaluation, CIKM 2007.
    """
    samples = positive_integer("samples", samples)
    results = [_results(report, name) for report, name in ((report_a, "a"), (report_b, "b"))]
    _same_queries(*results)
    for name, result, system in zip("ab", results, systems):
        if system not in result.ranks:
            raise ValueError(
                f"`systems` should be among {sorted(result.ranks)} of `report_{name}`. "
                f"Received: {system!r}"
            )
    values_a, values_b = (result.metrics(system) for result, system in zip(results, systems))
    both = [
        name
        for name, values in values_a.items()
        if name in values_b and not np.isnan(values + values_b[name]).all()
    ]
    names = both if metrics is None else list(metrics)
    for name in names:
        if name not in both:
            raise ValueError(
                f"`metrics` should be among those of both reports: {', '.join(both)}. "
                f"Received: {name!r}"
            )
    a, b = (np.stack([values[name] for name in names], axis=1) for values in (values_a, values_b))
    a, b = np.where(np.isnan(b), np.nan, a), np.where(np.isnan(a), np.nan, b)
    sums, counts = cluster_sums(b - a, results[0].details.origins)
    p_values = randomisation_p_values(sums, samples, seed)
    low, high = np.nanpercentile(bootstrap_means(sums, counts, samples, seed), [2.5, 97.5], axis=0)
    mean_a, mean_b = np.nanmean(a, axis=0), np.nanmean(b, axis=0)
    columns = {
        "a": mean_a,
        "b": mean_b,
        "difference": mean_b - mean_a,
        "low": low,
        "high": high,
        "p_value": p_values,
    }
    return Comparison(
        {
            name: {column: float(values[place]) for column, values in columns.items()}
            for place, name in enumerate(names)
        },
        num_queries=len(results[0]),
        num_clusters=len(sums),
        samples=samples,
    )


def _results(report: Report, name: str) -> QueryResults:
    if report.queries is None:
        raise ValueError(
            f"`report_{name}` should hold the ranks of every query: "
            "`evaluate(..., keep_queries=True)`. Received: a report without"
        )
    return report.queries


def _same_queries(a: QueryResults, b: QueryResults) -> None:
    if len(a) != len(b):
        raise ValueError(
            "`report_a` and `report_b` should be of the same queries. "
            f"Received: {len(a)} and {len(b)} queries"
        )
    sizes_a, sizes_b = np.diff(a.splits), np.diff(b.splits)
    differ = sizes_a != sizes_b
    if not differ.any():
        number = np.repeat(np.arange(len(a)), sizes_a)
        differ[number[a.targets != b.targets]] = True
        differ |= a.details.origins != b.details.origins
    if differ.any():
        raise ValueError(
            "`report_a` and `report_b` should be of the same queries. Received: other targets, or "
            f"another row, in {int(differ.sum())} of {len(a)} queries, the first of them number "
            f"{int(differ.argmax())}"
        )
