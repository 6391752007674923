"""One recommended item."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Recommendation:
    """One recommended item.

    Attributes:
        item_id: The raw id, a string or an integer as in the vocabulary of the export.
        score: Higher is better; comparable within one answer only.
    """

    item_id: str | int
    score: float
