"""Other sessions from the same interactions: one an item, or one a user."""

from typing import Literal

import polars as pl

from tfsessionrec.checks import boolean, instance
from tfsessionrec.data.sessions import Sessions, session_index_from, starts_session, starts_user


def flatten_sessions(
    sessions: Sessions,
    negatives: Literal["drop", "keep"] = "drop",
    except_last: bool = False,
) -> Sessions:
    """Makes each interaction a session of its own, in the same order.

    An item is a target if its session was. Its `session_id` still names that session.

    Args:
        sessions: Sessions to flatten.
        negatives: `"drop"` leaves out items that were shown but not clicked, `"keep"` makes
            sessions of them too. Defaults to `"drop"`.
        except_last: If True, each user's last session stays whole, negatives included: next-item
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
    instance("sessions", sessions, Sessions)
    boolean("except_last", except_last)
    if negatives not in ("drop", "keep"):
        raise ValueError(
            f"`negatives` should be 'drop' or 'keep'. Received: `negatives`={negatives!r}"
        )
    events = (sessions.split_targets() if except_last else sessions).events
    events = events.with_columns(_whole=_last_session() if except_last else pl.lit(False))
    if negatives == "drop":
        events = events.filter(pl.col("_whole") | (pl.col("label") == 1))
    if events.is_empty():
        raise ValueError("`sessions` should hold a positive interaction. Received: none")
    starts = starts_session() | ~pl.col("_whole")
    return Sessions(events.with_columns(session_index_from(starts)).drop("_whole"))


def merge_sessions(sessions: Sessions, except_last: bool = False) -> Sessions:
    """Joins all sessions of a user into one, for systems that read a history without sessions.

    It is a target if all of them were. The rows keep their order and their `session_id`.

    Args:
        sessions: Sessions to merge.
        except_last: If True, each user's last session stays apart, as the target. Defaults to
            `False`.

    Returns:
        `Sessions`, one session a user, or two.

    Example:

    >>> import polars as pl
    >>> from tfsessionrec.data import merge_sessions, sessionize
    >>> log = pl.DataFrame({"u": [1, 1, 1], "item_id": [5, 6, 7], "timestamp": [0, 100, 200]})
    >>> merged = merge_sessions(sessionize(log, user="u", gap=60), except_last=True)
    >>> merged.events.select("user_id", "session_index", "item_id").rows()
    [(1, 0, 5), (1, 0, 6), (1, 1, 7)]
    """
    instance("sessions", sessions, Sessions)
    boolean("except_last", except_last)
    starts = starts_user()
    if except_last:
        sessions = sessions.split_targets()
        starts |= starts_session() & _last_session()
    events = sessions.events.with_columns(session_index_from(starts))
    return Sessions(
        events.with_columns(is_target=pl.col("is_target").all().over("user_id", "session_index"))
    )


def _last_session() -> pl.Expr:
    """True on the rows of each user's last session."""
    index = pl.col("session_index")
    return index == index.max().over("user_id")
