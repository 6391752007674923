"""Next-item training is next-session training on sessions of one item."""

from typing import Literal

import polars as pl

from tfsessionrec.data.sessions import Sessions, session_index_from, starts_session


def flatten_sessions(
    sessions: Sessions,
    negatives: Literal["drop", "keep"] = "drop",
    except_last: bool = False,
) -> Sessions:
    """Makes each interaction a session of its own, in the same order.

    An item is a target if its session was. Its `session_id` still names that session.

    Args:
        sessions: Sessions to flatten.
        negatives: `"drop"` leaves out items that were shown but not taken, `"keep"` makes
            sessions of them too. Defaults to `"drop"`.
        except_last: If True, each user's last session stays whole, negatives and all: next-item
            histories, tested on the next session. Defaults to `False`.

    Returns:
        `Sessions` of one item each.

    Raises:
        ValueError: If `negatives` is neither, or nothing is left.

    Example:

    >>> import polars as pl
    >>> from tfsessionrec.data import flatten_sessions, sessionize
    >>> log = pl.DataFrame({"s": [1, 1, 2], "item_id": [5, 6, 7], "timestamp": [0, 1, 50]})
    >>> flat = flatten_sessions(sessionize(log, session="s"))
    >>> flat.events.select("user_id", "session_index", "item_id").rows()
    [(1, 0, 5), (1, 1, 6), (2, 0, 7)]
    """
    if negatives not in ("drop", "keep"):
        raise ValueError(
            f"`negatives` should be 'drop' or 'keep'. Received: `negatives`={negatives!r}"
        )
    index = pl.col("session_index")
    whole = index == index.max().over("user_id") if except_last else pl.lit(False)
    events = sessions.events.with_columns(_whole=whole)
    if negatives == "drop":
        events = events.filter(pl.col("_whole") | (pl.col("label") == 1))
    if events.is_empty():
        raise ValueError("`sessions` should hold a positive interaction. Received: none")
    starts = starts_session() | ~pl.col("_whole")
    return Sessions(events.with_columns(session_index_from(starts)).drop("_whole"))
