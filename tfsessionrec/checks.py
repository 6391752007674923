"""Checks of arguments that many layers and functions take."""

import numbers
import operator
from typing import Any

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
    if not (is_number(value) and 0 <= value < 1):
        raise ValueError(f"`{name}` should be in [0, 1). Received: `{name}`={value!r}")
    return value


def is_number(value: object) -> bool:
    """Whether `value` is a real number; NaN, a truth value or a text is none.

    Example:

    >>> is_number(0.5), is_number("0.5"), is_number(float("nan"))
    (True, False, False)
    """
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return is_real and value == value


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
