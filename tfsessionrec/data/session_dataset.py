"""From sessions to a `tf.data.Dataset` of session batches."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import polars as pl
import tensorflow as tf

from tfsessionrec.data.sessions import Sessions, starts_session, starts_user
from tfsessionrec.data.vocabulary import Vocabulary

_NEWEST = 0.99  # the share of rows from which on none is drawn more often for being newer
_OWN_KEYS = (
    "item_ids",
    "labels",
    "is_target",
    "session_times",
    "request_times",
    "interaction_types",
    "item_times",
    "match_ids",
    "target_ids",
)

# Names of columns that hold numbers; or columns by name, with the categories of each, or None.
Columns: TypeAlias = Sequence[str] | Mapping[str, Sequence[str | int] | None]


def session_dataset(
    sessions: Sessions | tf.data.Dataset,
    vocabulary: Vocabulary,
    *,
    max_sessions: int = 50,
    max_items: int = 20,
    batch_size: int | None = None,
    batch_positions: int | None = None,
    shuffle: bool | None = None,
    seed: int | None = None,
    targets: str | None = None,
    context: Sequence[str] = (),
    session_context: Columns = (),
    interaction_types: bool | Sequence[str | int] | None = None,
    item_times: bool = False,
    match_ids: bool = False,
    min_sessions: int = 1,
    request_times: str | None = None,
    shuffle_window: float | None = None,
    recency_half_life: float | None = None,
    drop_remainder: bool = False,
    static_shapes: bool = False,
) -> tf.data.Dataset:
    """Makes batches of sessions, one row a user, for `model.fit` and for evaluation.

    Padding comes last on every axis and is 0 (`False`) everywhere. Of a user the newest
    `max_sessions` sessions are kept, of each session the newest `max_items` items. A batch is
    padded to its own longest row and session, not to these limits (unless `static_shapes`).

    Each element is a dict, with B rows, S sessions and I items:

    | key | dtype, shape | meaning |
    | --- | --- | --- |
    | `item_ids` | int32 [B, S, I] | vocabulary indices; unknown items are out-of-vocabulary |
    | `labels` | float32 [B, S, I] | 1 positive, 0 shown but not taken |
    | `is_target` | bool [B, S] | may this session be predicted? |
    | `session_times` | int64 [B, S] | start of the session, unix seconds |
    | `request_times` | int64 [B, S] | if asked for: when the session after is asked for |
    | `interaction_types` | int32 [B, S, I] | if asked for: 1..n, 0 = padding or another type |
    | `item_times` | int64 [B, S, I] | if asked for: unix seconds of each item |
    | `match_ids` | int64 [B, S, I] | if asked for: equal for equal raw ids, 0 = padding |
    | each of `context` | own dtype, [B, S, I] | that column, 0 where null |
    | each of `session_context` | own dtype, [B, S] | that column in the session's first row |
    | `target_ids` | int32 [B, T] | with `targets="last"` only |

    A shuffled epoch holds every row once. Its rows are sorted by their number of sessions (rows
    of equal length in random order), cut into batches, and the batches are shuffled: little
    padding, and a new order in each epoch that depends on `seed` alone.

    Args:
        sessions: The sessions, or a dataset of sessions as the builders of
            `tfsessionrec.datasets` give it.
        vocabulary: Gives each item its index.
        max_sessions: Longest history, in sessions.
        max_items: Longest session, in items.
        batch_size: Rows a batch, 128 by default. Give either this or `batch_positions`.
        batch_positions: Cells [B, S] a batch: as many rows as fit while B · S stays within it
            (one row at the least).
        shuffle: By default shuffled exactly if `seed` is given. Without shuffling rows keep the
            order of `sessions`.
        seed: Seed of the shuffling. Shuffling without one differs from run to run.
        targets: None: all sessions are input, and a model trains on predicting each from those
            before. `"last"`: the last session of each user is taken out of the input and its
            positive items, each once and all of them, become `target_ids`: a user of one session
            has an empty history. They hold out-of-vocabulary indices too; evaluation leaves
            those out and says how many. A last session whose `is_target` is False
            gives no target.
        context: Numeric columns of `sessions.events` to give along.
        session_context: Columns of `sessions.events` whose value in each session's first row to
            give along (even where `max_items` cuts that row off). As a mapping, to each column its
            categories in order, which become 1..n (int32, 0 = null or another value), or None for
            numbers.
        interaction_types: The types in order, the first becoming 1; or True for the sorted types
            of these sessions. Give the list wherever two datasets must agree.
        item_times: Whether to give `item_times`, rounded down as `session_times` are.
        match_ids: Whether to give numbers that tell all items apart, unknown ones too, for
            `RelationFeatures`. They mean nothing beyond this dataset. False by default.
        min_sessions: Users with fewer sessions (before truncation, a held-out one counted) are
            left out. 2 leaves out those who train nothing.
        request_times: When a position is asked for the session after it, for models whose
            candidates know the time. `"next_start"`: when that session begins (for the last one
            of a user, which has none after it, as below). `"last_interaction"`: at the last
            interaction of its own session, as a page is made for a running session. With
            `targets="last"` an empty history is asked when the held-out session begins, which
            stands at position 0.
        shuffle_window: Keeps the rows of a shuffled batch close in time: instead of a random
            order, rows of equal length have that of their last session's start plus a random
            share of so many seconds. The batches still come in random order. For candidates
            that know the time: requests of one batch then share their tables. Draw negatives from
            the log then, not from the batch (`"popularity"`, `"uniform"`, `"full"`): a batch of
            one moment holds what is clicked then, and a loss against it unlearns just that.
        recency_half_life: Instead of each row once, an epoch of shuffled batches draws as many
            rows, with replacement, the newer the likelier: among rows of equal length with
            `p ∝ 2^(-age / recency_half_life)`, the age in seconds being that of the last session's
            start (the newest hundredth of all rows has none: clocks may be wrong). For logs of
            which the last hours tell most. Defaults to None: each row once.
        drop_remainder: Leaves out rows so that every batch has `batch_size`; when shuffled, other
            rows in each epoch.
        static_shapes: Pads to `max_sessions` and `max_items` (`target_ids` to the most targets
            of any row), for compilers and accelerators. The batch dimension is static with
            `drop_remainder`.

    Returns:
        A `tf.data.Dataset` of known cardinality.

    Raises:
        ValueError: If an argument is out of its range or contradicts another, or if no row is
            left.

    Example:

    >>> import polars as pl
    >>> from tfsessionrec.data import Vocabulary, session_dataset, sessionize
    >>> events = pl.DataFrame({
    ...     "user": ["ann", "ann", "ann", "bob"],
    ...     "visit": [1, 1, 2, 3],
    ...     "item_id": ["tea", "cup", "tea", "cup"],
    ...     "timestamp": [10, 20, 30, 40],
    ... })
    >>> sessions = sessionize(events, user="user", session="visit")
    >>> dataset = session_dataset(sessions, Vocabulary.from_sessions(sessions))
    >>> next(iter(dataset))["item_ids"].numpy().tolist()
    [[[2, 3], [2, 0]], [[3, 0], [0, 0]]]
    """
    for name, value in (
        ("max_sessions", max_sessions),
        ("max_items", max_items),
        ("min_sessions", min_sessions),
        ("batch_size", 128 if batch_size is None else batch_size),
        ("batch_positions", 1 if batch_positions is None else batch_positions),
    ):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"`{name}` should be a positive integer. Received: `{name}`={value!r}")
    if batch_positions is not None:
        if batch_size is not None:
            raise ValueError(
                "Only one of `batch_size` and `batch_positions` should be given. "
                f"Received: `batch_size`={batch_size}, `batch_positions`={batch_positions}"
            )
        if drop_remainder or static_shapes:
            raise ValueError(
                "`drop_remainder` and `static_shapes` need `batch_size`: batches of "
                "`batch_positions` differ in their rows. "
                f"Received: `batch_positions`={batch_positions}"
            )
    if request_times not in (None, "next_start", "last_interaction"):
        raise ValueError(
            '`request_times` should be None, "next_start" or "last_interaction". Received: '
            f"`request_times`={request_times!r}"
        )
    if shuffle_window is not None and not 0 <= shuffle_window < np.inf:
        raise ValueError(
            "`shuffle_window` should be a number of seconds. Received: "
            f"`shuffle_window`={shuffle_window!r}"
        )
    if recency_half_life is not None and not 0 < recency_half_life < np.inf:
        raise ValueError(
            "`recency_half_life` should be a positive number of seconds. Received: "
            f"`recency_half_life`={recency_half_life!r}"
        )
    if targets not in (None, "last"):
        raise ValueError(f'`targets` should be None or "last". Received: `targets`={targets!r}')
    for name, columns in (("context", context), ("session_context", session_context)):
        if isinstance(columns, str):
            raise ValueError(
                f"`{name}` should be a sequence of column names. Received: `{name}`={columns!r}"
            )
    for name in session_context:
        if name in context:
            raise ValueError(
                f"`context` and `session_context` should not share a column. Received: {name!r}"
            )
    if isinstance(sessions, tf.data.Dataset):
        from tfsessionrec.data.from_tfds import sessions_from_tfds

        sessions = sessions_from_tfds(sessions)
    rows = _Rows.from_sessions(
        sessions,
        vocabulary,
        max_sessions=int(max_sessions),
        max_items=int(max_items),
        last_is_target=targets == "last",
        context=tuple(context),
        session_context=(
            session_context
            if isinstance(session_context, Mapping)
            else dict.fromkeys(session_context)
        ),
        interaction_types=interaction_types,
        item_times=item_times,
        match_ids=match_ids,
        min_sessions=int(min_sessions),
        request_times=request_times,
    )
    if shuffle is None:
        shuffle = seed is not None
    if batch_size is None and batch_positions is None:
        batch_size = 128

    lengths = np.maximum(rows.user_end - rows.user_begin, 1)
    if shuffle:
        lengths = np.sort(lengths)
    num_rows = len(lengths)
    if batch_positions is not None:
        bounds = _bounds_by_positions(lengths, batch_positions)
    else:
        assert batch_size is not None
        if drop_remainder:
            num_rows -= num_rows % batch_size
            if num_rows == 0:
                raise ValueError(
                    "`drop_remainder` leaves no batch: fewer rows than `batch_size`. "
                    f"Received: `batch_size`={batch_size} for {len(lengths)} rows"
                )
        bounds = np.minimum(np.arange(0, num_rows + batch_size, batch_size), num_rows)

    with tf.device("/cpu:0"):
        tables = {name: tf.constant(array) for name, array in rows.tables().items()}
        if shuffle:
            likelier = None if recency_half_life is None else rows.recency(recency_half_life)
            batches = _shuffled_batches(tables, bounds, seed, shuffle_window, likelier)
        else:
            batches = tf.data.Dataset.from_tensor_slices((bounds[:-1], bounds[1:])).map(tf.range)

    def assemble(indices: tf.Tensor) -> dict[str, tf.Tensor]:
        if drop_remainder:
            indices = tf.ensure_shape(indices, [batch_size])
        return _assemble(
            tables,
            indices,
            item_names=tuple(rows.item_columns),
            session_names=tuple(rows.session_columns),
            shape=(max_sessions, max_items, rows.max_targets) if static_shapes else None,
        )

    # One cheap map: tuning and rewriting the pipeline at the start of each epoch would cost more
    # than they give, on small logs as much as the epoch.
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    return (
        batches.map(assemble, num_parallel_calls=2, deterministic=True)
        .apply(tf.data.experimental.assert_cardinality(len(bounds) - 1))
        .prefetch(2)
        .with_options(options)
    )


@dataclasses.dataclass(frozen=True)
class _Rows:
    """Sessions in flat arrays: rows are ranges of sessions, sessions are ranges of items.

    Every per-item array ends in one padding value and every per-session array in one empty
    session, so that an index out of a range, sent there, gathers the padding.
    """

    user_begin: np.ndarray  # int64 [U], sessions of the input
    user_end: np.ndarray
    session_begin: np.ndarray  # int64 [M + 1], items kept of each session
    session_end: np.ndarray
    session_times: np.ndarray  # int64 [M + 1]
    is_target: np.ndarray  # bool [M + 1]
    session_columns: dict[str, np.ndarray]  # each [M + 1]
    item_columns: dict[str, np.ndarray]  # each [N + 1]
    target_ids: np.ndarray | None  # int32 [number of targets + 1]
    target_offsets: np.ndarray | None  # int64 [U + 1]

    @property
    def max_targets(self) -> int:
        return 1 if self.target_offsets is None else max(1, int(np.diff(self.target_offsets).max()))

    def tables(self) -> dict[str, np.ndarray]:
        """All arrays by name, the columns under theirs."""
        own = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if isinstance(getattr(self, field.name), np.ndarray)
        }
        items = {f"item/{name}": column for name, column in self.item_columns.items()}
        sessions = {f"session/{name}": column for name, column in self.session_columns.items()}
        return own | items | sessions

    def recency(self, half_life: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """How rows of equal length are drawn, the newer the likelier.

        Returns:
            Rows sorted by length; for each of them g, the number of its length among all lengths;
            and g plus the share of the draws of that length which fall on it or on those before.
        """
        lengths = np.maximum(self.user_end - self.user_begin, 1)
        times = self.session_times[np.maximum(self.user_end - 1, 0)].astype(np.float64)
        rows = np.argsort(lengths, kind="stable")
        _, start, group = np.unique(lengths[rows], return_index=True, return_inverse=True)
        # A clock that runs ahead may not have all the draws to itself.
        age = np.maximum(np.quantile(times, _NEWEST) - times[rows], 0)
        # Ages within a length, so that no length is too old for a number.
        age -= np.minimum.reduceat(age, start)[group]
        weight = 2.0 ** (-age / half_life)
        total = np.cumsum(weight)
        before = (total[start] - weight[start])[group]
        share = (total - before) / np.add.reduceat(weight, start)[group]
        return rows, group.astype(np.float64), group + share

    @classmethod
    def from_sessions(
        cls,
        sessions: Sessions,
        vocabulary: Vocabulary,
        *,
        max_sessions: int,
        max_items: int,
        last_is_target: bool,
        context: tuple[str, ...],
        session_context: Mapping[str, Sequence[str | int] | None],
        interaction_types: bool | Sequence[str | int] | None,
        item_times: bool,
        match_ids: bool,
        min_sessions: int,
        request_times: str | None,
    ) -> "_Rows":
        events = sessions.events
        begins = events.select(session=starts_session(), user=starts_user())
        starts = np.flatnonzero(begins["session"])
        ends = np.append(starts[1:], len(events))
        first = np.flatnonzero(begins["user"].gather(starts))
        last = np.append(first[1:], len(starts))
        kept = last - first >= min_sessions
        if not kept.any():
            raise ValueError(
                "No user has as many sessions as `min_sessions`. "
                f"Received: `min_sessions`={min_sessions} for {len(first)} users"
            )
        first, last = first[kept], last[kept]

        item_ids = vocabulary.lookup(events["item_id"].to_numpy()).astype(np.int32)
        labels = events["label"].to_numpy().astype(np.float32)
        columns = {"item_ids": item_ids, "labels": labels}
        if interaction_types is not None and interaction_types is not False:
            columns["interaction_types"] = _type_indices(events, interaction_types)
        if item_times:
            columns["item_times"] = np.floor(events["timestamp"].to_numpy()).astype(np.int64)
        if match_ids:
            columns["match_ids"] = events["item_id"].rank("dense").cast(pl.Int64).to_numpy()
        for name in context:
            columns[name] = _context_column(events, name, "context")
        firsts = events[starts] if session_context else events
        session_columns = {
            name: _context_column(firsts, name, "session_context", categories)
            for name, categories in session_context.items()
        }

        is_target = events["is_target"].to_numpy()[starts]
        target_ids = target_offsets = None
        if last_is_target:
            last = last - 1
            # One index a distinct positive item of each held-out session, in order.
            row = np.full(len(starts), -1)
            row[last[is_target[last]]] = np.flatnonzero(is_target[last])
            target_rows = np.repeat(row, ends - starts)
            positives = (
                pl.DataFrame(
                    {"row": target_rows, "raw": events["item_id"], "id": item_ids, "label": labels}
                )
                .filter((pl.col("row") >= 0) & (pl.col("label") > 0) & (pl.col("id") > 0))
                .unique(["row", "raw"], keep="first", maintain_order=True)
            )
            counts = np.bincount(positives["row"].to_numpy(), minlength=len(last))
            target_offsets = np.concatenate([[0], np.cumsum(counts)])
            target_ids = _padded(positives["id"].to_numpy())
        seconds = np.floor(events["timestamp"].to_numpy()).astype(np.int64)
        times = seconds[starts]
        if request_times is not None:
            asked = seconds[ends - 1]
            if request_times == "next_start":
                has_next = ~begins["user"].to_numpy()[np.append(starts[1:], 0)]
                asked = np.where(has_next, np.append(times[1:], 0), asked)
            session_columns["request_times"] = asked
        return cls(
            user_begin=np.maximum(first, last - max_sessions),
            user_end=last,
            session_begin=np.append(np.maximum(starts, ends - max_items), len(events)),
            session_end=np.append(ends, len(events)),
            session_times=_padded(times),
            is_target=_padded(is_target),
            session_columns={name: _padded(column) for name, column in session_columns.items()},
            item_columns={name: _padded(column) for name, column in columns.items()},
            target_ids=target_ids,
            target_offsets=target_offsets,
        )


def _padded(array: np.ndarray) -> np.ndarray:
    return np.append(array, np.zeros(1, array.dtype))


def _type_indices(
    events: pl.DataFrame, interaction_types: bool | Sequence[str | int]
) -> np.ndarray:
    """Index of each row's interaction type, 1..n, 0 for null or a type not in the list."""
    if "interaction_type" not in events.columns:
        raise ValueError(
            "`interaction_types` needs sessions with interaction types: give "
            "`sessionize(interaction_type=...)`. "
            f"Received: `interaction_types`={interaction_types!r}"
        )
    types = events["interaction_type"]
    if interaction_types is True:
        interaction_types = types.drop_nulls().unique().sort().to_list()
    if isinstance(interaction_types, bool | str) or len(set(interaction_types)) != len(
        interaction_types
    ):
        raise ValueError(
            "`interaction_types` should be True or a sequence of distinct types. "
            f"Received: `interaction_types`={interaction_types!r}"
        )
    return _indices(types, interaction_types)


