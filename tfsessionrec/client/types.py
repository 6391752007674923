"""What a caller of the client gives and gets: histories and scored items."""

import dataclasses
from collections.abc import Mapping, Sequence


@dataclasses.dataclass(frozen=True)
class History:
    """What a visitor did so far, oldest first.

    Attributes:
        item_ids: Raw ids.
        session_index: Which session each item belongs to; a new one begins wherever the number
            changes. Defaults to None: all items are one session.
        inputs: What else the export reads of each item, such as `timestamps` or `labels`, one
            value an item. Defaults to none.

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
        if isinstance(self.item_ids, str):
            raise ValueError(
                f"`item_ids` should be a list of ids. Received: `item_ids`={self.item_ids!r}"
            )
        for name, values in {"session_index": self.session_index, **self.inputs}.items():
            if values is not None and len(values) != len(self.item_ids):
                raise ValueError(
                    f"`{name}` should have one value an item of `item_ids` ({len(self.item_ids)}). "
                    f"Received: `{name}`={values!r}"
                )

    @classmethod
    def of_sessions(cls, sessions: Sequence[Sequence[str | int]]) -> "History":
        """The history of a visitor whose sessions are known, each a list of raw ids."""
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
