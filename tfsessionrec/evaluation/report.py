"""What an evaluation found, and under which choices."""

import dataclasses
import json
import math
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from tfsessionrec.evaluation.query_results import QueryResults


@dataclasses.dataclass(frozen=True)
class Report:
    """Metrics of a model and of the baselines beside it, with every choice that changes them.

    `report["ndcg@20"]` is the model's value, `print(report)` a small table.

    Args:
        metrics: The model's, by name, such as `{"recall@20": 0.7}`.
        baselines: Each baseline's, by its name.
        num_queries: Queries the means are over.
        num_candidates: Items ranked for each query (their mean, where queries have lists of their
            own).
        num_skipped: Sessions to predict that gave no query; `options["skipped"]` says why.
        options: The choices: targets, filter_seen, ties, ...
        seconds: Time taken, baselines included.
        intervals: Of each system (the model is `"model"`) and metric the ends of an interval.
        slices: By kind and slice `{"queries": number, "metrics": {system: {metric: mean}}}`.
        exposure: What share of training clicks, targets and recommendations (the first `k` places
            of each system's lists) the n most popular items have.
        queries: The ranks of every query, where `evaluate(keep_queries=True)` kept them. Not
            written to files.

    Example:

    >>> report = Report({"recall@5": 0.25}, {"popularity": {"recall@5": 0.125}}, 8, 40)
    >>> print(report)
          model  popularity
    recall@5  0.2500      0.1250
    8 queries, 40 candidates, 0 skipped, 0.0 s
    >>> report["recall@5"]
    0.25
    """

    metrics: Mapping[str, float]
    baselines: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    num_queries: int = 0
    num_candidates: float = 0
    num_skipped: int = 0
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    intervals: Mapping[str, Mapping[str, tuple[float, float]]] = dataclasses.field(
        default_factory=dict
    )
    slices: Mapping[str, Mapping[str, Mapping[str, Any]]] = dataclasses.field(default_factory=dict)
    exposure: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    queries: QueryResults | None = dataclasses.field(default=None, repr=False, compare=False)

    def __getitem__(self, metric: str) -> float:
        return self.metrics[metric]

    def __str__(self) -> str:
        lines = _plain_table(self._rows())
        for kind, parts in self._slice_rows():
            lines += ["", *_plain_table([[kind, *parts[0][1:]], *parts[1:]])]
        lines += [""] * bool(self.slices)
        return "\n".join([*lines, self._size(), *self.choices()])

    @property
    def systems(self) -> dict[str, Mapping[str, float]]:
        """The metrics of the model, as `"model"`, and of the baselines."""
        return {"model": self.metrics, **self.baselines}

    @property
    def main_metric(self) -> str:
        """The metric that slices are shown by: NDCG at the shortest list, or the first of all."""
        return next((name for name in self.metrics if name.startswith("ndcg@")), "") or next(
            iter(self.metrics), ""
        )

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
        lines = [f"# {title}", "", *_markdown_table("metric", self._rows())]
        for kind, parts in self._slice_rows():
            lines += ["", f"## {self.main_metric} by {kind}", ""]
            lines += _markdown_table("slice", parts)
        lines += ["", self._size()]
        if self.options:
            lines += ["", *(f"- {choice}" for choice in self.choices())]
        return "\n".join(lines)

    def plot(self, path: str | os.PathLike[str], title: str = "Evaluation") -> None:
        """Draws the report on one page.

        Which panels there are depends on what was asked for: metrics (with their intervals),
        recall over the length of the list, slices, and how popular the recommended items are.

        Args:
            path: The file; its ending says the format: `.png`, `.svg`, `.pdf`.
            title: The heading.

        Raises:
            ImportError: If matplotlib is missing (`pip install "tfsessionrec[plots]"`).
        """
        from tfsessionrec.evaluation.plot_report import plot_report

        plot_report(self, pathlib.Path(path), title)

    def to_dict(self) -> dict[str, Any]:
        """Everything but `queries`, as plain values that JSON knows: None for NaN."""
        names = (field.name for field in dataclasses.fields(self) if field.name != "queries")
        return {name: _plain(getattr(self, name)) for name in names}

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Writes everything but `queries` to a JSON file, which is there whole or not at all."""
        _write(pathlib.Path(path), json.dumps(self.to_dict(), indent=2) + "\n")

    def save(self, directory: str | os.PathLike[str], title: str = "Evaluation") -> None:
        """Writes `report.json`, `report.md` and the plots `report.png`.

        Args:
            directory: Where; made if it is missing. Files of these names are replaced.
            title: The heading.

        Raises:
            ImportError: If matplotlib is missing (`pip install "tfsessionrec[plots]"`).
        """
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
        return rows

    def _slice_rows(self) -> Iterator[tuple[str, list[list[str]]]]:
        """Of each kind its name in words, and a table of the main metric."""
        for kind, parts in self.slices.items():
            rows = [["", "queries", *(f"{name} {self.main_metric}" for name in self.systems)]]
            for part, found in parts.items():
                means = (number(row[self.main_metric]) for row in found["metrics"].values())
                rows.append([part, f"{found['queries']:,}", *means])
            yield kind.replace("_", " "), rows

    def _size(self) -> str:
        return (
            f"{self.num_queries:,} queries, {self.num_candidates:,.4g} candidates, "
            f"{self.num_skipped:,} skipped, {self.seconds:.1f} s"
        )

    def choices(self) -> list[str]:
        """The options in words."""
        return [f"{name}: {_words(value)}" for name, value in self.options.items()]


def number(value: float) -> str:
    """Four decimals; fewer of larger numbers."""
    for below, decimals in ((10, 4), (100, 2)):
        if not abs(value) >= below:
            return f"{value:.{decimals}f}"
    return f"{value:,.1f}"


def _write(path: pathlib.Path, text: str) -> None:
    """The file is there whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _plain_table(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]


def _markdown_table(corner: str, rows: list[list[str]]) -> list[str]:
    header = [corner, *rows[0][1:]]
    rule = ["---", *(["---:"] * (len(header) - 1))]
    return [f"| {' | '.join(row)} |" for row in (header, rule, *rows[1:])]


def _plain(value: Any) -> Any:
    """The same without NaN and tuples."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _words(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
