"""One example for each position of the running session."""

from typing import Literal

import numpy as np
import polars as pl

from tfsessionrec.checks import positive_integer
from tfsessionrec.data.cut_examples import cut_examples, session_bounds
from tfsessionrec.data.sessions import Sessions, starts_session


def expand_prefixes(
    sessions: Sessions,
    target: Literal["next", "rest"] = "next",
    max_sessions: int | None = None,
) -> Sessions:
    """Makes an example of every item that has others before it in its session.

    Each positive item of a target session, but for the session's very first interaction, becomes a
    user of its own: his history is all that went before, the running session's prefix as the last
    session of it, and his last session, the only target, holds that item alone (`"next"`), or it
    and all that follows it in the session, the set that remains (`"rest"`). The examples follow the
    order of the interactions, their `user_id` is their number. Their rows add up to the sum of the
    histories' lengths, quadratic in the length of a history; `max_sessions` bounds it.

    Args:
        sessions: Sessions to expand: those for testing, or the training of a system that reads
            the running session.
        target: `"next"` or `"rest"`. Defaults to `"next"`.
        max_sessions: How many sessions of a history are kept, the newest ones, the running one
            counted. Defaults to all.

    Returns:
        `Sessions`, one user an example.

    Raises:
        ValueError: If an argument is out of range, or no target session has a second item.

    Example:

    >>> import polars as pl
    >>> from tfsessionrec.data import expand_prefixes, sessionize
    >>> log = pl.DataFrame({"s": [1, 1, 1], "item_id": [5, 6, 7], "timestamp": [0, 1, 2]})
    >>> examples = expand_prefixes(sessionize(log, session="s"))
    >>> examples.events.select("user_id", "session_index", "item_id").rows()
    [(0, 0, 5), (0, 1, 6), (1, 0, 5), (1, 0, 6), (1, 1, 7)]
    >>> examples = expand_prefixes(sessionize(log, session="s"), target="rest")
    >>> examples.events.select("user_id", "session_index", "item_id").rows()
    [(0, 0, 5), (0, 1, 6), (0, 1, 7), (1, 0, 5), (1, 0, 6), (1, 1, 7)]
    """
    if target not in ("next", "rest"):
        raise ValueError(f"`target` should be 'next' or 'rest'. Received: `target`={target!r}")
    events = sessions.events
    chosen = pl.col("is_target") & (pl.col("label") == 1) & ~starts_session()
    (at,) = events.select(chosen).to_series().to_numpy().nonzero()
    if not len(at):
        raise ValueError(
            "`sessions` should hold a target session with a positive item after its first. "
            "Received: none"
        )
    begins, ends = session_bounds(events)
    session = np.searchsorted(begins, at, side="right") - 1
    before = events["session_index"].to_numpy()[at]
    if max_sessions is not None:
        before = np.minimum(before, positive_integer("max_sessions", max_sessions) - 1)
    stop = at + 1 if target == "next" else ends[session]
    return cut_examples(events, begins[session - before], at, stop)
