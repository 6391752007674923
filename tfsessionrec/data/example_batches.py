"""From examples to session batches."""

import dataclasses

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfsessionrec.data.batch_order import BatchOrder
from tfsessionrec.data.columns import (
    Column,
    item_columns,
    origin_columns,
    seconds,
    session_columns,
    target_sets,
)
from tfsessionrec.data.examples.examples import Examples, starting_rows
from tfsessionrec.data.vocabulary import Vocabulary
from tfsessionrec.history_spec import HistorySpec
from tfsessionrec.session_batch import HistoryTable, SessionBatch, history_table, lay_out, ranges

_ALL = 2**31  # more sessions than any history has


@dataclasses.dataclass(frozen=True)
class BatchLayout:
    """What a batch of examples holds, in addition to what the `HistorySpec` says.

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
    """

    apart: bool
    longest: int
    max_targets: int
    min_sessions: int = 1
    context: tuple[str, ...] = ()
    match_ids: bool = False
    origins: bool = False
    static_shapes: bool = False


def example_batches(
    examples: Examples,
    vocabulary: Vocabulary,
    spec: HistorySpec,
    layout: BatchLayout,
    order: BatchOrder,
) -> tf.data.Dataset:
    """Batches of examples, as `session_dataset` describes them."""
    log = examples.log
    columns = item_columns(log, vocabulary, spec, layout.context, layout.match_ids)
    if layout.origins:
        columns |= origin_columns(log)
    table, take, rows = _histories(examples, spec, layout)
    times = seconds(log)
    is_target = examples.is_target
    if is_target is None:
        is_target = log["is_target"].to_numpy()
    tables = {
        "first": table.first.numpy()[rows],
        "last": table.last.numpy()[rows],
        "stop": table.stop.numpy()[rows],
        "session_begin": table.session_begin.numpy(),
        "session_end": table.session_end.numpy(),
        "target": examples.target[rows],
        "end": examples.end[rows],
        "seconds": _padded(times),
        "is_target": _padded(is_target),
        **{f"item/{name}": _padded(column) for name, column in columns.items()},
        **{f"session/{name}": _padded(c) for name, c in session_columns(log, spec).items()},
    }
    if take is not None:
        tables["take"] = np.append(take, len(log))
    most_targets = 1
    if layout.apart:
        targets, offsets = target_sets(
            log, columns["item_ids"], examples.target[rows], examples.end[rows]
        )
        most_targets = max(1, int(np.diff(offsets).max(initial=0)))
        tables |= {"target_ids": _padded(targets), "target_offsets": offsets}

    inline = not layout.apart and examples.has_targets
    lengths = np.maximum(tables["last"] - tables["first"] + inline, 1)
    last_rows = _rows(tables, tables["session_begin"][np.maximum(tables["last"] - 1, 0)])
    last_rows = tables["target"] if inline else last_rows
    with tf.device("/cpu:0"):
        constants = {name: tf.constant(array) for name, array in tables.items()}
        batches, count = order.batches(lengths, times[np.minimum(last_rows, len(log) - 1)])
    assembler = _Assembler(
        constants,
        spec,
        layout,
        asked_at_next_start=examples.asked == "next_start",
        inline=inline,
        widths=_widths(spec, layout, inline, most_targets) if layout.static_shapes else None,
    )
    rows_a_batch = order.batch_size if order.drop_remainder else None

    def assemble(indices: tf.Tensor) -> SessionBatch:
        return assembler(tf.ensure_shape(indices, [rows_a_batch]))

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


def _histories(
    examples: Examples, spec: HistorySpec, layout: BatchLayout
) -> tuple[HistoryTable, NDArray[np.int64] | None, NDArray[np.int64]]:
    """The sessions of the histories, the log's row of each place (None: all), the rows kept."""
    starts = starting_rows(examples.log)
    begin, stop, take = examples.begin, examples.target, None
    if spec.session != "real":
        take = np.flatnonzero(examples.log["label"].to_numpy() > 0)
        starts = starts[take]
        begin, stop = np.searchsorted(take, begin), np.searchsorted(take, stop)
    with tf.device("/cpu:0"):
        table = history_table(
            spec, tf.constant(starts), tf.constant(begin), tf.constant(stop), _ALL
        )
    first, last = table.first.numpy(), table.last.numpy()
    (rows,) = (last - first + (examples.end > examples.target) >= layout.min_sessions).nonzero()
    if not len(rows):
        raise ValueError(
            "No user has as many sessions as `min_sessions`. "
            f"Received: `min_sessions`={layout.min_sessions} for {len(examples)} users or examples"
        )
    table = table._replace(first=tf.maximum(table.first, table.last - layout.longest))
    return table, take, rows


