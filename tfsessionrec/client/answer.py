"""Reading an answer that may hold anything: every failure is a `ServingError`."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfsessionrec.client.transport import ServingError, TensorSpec

# Kinds (NumPy's letters) and ranks of the outputs that the client reads.
OUTPUTS: dict[str, dict[str, tuple[str, tuple[int, ...]]]] = {
    "recommend": {"item_ids": ("Oi", (2,)), "scores": ("f", (2,))},
    "recommend_filtered": {"item_ids": ("Oi", (2,)), "scores": ("f", (2,))},
    "similar_items": {"item_ids": ("Oi", (2,)), "scores": ("f", (2,))},
    "rank": {"scores": ("f", (2,)), "known": ("b", (2,))},
    "encode": {"query_embeddings": ("f", (2, 3))},
}
KINDS: dict[str, tuple[type, ...]] = {"O": (str,), "b": (bool,), "f": (float, int)}
MAX_RANK = 8
SHOWN = 200  # characters of a server's text


@contextlib.contextmanager
def reading(what: str, where: str) -> Iterator[None]:
    """Turns what a malformed answer raises into a `ServingError`.

    Args:
        what: What the answer should have been.
        where: The address and the model.

    Raises:
        ServingError: If the block fails.
    """
    try:
        yield
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        MemoryError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        text = shown(f"{type(error).__name__}: {error}")
        raise ServingError(f"{what}: {text}", where, "INTERNAL") from error


def shown(text: str, size: int = SHOWN) -> str:
    """Text of a server, to be printed."""
    text = text if len(text) <= size else text[:size] + " …"
    return text.encode(errors="replace").decode()


def array_of(value: object, spec: TensorSpec, name: str) -> NDArray:
    """An output in JSON as an array.

    Args:
        value: Nested lists.
        spec: What the signature lists.
        name: Name of the output.

    Raises:
        ValueError: If it is something else.
    """
    dtype = spec.array_dtype
    kinds = KINDS.get(dtype.kind, (int,))
    shape: list[int] = []
    level: list[Any] = [value]
    while level and isinstance(level[0], list) and len(shape) < MAX_RANK:
        size = len(level[0])
        if not all(isinstance(one, list) and len(one) == size for one in level):
            raise ValueError(f"`{name}` is not rectangular")
        shape.append(size)
        level = [cell for one in level for cell in one]
    if not all(type(cell) in kinds for cell in level):
        raise ValueError(f"`{name}` holds other values than {spec.dtype}")
    if dtype.kind == "O":
        "".join(level).encode()  # A lone surrogate is no text.
    # [B, 0, D] without B: the rank of an empty array is not seen.
    if not level and spec.rank > len(shape):
        shape += [0] * (spec.rank - len(shape))
    return np.array(level, dtype).reshape(shape)


def check_rank(value: NDArray, spec: TensorSpec, name: str) -> None:
    """Raises ValueError if an output has another rank than its signature lists."""
    if spec.rank >= 0 and value.ndim != spec.rank:
        raise ValueError(f"`{name}` has the rank {value.ndim} instead of {spec.rank}")


def check_outputs(signature: str, answer: Mapping[str, NDArray], rows: int) -> None:
    """Checks names, kinds and shapes of the outputs that the client reads.

    Raises:
        LookupError: If one is missing.
        ValueError: If one is of another kind or shape.
    """
    shapes = set()
    for name, (kinds, ranks) in OUTPUTS[signature].items():
        value = answer[name]
        if value.dtype.kind not in kinds or value.ndim not in ranks:
            raise ValueError(f"`{name}` is {value.dtype} of rank {value.ndim}")
        if len(value) != rows:
            raise ValueError(f"`{name}` has {len(value)} rows instead of {rows}")
        shapes.add(value.shape)
    if len(shapes) != 1:
        raise ValueError(f"its outputs have unequal shapes: {sorted(shapes)}")
