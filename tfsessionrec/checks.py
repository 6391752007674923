"""Checks of arguments that many layers and functions take."""

import math
import operator
from typing import Any, SupportsFloat

import numpy as np


def positive_integer(name: str, value: Any) -> int:
    """Returns `value` as an int.

    Args:
        name: What the argument is called, for the message.
        value: Anything.

    Raises:
        ValueError: If `value` is not a positive integer.

    Example:

    >>> positive_integer("k", 20)
    20
    """
    try:
        number = 0 if isinstance(value, bool | np.bool_) else operator.index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise ValueError(f"`{name}` should be a positive integer. Received: `{name}`={value!r}")
    return number


def rate(name: str, value: float) -> float:
    """Returns `value`, a rate of dropout.

    Args:
        name: What the argument is called, for the message.
        value: A number.

    Raises:
        ValueError: If `value` is not in [0, 1).
    """
    if not 0 <= value < 1:
        raise ValueError(f"`{name}` should be in [0, 1). Received: `{name}`={value!r}")
    return value


def non_negative_integer(name: str, value: int) -> int:
    """Returns `value` as an int.

    Args:
        name: Name of the argument, for the message.
        value: The value given.

    Raises:
        ValueError: If `value` is not an integer of 0 or more.
    """
    is_integer = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not is_integer or value < 0:
        raise ValueError(f"`{name}` should be a non-negative integer. Received: `{name}`={value!r}")
    return int(value)


def number(
    name: str, value: Any, *, least: float | None = None, above: float | None = None
) -> float:
    """Returns `value` as a float.

    Args:
        name: Name of the argument, for the message.
        value: The value given.
        least: Lowest value. Defaults to None: none.
        above: Value that it must exceed. Defaults to None: none.

    Raises:
        ValueError: If `value` is not a finite number in that range.

    Example:

    >>> number("timeout", 5, above=0)
    5.0
    """
    limit = f" of {least} or more" if least is not None else ""
    limit = f" above {above}" if above is not None else limit
    try:
        # A text is no number, although `float` takes it.
        is_number = isinstance(value, SupportsFloat) and not isinstance(value, bool | np.bool_)
        found = float(value) if is_number and np.ndim(value) == 0 else math.nan
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    inside = (least is None or found >= least) and (above is None or found > above)
    if not math.isfinite(found) or not inside:
        raise ValueError(f"`{name}` should be a finite number{limit}. Received: `{name}`={value!r}")
    return found