def _rows(tables: dict[str, Column], places: NDArray[np.int64]) -> NDArray[np.int64]:
    return tables["take"][places] if "take" in tables else places


def _padded(array: Column) -> Column:
    return np.append(array, np.zeros(1, array.dtype))


def _widths(
    spec: HistorySpec, layout: BatchLayout, inline: bool, most_targets: int
) -> tuple[int, int, int]:
    """Static S, I and T."""
    items = 1 if spec.session == "item" else spec.max_items
    return (
        layout.longest + inline,
        max(items, layout.max_targets) if inline else spec.max_items,
        most_targets,
    )


class _Assembler:
    """Makes the batch of some rows: ranges, masks and gathers in the graph."""

    def __init__(
        self,
        tables: dict[str, tf.Tensor],
        spec: HistorySpec,
        layout: BatchLayout,
        asked_at_next_start: bool,
        inline: bool,
        widths: tuple[int, int, int] | None,
    ) -> None:
        self._tables = tables
        self._spec = spec
        self._layout = layout
        self._next_start = asked_at_next_start
        self._inline = inline
        self._widths = widths
        self._outside = tf.constant(int(tables["seconds"].shape[0]) - 1, tf.int64)

    def __call__(self, rows: tf.Tensor) -> SessionBatch:
        tables = self._tables
        items, first, last, in_target = self._cells(rows)
        batch = {
            name.removeprefix("item/"): tf.gather(column, items)
            for name, column in tables.items()
            if name.startswith("item/")
        }
        batch |= {
            name.removeprefix("session/"): tf.gather(column, first)
            for name, column in tables.items()
            if name.startswith("session/")
        }
        batch["session_times"] = tf.gather(tables["seconds"], first)
        batch["is_target"] = in_target if self._inline else tf.gather(tables["is_target"], first)
        if self._spec.request_times:
            batch["request_times"] = self._request_times(rows, first, last)
        if self._layout.apart:
            places = ranges(
                tf.gather(tables["target_offsets"], rows),
                tf.gather(tables["target_offsets"], rows + 1),
                tf.size(tables["target_ids"], tf.int64) - 1,
                self._widths and self._widths[2],
            )
            batch["target_ids"] = tf.gather(tables["target_ids"], places)
        return batch  # type: ignore[return-value]

    def _cells(self, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Rows of the log: [B, S, I] items, [B, S] first and last item; bool [B, S] the targets."""
        tables, widths = self._tables, self._widths
        table = HistoryTable(
            tf.gather(tables["first"], rows),
            tf.gather(tables["last"], rows),
            tf.gather(tables["stop"], rows),
            tables["session_begin"],
            tables["session_end"],
        )
        width, item_width = (widths[0] - self._inline, widths[1]) if widths else (None, None)
        places = lay_out(table, self._spec.max_items, width, item_width)
        if "take" in tables:
            places = places._make(tf.gather(tables["take"], part) for part in places)
        items, first, last = places
        if not self._inline:
            return items, first, last, tf.zeros_like(first, tf.bool)
        # The target becomes the session after the history.
        count = table.last - table.first
        begin, end = tf.gather(tables["target"], rows), tf.gather(tables["end"], rows)
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
        seconds = self._tables["seconds"]
        asked = tf.gather(seconds, last)
        real = first < self._outside
        if self._next_start:
            after = self._pad(first[:, 1:], [[0, 0], [0, 1]])
            asked = tf.where(after < self._outside, tf.gather(seconds, after), asked)
        if self._layout.apart:
            held_out = tf.gather(seconds, tf.gather(self._tables["target"], rows))[:, tf.newaxis]
            count = tf.reduce_sum(tf.cast(real, tf.int32), axis=1, keepdims=True)
            column = tf.range(tf.shape(first)[1])
            if self._next_start:
                asked = tf.where(column == count - 1, held_out, asked)
            # An empty history is asked when the held-out session starts.
            empty = (count == 0) & (column == 0)
            return tf.where(empty, held_out, tf.where(real, asked, 0))
        return tf.where(real, asked, 0)
