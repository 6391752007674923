"""The files that an export reads at each request: unavailable items and the trend.

Whoever replaces such a file changes the next answer: no new version of the model, no restart.
"""

import hashlib
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import tensorflow as tf

from tfsessionrec import checks
from tfsessionrec.export.contract import AVAILABILITY, TREND, VOCABULARY
from tfsessionrec.files import write_file

if TYPE_CHECKING:
    from tfsessionrec.layers import TrendFeatures
    from tfsessionrec.layers.terms.trend import TrendTable

Path = str | os.PathLike[str]

# An error of TensorFlow names the scope of its operation: it then names the file.
_TREND_SCOPE = pathlib.PurePath(TREND).name

_AVAILABILITY = {"rows": tf.int32, "vocabulary": tf.string}
_TREND = {
    "item_rows": tf.int32,
    "values": tf.float32,
    "leader_rows": tf.int32,
    "follower_rows": tf.int32,
    "follow_values": tf.float32,
}


def write_availability_file(path: Path, unavailable: Iterable[object]) -> int:
    """Writes which items of an export are unavailable, or replaces the file while it is served.

    The file is a `tf.train.Example`; it appears whole or not at all. A served model reads it at
    each request, so that the next request uses it.

    Args:
        path: `assets/availability.pb` of an export made with `unavailable`.
        unavailable: Raw ids; ids that the export does not know change nothing.

    Returns:
        How many items of the export are now unavailable.

    Raises:
        FileNotFoundError: If there is no vocabulary in the same directory.
        ValueError: If `unavailable` is one text instead of several ids.

    Example:

    ```python
    write_availability_file("exported/shop/1/assets/availability.pb", ["shoes", "socks"])
    ```
    """
    checks.path("path", path)
    if isinstance(unavailable, str | bytes) or not isinstance(unavailable, Iterable):
        raise ValueError(
            f"`unavailable` should be several ids. Received: `unavailable`={unavailable!r}"
        )
    path = pathlib.Path(path)
    content = path.with_name(pathlib.PurePath(VOCABULARY).name).read_bytes()
    gone = {str(item) for item in unavailable}
    ids = content.decode().removesuffix("\n").split("\n")
    rows = np.array([row for row, item in enumerate(ids) if item in gone], "<i4")
    _write(path, {"rows": rows.tobytes(), "vocabulary": _fingerprint(content)})
    return len(rows)


def write_trend_file(path: Path, table: "TrendTable", first_item_index: int = 2) -> None:
    """Writes the trend table of an export, or replaces it while the model is served.

    The file is a `tf.train.Example`; it appears whole or not at all. A served model reads it at
    each request, so that the next request uses it.

    Args:
        path: `assets/trend.pb` of the export.
        table: The result of `TrendFeatures.table`.
        first_item_index: That of the vocabulary. Defaults to 2.

    Example:

    ```python
    model.trend.set_events(**sr.data.interaction_log(recent_sessions, vocabulary))
    write_trend_file("exported/news/1/assets/trend.pb", model.trend.table(time.time()))
    ```
    """
    arrays = {
        "item_rows": table.item_ids - first_item_index,
        "values": table.values,
        "leader_rows": table.leaders - first_item_index,
        "follower_rows": table.followers - first_item_index,
        "follow_values": table.follow_values,
    }
    columns = {}
    for name, dtype in _TREND.items():
        kind = f"<{dtype.as_numpy_dtype().dtype.char}"
        columns[name] = np.ascontiguousarray(arrays[name], kind).tobytes()
    _write(pathlib.Path(path), columns)


