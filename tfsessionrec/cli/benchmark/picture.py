"""The plot of a suite: the quality of every system, and quality against training time."""

import pathlib
from collections.abc import Mapping

from tfsessionrec.cli.benchmark.row import Row
from tfsessionrec.cli.benchmark.suite import Suite


def draw(
    file: pathlib.Path,
    suite: Suite,
    rows: list[tuple[str, Row]],
    extra: Mapping[str, Mapping[str, float]],
) -> None:
    """Draws the first table of a suite.

    Args:
        file: The PNG to write.
        suite: The suite.
        rows: The rows of the table: title, row.
        extra: Rows without a trained model: title, metrics.

    Raises:
        ImportError: If matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
    except ImportError as error:
        raise ImportError("Plots need matplotlib: `pip install tfsessionrec[plots]`") from error

    head, metric = next(iter(suite.metrics.items()))
    bars = [(title, row.mean(metric), row.spread(metric), True) for title, row in rows]
    bars += [(title, one[metric], 0.0, False) for title, one in extra.items() if metric in one]
    bars.sort(key=lambda bar: bar[1])
    number = {bar[0]: len(bars) - place for place, bar in enumerate(bars)}
    figure = Figure(figsize=(11, 1.6 + 0.27 * len(bars)), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    places = range(len(bars))
    left.barh(
        places,
        [bar[1] for bar in bars],
        xerr=[bar[2] for bar in bars],
        color=["#3b6ea5" if bar[3] else "#b0b7c0" for bar in bars],
        error_kw={"elinewidth": 1},
    )
    left.set_yticks(places, [f"{_plain(bar[0])}  {number[bar[0]]}" for bar in bars], fontsize=8)
    for place, bar in zip(places, bars, strict=True):
        left.text(bar[1] + bar[2], place, f" {bar[1]:.3f}", va="center", fontsize=7)
    left.set_xlim(0, 1.12 * max(bar[1] + bar[2] for bar in bars))
    left.set_xlabel(head)
    left.set_title(suite.log + ("; gray: no training" if extra else ""), fontsize=9)
    for title, row in rows:
        seconds = max(row.fit_seconds, 0.05)
        right.plot(seconds, row.mean(metric), "o", color="#3b6ea5", markersize=5)
        right.annotate(
            str(number[title]),
            (seconds, row.mean(metric)),
            xytext=(4, 2),
            textcoords="offset points",
            fontsize=8,
        )
    right.set_xscale("log")
    right.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    right.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    right.xaxis.set_minor_formatter(NullFormatter())
    right.margins(x=0.15)
    right.set_xlabel("training time, seconds (numbers: see left)")
    right.set_ylabel(head)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=110, metadata={"Software": None})


def _plain(title: str) -> str:
    """A title without Markdown, shortened to fit the plot."""
    title = title.replace("`", "").replace("*", "")
    return title if len(title) <= 44 else f"{title[:42]}…"