def _indices(values: pl.Series, categories: Sequence[str | int]) -> np.ndarray:
    """1..n for the categories in order, 0 for null or another value."""
    indices = values.replace_strict(
        list(categories),
        list(range(1, len(categories) + 1)),
        default=0,
        return_dtype=pl.Int32,
    )
    return indices.fill_null(0).to_numpy()


def _context_column(
    events: pl.DataFrame,
    name: str,
    argument: str,
    categories: Sequence[str | int] | None = None,
) -> np.ndarray:
    if name in _OWN_KEYS:
        raise ValueError(
            f"`{argument}` may not be called as a key of the batch. Received: {name!r}"
        )
    if name not in events.columns:
        raise ValueError(
            f"`{argument}` names no column of the sessions (keep it with `sessionize(keep=...)`). "
            f"Received: {name!r}; columns: {events.columns}"
        )
    column = events[name]
    if categories is not None:
        if isinstance(categories, str) or len(set(categories)) != len(categories):
            raise ValueError(
                f"`{argument}[{name!r}]` should be a sequence of distinct categories. "
                f"Received: {categories!r}"
            )
        return _indices(column, categories)
    if not (column.dtype.is_numeric() or column.dtype == pl.Boolean):
        raise ValueError(
            f"`{argument}` columns should be numeric. Received: {name!r} of type {column.dtype}"
        )
    return column.fill_null(False if column.dtype == pl.Boolean else 0).to_numpy()


