"""The whole history of each row, where the batch of a model holds a part of it."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfsessionrec.data.examples.examples import Examples
from tfsessionrec.data.sessions import session_bounds, user_bounds
from tfsessionrec.history_spec import HistorySpec
from tfsessionrec.session_batch import ranges


class WholeHistories(NamedTuple):
    """The rows of the log that each example may read, whatever a model reads of them.

    Attributes:
        begin: int64 [E], first row of the example's user.
        end: int64 [E], row after the history; after the targets where they are sessions of the row.
    """

    begin: tf.Tensor
    end: tf.Tensor


def whole_histories(
    examples: Examples,
    kept: NDArray[np.int64],
    spec: HistorySpec,
    longest: int,
    apart: bool,
    always: bool = False,
) -> WholeHistories | None:
    """The whole histories of the kept examples; None where every batch holds them anyway.

    Args:
        examples: The examples.
        kept: Their numbers [E].
        spec: The part of a history that the model reads.
        longest: Most sessions of a row.
        apart: Whether the targets are no sessions of the row.
        always: Whether batches need them in any case. Defaults to False.
    """
    log = examples.log
    users = user_bounds(log)[0]
    user = np.searchsorted(users, examples.begin[kept], side="right") - 1
    begin = users[user]
    end = (examples.target if apart else examples.end)[kept]
    if not always and not _is_cut(examples, kept, spec, longest, begin, end):
        return None
    return WholeHistories(begin, end)


def history_cells(
    histories: WholeHistories,
    rows: tf.Tensor,
    item_ids: tf.Tensor,
    labels: tf.Tensor | None,
    first: tf.Tensor,
    last: tf.Tensor,
    width: int | None,
) -> dict[str, tf.Tensor]:
    """The keys `HISTORY` of a batch, see `SessionBatch`.

    Args:
        histories: Of all examples.
        rows: [B], the examples of the batch.
        item_ids: [rows of the log + 1], 0 at the end, for padding.
        labels: The same; None where targets are no sessions of the row.
        first: [B, S], the log's row of each session's first item; the padding's where there is
            none.
        last: [B, S], of its last item.
        width: N. Defaults to None: the longest history of the batch, 1 at the least.
    """
    outside = tf.size(item_ids, tf.int64) - 1
    begin, end = tf.gather(histories.begin, rows), tf.gather(histories.end, rows)
    places = ranges(begin, end, outside, width)
    cells = {"history_ids": tf.gather(item_ids, places)}
    if labels is not None:
        real, start = first < outside, begin[:, tf.newaxis]
        cells["history_labels"] = tf.gather(labels, places)
        cells["history_begin"] = tf.where(real, first - start, 0)
        cells["history_end"] = tf.where(real, last + 1 - start, 0)
    return cells


def _is_cut(
    examples: Examples,
    kept: NDArray[np.int64],
    spec: HistorySpec,
    longest: int,
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
) -> bool:
    """Whether a row lacks an interaction of its history or of its target."""
    if (examples.begin[kept] > begin).any():
        return True
    if spec.session != "real" and (examples.log["label"].to_numpy() <= 0).any():
        return True
    if spec.session == "whole":
        return bool((end - begin > spec.max_items).any())
    if spec.session == "item":
        return bool((end - begin > longest).any())
    starts, stops = session_bounds(examples.log)
    sessions = np.searchsorted(starts, end) - np.searchsorted(starts, begin)
    return bool((sessions > longest).any() or (stops - starts > spec.max_items).any())
