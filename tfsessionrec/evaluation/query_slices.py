"""Metrics of parts of the queries: short and long sessions, popular and rare targets."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from tfsessionrec.evaluation.arguments import names
from tfsessionrec.evaluation.query_results import QueryResults
from tfsessionrec.evaluation.report_data import SliceMeans

RULES = {
    "session_length": "positive items of the running session, the last of the history with any",
    "earlier_sessions": "sessions before the running one",
    "target_popularity": "the items that had the first third of the training clicks, most clicked "
    "first, are head, those of the second third torso, the others tail, those without clicks new; "
    "a query counts where it has such targets, with these alone",
}
"""Kinds of slices, and the rule of each."""

_LENGTHS = {"0": (0, 0), "1": (1, 1), "2": (2, 2), "3-5": (3, 5), "6+": (6, None)}
_SESSIONS = {"0": (0, 0), "1": (1, 1), "2-4": (2, 4), "5-9": (5, 9), "10+": (10, None)}


def slice_kinds(slices: bool | str | Iterable[str], has_counts: bool) -> list[str]:
    """The kinds of slices that are asked for.

    Args:
        slices: True for all that are possible, False for none, or their names.
        has_counts: Whether the counts of the items are known.

    Raises:
        ValueError: If a kind is unknown, or needs counts.
    """
    if isinstance(slices, bool):
        return [kind for kind in RULES if slices and (has_counts or kind != "target_popularity")]
    kinds = names("slices", [slices] if isinstance(slices, str) else slices)
    for kind in kinds:
        if kind not in RULES:
            raise ValueError(
                f"`slices` should be True, False or some of {', '.join(RULES)}. "
                f"Received: `slices`={slices!r}"
            )
        if kind == "target_popularity" and not has_counts:
            raise ValueError(
                '`slices` "target_popularity" needs the items\' counts: give `popularity` or a '
                "`vocabulary` that has any. Received: neither"
            )
    return kinds


def slice_metrics(
    results: QueryResults,
    systems: Sequence[str],
    kinds: Iterable[str],
    counts: NDArray[np.number] | None,
) -> dict[str, dict[str, SliceMeans]]:
    """Metrics of each slice of each kind; slices without a query are left out.

    Args:
        results: The ranks of every query.
        systems: Names of the systems.
        kinds: Kinds of slices, see `RULES`.
        counts: [vocabulary_size] counts by vocabulary index, for `"target_popularity"`.

    Returns:
        By kind and slice `{"queries": number, "metrics": {system: {metric: mean}}}`.
    """
    found: dict[str, dict[str, SliceMeans]] = {}
    whole: dict[str, dict[str, NDArray[np.float64]]] = {}
    for kind in kinds:
        if kind == "target_popularity":
            assert counts is not None
            parts = _popularity_slices(results, counts)
            found[kind] = {
                name: _means({system: results.metrics(system, kept=kept) for system in systems})
                for name, kept in parts.items()
            }
            continue
        if not whole:
            whole = {system: _of_ranks(results, system) for system in systems}
        lengths = kind == "session_length"
        numbers = results.details.running_lengths if lengths else results.details.earlier_sessions
        found[kind] = {}
        for name, (low, high) in (_LENGTHS if lengths else _SESSIONS).items():
            inside = (numbers >= low) & (high is None or numbers <= high)
            if inside.any():
                found[kind][name] = _means(
                    {
                        system: {metric: value[inside] for metric, value in values.items()}
                        for system, values in whole.items()
                    }
                )
    return found


def _of_ranks(results: QueryResults, system: str) -> dict[str, NDArray[np.float64]]:
    return results.metrics(system, kept=np.ones(len(results.targets), bool))


def _means(values: dict[str, dict[str, NDArray[np.float64]]]) -> SliceMeans:
    some = next(iter(next(iter(values.values())).values()))
    return {
        "queries": int((~np.isnan(some)).sum()),
        "metrics": {
            system: {name: float(np.nanmean(value)) for name, value in metrics.items()}
            for system, metrics in values.items()
        },
    }


def _popularity_slices(
    results: QueryResults, counts: NDArray[np.number]
) -> dict[str, NDArray[np.bool_]]:
    """The targets of each slice that has any: [N] each."""
    by_target = np.where(results.targets > 0, counts[results.targets], -1)
    head, torso = popularity_bounds(counts)
    parts = {
        "head": by_target >= head,
        "torso": (by_target < head) & (by_target >= torso),
        "tail": (by_target < torso) & (by_target > 0),
        "new": by_target == 0,
    }
    return {name: kept for name, kept in parts.items() if kept.any()}


def popularity_bounds(counts: NDArray[np.number]) -> tuple[float, float]:
    """The smallest counts of a head and of a torso item.

    An item is head if the items clicked more often have less than a third of all clicks, and torso
    if they have less than two thirds: items of equal counts are in one slice.

    Args:
        counts: [items] numbers, not negative.

    Example: the first item alone has half of the clicks, the first two have 8 of 10.

    >>> popularity_bounds(np.array([5, 3, 1, 1]))
    (5.0, 3.0)
    """
    levels, number = np.unique(counts.astype(np.float64), return_counts=True)
    clicks = (levels * number)[::-1].cumsum()
    above = np.append(0.0, clicks[:-1])[::-1]
    total = clicks[-1]
    return tuple(float(levels[above < total * share].min()) for share in (1 / 3, 2 / 3))  # type: ignore[return-value]
