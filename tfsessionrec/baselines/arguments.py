"""Checks of constructor arguments."""

import math
from collections.abc import Iterable

from tfsessionrec.checks import is_number, positive_integer


def choice(name: str, value: str, allowed: Iterable[str]) -> str:
    """Returns `value`, one of those allowed."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(
            f"`{name}` should be one of {', '.join(allowed)}. Received: `{name}`={value!r}"
        )
    return value


def integer_or_none(name: str, value: int | None) -> int | None:
    """Returns `value`, a positive integer or None."""
    return value if value is None else positive_integer(name, value)


def positive(name: str, value: float, unit: str = "number") -> float:
    """Returns `value`, a positive number."""
    if not (_is_finite(value) and value > 0):
        raise ValueError(f"`{name}` should be a positive {unit}. Received: `{name}`={value!r}")
    return value


def positive_or_none(name: str, value: float | None) -> float | None:
    """Returns `value`, a positive number or None."""
    if value is not None and not (_is_finite(value) and value > 0):
        raise ValueError(f"`{name}` should be positive or None. Received: `{name}`={value!r}")
    return value


def not_negative(name: str, value: float, suffix: str = "") -> float:
    """Returns `value`, a finite number of 0 or more."""
    if not (_is_finite(value) and value >= 0):
        raise ValueError(
            f"`{name}` should be finite and not negative{suffix}. Received: `{name}`={value!r}"
        )
    return value


def _is_finite(value: float) -> bool:
    return is_number(value) and math.isfinite(value)


def share(name: str, value: float) -> float:
    """The value, if it is a number from 0 to 1."""
    if not (is_number(value) and 0 <= value <= 1):
        raise ValueError(f"`{name}` should be from 0 to 1. Received: `{name}`={value!r}")
    return float(value)
