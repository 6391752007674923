"""The file that tells a served model what is clicked now."""

import os
import pathlib
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

FILE = "trend.pb"
_COLUMNS = {
    "item_rows": tf.int32,
    "values": tf.float32,
    "leader_rows": tf.int32,
    "follower_rows": tf.int32,
    "follow_values": tf.float32,
}


class ServedTrend(NamedTuple):
    """What a request reads from the file; see `tfsessionrec.layers.trend_table`.

    Attributes:
        item_rows: int32 [n], rows of the served candidates.
        values: float32 [n, H + A].
        leader_rows: int32 [m], ascending.
        follower_rows: int32 [m].
        follow_values: float32 [m, M].
    """

    item_rows: tf.Tensor
    values: tf.Tensor
    leader_rows: tf.Tensor
    follower_rows: tf.Tensor
    follow_values: tf.Tensor


def write_trend_file(path: str | os.PathLike[str], table: Any, first_item_index: int = 2) -> None:
    """Writes the trend table of an export, or replaces it while the model is served.

    The file is a `tf.train.Example`; it appears whole or not at all. A served model reads it anew
    for each request, so that the next request sees it: no new version of the model, no restart.

    Args:
        path: `assets/trend.pb` of the export.
        table: What `TrendFeatures.table` gives.
        first_item_index: The vocabulary's. Defaults to 2.

    Example:

    ```python
    model.trend.set_events(**sr.data.interaction_log(recent_sessions, vocabulary))
    write_trend_file("exported/news/1/assets/trend.pb", model.trend.table(time.time()))
    ```
    """
    path = pathlib.Path(path)
    arrays = {
        "item_rows": table.item_ids - first_item_index,
        "values": table.values,
        "leader_rows": table.leaders - first_item_index,
        "follower_rows": table.followers - first_item_index,
        "follow_values": table.follow_values,
    }
    columns = {
        name: tf.train.Feature(
            bytes_list=tf.train.BytesList(
                value=[
                    np.ascontiguousarray(
                        arrays[name], f"<{dtype.as_numpy_dtype().dtype.char}"
                    ).tobytes()
                ]
            )
        )
        for name, dtype in _COLUMNS.items()
    }
    example = tf.train.Example(features=tf.train.Features(feature=columns))
    scratch = path.with_name(path.name + ".part")
    scratch.write_bytes(example.SerializeToString(deterministic=True))
    os.replace(scratch, path)


def read_trend_file(path: tf.Tensor, num_values: int, num_follow_values: int) -> ServedTrend:
    """Reads the table in the graph; an empty one if there is no such file.

    Args:
        path: Scalar string.
        num_values: H + A.
        num_follow_values: M.
    """

    def read() -> tuple[tf.Tensor, ...]:
        kinds = {name: tf.io.FixedLenFeature([], tf.string) for name in _COLUMNS}
        found = tf.io.parse_single_example(tf.io.read_file(path), kinds)
        return tuple(tf.io.decode_raw(found[name], dtype) for name, dtype in _COLUMNS.items())

    def nothing() -> tuple[tf.Tensor, ...]:
        return tuple(tf.zeros([0], dtype) for dtype in _COLUMNS.values())

    there = tf.size(tf.io.matching_files(path)) > 0
    table = ServedTrend(*tf.cond(there, read, nothing))
    rows, pairs = tf.size(table.item_rows), tf.size(table.leader_rows)
    return table._replace(
        values=tf.reshape(table.values, [rows, num_values]),
        follow_values=tf.reshape(table.follow_values, [pairs, num_follow_values]),
    )


def trend_terms(
    table: ServedTrend, gates: tf.Tensor, last_rows: tf.Tensor, num_items: int
) -> tf.Tensor:
    """Terms of all candidates' scores: [B, C] float32.

    Args:
        table: The table.
        gates: [B, F] float32, `TrendFeatures.gates` of the queries.
        last_rows: int32 [B, L], rows of the newest items of each history; negative for none.
        num_items: C.
    """
    own, follow = table.values.shape[1], table.follow_values.shape[1]
    batch = tf.shape(gates)[0]
    terms = tf.matmul(table.values, gates[:, :own], transpose_b=True)
    terms = tf.transpose(tf.scatter_nd(table.item_rows[:, tf.newaxis], terms, [num_items, batch]))
    for place in range(last_rows.shape[1] if follow else 0):
        # The pairs of each request's item stand together.
        last = last_rows[:, place]
        begin = tf.searchsorted(table.leader_rows, last, side="left")
        end = tf.searchsorted(table.leader_rows, last, side="right")
        pairs = tf.ragged.range(begin, end)
        request, pair = pairs.value_rowids(), pairs.values
        first = own + place * follow
        gate = tf.gather(gates[:, first : first + follow], request)
        term = tf.reduce_sum(gate * tf.gather(table.follow_values, pair), axis=1)
        cells = tf.stack([tf.cast(request, tf.int32), tf.gather(table.follower_rows, pair)], axis=1)
        terms += tf.scatter_nd(cells, term, [batch, num_items])
    return terms
