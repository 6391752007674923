"""One example for each position of a running session, or for each session."""

from typing import Literal

import numpy as np
import polars as pl

from tfsessionrec.checks import boolean, instance, positive_integer
from tfsessionrec.data.examples.examples import Examples
from tfsessionrec.data.sessions import Sessions, session_bounds, starts_session


def expand_prefixes(
    sessions: Sessions,
    target: Literal["next", "rest"] = "next",
    max_sessions: int | None = None,
) -> Examples:
    """Makes an example of every positive item that follows another interaction of its session.

    The history of an example is everything before the item: the user's earlier sessions and the
    prefix of the running session. The target is that item (`"next"`), or that item and everything
    after it in the session (`"rest"`). Examples are in the order of the interactions.

    Args:
        sessions: Sessions to expand: the test sessions, or the training sessions of a system that
            reads the running session.
        target: `"next"` or `"rest"`. Defaults to `"next"`.
        max_sessions: Newest sessions of a history to keep, the running one included. Defaults to
            None: all.

    Returns:
        `Examples`, each asked at the last interaction of its history.

    Raises:
        ValueError: If an argument is out of range, or no target session has a second item.

    Example:

    >>> import polars as pl
    >>> from tfsessionrec.data import expand_prefixes, sessionize
    >>> log = pl.DataFrame({"s": [1, 1, 1], "item_id": [5, 6, 7], "timestamp": [0, 1, 2]})
    >>> examples = expand_prefixes(sessionize(log, session="s"))
    >>> examples.begin.tolist(), examples.target.tolist(), examples.end.tolist()
    ([0, 0], [1, 2], [2, 3])
    >>> expand_prefixes(sessionize(log, session="s"), target="rest").end.tolist()
    [3, 3]
    """
    instance("sessions", sessions, Sessions)
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
    end = at + 1 if target == "next" else ends[session]
    return Examples(events, begins[session - before], at, end, asked="last_interaction")


def expand_targets(
    sessions: Sessions, max_sessions: int | None = None, empty_history: bool = False
) -> Examples:
    """Makes an example of every target session, with the sessions before it as the history.

    Of a session that a cut in time divides, the part after the cut is the target, and the part
    before it a session of the history.

    Args:
        sessions: Sessions to expand.
        max_sessions: Newest sessions of a history to keep. Defaults to None: all.
        empty_history: Whether to keep target sessions without a session before them. Defaults to
            False.

    Returns:
        `Examples`, each asked when its target starts.

    Raises:
        ValueError: If no user has a session before a target session.

    Example:

    >>> import polars as pl
    >>> from tfsessionrec.data import expand_targets, sessionize
    >>> log = pl.DataFrame({"u": [1, 1, 1], "item_id": [5, 6, 7], "timestamp": [0, 100, 200]})
    >>> examples = expand_targets(sessionize(log, user="u", gap=60), max_sessions=1)
    >>> examples.begin.tolist(), examples.target.tolist(), examples.end.tolist()
    ([0, 1], [1, 2], [2, 3])
    """
    instance("sessions", sessions, Sessions)
    boolean("empty_history", empty_history)
    events = sessions.split_targets().events
    begins, ends = session_bounds(events)
    index = events["session_index"].to_numpy()[begins]
    asked = events["is_target"].to_numpy()[begins] & (empty_history | (index > 0))
    (chosen,) = asked.nonzero()
    if not len(chosen):
        raise ValueError(
            "`sessions` should hold a target session after another session of the same user. "
            "Received: none"
        )
    kept = index[chosen]
    if max_sessions is not None:
        kept = np.minimum(kept, positive_integer("max_sessions", max_sessions))
    return Examples(events, begins[chosen - kept], begins[chosen], ends[chosen])
