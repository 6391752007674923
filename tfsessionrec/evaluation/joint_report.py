"""The result of asking several systems the same questions."""

import dataclasses
from collections.abc import Mapping

from tfsessionrec import checks
from tfsessionrec.evaluation.compare import Comparison, compare
from tfsessionrec.evaluation.report import Report, number, plain_table
from tfsessionrec.evaluation.report_data import TRAINED_ON


@dataclasses.dataclass(frozen=True)
class JointReport:
    """Reports of several systems on the same questions, and a paired test of each with the first.

    `report["vsknn"]["ndcg@20"]` is one number, `print(report)` a table with a column a system.

    Args:
        reports: By name of the system. An item that a system does not know is a miss for it.
        comparisons: By name of each system but the first: the first (a) against it (b).
    """

    reports: Mapping[str, Report]
    comparisons: Mapping[str, Comparison]

    def __post_init__(self) -> None:
        checks.mapping("reports", self.reports, "reports")
        for report in self.reports.values():
            checks.instance("reports", report, Report)
        checks.mapping("comparisons", self.comparisons, "comparisons")
        for comparison in self.comparisons.values():
            checks.instance("comparisons", comparison, Comparison)

    @classmethod
    def of(cls, reports: Mapping[str, Report], samples: int = 1000, seed: int = 0) -> "JointReport":
        """Pairs the reports of systems.

        Args:
            reports: Two or more, by name, with `keep_queries`, of batches with the key `question`
                (`data.protocol_batches(apart=True)`) of one log.
            samples: Resamples of the tests. Defaults to 1000.
            seed: Seed of the draws. Defaults to 0.

        Raises:
            ValueError: If the questions of two reports differ.
        """
        checks.mapping("reports", reports, "reports")
        checks.positive_integer("samples", samples)
        checks.non_negative_integer("seed", seed)
        for report in reports.values():
            checks.instance("reports", report, Report)
        if len(reports) < 2 or any(report.queries is None for report in reports.values()):
            raise ValueError(
                "`reports` should be two or more, of `evaluate(..., keep_queries=True)`. Received: "
                f"{', '.join(reports) or 'none'}"
            )
        paired = {
            name: dataclasses.replace(
                report, queries=None if report.queries is None else report.queries.by_question()
            )
            for name, report in reports.items()
        }
        first, *others = paired
        return cls(
            paired,
            {
                name: compare(paired[first], paired[name], samples=samples, seed=seed)
                for name in others
            },
        )

    def __getitem__(self, system: str) -> Report:
        return self.reports[system]

    def __str__(self) -> str:
        first = next(iter(self.reports.values()))
        notes = {name: one.options.get(TRAINED_ON) for name, one in self.reports.items()}
        lines = [f"Not a test of {name}: {note}." for name, note in notes.items() if note]
        lines += [*plain_table(self._rows()), f"{first.num_queries:,} queries of every system"]
        lines += [line for line in first.choices() if not line.startswith(TRAINED_ON)]
        shortest = min((name.rpartition("@")[2] for name in first.metrics), key=int)
        for name, comparison in self.comparisons.items():
            shown = {
                metric: row
                for metric, row in comparison.metrics.items()
                if metric.endswith(f"@{shortest}")
            }
            heading = f"{next(iter(self.reports))} (a) against {name} (b)"
            lines += ["", heading, str(dataclasses.replace(comparison, metrics=shown))]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, object]:
        """Everything but the ranks of queries, as plain values that JSON can hold."""
        return {
            "systems": {name: report.to_dict() for name, report in self.reports.items()},
            "comparisons": {name: one.to_dict() for name, one in self.comparisons.items()},
        }

    def _rows(self) -> list[list[str]]:
        """The table; its first row names the systems, and popularity as the first counts it."""
        first = next(iter(self.reports.values()))
        columns = {name: report.metrics for name, report in self.reports.items()}
        if "popularity" in first.baselines and "popularity" not in columns:
            columns["popularity"] = first.baselines["popularity"]
        rows = [["", *columns]]
        for metric in first.metrics:
            found = (values.get(metric) for values in columns.values())
            rows.append([metric, *("" if one is None else number(one) for one in found)])
        for name, counts in (
            ("known targets", [one.targets["known"] for one in self.reports.values()]),
            ("unknown targets", [one.targets["unknown"] for one in self.reports.values()]),
            ("candidates", [round(one.num_candidates) for one in self.reports.values()]),
        ):
            cells = [f"{count:,}" for count in counts]
            rows.append([name, *cells, *([""] * (len(columns) - len(cells)))])
        return rows
