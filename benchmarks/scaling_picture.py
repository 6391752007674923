"""The picture of `scaling.py`."""

import pathlib
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import scaling
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator
from power_law import PowerLaw

BLUE, ORANGE, GREY = "#2b6cb0", "#c05621", "#4a5568"
LABELS = {
    "data": "sessions predicted in training",
    "width": "width",
    "depth": "depth (Transformer blocks)",
}


def draw(content: dict[str, list[Any]], file: pathlib.Path) -> None:
    """Draws what has been measured.

    Args:
        content: `points` and `epochs`, as `scaling.py` keeps them.
        file: The picture.
    """
    style = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    points = content["points"]
    laws = scaling.fits(points)
    low, high = _limits([p["loss"] for p in points])
    with plt.rc_context(style):
        figure, places = plt.subplots(1, 4, figsize=(14, 3.7), layout="constrained")
        for place, (name, (key, own)) in zip(places, scaling.axes(points).items(), strict=False):
            right = _quality(place, name, key, own, laws.get(name))
            place.set_ylim(low, high)
            right.set_ylim(0, 1.15 * max(p["ndcg@20"] for p in points))
            place.tick_params(axis="y", labelleft=name == "data", colors=BLUE)
            right.tick_params(axis="y", labelright=name == "depth", colors=ORANGE)
            if name == "data":
                place.set_ylabel("test loss, nats (dots and fit)", color=BLUE)
            if name == "depth":
                right.set_ylabel("NDCG@20 (dashed)", color=ORANGE)
        _cost(places[3], content["epochs"])
        figure.savefig(file, dpi=130)
        plt.close(figure)


def _quality(axes: Axes, name: str, key: str, own: list[Any], law: PowerLaw | None) -> Axes:
    n = np.array([p[key] for p in own])
    axes.set_xscale("log", base=2)
    axes.plot(n, [p["loss"] for p in own], "o", color=BLUE, alpha=0.6, markeredgewidth=0)
    axes.set_xlabel(LABELS[name])
    ticks = [x for x, _ in scaling.means(key, own, "loss")]
    axes.set_xticks(ticks, [f"{x / 1000:.0f}k" if x > 9999 else f"{x:,.0f}" for x in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    if law is not None and law.determined:
        line = np.geomspace(n.min(), n.max(), 100)
        axes.plot(line, law(line), color=BLUE, linewidth=1.2)
        title = (
            rf"$L = {law.floor:.2f} + a\,n^{{-b}}$,  "
            rf"$b = {law.exponent:.2f}$ ({law.low:.2f} to {law.high:.2f})"
        )
    else:
        title = "no power law to be told from these sizes"
    axes.set_title(title, fontsize=9, color=BLUE, loc="left")
    right = axes.twinx()
    right.spines["right"].set_visible(True)
    curve = scaling.means(key, own, "ndcg@20")
    right.plot(*zip(*curve, strict=True), "s--", color=ORANGE, markersize=4, linewidth=0.9)
    return right


def _cost(axes: Axes, epochs: list[Any]) -> None:
    length = [point["length"] for point in epochs]
    for name, colour, mark in (("next item", GREY, "o"), ("next session", BLUE, "s")):
        axes.plot(length, [point[name] for point in epochs], f"{mark}-", color=colour, markersize=4)
        axes.annotate(
            name,
            (length[-1], epochs[-1][name]),
            xytext=(-4, 6),
            textcoords="offset points",
            ha="right",
            color=colour,
        )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set_xticks(length, [f"{one:.0f}" for one in length])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("mean clicks of a session")
    axes.set_ylabel("seconds of an epoch")
    clicks = np.mean([point["clicks"] for point in epochs])
    axes.set_title(f"{clicks / 1000:,.0f} thousand simulated clicks", fontsize=9, loc="left")
    axes.yaxis.set_minor_locator(NullLocator())


def _limits(values: list[float]) -> tuple[float, float]:
    margin = 0.08 * (max(values) - min(values)) or 0.1
    return min(values) - margin, max(values) + margin
