"""The table from which every other step starts: interactions in sessions of users."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tfsessionrec.checks import YEAR_10000, instance, sequence
from tfsessionrec.data.ids import RawIds, clean_ids, ids_series

_DTYPES: dict[str, tuple[pl.DataType | type[pl.DataType], ...]] = {
    "user_id": (pl.Int64, pl.String),
    "session_id": (pl.Int64, pl.String),
    "session_index": (pl.Int32,),
    "item_id": (pl.Int64, pl.String),
    "timestamp": (pl.Float64,),
    "label": (pl.Float32,),
    "is_target": (pl.Boolean,),
}

COLUMNS = tuple(_DTYPES)


def starts_user() -> pl.Expr:
    """True on the first row of each user."""
    return pl.col("user_id").ne_missing(pl.col("user_id").shift(1))


def starts_session() -> pl.Expr:
    """True on the first row of each session."""
    return starts_user() | pl.col("session_index").ne_missing(pl.col("session_index").shift(1))


def turns_target() -> pl.Expr:
    """True on the first row of a session that is predicted, where earlier rows of it are not."""
    return ~starts_session() & (pl.col("is_target") != pl.col("is_target").shift(1))


def session_index_from(starts: pl.Expr) -> pl.Expr:
    """0, 1, 2 ... of each user, given where the sessions of the sorted rows start."""
    number = starts.cum_sum().cast(pl.Int32)
    first = pl.when(starts_user()).then(number).forward_fill()
    return (number - first).alias("session_index")


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Sessions:
    """Interactions, grouped into the sessions of users, oldest first.

    Made by `sessionize`. The rows of a user are together, the sessions in order of their start, the
    interactions of a session in order of time.

    Args:
        events: A Polars DataFrame, one row an interaction, with the columns

            | column | dtype | meaning |
            | --- | --- | --- |
            | `user_id` | Int64 or String | as in the log |
            | `session_id` | Int64 or String | as in the log, or a running number |
            | `session_index` | Int32 | 0, 1, 2 ... of the user: with `user_id` the session's name |
            | `item_id` | Int64 or String | as in the log |
            | `timestamp` | Float64 | unix seconds |
            | `label` | Float32 | 1 positive interaction, 0 shown but not clicked |
            | `is_target` | Boolean | whether this interaction is predicted, see below |

            `is_target` has one value a session, but for sessions that a cut in time divides
            (`split_by_time`): it is False before the cut, True after it.

            There are also `interaction_type`, if the log has it, and any further columns.

    Raises:
        ValueError: If a column is missing, has another dtype or a null, a label is neither 0 nor
            1, the rows are not in the order above, or a time is not before the year 10000.

    Example:

    >>> import polars as pl
    >>> from tfsessionrec.data import sessionize
    >>> log = pl.DataFrame({"u": ["a", "a", "b"], "item_id": [1, 2, 1], "timestamp": [0, 9000, 5]})
    >>> sessionize(log, user="u", gap="1h")
    Sessions(num_users=2, num_sessions=3, num_events=3, has_negatives=False)
    """

    events: pl.DataFrame

    def __post_init__(self) -> None:
        events = self.events
        if not isinstance(events, pl.DataFrame):
            raise ValueError(f"`events` should be a Polars DataFrame. Received: {type(events)}")
        for name, dtypes in _DTYPES.items():
            if name not in events.columns:
                raise ValueError(
                    f"`events` should have a column {name!r}. Received: {', '.join(events.columns)}"
                )
            if events.schema[name] not in dtypes:
                raise ValueError(
                    f"`events` column {name!r} should be {' or '.join(map(str, dtypes))}. "
                    f"Received: {events.schema[name]}"
                )
            if events[name].null_count():
                raise ValueError(
                    f"`events` column {name!r} should have no nulls. "
                    f"Received: {events[name].null_count()}"
                )
        self._check_rows()

    def _check_rows(self) -> None:
        index = pl.col("session_index")
        new_user = starts_user()
        step = index.diff().fill_null(0)
        new_session = new_user | (step != 0)
        check = self.events.select(
            users=new_user.sum() == pl.col("user_id").n_unique(),
            sessions=pl.when(new_user).then(index == 0).otherwise(step.is_in([0, 1])).all(),
            targets=(new_session | pl.col("is_target") | ~pl.col("is_target").shift(1)).all(),
            labels=pl.col("label").is_in([0.0, 1.0]).all(),
            times=(pl.col("timestamp").abs() < YEAR_10000).all(),
        ).row(0, named=True)
        for name, rule in (
            ("users", "the rows of each user together"),
            ("sessions", "`session_index` 0, 1, 2 ... in the rows of each user"),
            ("targets", "one value of `is_target` in each session, or False and then True"),
            ("labels", "only the labels 0 and 1"),
            ("times", "`timestamp` in unix seconds, before the year 10000 (not milliseconds)"),
        ):
            if not check[name]:
                raise ValueError(f"`events` should have {rule}. Received: a table without")

    @property
    def num_users(self) -> int:
        """Number of users."""
        return self._count(starts_user())

    @property
    def num_sessions(self) -> int:
        """Number of sessions of all users."""
        return self._count(starts_session())

    @property
    def num_events(self) -> int:
        """Number of interactions, including items that were shown but not clicked."""
        return self.events.height

    @property
    def has_negatives(self) -> bool:
        """Whether an item was shown but not clicked."""
        return self._count(pl.col("label") == 0) > 0

    def filter_users(self, user_ids: RawIds) -> "Sessions":
        """The sessions of the given users, in the order of this table."""
        wanted = clean_ids(ids_series(user_ids, "user_ids"), "user_ids")
        if len(wanted) and wanted.dtype != self.events.schema["user_id"]:
            raise ValueError(
                f"`user_ids` should be of the users' type, {self.events.schema['user_id']}. "
                f"Received: {wanted.dtype}"
            )
        wanted = wanted.cast(self.events.schema["user_id"])
        return Sessions(self.events.filter(pl.col("user_id").is_in(wanted.implode())))

    def targets(self) -> "Sessions":
        """The interactions that are predicted, without the history."""
        return renumbered(self.events.filter("is_target"))

    def split_targets(self) -> "Sessions":
        """The same interactions; each session that is predicted in part becomes two sessions.

        The first is not predicted, the second is. Both keep their `session_id`; the second comes
        after the user's sessions that started before it.

        Example:

        >>> import polars as pl
        >>> from tfsessionrec.data import sessionize, split_by_time
        >>> log = pl.DataFrame({"s": [1, 1, 2], "item_id": [5, 6, 7], "timestamp": [0, 100, 50]})
        >>> _, test = split_by_time(sessionize(log, session="s"), at=100, history=True)
        >>> test.split_targets().events.select("session_index", "item_id", "is_target").rows()
        [(0, 5, False), (1, 6, True)]
        """
        turns = turns_target()
        if not self._count(turns):
            return self
        rows = self.events.with_columns(
            _user=starts_user().cum_sum(), _part=(starts_session() | turns).cum_sum()
        ).with_columns(_start=pl.col("timestamp").first().over("_part"))
        rows = rows.sort("_user", "_start", "_part", maintain_order=True)
        starts = pl.col("_part").ne_missing(pl.col("_part").shift(1))
        return Sessions(
            rows.with_columns(session_index_from(starts)).drop("_user", "_part", "_start")
        )

    @staticmethod
    def concat(parts: Sequence["Sessions"]) -> "Sessions":
        """Several Sessions as one.

        A user of several parts has the sessions of the first part first; `session_index` counts
        them all.
        """
        sequence("parts", parts, "Sessions")
        for part in parts:
            instance("parts", part, Sessions)
        if not parts:
            raise ValueError("`parts` should hold at least one Sessions. Received: none")
        columns = parts[0].events.schema
        for part in parts:
            if part.events.schema != columns:
                raise ValueError(
                    "`parts` should have the same columns of the same types. "
                    f"Received: {dict(columns)} and {dict(part.events.schema)}"
                )
        rows = pl.concat(
            part.events.with_columns(_part=pl.lit(number, dtype=pl.Int32))
            for number, part in enumerate(parts)
        )
        rows = (
            rows.with_row_index("_row")
            .with_columns(_user=pl.col("_row").min().over("user_id"))
            .sort("_user", "_row")
        )
        starts = starts_session() | pl.col("_part").ne_missing(pl.col("_part").shift(1))
        return Sessions(
            rows.with_columns(session_index_from(starts)).drop("_part", "_user", "_row")
        )

    def _count(self, where: pl.Expr) -> int:
        return int(self.events.select(where.sum()).item())

    def __repr__(self) -> str:
        return (
            f"Sessions(num_users={self.num_users}, num_sessions={self.num_sessions}, "
            f"num_events={self.num_events}, has_negatives={self.has_negatives})"
        )


def renumbered(events: pl.DataFrame) -> Sessions:
    """Sessions of some rows of a table, each user's counted from 0 again."""
    return Sessions(events.with_columns(session_index_from(starts_session())))


def starting_rows(log: pl.DataFrame) -> NDArray[np.bool_]:
    """True at the first row of each session."""
    return log.select(starts_session()).to_series().to_numpy()


def session_bounds(log: pl.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first row of each session, and the row after its last."""
    begins = np.flatnonzero(starting_rows(log))
    return begins, np.append(begins, len(log))[1:]


def user_bounds(log: pl.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first row of each user, and the row after the last."""
    begins = np.flatnonzero(log.select(starts_user()).to_series().to_numpy())
    return begins, np.append(begins, len(log))[1:]
