"""The result of an evaluation as tables, files and plots."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Iterator

from tfsessionrec import checks
from tfsessionrec.evaluation.plot_report import plot_report
from tfsessionrec.evaluation.report_data import TRAINED_ON, ReportData


@dataclasses.dataclass(frozen=True)
class Report(ReportData):
    """Metrics of a model and of the baselines next to it, with every choice that changes them.

    `report["ndcg@20"]` is the value of the model, `print(report)` a small table.

    Args:
        metrics: The metrics of the model by name, such as `{"recall@20": 0.7}`.
        baselines: The metrics of each baseline, by its name.
        num_queries: Queries that the means are over.
        num_candidates: Items ranked for each query (their mean, where queries have lists of their
            own).
        num_skipped: Sessions to predict that gave no query; `options["skipped"]` has the reason.
        options: The choices: targets, filter_seen, ties, ...
        seconds: Duration, baselines included.
        intervals: By system (the model is `"model"`) and metric the two ends of an interval.
        slices: By kind and slice `{"queries": number, "metrics": {system: {metric: mean}}}`.
        exposure: Shares of the training clicks, the targets and the recommendations (the first `k`
            places of each system's lists) that the n most popular items have.
        queries: The ranks of every query, from `evaluate(keep_queries=True)`. Not written to files.
        targets: The numbers of `known` and `unknown` targets of the vocabulary; where unknown ones
            are left out, `unknown_as_misses` has by system the metrics with them as misses.
            `repetition`, if it was asked for, has the numbers of targets `repeated` and `new` to
            their histories, of `queries_with_repeated` and `queries_with_new` ones, and the mean
            share of repeated targets, `repetition_ratio`.

    Example:

    >>> report = Report({"recall@5": 0.25}, {"popularity": {"recall@5": 0.125}}, 8, 40)
    >>> print(report)
          model  popularity
    recall@5  0.2500      0.1250
    8 queries, 40 candidates, 0 skipped, 0.0 s
    >>> report["recall@5"]
    0.25
    """

    def __str__(self) -> str:
        lines = [*self._heading(), *plain_table(self._rows())]
        for kind, parts in self._slice_rows():
            lines += ["", *plain_table([[kind, *parts[0][1:]], *parts[1:]])]
        lines += [""] * bool(self.slices)
        return "\n".join([*lines, self._size(), *self.choices()])

    def to_markdown(self, title: str = "Evaluation") -> str:
        """The tables and every choice as Markdown.

        Args:
            title: The heading.

        Example:

        >>> report = Report({"recall@5": 0.25}, {"popularity": {"recall@5": 0.125}}, 8, 40)
        >>> print(report.to_markdown("Tea shop"))
        # Tea shop
        <BLANKLINE>
        | metric | model | popularity |
        | --- | ---: | ---: |
        | recall@5 | 0.2500 | 0.1250 |
        <BLANKLINE>
        8 queries, 40 candidates, 0 skipped, 0.0 s
        """
        checks.text("title", title, empty=False)
        lines = [f"# {title}", ""]
        lines += [part for line in self._heading() for part in (f"**{line}**", "")]
        lines += _markdown_table("metric", self._rows())
        for kind, parts in self._slice_rows():
            lines += ["", f"## {self.main_metric} by {kind}", ""]
            lines += _markdown_table("slice", parts)
        lines += ["", self._size()]
        if self.options:
            lines += ["", *(f"- {choice}" for choice in self.choices())]
        return "\n".join(lines)

    def plot(self, path: str | os.PathLike[str], title: str = "Evaluation") -> None:
        """Draws the report on one page.

        The choices of the evaluation decide on the panels: metrics (with their intervals), recall
        over the length of the list, slices, and the popularity of the recommended items.

        Args:
            path: The file, in the format of its suffix: `.png`, `.svg`, `.pdf`.
            title: The heading.

        Raises:
            ImportError: If matplotlib is missing (`pip install "tfsessionrec[plots]"`).
        """
        checks.path("path", path)
        checks.text("title", title, empty=False)
        plot_report(self, pathlib.Path(path), title)

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Writes everything but `queries` to a JSON file, atomically."""
        checks.path("path", path)
        _write(pathlib.Path(path), json.dumps(self.to_dict(), indent=2) + "\n")

    def save(self, directory: str | os.PathLike[str], title: str = "Evaluation") -> None:
        """Writes `report.json`, `report.md` and the plots `report.png`.

        Args:
            directory: The folder, created if it is missing. Files of these names are replaced.
            title: The heading.

        Raises:
            ImportError: If matplotlib is missing (`pip install "tfsessionrec[plots]"`).
        """
        checks.path("directory", directory)
        checks.text("title", title, empty=False)
        directory = pathlib.Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        self.to_json(directory / "report.json")
        _write(directory / "report.md", self.to_markdown(title) + "\n")
        self.plot(directory / "report.png", title)

    def _rows(self) -> list[list[str]]:
        """The table of metrics; its first row names the systems."""
        rows = [["", *self.systems]]
        for metric in self.metrics:
            cells = [metric]
            for name, values in self.systems.items():
                cells.append(number(values[metric]) if metric in values else "")
                if metric in self.intervals.get(name, {}):
                    low, high = self.intervals[name][metric]
                    cells[-1] += f" [{number(low)}, {number(high)}]"
            rows.append(cells)
        missed = self.targets.get("unknown_as_misses", {})
        for metric in missed.get("model", {}):
            cells = [number(missed[name][metric]) for name in self.systems]
            rows.append([f"{metric}, unknown as misses", *cells])
        if "known" in self.targets:
            for name, count in (
                ("known", self.targets["known"]),
                ("unknown", self.targets["unknown"]),
            ):
                rows.append([f"{name} targets", *([f"{count:,}"] * len(self.systems))])
        return rows

    def _slice_rows(self) -> Iterator[tuple[str, list[list[str]]]]:
        """By kind its name in words, and a table of the main metric."""
        for kind, parts in self.slices.items():
            rows = [["", "queries", *(f"{name} {self.main_metric}" for name in self.systems)]]
            for part, found in parts.items():
                means = (number(row[self.main_metric]) for row in found["metrics"].values())
                rows.append([part, f"{found['queries']:,}", *means])
            yield kind.replace("_", " "), rows

    def _heading(self) -> list[str]:
        """A warning, if sessions that are asked for were trained on."""
        note = self.options.get(TRAINED_ON)
        return [f"Not a test: {note}."] if note else []

    def _size(self) -> str:
        return (
            f"{self.num_queries:,} queries, {self.candidates} candidates, "
            f"{self.num_skipped:,} skipped, {self.seconds:.1f} s"
        )


def number(value: float) -> str:
    """Four decimals, fewer for larger numbers."""
    for below, decimals in ((10, 4), (100, 2)):
        if not abs(value) >= below:
            return f"{value:.{decimals}f}"
    return f"{value:,.1f}"


def _write(path: pathlib.Path, text: str) -> None:
    """Writes a file atomically."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def plain_table(rows: list[list[str]]) -> list[str]:
    """The lines of a table: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]


def _markdown_table(corner: str, rows: list[list[str]]) -> list[str]:
    header = [corner, *rows[0][1:]]
    rule = ["---", *(["---:"] * (len(header) - 1))]
    return [f"| {' | '.join(row)} |" for row in (header, rule, *rows[1:])]