class AvailabilityFile(tf.Module):
    """The availability file among the assets of an export.

    Args:
        path: What `write_availability_file` wrote.
        vocabulary_file: The vocabulary whose rows it must name.
    """

    def __init__(self, path: Path, vocabulary_file: Path) -> None:
        super().__init__(name="availability_file")
        self._file = tf.saved_model.Asset(os.fspath(path))
        content = pathlib.Path(vocabulary_file).read_bytes()
        self._fingerprint = _fingerprint(content)
        self._num_items = content.count(b"\n")

    def unavailable(self) -> tf.Tensor:
        """Reads the rows of unavailable items: int32 [n]; none if the file is missing."""
        path = self._file.asset_path
        return _read(path, AVAILABILITY, _AVAILABILITY, self._checked_rows)["rows"]

    def _checked_rows(self, columns: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        name = pathlib.PurePath(AVAILABILITY).name
        same = tf.debugging.assert_equal(
            columns["vocabulary"],
            self._fingerprint,
            f"`{name}` should be written for this export. Received: that of other items",
        )
        rows = tf.io.decode_raw(columns["rows"], tf.int32)
        inside = _assert_rows(name, rows, self._num_items)
        with tf.control_dependencies([one for one in (same, inside) if one is not None]):
            return {"rows": tf.identity(rows)}


class TrendFile(tf.Module):
    """The trend table among the assets of an export.

    Args:
        path: What `write_trend_file` wrote.
        trend: The layer whose features it holds.
    """

    def __init__(self, path: Path, trend: "TrendFeatures") -> None:
        super().__init__(name="trend_file")
        self._file = tf.saved_model.Asset(os.fspath(path))
        self._num_follow = len(trend.follow_half_lives)
        self._num_own = trend.num_features - trend.follow_items * self._num_follow

    def table(self) -> "ServedTrend":
        """Reads the table; an empty one if the file is missing."""
        found = _read(self._file.asset_path, TREND, _TREND, _decoded_trend)
        num_items, num_pairs = tf.size(found["item_rows"]), tf.size(found["leader_rows"])
        with tf.name_scope(_TREND_SCOPE):
            found["values"] = tf.reshape(found["values"], [num_items, self._num_own])
            follow = tf.reshape(found["follow_values"], [num_pairs, self._num_follow])
            found["follow_values"] = follow
        return ServedTrend(**found)


class ServedTrend(NamedTuple):
    """A trend table in the graph; see `tfsessionrec.layers.terms.trend`.

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

    def terms(self, gates: tf.Tensor, last_rows: tf.Tensor, num_items: int) -> tf.Tensor:
        """Terms of all candidates' scores: [B, C] float32.

        Args:
            gates: [B, F] float32, `TrendFeatures.gates` of the queries.
            last_rows: int32 [B, L], rows of the newest items of each history; negative for none.
            num_items: C.
        """
        own, follow = self.values.shape[1], self.follow_values.shape[1]
        batch = tf.shape(gates)[0]
        with tf.name_scope(_TREND_SCOPE):
            terms = tf.matmul(self.values, gates[:, :own], transpose_b=True)
            shape = [num_items, batch]
            terms = tf.transpose(tf.scatter_nd(self.item_rows[:, tf.newaxis], terms, shape))
            for place in range(last_rows.shape[1] if follow else 0):
                # The pairs of a request's item are neighbors.
                last = last_rows[:, place]
                begin = tf.searchsorted(self.leader_rows, last, side="left")
                end = tf.searchsorted(self.leader_rows, last, side="right")
                pairs = tf.ragged.range(begin, end)
                request, pair = pairs.value_rowids(), pairs.values
                first = own + place * follow
                gate = tf.gather(gates[:, first : first + follow], request)
                term = tf.reduce_sum(gate * tf.gather(self.follow_values, pair), axis=1)
                followers = tf.gather(self.follower_rows, pair)
                cells = tf.stack([tf.cast(request, tf.int32), followers], axis=1)
                terms += tf.scatter_nd(cells, term, [batch, num_items])
        return terms


def _write(path: pathlib.Path, columns: Mapping[str, bytes]) -> None:
    """Writes a `tf.train.Example`, whole or not at all."""
    features = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        for name, value in columns.items()
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    write_file(path, example.SerializeToString(deterministic=True))


def _read(
    path: tf.Tensor,
    name: str,
    dtypes: Mapping[str, tf.DType],
    decode: Callable[[Mapping[str, tf.Tensor]], dict[str, tf.Tensor]],
) -> dict[str, tf.Tensor]:
    """Reads and decodes the columns of a file in the graph; empty ones if there is no file."""

    def read() -> dict[str, tf.Tensor]:
        kinds = {name: tf.io.FixedLenFeature([], tf.string) for name in dtypes}
        with tf.name_scope(pathlib.PurePath(name).name):
            content = tf.io.read_file(path)
            with tf.control_dependencies(_assert_whole(name, content)):
                return decode(tf.io.parse_single_example(tf.identity(content), kinds))

    def nothing() -> dict[str, tf.Tensor]:
        return {name: tf.zeros([0], dtype) for name, dtype in dtypes.items() if dtype != tf.string}

    return tf.cond(tf.size(tf.io.matching_files(path)) > 0, read, nothing)


def _assert_whole(name: str, content: tf.Tensor) -> list[tf.Operation]:
    """Checks the frame of a `tf.train.Example`: the byte 10, a varint with the length of the rest.

    TensorFlow's own error shows the bytes of the file, and ends at the first 0.
    """
    head = tf.io.decode_raw(tf.strings.substr(content + b"\0" * 6, 0, 6), tf.uint8)
    head = tf.cast(head, tf.int32)
    counts = tf.math.cumprod(tf.cast(head[1:] >= 128, tf.int32), exclusive=True)
    rest = tf.reduce_sum(counts * (head[1:] % 128) * 128 ** tf.range(5))
    size = tf.strings.length(content)
    name = pathlib.PurePath(name).name
    whole = (head[0] == 10) & (1 + tf.reduce_sum(counts) + rest == size)
    text = f"`{name}` should be a whole tf.train.Example. Received: another file, of bytes:"
    check = tf.debugging.Assert(whole, [text, size])
    return [] if check is None else [check]


def _assert_rows(name: str, rows: tf.Tensor, num_items: int) -> tf.Operation | None:
    return tf.debugging.Assert(
        tf.reduce_all((rows >= 0) & (rows < num_items)),
        [f"`{name}` should name items of this export. Received: a row outside of 0 to", num_items],
    )


def _decoded_trend(columns: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    return {name: tf.io.decode_raw(columns[name], dtype) for name, dtype in _TREND.items()}


def _fingerprint(content: bytes) -> bytes:
    """Identifies a vocabulary."""
    return hashlib.sha256(content).hexdigest().encode()
