"""One example for each position of the running session."""

import numpy as np
import polars as pl

from tfsessionrec.data.sessions import Sessions, starts_session, starts_user


def expand_prefixes(sessions: Sessions) -> Sessions:
    """Makes an example of every item that has others before it in its session.

    Each positive item of a target session, but for the session's very first interaction, becomes a
    user of its own: his history is all that went before, the running session's prefix as the last
    session of it, and his last session, the only target, holds that item alone. The examples
    follow the order of the interactions, their `user_id` is their number. Their rows add up to the
    sum of the histories' lengths, quadratic in the length of a history.

    Args:
        sessions: Sessions to expand, usually those for testing.

    Returns:
        `Sessions`, one user an example.

    Raises:
        ValueError: If no target session has a second item.

    Example:

    >>> import polars as pl
    >>> from tfsessionrec.data import expand_prefixes, sessionize
    >>> log = pl.DataFrame({"s": [1, 1, 1], "item_id": [5, 6, 7], "timestamp": [0, 1, 2]})
    >>> examples = expand_prefixes(sessionize(log, session="s"))
    >>> examples.events.select("user_id", "session_index", "item_id").rows()
    [(0, 0, 5), (0, 1, 6), (1, 0, 5), (1, 0, 6), (1, 1, 7)]
    """
    events = sessions.events
    row = pl.int_range(pl.len())
    targets = events.select(
        end=row,
        start=pl.when(starts_user()).then(row).forward_fill(),
        chosen=pl.col("is_target") & (pl.col("label") == 1) & ~starts_session(),
    ).filter("chosen")
    if targets.is_empty():
        raise ValueError(
            "`sessions` should hold a target session with a positive item after its first. "
            "Received: none"
        )
    # An example is the run of rows from its user's first to its target.
    start, end = targets["start"].to_numpy(), targets["end"].to_numpy()
    lengths = end - start + 1
    stops = np.cumsum(lengths)
    rows = np.arange(stops[-1]) - np.repeat(stops - lengths - start, lengths)
    is_target = np.zeros(len(rows), bool)
    is_target[stops - 1] = True
    return Sessions(
        events[rows].with_columns(
            user_id=pl.Series(np.repeat(np.arange(len(lengths)), lengths), dtype=pl.Int64),
            session_index=pl.col("session_index") + pl.Series(is_target).cast(pl.Int32),
            is_target=pl.Series(is_target),
        )
    )
