"""The file that tells a served model which items are not to be had."""

import hashlib
import os
import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf

FILE = "availability.pb"
VOCABULARY = "vocabulary.txt"


def write_availability_file(path: str | os.PathLike[str], unavailable: Iterable[Any]) -> int:
    """Writes which items of an export are not to be had, or replaces it while the model is served.

    The file is a `tf.train.Example`; it appears whole or not at all. A served model reads it anew
    for each request, so that the next request sees it: no new version of the model, no restart.

    Args:
        path: `assets/availability.pb` of an export made with `unavailable`.
        unavailable: Raw ids; those that the export does not know change nothing.

    Returns:
        How many items of the export are now unavailable.

    Raises:
        FileNotFoundError: If there is no vocabulary beside the file.
        ValueError: If `unavailable` is one text instead of several ids.

    Example:

    ```python
    write_availability_file("exported/shop/1/assets/availability.pb", ["shoes", "socks"])
    ```
    """
    if isinstance(unavailable, str | bytes):
        raise ValueError(
            f"`unavailable` should be several ids. Received: `unavailable`={unavailable!r}"
        )
    path = pathlib.Path(path)
    content = path.with_name(VOCABULARY).read_bytes()
    gone = {str(item) for item in unavailable}
    ids = content.decode().removesuffix("\n").split("\n")
    rows = np.array([row for row, item in enumerate(ids) if item in gone], "<i4")
    columns = {"rows": rows.tobytes(), "vocabulary": _fingerprint(content)}
    features = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        for name, value in columns.items()
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    scratch = path.with_name(path.name + ".part")
    scratch.write_bytes(example.SerializeToString(deterministic=True))
    os.replace(scratch, path)
    return len(rows)


def read_availability_file(path: tf.Tensor, vocabulary_fingerprint: bytes) -> tf.Tensor:
    """Reads in the graph which rows are unavailable: int32 [n]; none if there is no such file.

    Args:
        path: Scalar string.
        vocabulary_fingerprint: `file_fingerprint` of the vocabulary that the rows must be of.
    """

    def read() -> tf.Tensor:
        kinds = {name: tf.io.FixedLenFeature([], tf.string) for name in ("rows", "vocabulary")}
        found = tf.io.parse_single_example(tf.io.read_file(path), kinds)
        same = tf.debugging.assert_equal(
            found["vocabulary"],
            vocabulary_fingerprint,
            f"`{FILE}` should be written for this export. Received: that of other items",
        )
        with tf.control_dependencies([same] if same is not None else []):
            return tf.io.decode_raw(found["rows"], tf.int32)

    there = tf.size(tf.io.matching_files(path)) > 0
    return tf.cond(there, read, lambda: tf.zeros([0], tf.int32))


def file_fingerprint(vocabulary_file: str | os.PathLike[str]) -> bytes:
    """What tells one vocabulary from another."""
    return _fingerprint(pathlib.Path(vocabulary_file).read_bytes())


def _fingerprint(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