def _bounds_by_positions(lengths: np.ndarray, batch_positions: int) -> np.ndarray:
    """Cuts rows, in order, so that rows × longest stays within `batch_positions`."""
    bounds, longest = [0], 0
    for row, length in enumerate(lengths.tolist()):
        longest = max(longest, length)
        if row > bounds[-1] and (row + 1 - bounds[-1]) * longest > batch_positions:
            bounds.append(row)
            longest = length
    return np.array([*bounds, len(lengths)], np.int64)


def _shuffled_batches(
    tables: dict[str, tf.Tensor],
    bounds: np.ndarray,
    seed: int | None,
    window: float | None,
    recency: tuple[np.ndarray, np.ndarray, np.ndarray] | None,
) -> tf.data.Dataset:
    """One int64 vector of rows a batch, drawn anew in each epoch."""
    lengths = tables["user_end"] - tables["user_begin"]
    starts, ends = tf.constant(bounds[:-1]), tf.constant(bounds[1:])
    if recency is not None:
        sorted_rows, groups, shares = (tf.constant(part) for part in recency)

    def epoch(number: tf.Tensor) -> tf.data.Dataset:
        order, batch_order = tf.unstack(
            tf.random.experimental.stateless_split(tf.stack([number, 0]), 2)
        )
        rows = tf.random.experimental.stateless_shuffle(
            tf.range(tf.size(lengths, tf.int64)), seed=order
        )[: ends[-1]]
        if recency is not None:
            # Another row of the same length in the place of each.
            draws = tf.random.stateless_uniform(
                tf.shape(groups), tf.stack([number, 2]), dtype=tf.float64
            )
            places = tf.searchsorted(shares, groups + draws, side="right", out_type=tf.int64)
            places = tf.minimum(places, tf.size(sorted_rows, tf.int64) - 1)
            drawn = tf.gather(sorted_rows, places)
            place_of = tf.scatter_nd(sorted_rows[:, tf.newaxis], drawn, tf.shape(drawn, tf.int64))
            rows = tf.gather(place_of, rows)
        if window is not None:
            delay = window * tf.random.stateless_uniform(tf.shape(rows), tf.stack([number, 1]))
            times = tf.gather(
                tables["session_times"], tf.maximum(tf.gather(tables["user_end"], rows) - 1, 0)
            )
            times = tf.cast(times, tf.float64) + tf.cast(delay, tf.float64)
            rows = tf.gather(rows, tf.argsort(times, stable=True))
        rows = tf.gather(rows, tf.argsort(tf.gather(lengths, rows), stable=True))
        batch = tf.random.experimental.stateless_shuffle(
            tf.range(tf.size(starts)), seed=batch_order
        )
        return tf.data.Dataset.from_tensor_slices(
            (tf.gather(starts, batch), tf.gather(ends, batch))
        ).map(lambda start, end: rows[start:end])

    numbers = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True)
    return numbers.take(1).flat_map(epoch)


