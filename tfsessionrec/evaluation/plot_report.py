"""One page of plots of a report."""

import functools
import os
import pathlib
import textwrap
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from tfsessionrec.evaluation.query_results import METRICS
from tfsessionrec.evaluation.report_data import ReportData

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLORS = ("#1f6feb", "#e8590c", "#2b8a3e", "#9c36b5", "#0c8599", "#c2255c", "#846358")
_POPULARITY = "#868e96"
_INK, _SOFT, _GRID = "#212529", "#6b7280", "#e9ecef"
_NAMES = {"ndcg": "NDCG", "mrr": "MRR", "map": "MAP", "hit_rate": "Hit rate"}
_SHOWN = (*METRICS, "recall_rep", "recall_expl")
_SLICES = {
    "session_length": "items in the running session",
    "earlier_sessions": "earlier sessions",
    "target_popularity": "popularity of the target",
}
_STYLE = {
    "font.size": 9.5,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.labelcolor": _SOFT,
    "axes.edgecolor": "#ced4da",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "text.color": _INK,
    "xtick.color": _SOFT,
    "ytick.color": _SOFT,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "figure.facecolor": "white",
    "savefig.dpi": 150,
}


def import_matplotlib() -> ModuleType:
    """The module, or an error that names the extra that installs it."""
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError(
            "The plots of a report need matplotlib, which the extra `plots` brings: "
            'pip install "tfsessionrec[plots]"'
        ) from error
    return matplotlib


