"""The plot of `scaling.py`."""

import pathlib

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator
from power_law import PowerLaw
from scaling_points import Point, axes, fits, means

BLUE, ORANGE, GREY = "#2b6cb0", "#c05621", "#4a5568"
LABELS = {
    "data": "sessions predicted in training",
    "width": "width",
    "depth": "depth (Transformer blocks)",
}


def draw(content: dict[str, list[Point]], file: pathlib.Path) -> None:
    """Draws the measured points.

    Args:
        content: `points` and `epochs`, as `scaling.py` saves them.
        file: The image to write.
    """
    style = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    points = content["points"]
    laws = fits(points)
    low, high = _limits([p["loss"] for p in points])
    with plt.rc_context(style):
        figure, places = plt.subplots(1, 4, figsize=(14, 3.7), layout="constrained")
        for place, (name, (key, own)) in zip(places, axes(points).items(), strict=False):
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


def _quality(place: Axes, name: str, key: str, own: list[Point], law: PowerLaw | None) -> Axes:
    n = np.array([p[key] for p in own])
    place.set_xscale("log", base=2)
    place.plot(n, [p["loss"] for p in own], "o", color=BLUE, alpha=0.6, markeredgewidth=0)
    place.set_xlabel(LABELS[name])
    ticks = [x for x, _ in means(key, own, "loss")]
    place.set_xticks(ticks, [f"{x / 1000:.0f}k" if x > 9999 else f"{x:,.0f}" for x in ticks])
    place.xaxis.set_minor_locator(NullLocator())
    if law is not None and law.determined:
        line = np.geomspace(n.min(), n.max(), 100)
        place.plot(line, law(line), color=BLUE, linewidth=1.2)
        title = (
            rf"$L = {law.floor:.2f} + a\,n^{{-b}}$,  "
            rf"$b = {law.exponent:.2f}$ ({law.low:.2f} to {law.high:.2f})"
        )
    else:
        title = "these sizes do not determine a power law"
    place.set_title(title, fontsize=9, color=BLUE, loc="left")
    right = place.twinx()
    right.spines["right"].set_visible(True)
    curve = means(key, own, "ndcg@20")
    right.plot(*zip(*curve, strict=True), "s--", color=ORANGE, markersize=4, linewidth=0.9)
    return right


def _cost(place: Axes, epochs: list[Point]) -> None:
    length = [point["length"] for point in epochs]
    for name, color, mark in (("next item", GREY, "o"), ("next session", BLUE, "s")):
        place.plot(length, [point[name] for point in epochs], f"{mark}-", color=color, markersize=4)
        place.annotate(
            name,
            (length[-1], epochs[-1][name]),
            xytext=(-4, 6),
            textcoords="offset points",
            ha="right",
            color=color,
        )
    place.set_xscale("log", base=2)
    place.set_yscale("log", base=2)
    place.set_xticks(length, [f"{one:.0f}" for one in length])
    place.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    place.set_xlabel("mean clicks per session")
    place.set_ylabel("seconds per epoch")
    clicks = np.mean([point["clicks"] for point in epochs])
    place.set_title(f"{clicks / 1000:,.0f} thousand simulated clicks", fontsize=9, loc="left")
    place.yaxis.set_minor_locator(NullLocator())


def _limits(values: list[float]) -> tuple[float, float]:
    margin = 0.08 * (max(values) - min(values)) or 0.1
    return min(values) - margin, max(values) + margin
