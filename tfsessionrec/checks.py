"""Checks of arguments at the public border: each error names the argument and what it received.

Functions and constructors that users call check with these; nothing inside checks again. Nothing
here imports TensorFlow.
"""

import math
import numbers
import operator
import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any, SupportsFloat

import numpy as np

YEAR_10000 = 253_402_300_800
"""Unix seconds. No time of a log or a request is as late; times in milliseconds are later."""

# Kinds of tensors: NumPy's letters.
_KINDS = {"integer": "iu", "number": "iuf", "boolean": "b", "number or boolean": "iufb"}


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
    try:
        found = number(name, value, least=0)
    except ValueError:
        found = math.inf
    if found >= 1:
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


def integer(name: str, value: object) -> int:
    """Returns `value` as an int.

    Args:
        name: Name of the argument, for the message.
        value: The value given.

    Raises:
        ValueError: If `value` is not an integer.
    """
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise ValueError(f"`{name}` should be an integer. Received: `{name}`={value!r}")
    return int(value)


def unix_seconds(name: str, value: Any) -> float:
    """Returns `value`, a point in time in unix seconds, as a float.

    Args:
        name: Name of the argument, for the message.
        value: The value given.

    Raises:
        ValueError: If `value` is not a finite number, or lies after the year 10000, as
            milliseconds do.

    Example:

    >>> unix_seconds("time", 1_700_000_000)
    1700000000.0
    """
    found = number(name, value)
    if abs(found) >= YEAR_10000:
        raise ValueError(
            f"`{name}` should be unix seconds, before the year 10000. Received: "
            f"`{name}`={value!r}, which may be milliseconds"
        )
    return found


def share(name: str, value: Any) -> float:
    """Returns `value`, a number from 0 to 1, as a float.

    Args:
        name: Name of the argument, for the message.
        value: The value given.

    Raises:
        ValueError: If `value` is no such number.
    """
    try:
        found = number(name, value, least=0)
    except ValueError:
        found = math.inf
    if found > 1:
        raise ValueError(f"`{name}` should be from 0 to 1. Received: `{name}`={value!r}")
    return found


def boolean(name: str, value: Any) -> bool:
    """Returns `value` as a bool.

    Args:
        name: Name of the argument, for the message.
        value: The value given.

    Raises:
        ValueError: If `value` is neither True nor False.
    """
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"`{name}` should be True or False. Received: `{name}`={value!r}")
    return bool(value)


def text(name: str, value: Any, *, optional: bool = False, empty: bool = True) -> None:
    """Checks that `value` is text.

    Args:
        name: Name of the argument, for the message.
        value: The value given.
        optional: Whether None is right, too. Defaults to False.
        empty: Whether the empty text is right, too. Defaults to True.

    Raises:
        ValueError: If it is not.
    """
    right = isinstance(value, str) and (empty or value != "")
    if not right and not (optional and value is None):
        expected = "text" + " or None" * optional + ", and not empty" * (not empty)
        raise ValueError(f"`{name}` should be {expected}. Received: `{name}`={value!r}")


def texts(name: str, value: Any) -> tuple[str, ...]:
    """Returns `value`, several texts, as a tuple.

    Args:
        name: Name of the argument, for the message.
        value: The value given.

    Raises:
        ValueError: If it is one text, or no list or tuple of texts.
    """
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise ValueError(f"`{name}` should be a list of texts. Received: `{name}`={value!r}")
    return tuple(value)


def choice(name: str, value: Any, choices: Collection[str]) -> str:
    """Returns `value`, one of some texts.

    Args:
        name: Name of the argument, for the message.
        value: The value given.
        choices: The texts.

    Raises:
        ValueError: If `value` is none of them.
    """
    if not isinstance(value, str) or value not in choices:
        listed = ", ".join(repr(one) for one in choices)
        raise ValueError(f"`{name}` should be one of {listed}. Received: `{name}`={value!r}")
    return value


def sequence(name: str, value: Any, of: str) -> None:
    """Checks that `value` is a list, a tuple or an array.

    Args:
        name: Name of the argument, for the message.
        value: The value given.
        of: What it should hold, for the message.

    Raises:
        ValueError: If it is a text, a map, a set or no sequence.
    """
    is_text = isinstance(value, str | bytes)
    is_array = not is_text and hasattr(value, "shape") and len(value.shape) > 0
    if is_text or not (isinstance(value, Sequence) or is_array):
        raise ValueError(f"`{name}` should be a list of {of}. Received: `{name}`={value!r}")


