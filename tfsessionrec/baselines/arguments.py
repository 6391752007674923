"""Checks of constructor arguments."""

from collections.abc import Iterable

import numpy as np

from tfsessionrec.checks import positive_integer


def choice(name: str, value: str, allowed: Iterable[str]) -> str:
    """Returns `value`, one of those allowed."""
    if value not in allowed:
        raise ValueError(
            f"`{name}` should be one of {', '.join(allowed)}. Received: `{name}`={value!r}"
        )
    return value


def integer_or_none(name: str, value: int | None) -> int | None:
    """Returns `value`, a positive integer or None."""
    return value if value is None else positive_integer(name, value)


def positive(name: str, value: float, unit: str = "number") -> float:
    """Returns `value`, a positive number."""
    if not (np.isfinite(value) and value > 0):
        raise ValueError(f"`{name}` should be a positive {unit}. Received: `{name}`={value!r}")
    return value


def positive_or_none(name: str, value: float | None) -> float | None:
    """Returns `value`, a positive number or None."""
    if value is not None and not (np.isfinite(value) and value > 0):
        raise ValueError(f"`{name}` should be positive or None. Received: `{name}`={value!r}")
    return value


def not_negative(name: str, value: float, suffix: str = "") -> float:
    """Returns `value`, a finite number of 0 or more."""
    if not (np.isfinite(value) and value >= 0):
        raise ValueError(
            f"`{name}` should be finite and not negative{suffix}. Received: `{name}`={value!r}"
        )
    return value
