"""From examples to session batches."""

import dataclasses
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfsessionrec.data.batch_order import BatchOrder
from tfsessionrec.data.columns import (
    Column,
    item_columns,
    numbered_ids,
    origin_columns,
    seconds,
    session_columns,
    target_sets,
)
from tfsessionrec.data.examples.examples import Examples
from tfsessionrec.data.sessions import starting_rows, user_bounds
from tfsessionrec.data.target_weights import row_weights
from tfsessionrec.data.vocabulary import Vocabulary
from tfsessionrec.data.whole_history import WholeHistories, history_cells, whole_histories
from tfsessionrec.history_spec import HistorySpec
from tfsessionrec.recipe import TargetWeights
from tfsessionrec.session_batch import (
    HistoryTable,
    Places,
    SessionBatch,
    history_table,
    last_true,
    lay_out,
    ranges,
)

_ALL = 2**31  # more sessions than any history has
_OF_A_CELL = 64  # interactions of a whole history that need as much memory as a session


@dataclasses.dataclass(frozen=True)
class BatchLayout:
    """The contents of a batch of examples that a `HistorySpec` does not decide.

    Args:
        apart: Whether the targets become `target_ids`; otherwise each target is the last session
            of its row.
        longest: Most sessions of a history.
        max_targets: Most items of a target that is a session of its row; the newest are kept.
        min_sessions: Rows with fewer sessions, the target included, are left out.
        context: Further item-level columns.
        match_ids: Whether to add `match_ids` though the specification has no relation.
        origins: Whether to add `ORIGINS`.
        static_shapes: Whether every batch has the same S, I and T.
        weights: What makes `sample_weight`; rows without a weight above 0 are left out. None: there
            is no such key.
        whole: Whether to add `HISTORY` where a row lacks a part of its history or its target.
        numbered: For an evaluation: unknown items of `target_ids` and `history_ids` are negative, a
            number for each distinct one; and with `apart` there is `question` [B, 2], the number of
            the example and that of its user.
    """

    apart: bool
    longest: int
    max_targets: int
    min_sessions: int = 1
    context: tuple[str, ...] = ()
    match_ids: bool = False
    origins: bool = False
    static_shapes: bool = False
    weights: TargetWeights | None = None
    whole: bool = False
    numbered: bool = False


class _Asked(NamedTuple):
    """What an evaluation reads of the log."""

    item_ids: tf.Tensor  # those of the batch, but negative for unknown items if they are numbered
    user: tf.Tensor | None  # int64 [E], the number of the user, if questions are numbered


class _Tables(NamedTuple):
    """Rows of E examples, and the columns of the log, each with an entry for padding at its end.

    NumPy arrays, or the same as constants of the graph.
    """

    histories: HistoryTable
    target: tf.Tensor  # int64 [E], first row of the target
    end: tf.Tensor  # int64 [E], row after it
    source: tf.Tensor | None  # int64, the log's row of each place; None: a place is a row
    seconds: tf.Tensor
    is_target: tf.Tensor
    of_items: dict[str, tf.Tensor]
    of_sessions: dict[str, tf.Tensor]
    target_ids: tf.Tensor | None  # the items of `target_ids`, where targets are apart
    target_offsets: tf.Tensor | None  # int64 [E + 1], where each example's items start
    whole: WholeHistories | None
    asked: _Asked


def example_batches(
    examples: Examples,
    vocabulary: Vocabulary,
    spec: HistorySpec,
    layout: BatchLayout,
    order: BatchOrder,
) -> tf.data.Dataset:
    """Batches of examples, as `session_dataset` describes them."""
    tables = _tables(examples, vocabulary, spec, layout)
    inline = not layout.apart and examples.has_targets
    with tf.device("/cpu:0"):
        constants = tf.nest.map_structure(
            lambda array: None if array is None else tf.constant(array), tables
        )
        batches, count = order.batches(*_lengths_and_times(tables, inline))
    assembler = _Assembler(
        constants,
        spec,
        layout,
        asked_at_next_start=examples.asked == "next_start",
        inline=inline,
        widths=_widths(spec, layout, inline, tables) if layout.static_shapes else None,
    )
    batch_size = order.batch_size if order.drop_remainder else None

    def assemble(rows: tf.Tensor) -> SessionBatch:
        return assembler(tf.ensure_shape(rows, [batch_size]))

    # One cheap map: tuning and rewriting the pipeline at the start of each epoch costs more than it
    # gains, on small logs as much as the epoch.
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    return (
        batches.map(assemble, num_parallel_calls=2, deterministic=True)
        .apply(tf.data.experimental.assert_cardinality(count))
        .prefetch(2)
        .with_options(options)
    )


