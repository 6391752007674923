"""One candidate with its score."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class RankedItem:
    """One of the candidates that `Client.rank` was given.

    Attributes:
        item_id: The raw id, as given.
        score: Higher is better; the lowest float32 where the model cannot score the item.
        known: Whether the vocabulary of the export holds the item.
    """

    item_id: str | int
    score: float
    known: bool
