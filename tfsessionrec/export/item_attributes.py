"""Attributes of items, for the rules of `recommend_filtered`."""

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfsessionrec import rules
from tfsessionrec.checks import is_number, unix_seconds
from tfsessionrec.export.candidate_table import untrained
from tfsessionrec.rules import NO_TIME

if TYPE_CHECKING:
    from tfsessionrec.data import Vocabulary

Value = str | int | None
ItemValues = Mapping[str | int, Value] | Sequence[Value] | np.ndarray


@dataclasses.dataclass(frozen=True)
class ItemAttributes:
    """Attributes of items; each is a map from raw ids, or one value an item in vocabulary order.

    Args:
        tags: Up to 64 tags of each item as a sum of their bits. Defaults to None: no tags.
        categories: The category of each item; None for none. Defaults to None: no categories.
        times: Unix seconds of each item; None for unknown. Defaults to None: no times.
        freshness_half_life: Seconds in which the bonus of a new item halves. Defaults to 7 days.

    Raises:
        ValueError: If `freshness_half_life` is not a positive number.
    """

    tags: ItemValues | None = None
    categories: ItemValues | None = None
    times: ItemValues | None = None
    freshness_half_life: float = 7 * 86_400.0

    def __post_init__(self) -> None:
        half_life = self.freshness_half_life
        if not (is_number(half_life) and 0 < half_life < float("inf")):
            raise ValueError(
                "`freshness_half_life` should be a positive number of seconds. Received: "
                f"`freshness_half_life`={self.freshness_half_life!r}"
            )


class ItemTables(tf.Module):
    """The attributes of items as tensors in the graph.

    Args:
        items: The attributes.
        vocabulary: Their order.
    """

    def __init__(self, items: ItemAttributes, vocabulary: "Vocabulary") -> None:
        super().__init__(name="item_tables")
        self.freshness_half_life = float(items.freshness_half_life)
        self.inputs: dict[str, tf.DType] = {}  # of `recommend_filtered`
        if items.tags is not None:
            tags = integer_values("item_tags", items.tags, vocabulary, missing=0)
            self._tags = untrained(tags, "item_tags")
            self.inputs["tag_mask"] = tf.int64
        if items.categories is not None:
            numbers = category_values("item_categories", items.categories, vocabulary)
            self._categories = untrained(numbers, "item_categories")
            self.inputs["max_per_category"] = tf.int32
        if items.times is not None:
            times = integer_values("item_times", items.times, vocabulary, missing=NO_TIME)
            unix_seconds("item_times", int(times.max()))
            self._times = untrained(times, "item_times")
            self.inputs["freshness"] = tf.float32
            self.inputs["request_times"] = tf.int64

    def has_tags(self, tag_mask: tf.Tensor) -> tf.Tensor:
        """Bool [B, C], see `rules.has_tags`."""
        return rules.has_tags(self._tags, tag_mask)

    def freshness_bonus(self, request_times: tf.Tensor, freshness: tf.Tensor) -> tf.Tensor:
        """float32 [B, C], see `rules.freshness_bonus`."""
        return rules.freshness_bonus(
            self._times, request_times, freshness, self.freshness_half_life
        )

    def categories_of(self, rows: tf.Tensor) -> tf.Tensor:
        """int32 numbers of the categories of some items; -1 for none."""
        return tf.gather(self._categories, rows)


def integer_values(
    name: str, values: ItemValues, vocabulary: "Vocabulary", missing: int
) -> NDArray[np.int64]:
    """An integer for each item: int64 [num_items].

    Args:
        name: The name of `values` in an error.
        values: A map from raw ids, or one value an item in the order of `vocabulary.ids`; None is
            missing, and so is an item that the map does not hold.
        vocabulary: The items.
        missing: The integer of such an item.

    Raises:
        ValueError: If the length is another, or a value is not an int64.

    Example:

    >>> from tfsessionrec.data import Vocabulary
    >>> integer_values("item_tags", {"tea": 3}, Vocabulary(["tea", "milk"]), missing=0)
    array([3, 0])
    """
    numbers = []
    for value in _in_order(name, values, vocabulary):
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if value is not None and not (whole and -(2**63) <= int(value) < 2**63):
            raise ValueError(
                f"`{name}` should hold 64-bit integers. Received: `{name}` with {value!r}"
            )
        numbers.append(missing if value is None else int(value))
    return np.array(numbers, np.int64)


def category_values(name: str, values: ItemValues, vocabulary: "Vocabulary") -> NDArray[np.int32]:
    """A number for the category of each item: int32 [num_items], -1 for none.

    Args:
        name: The name of `values` in an error.
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
    numbers: dict[Hashable, int] = {None: -1}
    given = _in_order(name, values, vocabulary)
    return np.array([numbers.setdefault(v, len(numbers) - 1) for v in given], np.int32)


def _in_order(name: str, values: ItemValues, vocabulary: "Vocabulary") -> list[Value]:
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
