"""Losses and metrics of the finished epochs, and the epoch that is the model."""

import math
from collections.abc import Mapping, Sequence

Epoch = Mapping[str, float]


def is_epoch(value: object) -> bool:
    """Whether `value` holds numbers by name; a loss may be NaN."""
    return isinstance(value, dict) and all(
        isinstance(number, (int, float)) and not isinstance(number, bool)
        for number in value.values()
    )


def best_epoch(epochs: Sequence[Epoch]) -> int:
    """The number of the best epoch, from 1; 0 if there is none.

    It is the first with the highest validation metric (`val_...`) or, without validation, with the
    lowest loss.
    """
    metric = validation_metric(epochs)
    losses = [
        epoch.get("loss", math.inf) if metric is None else -epoch.get(metric, -math.inf)
        for epoch in epochs
    ]
    return min(range(len(losses)), key=losses.__getitem__) + 1 if losses else 0


def chosen_epoch(epochs: Sequence[Epoch]) -> int:
    """The number of the epoch that is the model: the best one by validation, or the last."""
    return len(epochs) if validation_metric(epochs) is None else best_epoch(epochs)


def validation_metric(epochs: Sequence[Epoch]) -> str | None:
    """Name of the validation metric of the epochs; None without validation."""
    return next((name for epoch in epochs for name in epoch if name.startswith("val_")), None)
