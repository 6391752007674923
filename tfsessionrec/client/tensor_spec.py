"""What a signature takes or gives under one name."""

import dataclasses
from typing import Any

import numpy as np

KINDS: dict[str, type] = {
    "string": str,
    "int64": int,
    "int32": int,
    "float32": float,
    "bool": bool,
}


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """What a signature takes or gives under one name.

    Attributes:
        dtype: "string", "int64", "int32", "float32" or "bool".
        rank: Number of dimensions; the first is that of the requests.
        default: What `signature.json` says a row has that says nothing. Defaults to None.
    """

    dtype: str
    rank: int
    default: Any = None

    @property
    def array_dtype(self) -> Any:
        """The NumPy dtype; strings are objects."""
        return object if self.dtype == "string" else np.dtype(self.dtype)

    @property
    def padding(self) -> Any:
        """What fills a row that is shorter than others: nothing that a vocabulary holds."""
        return {"string": "", "int64": -1, "int32": -1, "bool": False}.get(self.dtype, 0.0)

    def convert(self, value: Any, name: str) -> Any:
        """The value as this dtype has it.

        Raises:
            ValueError: If it cannot be.
        """
        kind = KINDS.get(self.dtype, float)
        try:
            fits = not (kind is int and isinstance(value, float) and not value.is_integer())
            converted = kind(value)
            if kind is int:
                info = np.iinfo(self.dtype)
                fits &= info.min <= converted <= info.max
        except (TypeError, ValueError, OverflowError):
            fits = False
        if not fits:
            raise ValueError(
                f"`{name}` should hold values of type {self.dtype}. Received: {value!r}"
            )
        return converted
