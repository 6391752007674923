"""Types of the client's callers: histories in, scored items out."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from tfsessionrec import checks


@dataclasses.dataclass(frozen=True)
class History:
    """The interactions of a visitor, oldest first.

    Attributes:
        item_ids: Raw ids.
        session_index: Which session each item belongs to; a new one begins wherever the number
            changes. Defaults to None: all items are one session.
        inputs: Further inputs that the export reads of each item, such as `timestamps` or
            `labels`, one value an item. Defaults to none.

    Raises:
        ValueError: If a list does not have one value an item.

    Example:

    >>> History.of_sessions([["shoes", "socks"], ["hat"]])
    History(item_ids=['shoes', 'socks', 'hat'], session_index=[0, 0, 1], inputs={})
    """

    item_ids: Sequence[str | int]
    session_index: Sequence[int] | None = None
    inputs: Mapping[str, Sequence[object]] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        checks.sequence("item_ids", self.item_ids, "ids")
        for item in self.item_ids:
            if isinstance(item, bool | np.bool_) or not isinstance(
                item, str | bytes | int | np.integer
            ):
                raise ValueError(
                    "`item_ids` should hold raw ids, texts or integers. Received: "
                    f"{type(item).__name__} {item!r}"
                )
        if self.session_index is not None:
            checks.sequence("session_index", self.session_index, "integers")
            for number in self.session_index:
                checks.integer("session_index", number)
        checks.mapping("inputs", self.inputs, "lists")
        for name, values in {"session_index": self.session_index, **self.inputs}.items():
            if name != "session_index":
                checks.sequence(f"inputs[{name!r}]", values, "values, one an item")
            if values is not None and len(values) != len(self.item_ids):
                raise ValueError(
                    f"`{name}` should have one value an item of `item_ids` ({len(self.item_ids)}). "
                    f"Received: `{name}`={values!r}"
                )

    @classmethod
    def of_sessions(cls, sessions: Sequence[Sequence[str | int]]) -> "History":
        """The history of a visitor whose sessions are known, each a list of raw ids.

        Raises:
            ValueError: If it is no list of lists of ids.
        """
        checks.sequence("sessions", sessions, "sessions, each a list of ids")
        for session in sessions:
            checks.sequence("sessions", session, "sessions, each a list of ids")
        return cls(
            [item for session in sessions for item in session],
            [number for number, session in enumerate(sessions) for _ in session],
        )


@dataclasses.dataclass(frozen=True)
class Recommendation:
    """One recommended item.

    Attributes:
        item_id: The raw id, a string or an integer as in the vocabulary of the export.
        score: Higher is better; comparable within one answer only.
    """

    item_id: str | int
    score: float


@dataclasses.dataclass(frozen=True)
class RankedItem:
    """One of the candidates given to `Client.rank`, with its score.

    Attributes:
        item_id: The raw id, as given.
        score: Higher is better; the lowest float32 where the model cannot score the item.
        known: Whether the vocabulary of the export holds the item.
    """

    item_id: str | int
    score: float
    known: bool
