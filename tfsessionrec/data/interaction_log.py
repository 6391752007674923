"""What was taken, and when: for candidates that know the time."""

import numpy as np
from numpy.typing import NDArray

from tfsessionrec.data.sessions import Sessions, starts_session
from tfsessionrec.data.vocabulary import Vocabulary


def interaction_log(sessions: Sessions, vocabulary: Vocabulary) -> dict[str, NDArray[np.int64]]:
    """The positive interactions of some sessions, as `layers.TrendFeatures.set_events` takes them.

    Args:
        sessions: The sessions; what was shown and not taken is left out.
        vocabulary: Gives each item its index.

    Returns:
        `item_ids` (vocabulary indices), `times` (unix seconds, rounded down) and `session_ids`
        (a number a session), each int64 [E], in the order of the sessions.

    Example:

    >>> import polars as pl
    >>> from tfsessionrec.data import Vocabulary, sessionize
    >>> events = pl.DataFrame(
    ...     {"visit": [7, 7, 8], "item_id": ["tea", "cup", "tea"], "timestamp": [10.0, 20.5, 30.0]}
    ... )
    >>> sessions = sessionize(events, session="visit")
    >>> log = interaction_log(sessions, Vocabulary.from_sessions(sessions))
    >>> {name: column.tolist() for name, column in log.items()}
    {'item_ids': [2, 3, 2], 'times': [10, 20, 30], 'session_ids': [0, 0, 1]}
    """
    events = sessions.events
    numbers = np.cumsum(events.select(starts_session()).to_series().to_numpy()) - 1
    taken = events["label"].to_numpy() > 0
    return {
        "item_ids": vocabulary.lookup(events["item_id"].to_numpy()).astype(np.int64)[taken],
        "times": np.floor(events["timestamp"].to_numpy()).astype(np.int64)[taken],
        "session_ids": numbers.astype(np.int64)[taken],
    }
