"""The weight of each row of a log as a target."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tfsessionrec.recipe import TargetWeights


def row_weights(log: pl.DataFrame, weights: TargetWeights) -> NDArray[np.float32]:
    """The weight of each row as a target: float32 [rows of the log].

    Args:
        log: Rows of a `Sessions`.
        weights: What decides it.

    Raises:
        ValueError: If the column is missing or holds a number that is no weight, the log has no
            interaction types, or a type is not among them.

    Example:

    >>> log = pl.DataFrame({"label": [1.0, 1.0, 0.0], "interaction_type": ["buy", "view", None]})
    >>> row_weights(log, TargetWeights(by_type={"buy": 5}, types=("buy",))).tolist()
    [5.0, 0.0, 1.0]
    """
    found = np.ones(len(log), np.float32)
    if weights.column is not None:
        found *= _column(log, weights.column)
    if weights.by_type or weights.types:
        types = _types(log, [*weights.by_type, *weights.types])
        if weights.by_type:
            names, values = list(weights.by_type), list(weights.by_type.values())
            by_type = types.replace_strict(names, values, default=1.0, return_dtype=pl.Float32)
            found *= by_type.fill_null(1.0).to_numpy()
        if weights.types:
            wanted = types.is_in(list(weights.types)).fill_null(False).to_numpy()
            found[(log["label"].to_numpy() > 0) & ~wanted] = 0.0
    return found


def _column(log: pl.DataFrame, name: str) -> NDArray[np.float32]:
    if name not in log.columns:
        raise ValueError(
            "`weights` should name a column of the sessions (keep it with `sessionize(keep=...)`). "
            f"Received: {name!r}; columns: {', '.join(log.columns)}"
        )
    column = log[name]
    if not (column.dtype.is_numeric() or column.dtype == pl.Boolean):
        raise ValueError(
            f"`weights` should name a column of numbers. Received: {name!r} of type {column.dtype}"
        )
    values = column.cast(pl.Float32).to_numpy()
    wrong = ~(np.isfinite(values) & (values >= 0))
    if wrong.any():
        raise ValueError(
            "`weights` should be finite numbers of 0 or more. Received: "
            f"{column.filter(pl.Series(wrong))[0]} in column {name!r}, {wrong.sum()} such rows"
        )
    return values


def _types(log: pl.DataFrame, named: list[str]) -> pl.Series:
    """The interaction types of the log as texts, of which there are all that are `named`."""
    if "interaction_type" not in log.columns:
        raise ValueError(
            "Weights by interaction type need sessions with interaction types: give "
            "`sessionize(interaction_type=...)`, or `--interaction-type COLUMN`. Received: "
            f"{', '.join(named)}"
        )
    types = log["interaction_type"].cast(pl.String)
    known = set(types.drop_nulls().unique())
    unknown = sorted(set(named) - known)
    if unknown:
        raise ValueError(
            "Weighed interaction types should be among those of the log: "
            f"{', '.join(sorted(known))}. Received: {', '.join(unknown)}"
        )
    return types