def _tables(
    examples: Examples, vocabulary: Vocabulary, spec: HistorySpec, layout: BatchLayout
) -> _Tables:
    log = examples.log
    of_items = item_columns(log, vocabulary, spec, layout.context, layout.match_ids)
    if layout.origins:
        of_items |= origin_columns(log)
    if layout.weights is not None:
        of_items["sample_weight"] = row_weights(log, layout.weights)
    histories, source, kept = _histories(examples, spec, layout, of_items.get("sample_weight"))
    target, end = examples.target[kept], examples.end[kept]
    asked_ids: NDArray[np.signedinteger] = of_items["item_ids"].astype(np.int32)
    user, targets = None, None
    if layout.numbered:
        asked_ids = numbered_ids(log, asked_ids, spec.first_item_index)
        user = np.searchsorted(user_bounds(log)[0], target, side="right") - 1
    if layout.apart:
        targets = target_sets(log, asked_ids, target, end)
    some_unknown = bool((asked_ids < 0).any())
    is_target = examples.is_target
    return _Tables(
        histories,
        target,
        end,
        source=None if source is None else np.append(source, len(log)),
        seconds=_padded(seconds(log)),
        is_target=_padded(log["is_target"].to_numpy() if is_target is None else is_target),
        of_items={name: _padded(column) for name, column in of_items.items()},
        of_sessions={name: _padded(c) for name, c in session_columns(log, spec).items()},
        target_ids=None if targets is None else _padded(targets[0]),
        target_offsets=None if targets is None else targets[1],
        whole=whole_histories(examples, kept, spec, layout.longest, layout.apart, some_unknown)
        if layout.whole
        else None,
        asked=_Asked(_padded(asked_ids), user),
    )


def _histories(
    examples: Examples, spec: HistorySpec, layout: BatchLayout, weights: Column | None = None
) -> tuple[HistoryTable, NDArray[np.int64] | None, NDArray[np.int64]]:
    """The histories of the kept examples, the log's row of each place, the kept examples."""
    starts = starting_rows(examples.log)
    begin, stop, source = examples.begin, examples.target, None
    if spec.session != "real":
        source = np.flatnonzero(examples.log["label"].to_numpy() > 0)
        starts = starts[source]
        begin, stop = np.searchsorted(source, begin), np.searchsorted(source, stop)
    with tf.device("/cpu:0"):
        table = history_table(
            spec, tf.constant(starts), tf.constant(begin), tf.constant(stop), _ALL
        )
    found = HistoryTable(*(part.numpy() for part in table))
    lengths = found.last - found.first + (examples.end > examples.target)
    long = lengths >= layout.min_sessions
    if weights is not None and long.any():
        long &= _weighing(examples, weights)
        if not long.any():
            raise ValueError(
                "`weights` should give at least one target a weight above 0. Received: "
                f"{layout.weights}"
            )
    (kept,) = long.nonzero()
    if not len(kept):
        raise ValueError(
            "No user has as many sessions as `min_sessions`. "
            f"Received: `min_sessions`={layout.min_sessions} for {len(examples)} users or examples"
        )
    first = np.maximum(found.first, found.last - layout.longest)
    found = found._replace(first=first[kept], last=found.last[kept], stop=found.stop[kept])
    return found, source, kept


def _weighing(examples: Examples, weights: Column) -> NDArray[np.bool_]:
    """Whether a row of each example's target weighs more than 0; of a sequence, any row."""
    sequence = examples.target == examples.end
    begin = np.where(sequence, examples.begin, examples.target)
    rows = np.append(0, np.cumsum(weights.astype(bool)))
    return rows[examples.end] > rows[begin]


