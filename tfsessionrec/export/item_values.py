"""What is known of items, brought into the order of a vocabulary."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tfsessionrec.data import Vocabulary

ItemValues = Mapping[Any, Any] | Sequence[Any] | np.ndarray


def integer_values(
    name: str, values: ItemValues, vocabulary: "Vocabulary", missing: int
) -> np.ndarray:
    """A whole number of each item: int64 [num_items].

    Args:
        name: What an error calls `values`.
        values: A map from raw ids, or one value an item in the order of `vocabulary.ids`; None is
            missing, and so is an item that the map does not hold.
        vocabulary: The items.
        missing: What such an item gets.

    Raises:
        ValueError: If the length is another, or a value is not an int64.

    Example:

    >>> from tfsessionrec.data import Vocabulary
    >>> integer_values("item_tags", {"tea": 3}, Vocabulary(["tea", "milk"]), missing=0)
    array([3, 0])
    """
    given = _in_order(name, values, vocabulary)
    for value in given:
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if value is not None and not (whole and -(2**63) <= int(value) < 2**63):
            raise ValueError(
                f"`{name}` should hold 64-bit integers. Received: `{name}` with {value!r}"
            )
    return np.array([missing if value is None else int(value) for value in given], np.int64)


def category_values(name: str, values: ItemValues, vocabulary: "Vocabulary") -> np.ndarray:
    """A number for the category of each item: int32 [num_items], -1 for none.

    Args:
        name: What an error calls `values`.
        values: Strings or numbers, as for `integer_values`.
        vocabulary: The items.

    Raises:
        ValueError: If the length is another.

    Example:

    >>> from tfsessionrec.data import Vocabulary
    >>> vocabulary = Vocabulary(["tea", "milk", "gin"])
    >>> category_values("item_categories", ["hot", None, "hot"], vocabulary)
    array([ 0, -1,  0], dtype=int32)
    """
    numbers: dict[Any, int] = {None: -1}
    given = _in_order(name, values, vocabulary)
    return np.array([numbers.setdefault(v, len(numbers) - 1) for v in given], np.int32)


def _in_order(name: str, values: ItemValues, vocabulary: "Vocabulary") -> list[Any]:
    ids = vocabulary.ids.tolist()
    if isinstance(values, Mapping):
        return [values.get(item) for item in ids]
    given = list(values)
    if len(given) != len(ids):
        raise ValueError(
            f"`{name}` should be a map from raw ids, or hold one value for each of the {len(ids)} "
            f"items of the vocabulary. Received: {len(given)} values"
        )
    return given
