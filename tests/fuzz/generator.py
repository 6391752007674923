"""Wrong values for an argument, by what it should be."""

import dataclasses
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf


class Thing:
    """An object that is nothing in particular."""

    def __repr__(self) -> str:
        return "<thing>"


COMMON: tuple[Any, ...] = (Thing(), {"a": 1}, {1, 2}, b"\xff", 1j)
WRONG: dict[str, tuple[Any, ...]] = {
    "size": (*COMMON, "3", True, False, np.True_, 1.5, 0, -1, None, [3], float("nan"), "x"),
    "count": (*COMMON, "3", True, np.False_, 1.5, -1, None, [3], float("inf")),
    "integer": (*COMMON, "x", True, 1.5, None, [3]),
    "number": (*COMMON, "x", "1.5", True, None, [1.0], float("nan"), float("inf")),
    "positive": (*COMMON, "x", "1.5", True, None, [1.0], float("nan"), float("inf"), 0, -1.0),
    "share": (*COMMON, "x", "0.5", True, None, [0.5], float("nan"), -0.1, 1.1),
    "rate": (*COMMON, "x", "0.5", True, None, [0.5], float("nan"), -0.1, 1.0),
    "boolean": (*COMMON, "yes", "", 3, 0.0, None, []),
    "choice": (*COMMON, "no such choice", "", 5, None, ["a"], True),
    "text": (*COMMON, "", 5, None, ["a"], True),
    "list": (Thing(), 5, 1.5, "text", None, True, b"\xff", 1j),
    "map": (Thing(), 5, 1.5, "text", None, True, [1, 2]),
    "object": (Thing(), 5, "text", None, [1], True),
}


def wrong_tensors(kind: str, good: Any) -> Iterator[Any]:
    """Tensors of another rank or dtype, and what is no tensor."""
    value = np.asarray(good)
    yield from (*COMMON, None, "text", [[1], [1, 2]], [object()])
    yield tf.constant(value[np.newaxis, np.newaxis])
    if value.ndim:
        yield tf.constant(value.ravel()[0])
    if value.ndim > 1:
        yield value[0]
    yield tf.fill(value.shape, "a")
    yield np.full(value.shape, "a")
    yield tf.zeros(value.shape, tf.complex64)
    if kind == "integer":
        yield tf.zeros(value.shape, tf.float32)
        yield np.zeros(value.shape, bool)
    if kind == "boolean":
        yield tf.zeros(value.shape, tf.int32)
        yield np.zeros(value.shape, np.float32)
    if kind == "number":
        yield tf.zeros(value.shape, tf.bool)


@dataclasses.dataclass(frozen=True)
class Subject:
    """A public function or constructor.

    Attributes:
        name: What it is called.
        call: It.
        good: Arguments that it takes.
        kinds: What each argument to be spoiled should be: a key of `WRONG`, or "tensor KIND"; with
            "?" at the end None is right, too.
        more: Further wrong values by argument.
        right: Values by argument that are not wrong here.
    """

    name: str
    call: Callable[..., Any]
    good: Mapping[str, Any]
    kinds: Mapping[str, str]
    more: Mapping[str, Sequence[Any]] = dataclasses.field(default_factory=dict)
    right: Mapping[str, Sequence[Any]] = dataclasses.field(default_factory=dict)

    def cases(self) -> Iterator[tuple[str, Any]]:
        """Each argument with each of its wrong values."""
        for argument, kind in self.kinds.items():
            optional, kind = kind.endswith("?"), kind.removesuffix("?")
            if kind.startswith("tensor "):
                values = wrong_tensors(kind.removeprefix("tensor "), self.good[argument])
            else:
                values = iter(WRONG[kind])
            right = {repr(value) for value in self.right.get(argument, ())}
            for value in (*values, *self.more.get(argument, ())):
                if not (optional and value is None) and repr(value) not in right:
                    yield argument, value


def outcome(subject: Subject, argument: str, value: Any) -> str | None:
    """What is wrong with the error of a wrong call; None if it names the argument."""
    try:
        subject.call(**{**subject.good, argument: value})
    except (TypeError, ValueError) as error:
        if isinstance(error, UnicodeError) or argument not in str(error):
            return f"{type(error).__name__}: {error}".replace("\n", " ")[:120]
        return None
    except Exception as error:
        return f"{type(error).__name__}: {error}".replace("\n", " ")[:120]
    return "no error"


def sample(
    subjects: Sequence[Subject], seed: int, size: int | None
) -> list[tuple[Subject, str, Any]]:
    """Some wrong calls, or all of them."""
    found = [(one, name, value) for one in subjects for name, value in one.cases()]
    random.Random(seed).shuffle(found)
    return found if size is None else found[:size]
