"""Why an item is recommended."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Explanation:
    """A past session that speaks for an item.

    Args:
        user_id: Whose session it is, as in the log.
        session_id: As in the log.
        session_index: Which of the user's sessions, from 0.
        time: Unix seconds of its last interaction.
        similarity: How near it is to the running session.
        contribution: What it adds to the item's score.
        items: Raw ids of its known items, oldest first.
    """

    user_id: Any
    session_id: Any
    session_index: int
    time: float
    similarity: float
    contribution: float
    items: tuple[Any, ...]
