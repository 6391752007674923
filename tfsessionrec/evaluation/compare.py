"""How certain a mean over queries is: bootstrap intervals, and a paired test of two systems."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tfsessionrec import checks
from tfsessionrec.checks import positive_integer
from tfsessionrec.evaluation.arguments import names as checked_names
from tfsessionrec.evaluation.query_results import QueryResults
from tfsessionrec.evaluation.report import Report

PERCENT = 95
"""Coverage of every interval."""

_TAILS = ((100 - PERCENT) / 2, (100 + PERCENT) / 2)
_DRAWN_AT_ONCE = 2**22  # Bounds the memory of the random numbers.

Clusters = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """How two systems differ on the same queries, see `compare`.

    `comparison["ndcg@20"]["p_value"]` is one number, `print(comparison)` a table.

    Args:
        metrics: By name `{"a": mean, "b": mean, "difference": b - a, "low": ..., "high": ...,
            "p_value": ...}`; low and high are the ends of a 95 % interval of the difference.
        num_queries: Queries of both systems.
        num_clusters: Rows of the dataset that hold them; each is resampled as a whole.
        samples: Number of resamples.
    """

    metrics: Mapping[str, Mapping[str, float]]
    num_queries: int
    num_clusters: int
    samples: int

    def __post_init__(self) -> None:
        checks.mapping("metrics", self.metrics, "rows")
        for name in ("num_queries", "num_clusters"):
            checks.non_negative_integer(name, getattr(self, name))
        positive_integer("samples", self.samples)

    def __getitem__(self, metric: str) -> Mapping[str, float]:
        return self.metrics[metric]

    def __str__(self) -> str:
        width = max(map(len, self.metrics), default=0)
        lines = [f"{'':{width}}       a       b    b - a  95 % interval        p"]
        for name, row in self.metrics.items():
            lines.append(
                f"{name:{width}}  {row['a']:.4f}  {row['b']:.4f}  {row['difference']:+.4f}  "
                f"[{row['low']:+.4f}, {row['high']:+.4f}]  {row['p_value']:.4f}"
            )
        lines.append(
            f"{self.num_queries:,} queries of {self.num_clusters:,} rows, "
            f"{self.samples:,} resamples"
        )
        return "\n".join(lines)

    def to_dict(self) -> dict[str, object]:
        """Everything, as plain values that JSON can hold."""
        return dataclasses.asdict(self)


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

    - The **p-value** is that of a paired randomization test: if both systems were the same, the
      difference of each row of the dataset (all its queries together, which are not independent
      observations) could equally have the other sign. `p = (1 + as extreme a sum of differences
      with random signs) / (1 + samples)`, two-sided.
    - The **interval** of the mean difference is that of the paired bootstrap: rows are drawn with
      replacement, each with all its queries; the ends are the 2.5th and 97.5th percentiles.

    Args:
        report_a: Result of `evaluate(..., keep_queries=True)`.
        report_b: Result on the same dataset; it may be the same report, see `systems`.
        metrics: Names such as `"ndcg@20"`. By default all that both reports have for each query.
        systems: The system of each report: `"model"` (by default), or the name of a baseline.
        samples: How many times rows, and signs, are drawn. 1000 by default.
        seed: Seed of the draws.

    Returns:
        A `Comparison`; differences are b - a.

    Raises:
        ValueError: If a report kept no queries, the queries of the two differ, or a report lacks a
            system or a metric.

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
    checks.non_negative_integer("seed", seed)
    is_pair = isinstance(systems, tuple | list) and len(systems) == 2
    if not is_pair or not all(isinstance(one, str) for one in systems):
        raise ValueError(
            f"`systems` should be two names, one a report. Received: `systems`={systems!r}"
        )
    results = [_kept_results(report, name) for report, name in ((report_a, "a"), (report_b, "b"))]
    _check_same_queries(*results)
    for name, result, system in zip("ab", results, systems):
        if system not in result.ranks:
            raise ValueError(
                f"`systems` should be among {sorted(result.ranks)} of `report_{name}`. "
                f"Received: {system!r}"
            )
    of_a, of_b = (result.metrics(system) for result, system in zip(results, systems))
    names = _common_metrics(of_a, of_b, metrics)
    a, b = (np.stack([values[name] for name in names], axis=1) for values in (of_a, of_b))
    a, b = np.where(np.isnan(b), np.nan, a), np.where(np.isnan(a), np.nan, b)
    sums, counts = cluster_sums(b - a, results[0].details.origins)
    p_values = randomization_p_values(sums, samples, seed)
    low, high = np.nanpercentile(bootstrap_means(sums, counts, samples, seed), _TAILS, axis=0)
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


def intervals(
    results: QueryResults, systems: Sequence[str], samples: int, seed: int
) -> dict[str, dict[str, tuple[float, float]]]:
    """The two ends of the interval of every mean, by system and metric.

    Args:
        results: The ranks of every query.
        systems: Names of the systems.
        samples: Number of resamples.
        seed: Seed of the draws.
    """
    found = {}
    for system in systems:
        values = results.metrics(system)
        sums = cluster_sums(np.stack(list(values.values()), axis=1), results.details.origins)
        means = bootstrap_means(*sums, samples, seed)
        found[system] = {
            name: tuple(np.percentile(column[~np.isnan(column)], _TAILS).tolist())
            for name, column in zip(values, means.T)
            if not np.isnan(column).all()
        }
    return found


def cluster_sums(values: NDArray[np.float64], clusters: NDArray[np.int64]) -> Clusters:
    """Sums and numbers of the values of each cluster, NaN left out.

    Args:
        values: [Q, M], M metrics of each query.
        clusters: [Q] any integers.

    Returns:
        Two arrays [clusters, M].
    """
    number = np.unique(clusters, return_inverse=True)[1]
    size = int(number.max(initial=-1)) + 1
    real = ~np.isnan(values)
    filled = np.where(real, values, 0.0)

    def add(columns: NDArray[np.float64]) -> NDArray[np.float64]:
        sums = [np.bincount(number, column, minlength=size) for column in columns.T]
        return np.stack(sums, axis=1)

    return add(filled), add(real.astype(np.float64))


def bootstrap_means(
    sums: NDArray[np.float64], counts: NDArray[np.float64], samples: int, seed: int
) -> NDArray[np.float64]:
    """Means of the resampled queries: clusters are drawn with replacement, each as a whole.

    Args:
        sums: [R, M], see `cluster_sums`.
        counts: [R, M].
        samples: How many times R clusters are drawn.
        seed: Seed of the draws.

    Returns:
        [samples, M], NaN where a sample holds no value.
    """
    random = np.random.default_rng(seed)
    size = len(sums)
    found = np.zeros((samples, sums.shape[1]))
    step = max(1, _DRAWN_AT_ONCE // size)
    for first in range(0, samples, step):
        rows = min(step, samples - first)
        drawn = random.integers(size, size=(rows, size)) + np.arange(rows)[:, None] * size
        times = np.bincount(drawn.reshape(-1), minlength=rows * size).reshape(rows, size)
        total = times @ counts
        found[first : first + rows] = times @ sums / np.where(total == 0, np.nan, total)
    return found


def randomization_p_values(
    differences: NDArray[np.float64], samples: int, seed: int
) -> NDArray[np.float64]:
    """Two-sided p-values of a paired randomization test.

    If both systems were the same, each cluster's difference could equally have the other sign:
    `p = (1 + |{samples : |sum of the differences with random signs| >= |their sum|}|) /
    (1 + samples)`.

    Args:
        differences: [R, M], each cluster's sum of the differences of two systems.
        samples: How many times signs are drawn.
        seed: Seed of the draws.

    Returns:
        [M].
    """
    random = np.random.default_rng(seed)
    size = len(differences)
    seen = np.abs(differences.sum(axis=0))
    # Sums of the same numbers in another order may differ in their last bits.
    enough = seen - 1e-9 * np.abs(differences).sum(axis=0)
    reached = np.zeros(differences.shape[1])
    step = max(1, _DRAWN_AT_ONCE // size)
    for first in range(0, samples, step):
        rows = min(step, samples - first)
        signs = random.integers(0, 2, size=(rows, size), dtype=np.int8) * 2.0 - 1.0
        reached += (np.abs(signs @ differences) >= enough).sum(axis=0)
    return (1 + reached) / (1 + samples)


def _common_metrics(
    of_a: Mapping[str, NDArray[np.float64]],
    of_b: Mapping[str, NDArray[np.float64]],
    asked: Iterable[str] | None,
) -> list[str]:
    """The metrics that are asked for, by default all with a query that has them in both reports."""
    both = [
        name
        for name, values in of_a.items()
        if name in of_b and not np.isnan(values + of_b[name]).all()
    ]
    names = both if asked is None else list(dict.fromkeys(checked_names("metrics", asked)))
    if not names:
        raise ValueError(
            "`metrics` should hold at least one metric of both reports: "
            f"{', '.join(both) or 'they share none'}. Received: `metrics`={asked!r}"
        )
    for name in names:
        if name not in both:
            raise ValueError(
                f"`metrics` should be among those of both reports: {', '.join(both)}. "
                f"Received: {name!r}"
            )
    return names


def _kept_results(report: Report, name: str) -> QueryResults:
    if not isinstance(report, Report):
        raise TypeError(
            f"`report_{name}` should be a `Report` of `evaluate`. Received: {type(report).__name__}"
        )
    if report.queries is None:
        raise ValueError(
            f"`report_{name}` should hold the ranks of every query: "
            "`evaluate(..., keep_queries=True)`. Received: a report without"
        )
    return report.queries


def _check_same_queries(a: QueryResults, b: QueryResults) -> None:
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
