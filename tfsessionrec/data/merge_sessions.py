"""The whole history as one session."""

import polars as pl

from tfsessionrec.data.sessions import Sessions, session_index_from, starts_session, starts_user


def merge_sessions(sessions: Sessions, except_last: bool = False) -> Sessions:
    """Makes one session of all sessions of a user, for systems that know no sessions.

    It is a target if all of them were. The rows keep their order and their `session_id`.

    Args:
        sessions: Sessions to merge.
        except_last: If True, each user's last session stays apart, as what is to be predicted.
            Defaults to `False`.

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
    index = pl.col("session_index")
    apart = index == index.max().over("user_id") if except_last else pl.lit(False)
    starts = starts_user() | (starts_session() & apart)
    events = sessions.events.with_columns(session_index_from(starts))
    return Sessions(
        events.with_columns(is_target=pl.col("is_target").all().over("user_id", "session_index"))
    )
