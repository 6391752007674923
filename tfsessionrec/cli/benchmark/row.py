"""The results of one configuration over its seeds."""

import contextlib
import re
import statistics
from collections.abc import Iterable, Sequence

from tfsessionrec.cli.benchmark.trial import Folders, Result, Trial

_ENSEMBLE = re.compile(r"--ensemble \S*?runs/[^/\s]+/([^/\s]+)/seed_\d+")

COST = ("fit s", "evaluation s", "peak GB", "parameters")


class Row:
    """The results of one configuration over its seeds.

    Args:
        trial: The configuration.
        results: One result per seed; at least one.

    Attributes:
        members: Rows of the other models of an ensemble; their training costs are included.
    """

    def __init__(self, trial: Trial, results: Sequence[Result]) -> None:
        self.trial = trial
        self.members: list[Row] = []
        self.num_seeds = len(results)
        self.first = results[0]
        self._results = results

    @property
    def fit_seconds(self) -> float:
        """Training time: mean over the seeds, with that of the members."""
        own = statistics.fmean(result["fit_seconds"] for result in self._results)
        return own + sum(member.fit_seconds for member in self.members)

    @property
    def parameters(self) -> float:
        """Number of parameters, with those of the members."""
        own = statistics.fmean(result["parameters"] for result in self._results)
        return own + sum(member.parameters for member in self.members)

    @property
    def evaluation_seconds(self) -> float:
        """Evaluation time: mean over the seeds."""
        return statistics.fmean(result["evaluation_seconds"] for result in self._results)

    @property
    def peak_gb(self) -> float:
        """Peak memory: maximum over the seeds."""
        return max(result["peak_gb"] for result in self._results)

    def values(self, metric: str) -> list[float]:
        """A metric of each seed; `baseline: metric` selects the metric of a baseline."""
        baseline, _, name = metric.rpartition(": ")
        tables = [
            result["baselines"].get(baseline, {}) if baseline else result["metrics"]
            for result in self._results
        ]
        found = [table[name] for table in tables if name in table]
        if not found:
            raise KeyError(metric)
        return found

    def baseline(self, name: str, metrics: Iterable[str]) -> dict[str, float]:
        """The metrics of a baseline, as far as the evaluation measured them."""
        found = {}
        for metric in metrics:
            with contextlib.suppress(KeyError):
                found[metric] = self.mean(f"{name}: {metric.rpartition(': ')[2]}")
        return found

    def mean(self, metric: str) -> float:
        """Mean of a metric over the seeds."""
        return statistics.fmean(self.values(metric))

    def spread(self, metric: str) -> float:
        """Standard deviation over the seeds; 0 for one seed."""
        values = self.values(metric)
        return statistics.stdev(values) if len(values) > 1 else 0.0

    def cells(self, title: str, metrics: Iterable[str]) -> list[str]:
        """The cells of the row in a table."""
        return [
            title,
            str(self.num_seeds),
            *(self._cell(metric) for metric in metrics),
            f"{self.fit_seconds:,.0f}",
            f"{self.evaluation_seconds:,.0f}",
            f"{self.peak_gb:.1f}",
            f"{self.parameters:,.0f}",
        ]

    def _cell(self, metric: str) -> str:
        """Mean and standard deviation; empty if the metric was not measured."""
        try:
            mean = f"{self.mean(metric):.4f}"
        except KeyError:
            return ""
        return f"{mean} ± {self.spread(metric):.4f}" if len(self.values(metric)) > 1 else mean


def rows_of(trials: Iterable[Trial], folders: Folders) -> dict[str, Row]:
    """One row for each configuration with results, by the configuration's name."""
    found = ((trial, list(trial.results(folders).values())) for trial in trials)
    rows = {trial.name: Row(trial, results) for trial, results in found if results}
    for row in rows.values():
        names = set(_ENSEMBLE.findall(" ".join(row.trial.evaluate)))
        row.members = [rows[name] for name in sorted(names) if name in rows]
    return rows
