"""One example for each session that is to be predicted."""

import numpy as np

from tfsessionrec.data.cut_examples import cut_examples, session_bounds
from tfsessionrec.data.sessions import Sessions


def expand_targets(sessions: Sessions, max_sessions: int, empty_history: bool = False) -> Sessions:
    """Makes each target session the last of a user of its own, after the sessions before it.

    Args:
        sessions: Sessions to expand.
        max_sessions: How many sessions before it are kept.
        empty_history: Whether target sessions with none before them are kept too. Defaults to
            False.

    Returns:
        `Sessions`, one user a target session, which is the only target.

    Raises:
        ValueError: If no user has a session before a target session.

    Example:

    >>> import polars as pl
    >>> from tfsessionrec.data import expand_targets, sessionize
    >>> log = pl.DataFrame({"u": [1, 1, 1], "item_id": [5, 6, 7], "timestamp": [0, 100, 200]})
    >>> examples = expand_targets(sessionize(log, user="u", gap=60), max_sessions=1)
    >>> examples.events.select("user_id", "session_index", "item_id").rows()
    [(0, 0, 5), (0, 1, 6), (1, 0, 6), (1, 1, 7)]
    """
    events = sessions.events
    begins, ends = session_bounds(events)
    index = events["session_index"].to_numpy()[begins]
    asked = events["is_target"].to_numpy()[begins] & (empty_history | (index > 0))
    (chosen,) = asked.nonzero()
    if not len(chosen):
        raise ValueError(
            "There should be something to predict after something else of the same user. "
            "Received: nothing"
        )
    oldest = chosen - np.minimum(index[chosen], max_sessions)
    return cut_examples(events, begins[oldest], begins[chosen], ends[chosen])
