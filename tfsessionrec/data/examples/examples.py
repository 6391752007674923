"""Histories and their targets, as ranges of the rows of a log."""

import dataclasses
import warnings
from typing import Literal, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tfsessionrec import checks
from tfsessionrec.data.sessions import Sessions, session_bounds, starting_rows, user_bounds

Asked = Literal["next_start", "last_interaction"]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Examples:
    """Histories and their targets, when each is asked, and where each came from.

    Example e has the history `log[begin[e]:target[e]]` and the target `log[target[e]:end[e]]`. No
    row is copied: examples share the rows of their log, which keep their user and session.

    With `target == end` an example is a sequence: each of its sessions is the target of the
    sessions before it, where `is_target` allows it. A causal model answers all these positions at
    once.

    Args:
        log: Rows of a `Sessions`.
        begin: int64 [E], first row of each history, the first of a session.
        target: int64 [E], first row of the target. It may be inside a session, which is then cut.
        end: int64 [E], the row after the target.
        is_target: bool [rows of the log], whether a session that starts at a row may be predicted.
            Defaults to None: the column `is_target` of the log.
        asked: When the next session is asked for: `"next_start"`, when it starts (default), or
            `"last_interaction"`, at the last interaction before it.

    Raises:
        TypeError: If `log` is no Polars DataFrame.
        ValueError: If another argument is of another kind or shape.

    Example:

    >>> import polars as pl
    >>> from tfsessionrec.data import expand_prefixes, sessionize
    >>> log = pl.DataFrame({"s": [1, 1, 1], "item_id": [5, 6, 7], "timestamp": [0, 1, 2]})
    >>> expand_prefixes(sessionize(log, session="s"))
    Examples(num_examples=2, kind='queries', asked='last_interaction')
    """

    log: pl.DataFrame
    begin: NDArray[np.int64]
    target: NDArray[np.int64]
    end: NDArray[np.int64]
    is_target: NDArray[np.bool_] | None = None
    asked: Asked = "next_start"

    def __post_init__(self) -> None:
        checks.instance("log", self.log, pl.DataFrame)
        rows = {name: getattr(self, name) for name in ("begin", "target", "end")}
        checks.tensors(*((name, value, "integer", "E") for name, value in rows.items()))
        for name, value in rows.items():
            object.__setattr__(self, name, np.asarray(value))
        if self.is_target is not None:
            checks.tensors(("is_target", self.is_target, "boolean", "R"))
            object.__setattr__(self, "is_target", np.asarray(self.is_target))
        checks.choice("asked", self.asked, get_args(Asked))

    def __len__(self) -> int:
        return len(self.begin)

    def __repr__(self) -> str:
        kind = "queries" if self.has_targets else "sequences"
        return f"Examples(num_examples={len(self)}, kind={kind!r}, asked={self.asked!r})"

    @property
    def has_targets(self) -> bool:
        """Whether an example has a target of its own; otherwise examples are sequences."""
        return bool((self.target < self.end).any())

    @classmethod
    def sequences(cls, sessions: Sessions, asked: Asked = "next_start") -> "Examples":
        """One sequence a user: each session is the target of the sessions before it."""
        checks.instance("sessions", sessions, Sessions)
        log = sessions.split_targets().events
        begin, end = user_bounds(log)
        return cls(log, begin, end, end, asked=asked)

    @classmethod
    def last_sessions(cls, sessions: Sessions, asked: Asked = "next_start") -> "Examples":
        """Each user's last session is the target of the sessions before it.

        A last session that may not be predicted (`is_target`) is left out of the history too.
        """
        checks.instance("sessions", sessions, Sessions)
        log = sessions.split_targets().events
        begin, end = user_bounds(log)
        starts = session_bounds(log)[0]
        target = starts[np.searchsorted(starts, end) - 1]
        asks = log["is_target"].to_numpy()[target]
        return cls(log, begin, target, np.where(asks, end, target), asked=asked)

    def filter(self, kept: NDArray[np.bool_]) -> "Examples":
        """The examples where `kept` [E] is True."""
        checks.tensors(("kept", kept, "boolean", "E"))
        kept = np.asarray(kept)
        if len(kept) != len(self):
            raise ValueError(
                f"`kept` should be {len(self)} truth values, one an example. Received: {len(kept)}"
            )
        return dataclasses.replace(
            self, begin=self.begin[kept], target=self.target[kept], end=self.end[kept]
        )

    def newest(self, max_sessions: int) -> "Examples":
        """The same examples with the newest sessions of the log in each history."""
        max_sessions = checks.positive_integer("max_sessions", max_sessions)
        starts = session_bounds(self.log)[0]
        first = np.searchsorted(starts, self.begin, side="right") - 1
        last = np.searchsorted(starts, self.target, side="left")
        first = np.maximum(first, last - max_sessions)
        begin = np.where(last > first, starts[np.minimum(first, len(starts) - 1)], self.target)
        return dataclasses.replace(self, begin=begin)

    def to_sessions(self) -> Sessions:
        """A copy of the rows in which each example is a user, numbered in order.

        The target is the user's last session and the only one with `is_target`.
        """
        lengths = self.end - self.begin
        ends = np.cumsum(lengths)
        rows = np.arange(lengths.sum()) - np.repeat(ends - lengths - self.begin, lengths)
        in_target = rows >= np.repeat(self.target, lengths)
        index = self.log["session_index"].to_numpy()
        cut = ~starting_rows(self.log)[np.minimum(self.target, len(self.log) - 1)]
        before = np.repeat(index[self.begin], lengths)
        return Sessions(
            self.log[rows].with_columns(
                user_id=pl.Series(np.repeat(np.arange(len(self)), lengths), dtype=pl.Int64),
                session_index=pl.Series(
                    index[rows] - before + (in_target & np.repeat(cut, lengths)), dtype=pl.Int32
                ),
                is_target=pl.Series(in_target),
            )
        )

    @property
    def events(self) -> pl.DataFrame:
        """Rows in which each example is a user, as earlier releases returned them."""
        warnings.warn(
            "`Examples.events` goes away: use `to_sessions().events`, or the row ranges `begin`, "
            "`target` and `end` of `log`",
            FutureWarning,
            stacklevel=2,
        )
        return self.to_sessions().events