def mapping(name: str, value: Any, of: str) -> None:
    """Checks that `value` is a map from texts.

    Args:
        name: Name of the argument, for the message.
        value: The value given.
        of: What it should hold, for the message.

    Raises:
        ValueError: If it is none, or a key is no text.
    """
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"`{name}` should be a map from names to {of}. Received: {value!r}")


def instance(name: str, value: Any, kind: type) -> None:
    """Checks that `value` is of a class.

    Args:
        name: Name of the argument, for the message.
        value: The value given.
        kind: The class.

    Raises:
        TypeError: If it is not.
    """
    if not isinstance(value, kind):
        raise TypeError(f"`{name}` should be a {kind.__name__}. Received: {_described(value)}")


def path(name: str, value: object) -> None:
    """Checks that `value` is the path of a file or a folder.

    Args:
        name: Name of the argument, for the message.
        value: The value given.

    Raises:
        ValueError: If it is neither a text nor a `pathlib.Path`.
    """
    if not isinstance(value, str | os.PathLike):
        raise ValueError(f"`{name}` should be a path. Received: `{name}`={value!r}")


def tensors(*arguments: tuple[str, Any, str, str]) -> None:
    """Checks kinds and shapes of tensors, as far as they are known before they are computed.

    Args:
        *arguments: Name, value, kind ("integer", "number", "boolean" or "number or boolean") and
            the letters of its axes, as in "B C"; "..." before them for any others. An axis of one
            letter has one size in all arguments, or 1.

    Raises:
        ValueError: If a value is no tensor of that kind and shape.

    Example:

    >>> tensors(("rows", np.zeros([2, 3], int), "integer", "B X"))
    """
    sizes: dict[str, int] = {}
    first: dict[str, str] = {}  # The argument that has each size.
    for name, value, kind, axes in arguments:
        letters = axes.split()
        open_ended = letters[:1] == ["..."]
        letters = letters[open_ended:]
        shape, letter = _shape_and_kind(value)
        known = shape is not None
        fits = letter is not None and letter in _KINDS[kind]
        if fits and known:
            fits = len(shape) >= len(letters) if open_ended else len(shape) == len(letters)
            last = shape[len(shape) - len(letters) :]
            for axis, size in zip(letters, last, strict=True) if fits else ():
                if size is not None and size != 1:
                    fits &= sizes.setdefault(axis, size) == size
                    first.setdefault(axis, name)
        if not fits:
            found = [f"{axis} = {size}" for axis, size in sizes.items() if axis in letters]
            others = {f"`{first[axis]}`": None for axis in letters if axis in sizes}
            where = f" with {', '.join(found)}, as in {', '.join(others)}" if found else ""
            article = "an" if kind == "integer" else "a"
            raise ValueError(
                f"`{name}` should be {article} {kind} tensor [{', '.join(axes.split())}]{where}. "
                f"Received: {_described(value)}"
            )


def _shape_and_kind(value: Any) -> tuple[Any, str | None]:
    """The shape, or None if it is not known, and NumPy's letter of the dtype; no letter: no tensor.

    Tensors of TensorFlow, Keras 2 and Keras 3 describe both in ways of their own.
    """
    if isinstance(value, str | bytes | Mapping | None) or hasattr(value, "to_tensor"):
        return None, None
    if not hasattr(value, "shape") or not hasattr(value, "dtype"):
        try:
            value = np.asarray(value)
        except (TypeError, ValueError, OverflowError):
            return None, None
    dtype = getattr(value.dtype, "as_numpy_dtype", value.dtype)
    is_short = any(name in str(dtype) for name in ("bfloat16", "float8"))
    letter = "f" if is_short else np.dtype(dtype).kind
    shape = value.shape
    if getattr(shape, "rank", 0) is None:
        return None, letter
    return tuple(shape), letter


def _described(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        dtype = getattr(value.dtype, "name", value.dtype)
        return f"{dtype} of shape {value.shape}"
    return repr(value)[:200]