def _assemble(
    tables: dict[str, tf.Tensor],
    rows: tf.Tensor,
    item_names: Sequence[str],
    session_names: Sequence[str],
    shape: tuple[int, int, int] | None,
) -> dict[str, tf.Tensor]:
    """The batch of some rows: offsets, masks and gathers."""
    sessions = _ranges(
        tf.gather(tables["user_begin"], rows),
        tf.gather(tables["user_end"], rows),
        width=shape and shape[0],
        outside=tf.size(tables["session_times"], tf.int64) - 1,
    )
    items = _ranges(
        tf.gather(tables["session_begin"], sessions),
        tf.gather(tables["session_end"], sessions),
        width=shape and shape[1],
        outside=tf.size(tables["item/item_ids"], tf.int64) - 1,
    )
    batch = {name: tf.gather(tables[f"item/{name}"], items) for name in item_names}
    batch |= {name: tf.gather(tables[f"session/{name}"], sessions) for name in session_names}
    for name in ("is_target", "session_times"):
        batch[name] = tf.gather(tables[name], sessions)
    if "request_times" in session_names:
        # An empty history is asked when the session begins that comes after it.
        end = tf.gather(tables["user_end"], rows)
        empty = (tf.gather(tables["user_begin"], rows) == end)[:, tf.newaxis]
        first = tf.range(tf.shape(sessions)[1]) == 0
        begins = tf.gather(tables["session_times"], end)[:, tf.newaxis]
        batch["request_times"] = tf.where(empty & first, begins, batch["request_times"])
    if "target_ids" in tables:
        positions = _ranges(
            tf.gather(tables["target_offsets"], rows),
            tf.gather(tables["target_offsets"], rows + 1),
            width=shape and shape[2],
            outside=tf.size(tables["target_ids"], tf.int64) - 1,
        )
        batch["target_ids"] = tf.gather(tables["target_ids"], positions)
    return batch


def _ranges(begin: tf.Tensor, end: tf.Tensor, width: int | None, outside: tf.Tensor) -> tf.Tensor:
    """begin, begin + 1, ..., end - 1 along a new last axis, then `outside`."""
    columns = tf.range(
        tf.maximum(tf.reduce_max(end - begin), 1) if width is None else tf.constant(width, tf.int64)
    )
    if width is not None:
        columns = tf.ensure_shape(columns, [width])
    indices = begin[..., tf.newaxis] + columns
    return tf.where(indices < end[..., tf.newaxis], indices, outside)
