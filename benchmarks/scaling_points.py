"""The points of the scaling study: the grid of sizes, its axes and the fitted power laws."""

import statistics

import power_law
from section import Report

SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
WIDTHS = (16, 32, 64, 128)
DEPTHS = (1, 2, 3, 4)
WIDTH, DEPTH = 64, 2
SEEDS = (0,)

Point = Report
"""A measured model: its sizes (`share`, `width`, `depth`), seed, loss, metrics and times."""


def grid() -> list[Point]:
    """The models to train: share of the users, width, depth and seed."""
    middle = {"share": 1.0, "width": WIDTH, "depth": DEPTH}
    points = [
        *({**middle, "share": share} for share in SHARES),
        *({**middle, "width": width} for width in WIDTHS if width != WIDTH),
        *({**middle, "depth": depth} for depth in DEPTHS if depth != DEPTH),
    ]
    return [{**point, "seed": seed} for seed in SEEDS for point in points]


def fits(points: list[Point]) -> dict[str, power_law.PowerLaw]:
    """The power law of the loss along each axis with more than three sizes."""
    return {
        name: power_law.fit([p[key] for p in own], [p["loss"] for p in own])
        for name, (key, own) in axes(points).items()
        if len({p[key] for p in own}) > 3
    }


def axes(points: list[Point]) -> dict[str, tuple[str, list[Point]]]:
    """For each axis the key of its size and its points."""

    def where(**fixed: float) -> list[Point]:
        return [p for p in points if all(p[key] == value for key, value in fixed.items())]

    return {
        "data": ("sessions", where(width=WIDTH, depth=DEPTH)),
        "width": ("width", where(share=1.0, depth=DEPTH)),
        "depth": ("depth", where(share=1.0, width=WIDTH)),
    }


def means(key: str, own: list[Point], metric: str) -> list[tuple[float, float]]:
    """(size, mean of the metric) over the seeds, by size; both are means, as `sessions` varies."""
    return sorted(
        (statistics.fmean(p[key] for p in group), statistics.fmean(p[metric] for p in group))
        for group in groups(own)
    )


def groups(points: list[Point]) -> list[list[Point]]:
    """The points grouped by their sizes, in the order of the sizes."""
    found: dict[tuple[float, ...], list[Point]] = {}
    for point in points:
        found.setdefault((point["share"], point["width"], point["depth"]), []).append(point)
    return [found[size] for size in sorted(found)]