def _lengths_and_times(
    tables: _Tables, inline: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The sessions of each row of the dataset, and when its last session starts."""
    histories, rows = tables.histories, tables.target
    if not inline:
        rows = histories.session_begin[np.maximum(histories.last - 1, 0)]
        rows = rows if tables.source is None else tables.source[rows]
    lengths = np.maximum(histories.last - histories.first + inline, 1)
    if tables.whole is not None:  # a batch of long histories has fewer rows
        lengths = np.maximum(lengths, (tables.whole.end - tables.whole.begin) // _OF_A_CELL)
    return lengths, tables.seconds[np.minimum(rows, len(tables.seconds) - 2)]


def _padded(array: Column) -> Column:
    """The column with a 0 for padding at its end."""
    return np.append(array, np.zeros(1, array.dtype))


def _widths(
    spec: HistorySpec, layout: BatchLayout, inline: bool, tables: _Tables
) -> tuple[int, int, int, int]:
    """Static S, I, T and N."""
    items = 1 if spec.session == "item" else spec.max_items
    most_targets = 1
    if tables.target_offsets is not None:
        most_targets = max(1, int(np.diff(tables.target_offsets).max(initial=0)))
    return (
        layout.longest + inline,
        max(items, layout.max_targets) if inline else spec.max_items,
        most_targets,
        1 if tables.whole is None else int((tables.whole.end - tables.whole.begin).max(initial=1)),
    )


class _Assembler:
    """Makes the batch of some rows: ranges, masks and gathers in the graph."""

    def __init__(
        self,
        tables: _Tables,
        spec: HistorySpec,
        layout: BatchLayout,
        asked_at_next_start: bool,
        inline: bool,
        widths: tuple[int, int, int, int] | None,
    ) -> None:
        self._tables = tables
        self._spec = spec
        self._layout = layout
        self._next_start = asked_at_next_start
        self._inline = inline
        self._widths = widths
        self._outside = tf.constant(tables.seconds.shape[0] - 1, tf.int64)

    def __call__(self, rows: tf.Tensor) -> SessionBatch:
        tables = self._tables
        items, first, last, in_target = self._cells(rows)
        batch = {name: tf.gather(column, items) for name, column in tables.of_items.items()}
        batch |= {name: tf.gather(column, first) for name, column in tables.of_sessions.items()}
        batch["session_times"] = tf.gather(tables.seconds, first)
        batch["is_target"] = in_target if self._inline else tf.gather(tables.is_target, first)
        if self._spec.request_times:
            batch["request_times"] = self._request_times(rows, first, last)
        if self._layout.apart:
            places = ranges(
                tf.gather(tables.target_offsets, rows),
                tf.gather(tables.target_offsets, rows + 1),
                tf.size(tables.target_ids, tf.int64) - 1,
                self._widths and self._widths[2],
            )
            batch["target_ids"] = tf.gather(tables.target_ids, places)
        if self._layout.apart and tables.asked.user is not None:
            batch["question"] = tf.stack([rows, tf.gather(tables.asked.user, rows)], axis=1)
        if tables.whole is not None:
            ids = tables.asked.item_ids
            labels = None if self._layout.apart else tables.of_items["labels"]
            width = self._widths and self._widths[3]
            batch |= history_cells(tables.whole, rows, ids, labels, first, last, width)
        return batch  # type: ignore[return-value]

    def _cells(self, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Rows of the log: [B, S, I] items, [B, S] first and last item; bool [B, S] the targets."""
        tables, widths = self._tables, self._widths
        histories = tables.histories
        table = histories._replace(
            first=tf.gather(histories.first, rows),
            last=tf.gather(histories.last, rows),
            stop=tf.gather(histories.stop, rows),
        )
        width, item_width = (widths[0] - self._inline, widths[1]) if widths else (None, None)
        places = lay_out(table, self._spec.max_items, width, item_width)
        if tables.source is not None:
            places = Places(*(tf.gather(tables.source, part) for part in places))
        items, first, last = places
        if not self._inline:
            return items, first, last, tf.zeros_like(first, tf.bool)
        # The target becomes the session after the history.
        count = table.last - table.first
        begin, end = tf.gather(tables.target, rows), tf.gather(tables.end, rows)
        target = ranges(
            tf.maximum(begin, end - self._layout.max_targets), end, self._outside, item_width
        )
        wide = tf.maximum(tf.shape(items)[2], tf.shape(target)[1])
        target = self._pad(target, [[0, 0], [0, wide - tf.shape(target)[1]]])
        items = self._pad(items, [[0, 0], [0, 1], [0, wide - tf.shape(items)[2]]])
        first, last = (self._pad(part, [[0, 0], [0, 1]]) for part in (first, last))
        if widths is None:
            sessions = tf.reduce_max(count) + 1
            items, first, last = items[:, :sessions], first[:, :sessions], last[:, :sessions]
        else:
            items = tf.ensure_shape(items, [None, widths[0], widths[1]])
        slot = tf.range(tf.shape(first, tf.int64)[1]) == count[:, tf.newaxis]
        slot &= (end > begin)[:, tf.newaxis]
        items = tf.where(slot[..., tf.newaxis], target[:, tf.newaxis], items)
        first = tf.where(slot, begin[:, tf.newaxis], first)
        last = tf.where(slot, end[:, tf.newaxis] - 1, last)
        return items, first, last, slot

    def _pad(self, cells: tf.Tensor, paddings: list[list[int | tf.Tensor]]) -> tf.Tensor:
        return tf.pad(cells, paddings, constant_values=self._outside)

    def _request_times(self, rows: tf.Tensor, first: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
        """When the session after each is asked for: [B, S]."""
        seconds = self._tables.seconds
        asked = tf.gather(seconds, last)
        real = first < self._outside
        if self._next_start:
            after = self._pad(first[:, 1:], [[0, 0], [0, 1]])
            asked = tf.where(after < self._outside, tf.gather(seconds, after), asked)
        if self._layout.apart:
            held_out = tf.gather(seconds, tf.gather(self._tables.target, rows))[:, tf.newaxis]
            newest = last_true(real)[:, tf.newaxis]
            column = tf.range(tf.shape(first)[1])
            if self._next_start:
                asked = tf.where(column == newest, held_out, asked)
            # After an empty history, the request comes when the held-out session starts.
            empty = (newest < 0) & (column == 0)
            return tf.where(empty, held_out, tf.where(real, asked, 0))
        return tf.where(real, asked, 0)