def plot_report(report: ReportData, path: pathlib.Path, title: str) -> None:
    """Draws a report on one page, see `Report.plot`, and writes the file atomically."""
    matplotlib = import_matplotlib()
    from matplotlib.figure import Figure

    top = [_metrics, *([_recall_curve] * (len(_recalls(report)) > 0))]
    top += [_exposure] * bool(report.exposure)
    kinds = [kind for kind, parts in report.slices.items() if len(parts) > 1]
    with matplotlib.rc_context(_STYLE):
        height = 5.0 + 3.6 * bool(kinds)
        figure = Figure(figsize=(13 if len(top) > 1 or kinds else 7, height))
        rows = figure.add_gridspec(
            1 + bool(kinds), 1, top=1 - 1.25 / height, bottom=1.1 / height, left=0.095,
            right=0.975, hspace=0.5, height_ratios=[1.15, 1][: 1 + bool(kinds)],
        )  # fmt: skip
        cells = rows[0].subgridspec(1, len(top), wspace=0.24, width_ratios=[1.15, 1, 1][: len(top)])
        for place, draw in enumerate(top):
            draw(report, figure.add_subplot(cells[place]))
        if kinds:
            cells = rows[1].subgridspec(1, len(kinds), wspace=0.12)
            highest = max(_slice_values(report, kinds))
            for place, kind in enumerate(kinds):
                axes = figure.add_subplot(cells[place], ylim=(0, highest * 1.08 or 1))
                _slices(report, kind, axes, leftmost=place == 0)
        _frame(report, figure, title)
        formats = sorted(figure.canvas.get_supported_filetypes())
        if path.suffix.lower().removeprefix(".") not in formats:
            raise ValueError(
                f"`path` should end in one of {', '.join(f'.{one}' for one in formats)}. Received: "
                f"`path`={str(path)!r}"
            )
        part = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
        try:
            figure.savefig(part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def _frame(report: ReportData, figure: "Figure", title: str) -> None:
    """The heading, the legend, and the choices at the bottom."""
    from matplotlib.lines import Line2D

    width, height = figure.get_size_inches()
    figure.text(0.02, 1 - 0.28 / height, title, size=17, weight="bold", va="center")
    size = f"{report.num_queries:,} queries  ·  {report.candidates} candidates each"
    figure.text(0.02, 1 - 0.58 / height, size, size=10.5, color=_SOFT, va="center")
    handles = [
        Line2D([], [], color=color, marker="o", markersize=6, linewidth=2, label=name)
        for name, color in _colors(report).items()
    ]
    figure.legend(
        handles=handles,
        loc="upper right",
        bbox_to_anchor=(0.985, 1 - 0.12 / height),
        ncols=min(len(handles), 4),
        frameon=False,
        fontsize=10.5,
        handlelength=1.6,
    )
    choices = "  ·  ".join(
        choice
        for name, choice in zip(report.options, report.choices())
        if not name.startswith("slices by")
    )
    lines = textwrap.wrap(choices, int(width * 14.5))[:4]
    figure.text(0.02, 0.12 / height, "\n".join(lines), size=8, color=_SOFT, linespacing=1.5)


def _colors(report: ReportData) -> dict[str, str]:
    others = iter(_COLORS * (1 + len(report.systems) // len(_COLORS)))
    return {name: _POPULARITY if name == "popularity" else next(others) for name in report.systems}


def _name(metric: str) -> str:
    measure, _, k = metric.partition("@")
    words = _NAMES.get(measure, measure.replace("_", " ").capitalize())
    return f"{words}@{k}" if k else words


def _metrics(report: ReportData, axes: "Axes") -> None:
    """One bar for each metric and system, with its interval."""
    names = _metric_rows(report)
    colors = _colors(report)
    thick = 0.78 / len(colors)
    for number, (system, values) in enumerate(report.systems.items()):
        places = np.arange(len(names)) + (number - (len(colors) - 1) / 2) * thick
        lengths = [values[name] for name in names]
        axes.barh(places, lengths, height=thick * 0.86, color=colors[system])
        for name, place in zip(names, places):
            low, end = report.intervals.get(system, {}).get(name, (None, values[name]))
            if low is not None:
                axes.plot([low, end], [place] * 2, color=_INK, linewidth=1.4)
            axes.annotate(
                f"{values[name]:.3f}", (end, place), (5, 0), textcoords="offset points",
                va="center", size=8.5, color=_SOFT,
            )  # fmt: skip
    axes.set_yticks(range(len(names)), [" =\n".join(map(_name, same)) for same in names.values()])
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.set_xlim(0, axes.get_xlim()[1] * 1.1)
    axes.grid(visible=False, axis="y")
    percent = str(report.options.get("intervals", "")).split(",")[0]
    axes.set_title("How good" + (f", with {percent} intervals" if percent else ""))


def _metric_rows(report: ReportData) -> dict[str, list[str]]:
    """The metrics at the shortest list, each with those that equal it for every system."""
    cutoffs = _cutoffs(report)
    names = list(report.metrics)
    if cutoffs:
        wanted = [f"{name}@{cutoffs[0]}" for name in _SHOWN]
        systems = report.systems.values()
        names = [
            name
            for name in wanted
            if name in names and not any(np.isnan(row[name]) for row in systems)
        ]
    rows: dict[str, list[str]] = {}
    for name in names:
        for first, same in rows.items():
            if all(np.isclose(row[first], row[name], 1e-9) for row in report.systems.values()):
                same.append(name)
                break
        else:
            rows[name] = [name]
    return rows


def _cutoffs(report: ReportData) -> list[int]:
    return sorted(
        int(name.partition("@")[2]) for name in report.metrics if name.startswith("recall@")
    )


def _recalls(report: ReportData) -> dict[str, tuple[Sequence[int], list[float]]]:
    """Recall over k by system: from the ranks if the report keeps them, or else at its own k."""
    cutoffs = _cutoffs(report)
    if report.queries is None:
        if len(cutoffs) < 2:
            return {}
        return {
            name: (cutoffs, [values[f"recall@{k}"] for k in cutoffs])
            for name, values in report.systems.items()
        }
    largest = max(1, min(max(*cutoffs, 100), int(report.num_candidates)))
    ks = sorted({int(k) for k in np.geomspace(1, largest, 30).round()})
    return {
        name: (ks, [report.queries.mean_recall(name, k) for k in ks])
        for name in report.queries.ranks
    }


def _recall_curve(report: ReportData, axes: "Axes") -> None:
    colors = _colors(report)
    ks: Sequence[int] = []
    for name, (ks, values) in _recalls(report).items():
        few = "o" if len(ks) < 6 else None
        axes.plot(ks, values, color=colors[name], linewidth=2.2, marker=few)
    axes.set_xscale("log")
    _plain_numbers(axes)
    if len(ks) < 6:
        axes.set_xticks(ks)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("length k of the list")
    axes.set_title("Recall@k: where the targets rank")


def _exposure(report: ReportData, axes: "Axes") -> None:
    """The share of the recommendations that the most popular items have."""
    colors = _colors(report)
    shares = report.exposure["shares"]
    items = report.exposure["most popular items"]
    dashes = {"training clicks": (0, (1, 1.6)), "targets": (0, (4, 2))}
    for name, values in shares.items():
        if name in colors:
            axes.plot(items, values, color=colors[name], linewidth=2.2)
        else:
            axes.plot(items, values, color=_INK, linewidth=1.3, linestyle=dashes[name], label=name)
    axes.set_xscale("log")
    _plain_numbers(axes)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("the n most popular items of the catalogue")
    axes.set_title(f"Popular items' share of the top {report.exposure['k']}")
    axes.legend(frameon=False, loc="lower right", fontsize=9)


def _plain_numbers(axes: "Axes") -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _slice_values(report: ReportData, kinds: Sequence[str]) -> list[float]:
    return [
        values[report.main_metric]
        for kind in kinds
        for part in report.slices[kind].values()
        for values in part["metrics"].values()
    ]


def _slices(report: ReportData, kind: str, axes: "Axes", leftmost: bool) -> None:
    """One place for each slice with one point for each system, and the number of queries."""
    parts, metric = report.slices[kind], report.main_metric
    places = np.arange(len(parts))
    for name, color in _colors(report).items():
        values = [part["metrics"][name][metric] for part in parts.values()]
        axes.plot(places, values, "o-", color=color, linewidth=2, markersize=6.5, clip_on=False)
    axes.set_xticks(places, [""] * len(parts))
    below = functools.partial(
        axes.annotate,
        xycoords=axes.get_xaxis_transform(),
        textcoords="offset points",
        annotation_clip=False,
    )
    for place, (name, part) in zip(places, parts.items()):
        below(name, (place, 0), (0, -15), ha="center")
        below(f"{part['queries']:,}", (place, 0), (0, -28), ha="center")
    axes.set_xlim(-0.5, len(parts) - 0.5)
    axes.grid(visible=False, axis="x")
    axes.set_title(f"{_name(metric)} by {_SLICES[kind]}" if leftmost else f"by {_SLICES[kind]}")
    if leftmost:
        below("queries", (-0.5, 0), (-6, -28), ha="right", size=8.5, color=_SOFT)
    else:
        axes.tick_params(labelleft=False)
