"""The choices of an evaluation that change its numbers."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from tfsessionrec.checks import boolean, positive_integer
from tfsessionrec.evaluation.queries import (
    Asked,
    TargetSets,
    next_session_sets,
    target_id_sets,
)
from tfsessionrec.types import Features

Positions = Literal["auto", "every", "target_ids"]
UnknownTargets = Literal["leave_out", "miss"]

TARGETS = {
    "every": "positives of the next session, at every position",
    "target_ids": "`target_ids`, after the whole history",
}
"""Kinds of queries, in words."""

UNKNOWN = {"leave_out": "left out", "miss": "counted as misses"}
"""Treatments of unknown targets, in words."""


@dataclass(frozen=True)
class Choices:
    """The choices of an evaluation that change its numbers.

    Args:
        cutoffs: Lengths of the list, ascending.
        positions: `"every"`, `"target_ids"`, or `"auto"` for the kind of the first batch.
        filter_seen: Whether the items of the history are removed from the ranking.
        repeats: Whether targets that the history holds are asked for.
        unknown_targets: Whether unknown targets are left out or count as misses.
        first_item_index: First vocabulary index that is an item.
        block_size: Scores held at a time.
        repetition: Whether repeated and new targets have metrics of their own.

    Raises:
        ValueError: If an argument is out of its range.
    """

    cutoffs: tuple[int, ...]
    positions: Positions
    filter_seen: bool
    repeats: bool
    unknown_targets: UnknownTargets
    first_item_index: int
    block_size: int
    repetition: bool = False

    def __post_init__(self) -> None:
        positive_integer("block_size", self.block_size)
        boolean("filter_seen", self.filter_seen)
        boolean("repeats", self.repeats)
        boolean("repetition", self.repetition)
        for name, value, allowed in (
            ("positions", self.positions, ("auto", *TARGETS)),
            ("unknown_targets", self.unknown_targets, tuple(UNKNOWN)),
        ):
            if value not in allowed:
                *others, last = (f'"{one}"' for one in allowed)
                raise ValueError(
                    f"`{name}` should be {', '.join(others)} or {last}. "
                    f"Received: `{name}`={value!r}"
                )

    def kind_of(self, batch: Features) -> Positions:
        """The kind of queries that a dataset with this batch gives."""
        if self.positions != "auto":
            return self.positions
        return "target_ids" if "target_ids" in batch else "every"

    def ask(self, batch: Features, kind: Positions, vocabulary_size: int) -> TargetSets:
        """The queries of a batch."""
        sets = next_session_sets if kind == "every" else target_id_sets
        misses = self.unknown_targets == "miss"
        asked = Asked(self.first_item_index, misses, self.repeats, self.repetition)
        return sets(batch, vocabulary_size, asked)


def list_lengths(k: int | Iterable[int]) -> tuple[int, ...]:
    """The lengths of the list, ascending.

    Raises:
        ValueError: If `k` is not one or more positive integers.
    """
    ks = k if isinstance(k, Iterable) and not isinstance(k, str | bytes) else [k]
    cutoffs = tuple(sorted({positive_integer("k", one) for one in ks}))
    if not cutoffs:
        raise ValueError(f"`k` should hold at least one positive integer. Received: `k`={k!r}")
    return cutoffs
