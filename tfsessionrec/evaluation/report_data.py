"""The numbers of an evaluation, and every choice that changes them."""

import dataclasses
import math
import numbers
from collections.abc import Mapping, Sequence
from typing import TypedDict

from tfsessionrec import checks
from tfsessionrec.evaluation.query_results import QueryResults

Metrics = Mapping[str, float]


class SliceMeans(TypedDict):
    """The number of queries of one slice, and the metrics of each system there."""

    queries: int
    metrics: Mapping[str, Metrics]


Exposure = TypedDict(
    "Exposure",
    {"k": int, "most popular items": Sequence[int], "shares": Mapping[str, Sequence[float]]},
    total=False,
)
"""Shares that the n most popular items have of clicks, targets and recommendations; or nothing."""


TRAINED_ON = "trained on"
"""Option that says how many of the sessions asked for were trained on; it heads the table."""


class Repetition(TypedDict):
    """Targets that their histories hold, and targets that are new.

    The repetition ratio is the mean over the queries of the share of targets that are repeated.
    """

    repeated: int
    new: int
    queries_with_repeated: int
    queries_with_new: int
    repetition_ratio: float


class Targets(TypedDict, total=False):
    """The numbers of known and unknown targets; or nothing.

    Where unknown ones are left out, by system the metrics with them as misses, too. If repetition
    is measured, the numbers of repeated and new targets.
    """

    known: int
    unknown: int
    unknown_as_misses: Mapping[str, Metrics]
    repetition: Repetition


@dataclasses.dataclass(frozen=True)
class ReportData:
    """The fields of a `Report`, which explains them: all that its tables and plots read."""

    metrics: Metrics
    baselines: Mapping[str, Metrics] = dataclasses.field(default_factory=dict)
    num_queries: int = 0
    num_candidates: float = 0
    num_skipped: int = 0
    options: Mapping[str, object] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    intervals: Mapping[str, Mapping[str, tuple[float, float]]] = dataclasses.field(
        default_factory=dict
    )
    slices: Mapping[str, Mapping[str, SliceMeans]] = dataclasses.field(default_factory=dict)
    exposure: Exposure = dataclasses.field(default_factory=lambda: Exposure())
    queries: QueryResults | None = dataclasses.field(default=None, repr=False, compare=False)
    targets: Targets = dataclasses.field(default_factory=lambda: Targets())

    def __post_init__(self) -> None:
        _check_metrics("metrics", self.metrics)
        checks.mapping("baselines", self.baselines, "metrics")
        for metrics in self.baselines.values():
            _check_metrics("baselines", metrics)
        for name in ("options", "intervals", "slices", "exposure", "targets"):
            checks.mapping(name, getattr(self, name), "values")
        for name in ("num_queries", "num_skipped"):
            checks.non_negative_integer(name, getattr(self, name))
        for name in ("num_candidates", "seconds"):
            checks.number(name, getattr(self, name))
        if self.queries is not None:
            checks.instance("queries", self.queries, QueryResults)

    def __getitem__(self, metric: str) -> float:
        return self.metrics[metric]

    @property
    def systems(self) -> dict[str, Metrics]:
        """The metrics of the model, as `"model"`, and of the baselines."""
        return {"model": self.metrics, **self.baselines}

    @property
    def candidates(self) -> str:
        """The number of items ranked for each query, in digits; means of small numbers as such."""
        whole = self.num_candidates >= 1000
        return f"{self.num_candidates:,.0f}" if whole else f"{self.num_candidates:.4g}"

    @property
    def main_metric(self) -> str:
        """The metric that slices show: NDCG at the shortest list, or else the first metric."""
        return next((name for name in self.metrics if name.startswith("ndcg@")), "") or next(
            iter(self.metrics), ""
        )

    def choices(self) -> list[str]:
        """The options in words."""
        return [f"{name}: {_words(value)}" for name, value in self.options.items()]

    def to_dict(self) -> dict[str, object]:
        """Everything but `queries`, as plain values that JSON can hold; None for NaN."""
        names = (field.name for field in dataclasses.fields(self) if field.name != "queries")
        return {name: _plain(getattr(self, name)) for name in names}


def _check_metrics(name: str, metrics: Metrics) -> None:
    checks.mapping(name, metrics, "numbers")
    for metric, value in metrics.items():
        if not isinstance(value, numbers.Real) or isinstance(value, bool):
            raise ValueError(f"`{name}` should hold numbers. Received: {metric}={value!r}")


def _plain(value: object) -> object:
    """The same without NaN and tuples."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _words(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
