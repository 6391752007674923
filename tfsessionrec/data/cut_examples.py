"""From runs of rows to examples that end in what is to be predicted."""

import numpy as np
import polars as pl

from tfsessionrec.data.sessions import Sessions, starts_session


def cut_examples(
    events: pl.DataFrame, start: np.ndarray, target: np.ndarray, stop: np.ndarray
) -> Sessions:
    """Makes a user of his own of each run of rows `start` to `stop`.

    Args:
        events: Rows of a `Sessions`.
        start: First row of each example, the first of a session.
        target: The row from which on each example is its last session, the only target. It may
            lie inside a session, which is cut in two there.
        stop: Where each example ends, without that row.

    Returns:
        `Sessions`, one user an example, numbered in this order.
    """
    lengths = stop - start
    ends = np.cumsum(lengths)
    rows = np.arange(ends[-1]) - np.repeat(ends - lengths - start, lengths)
    is_target = rows >= np.repeat(target, lengths)
    index = events["session_index"].to_numpy()
    inside = ~events.select(starts_session()).to_series().to_numpy()[target]
    before = np.repeat(index[start], lengths)
    after_cut = is_target & np.repeat(inside, lengths)
    return Sessions(
        events[rows].with_columns(
            user_id=pl.Series(np.repeat(np.arange(len(lengths)), lengths), dtype=pl.Int64),
            session_index=pl.Series(index[rows] - before + after_cut, dtype=pl.Int32),
            is_target=pl.Series(is_target),
        )
    )


def session_bounds(events: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The first row of each session, and the row after its last."""
    begins = events.select(starts_session()).to_series().to_numpy().nonzero()[0]
    return begins, np.append(begins[1:], len(events))
