"""Sessions from a dataset of sessions."""

from collections.abc import Mapping

import numpy as np
import polars as pl
import tensorflow as tf

from tfsessionrec.checks import instance
from tfsessionrec.data.sessionizing import sessionize
from tfsessionrec.data.sessions import Sessions

_BATCH = 8192
_NAMES = {"item_ids": "item_id", "labels": "label", "timestamps": "timestamp"}
_NEEDED = ("user_id", "session_id", "item_ids", "timestamps")


def sessions_from_tfds(dataset: tf.data.Dataset) -> Sessions:
    """Reads all sessions of a dataset, one example a session.

    Args:
        dataset: Not batched, as from a builder of `tfsessionrec.datasets`: dicts of
            `user_id`, `session_id`, and of one value an item in order `item_ids`, `timestamps`
            (int64 unix microseconds), optional `labels` (absent: all positive). Further features,
            of one value a session or one an item, become columns; `session_time` is computed again.

    Returns:
        `Sessions`: users in the order of their first example, their sessions by time.

    Raises:
        ValueError: If the dataset has no such elements, or is empty.

    Example:

    >>> import tensorflow as tf
    >>> examples = {
    ...     "user_id": ["ann", "ann"],
    ...     "session_id": [1, 2],
    ...     "item_ids": tf.ragged.constant([[11, 12], [13]]),
    ...     "timestamps": tf.ragged.constant([[0, 5_000_000], [9_000_000]], dtype=tf.int64),
    ... }
    >>> dataset = tf.data.Dataset.from_tensor_slices(examples)
    >>> sessions_from_tfds(dataset).events.select("user_id", "session_index", "item_id").rows()
    [('ann', 0, 11), ('ann', 0, 12), ('ann', 1, 13)]
    """
    instance("dataset", dataset, tf.data.Dataset)
    spec = dataset.element_spec
    if not isinstance(spec, Mapping) or any(name not in spec for name in _NEEDED):
        raise ValueError(
            f"`dataset` should give dicts with the keys {', '.join(_NEEDED)}. Received: {spec}"
        )
    ranks = {name: feature.shape.rank for name, feature in spec.items()}
    if ranks["user_id"] != 0 or ranks["session_id"] != 0 or ranks["item_ids"] != 1:
        raise ValueError(
            "`dataset` should give one session an element: a dataset that is not batched. "
            f"Received: {spec}"
        )
    if not spec["timestamps"].dtype.is_integer:
        raise ValueError(
            "`dataset` should give 'timestamps' as integers, unix microseconds. "
            f"Received: {spec['timestamps']}"
        )
    per_session = [name for name, rank in ranks.items() if rank == 0 and name != "session_time"]
    per_item = [name for name, rank in ranks.items() if rank == 1]
    wanted = (*per_session, *per_item)

    parts = []
    for batch in dataset.map(lambda example: {k: example[k] for k in wanted}).ragged_batch(_BATCH):
        lengths = _row_lengths(batch["item_ids"])
        columns = {name: np.repeat(batch[name].numpy(), lengths) for name in per_session}
        for name in per_item:
            if not np.array_equal(_row_lengths(batch[name]), lengths):
                raise ValueError(
                    f"`dataset` should give as many {name!r} as 'item_ids' in each session. "
                    "Received: another number"
                )
            columns[_NAMES.get(name, name)] = batch[name].flat_values.numpy()
        parts.append(pl.DataFrame({name: _series(column) for name, column in columns.items()}))
    if not parts:
        raise ValueError("`dataset` should hold at least one session. Received: none")
    events = pl.concat(parts).with_columns(pl.col("timestamp").cast(pl.Datetime("us")))
    own = ("user_id", "session_id", "item_id", "timestamp", "label", "interaction_type")
    return sessionize(
        events,
        user="user_id",
        session="session_id",
        label="label" if "label" in events.columns else None,
        interaction_type="interaction_type" if "interaction_type" in events.columns else None,
        keep=[name for name in events.columns if name not in own],
    )


def _row_lengths(values: tf.RaggedTensor) -> np.ndarray:
    return values.row_lengths().numpy()


def _series(values: np.ndarray) -> pl.Series:
    """A column; byte strings are text."""
    if values.dtype.kind in "OS":
        return pl.Series(values.tolist(), dtype=pl.Binary).cast(pl.String)
    return pl.Series(values)
