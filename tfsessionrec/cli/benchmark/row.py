"""What the seeds of a configuration gave."""

import contextlib
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tfsessionrec.cli.benchmark.trial import Folders, Trial

_ENSEMBLE = re.compile(r"--ensemble \S*?runs/[^/\s]+/([^/\s]+)/seed_\d+")

COST = ("fit s", "evaluation s", "peak GB", "parameters")


class Row:
    """What the seeds of a configuration gave.

    Args:
        trial: The configuration.
        results: What was measured with each seed, one at least.

    Attributes:
        members: Rows whose models an ensemble asks too; what they cost to train it costs as well.
    """

    def __init__(self, trial: Trial, results: Sequence[Mapping[str, Any]]) -> None:
        self.trial = trial
        self.members: list[Row] = []
        self.num_seeds = len(results)
        self.first = results[0]
        self._results = results

    def values(self, metric: str) -> list[float]:
        """A metric of each seed; that of a baseline is `baseline: metric`."""
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
        """Those metrics that were measured of a baseline; ties of a model are not its own."""
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

    def cost(self, name: str) -> float:
        """Mean of `fit_seconds`, `evaluation_seconds` ... over the seeds; the largest `peak_gb`."""
        values = [float(result[name]) for result in self._results]
        if name == "peak_gb":
            return max(values)
        trained = self.members if name in ("fit_seconds", "parameters") else []
        return statistics.fmean(values) + sum(member.cost(name) for member in trained)

    def cells(self, title: str, metrics: Iterable[str]) -> list[str]:
        """The row of a table."""
        return [
            title,
            str(self.num_seeds),
            *(self._cell(metric) for metric in metrics),
            f"{self.cost('fit_seconds'):,.0f}",
            f"{self.cost('evaluation_seconds'):,.0f}",
            f"{self.cost('peak_gb'):.1f}",
            f"{self.cost('parameters'):,.0f}",
        ]

    def _cell(self, metric: str) -> str:
        """Mean and spread; nothing where the metric was not asked for."""
        try:
            mean = f"{self.mean(metric):.4f}"
        except KeyError:
            return ""
        return f"{mean} ± {self.spread(metric):.4f}" if len(self.values(metric)) > 1 else mean


def rows_of(trials: Iterable[Trial], folders: Folders) -> dict[str, Row]:
    """The configurations of which something was measured, by name."""
    found = ((trial, list(trial.results(folders).values())) for trial in trials)
    rows = {trial.name: Row(trial, results) for trial, results in found if results}
    for row in rows.values():
        names = set(_ENSEMBLE.findall(" ".join(row.trial.evaluate)))
        row.members = [rows[name] for name in sorted(names) if name in rows]
    return rows
