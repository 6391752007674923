"""Raw item ids and their indices."""

import json
import os
import pathlib
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from tfsessionrec import checks
from tfsessionrec.checks import instance, positive_integer
from tfsessionrec.data.ids import IdType, RawIds, clean_ids, ids_series
from tfsessionrec.data.sessions import Sessions

_FORMAT = "tfsessionrec.Vocabulary"
_PRIME = np.uint64(1_099_511_628_211)


class Vocabulary:
    """The items of a model, each with an index.

    Index 0 is padding. The next `num_oov_indices` are buckets for items out of the vocabulary. The
    items follow, by descending count, those of equal count in the order given; then items of later
    logs (`grow`) and new items (`extend`).

    The bucket of an unknown id is `h mod num_oov_indices`, where `h` is the id itself for integers
    and, for strings, the sum over the bytes of the UTF-8 text of `byte[i] * 1099511628211 ** i`,
    modulo 2⁶⁴: stable across runs and machines.

    Args:
        ids: Raw ids, all integers or all strings, without repetition.
        counts: Number of positive interactions of each id. Defaults to `None`: all zero.
        num_oov_indices: Number of buckets for unknown ids. Defaults to `1`.
        num_new_items: Number of the last ids that are new items, see `extend`. Their counts should
            be 0. Defaults to `0`.
        order: `"count"` (default) for items by descending count, `"given"` for the order of `ids`.

    Raises:
        ValueError: If `ids` is empty, holds an id twice or a missing one, or mixes types; if
            `counts` has another length or a negative number; if `num_oov_indices` is not positive;
            if not even one id is not new, or a new item has a count; if `order` is unknown.

    Example:

    >>> from tfsessionrec.data import Vocabulary
    >>> vocabulary = Vocabulary(["tea", "milk"], counts=[3, 5])
    >>> len(vocabulary), vocabulary.num_items, vocabulary.first_item_index
    (4, 2, 2)
    >>> vocabulary.lookup([["milk", "tea"], ["gin", ""]]).tolist()
    [[2, 3], [1, 0]]
    >>> vocabulary.raw([3, 2]).tolist()
    ['tea', 'milk']
    """

    def __init__(
        self,
        ids: RawIds,
        counts: ArrayLike | pl.Series | None = None,
        num_oov_indices: int = 1,
        num_new_items: int = 0,
        order: Literal["count", "given"] = "count",
    ) -> None:
        self.num_oov_indices = positive_integer("num_oov_indices", num_oov_indices)
        series = ids_series(ids, "ids")
        if series.is_empty():
            raise ValueError("`ids` should hold at least one id. Received: none")
        series = clean_ids(series, "ids")
        twice = series.is_duplicated()
        if twice.any():
            raise ValueError(
                f"`ids` should hold each id once. Received: {series.filter(twice)[0]!r} again"
            )
        clicks = np.zeros(len(series), np.int64) if counts is None else np.asarray(counts)
        if clicks.shape != (len(series),) or clicks.dtype.kind not in "iu" or (clicks < 0).any():
            raise ValueError(
                "`counts` should hold one whole number, not negative, for each id. Received: "
                f"{clicks.dtype} of shape {clicks.shape} for {len(series)} ids"
            )
        if not (
            isinstance(num_new_items, (int, np.integer)) and 0 <= num_new_items < len(series)
        ) or (clicks[len(series) - num_new_items :].any()):
            raise ValueError(
                "`num_new_items` should be the number of the last `ids`, not all of them, whose "
                f"counts are 0. Received: `num_new_items`={num_new_items!r} of {len(series)} ids"
            )
        if order not in ("count", "given"):
            raise ValueError(f"`order` should be 'count' or 'given'. Received: `order`={order!r}")
        self.num_new_items = int(num_new_items)
        if order == "count":
            by_count = np.argsort(-clicks.astype(np.int64), kind="stable")
            series, clicks = series[by_count], clicks[by_count]
        self._ids = series.to_numpy().astype(np.int64 if series.dtype == pl.Int64 else object)
        self._counts = np.zeros(self.first_item_index + len(series), np.int64)
        self._counts[self.first_item_index :] = clicks
        self._ids.setflags(write=False)
        self._counts.setflags(write=False)
        self._table = pl.DataFrame(
            {
                "id": series,
                "index": np.arange(self.first_item_index, len(self._counts), dtype=np.int32),
            }
        )

    @classmethod
    def from_sessions(
        cls, sessions: Sessions, min_count: int = 1, num_oov_indices: int = 1
    ) -> "Vocabulary":
        """The items of the sessions.

        Args:
            sessions: Sessions to read, usually those for training.
            min_count: Items with fewer interactions, of any label, are left out. Defaults to `1`.
            num_oov_indices: As in the constructor. Defaults to `1`.

        Returns:
            A `Vocabulary` whose counts are of positive interactions.
        """
        instance("sessions", sessions, Sessions)
        min_count = positive_integer("min_count", min_count)
        items = _counted(sessions).filter(pl.col("rows") >= min_count)
        if items.is_empty():
            raise ValueError(
                f"`min_count` should leave at least one item. Received: `min_count`={min_count}"
            )
        return cls(items["item_id"], items["clicks"], num_oov_indices)

    def extend(self, ids: RawIds) -> "Vocabulary":
        """This vocabulary, followed by new items that are not in the training log.

        A model scores a new item by its features alone (`layers.ItemEmbedding`).

        Args:
            ids: Raw ids, such as those of a whole catalog; known ones change nothing.

        Returns:
            A `Vocabulary` with all indices of this one.

        Raises:
            ValueError: If an id is missing or of another type.

        Example:

        >>> from tfsessionrec.data import Vocabulary
        >>> vocabulary = Vocabulary(["tea", "milk"], counts=[3, 5]).extend(["rum", "tea"])
        >>> vocabulary.ids.tolist(), vocabulary.num_new_items
        (['milk', 'tea', 'rum'], 1)
        """
        series = clean_ids(ids_series(ids, "ids"), "ids").unique(maintain_order=True)
        if series.is_empty():
            return self
        if series.dtype != self._table.schema["id"]:
            raise ValueError(
                f"`ids` should hold ids of type {self.dtype}. Received: {series.dtype}"
            )
        new = series.filter(pl.Series(self.lookup(series) < self.first_item_index))
        return Vocabulary(
            pl.concat([self._table["id"].rename("ids"), new]),
            np.append(self._counts[self.first_item_index :], np.zeros(len(new), np.int64)),
            self.num_oov_indices,
            self.num_new_items + len(new),
            order="given",
        )

    def grow(self, sessions: Sessions, min_count: int = 1) -> "Vocabulary":
        """This vocabulary with the items and the counts of a later log.

        Items that were trained on keep their index, and the interactions of the log are added to
        their counts. The other items of the log follow, by descending count; then the items of
        `extend` that the log does not have.

        Args:
            sessions: Sessions of the later log.
            min_count: Other items with fewer interactions, of any label, are not added. Defaults to
                `1`.

        Returns:
            A `Vocabulary`.

        Raises:
            ValueError: If the ids are of another type.

        Example:

        >>> import polars as pl
        >>> from tfsessionrec.data import Vocabulary, sessionize
        >>> items = ["rum", "tea", "gin"]
        >>> log = pl.DataFrame({"s": [1, 1, 1], "item_id": items, "timestamp": [0, 1, 2]})
        >>> vocabulary = Vocabulary(["tea", "milk"], counts=[3, 5]).extend(["rum", "beer"])
        >>> vocabulary = vocabulary.grow(sessionize(log, session="s"))
        >>> vocabulary.ids.tolist(), vocabulary.counts.tolist(), vocabulary.num_new_items
        (['milk', 'tea', 'rum', 'gin', 'beer'], [0, 0, 5, 4, 1, 1, 0], 1)
        """
        instance("sessions", sessions, Sessions)
        min_count = positive_integer("min_count", min_count)
        counted = _counted(sessions)
        index, clicks = self.lookup(counted["item_id"]), counted["clicks"].to_numpy()
        end = len(self) - self.num_new_items
        trained = (index >= self.first_item_index) & (index < end)
        counts = self._counts[:end].copy()
        counts[index[trained]] += clicks[trained]
        added = counted.filter(pl.Series(~trained) & (pl.col("rows") >= min_count))
        added = added.sort("clicks", descending=True, maintain_order=True)
        ids = self._table["id"]
        split = end - self.first_item_index
        absent = ids[split:].filter(~ids[split:].is_in(added["item_id"].implode()))
        return Vocabulary(
            pl.concat([ids[:split], added["item_id"].rename("id"), absent]),
            np.concatenate(
                [counts[self.first_item_index :], added["clicks"], np.zeros(len(absent), np.int64)]
            ),
            self.num_oov_indices,
            len(absent),
            order="given",
        )

    def __len__(self) -> int:
        return len(self._counts)

    def __repr__(self) -> str:
        return (
            f"Vocabulary(num_items={self.num_items}, dtype={self.dtype!r}, "
            f"num_oov_indices={self.num_oov_indices})"
        )

    @property
    def num_items(self) -> int:
        """Number of items, without padding and buckets."""
        return len(self._ids)

    @property
    def first_item_index(self) -> int:
        """Index of the first item, after padding and buckets."""
        return 1 + self.num_oov_indices

    @property
    def ids(self) -> NDArray[np.int64] | NDArray[np.object_]:
        """Raw ids [num_items], int64 or str objects; the first has index `first_item_index`."""
        return self._ids

    @property
    def counts(self) -> NDArray[np.int64]:
        """Positive interactions int64 [len(self)], by index; 0 for padding and buckets."""
        return self._counts

    @property
    def dtype(self) -> IdType:
        """`"int64"` or `"string"`."""
        return "int64" if self._ids.dtype == np.int64 else "string"

    def lookup(self, raw_ids: RawIds) -> NDArray[np.int32]:
        """Indices of raw ids.

        Args:
            raw_ids: Array, nested list or Series of raw ids, of any shape. `None`, NaN and `""`
                are padding. String ids may be bytes.

        Returns:
            int32 array of the same shape: 0 for padding, a bucket for an unknown id.

        Raises:
            ValueError: If the ids are not of the vocabulary's type.
        """
        shape = tuple(np.shape(raw_ids))
        series = clean_ids(ids_series(raw_ids, "raw_ids"), "raw_ids", allow_null=True)
        if series.null_count() == len(series):
            return np.zeros(shape, np.int32)
        if series.dtype != self._table.schema["id"]:
            raise ValueError(
                f"`raw_ids` should hold ids of type {self.dtype}. Received: {series.dtype}"
            )
        found = series.to_frame("id").join(self._table, on="id", how="left", maintain_order="left")[
            "index"
        ]
        known = found.is_not_null().to_numpy()
        indices = found.fill_null(0).to_numpy().astype(np.int32)
        unknown = ~known & series.is_not_null().to_numpy()
        if unknown.any():
            indices[unknown] = 1 + self._bucket(series.filter(pl.Series(unknown)))
        return indices.reshape(shape)

    def raw(self, indices: ArrayLike) -> NDArray[np.int64] | NDArray[np.object_]:
        """Raw ids of indices.

        Args:
            indices: Integers of any shape.

        Returns:
            Array of the same shape, int64 or str objects.

        Raises:
            ValueError: If an index is not that of an item.
        """
        expected = (
            f"`indices` should be integers from {self.first_item_index} (the first item) to "
            f"{len(self) - 1}"
        )
        try:
            array = np.asarray(indices)
        except ValueError as error:  # lists of several lengths
            raise ValueError(f"{expected}. Received: {error}") from error
        if array.dtype.kind not in "iu":
            if array.size:
                raise ValueError(f"{expected}. Received: {indices!r} of {array.dtype}")
            array = array.astype(np.int64)
        wrong = (array < self.first_item_index) | (array >= len(self))
        if wrong.any():
            raise ValueError(f"{expected}. Received: {array[wrong].reshape(-1)[0]}")
        return self._ids[array - self.first_item_index]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the vocabulary to one JSON file, atomically."""
        checks.path("path", path)
        path = pathlib.Path(path)
        content = {
            "format": _FORMAT,
            "version": 1,
            "num_oov_indices": self.num_oov_indices,
            "num_new_items": self.num_new_items,
            "dtype": self.dtype,
            "ids": self._ids.tolist(),
            "counts": self._counts[self.first_item_index :].tolist(),
        }
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            with part.open("w", encoding="utf-8") as file:
                json.dump(content, file, ensure_ascii=False)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Vocabulary":
        """Reads a file that `save` wrote.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is not a complete vocabulary.
        """
        checks.path("path", path)
        try:
            content = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
            if content["format"] != _FORMAT or content["version"] != 1:
                raise ValueError(f"format {content['format']!r} version {content['version']!r}")
            dtype = {"int64": pl.Int64, "string": pl.String}[content["dtype"]]
            ids = pl.Series(content["ids"], dtype=dtype)
            new = content.get("num_new_items", 0)
            return cls(ids, content["counts"], content["num_oov_indices"], new, order="given")
        except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError) as error:
            raise ValueError(
                f"`path` should be a file that `Vocabulary.save` wrote. Received: {path}: {error!r}"
            ) from error

    def _bucket(self, unknown: pl.Series) -> NDArray[np.int64]:
        if unknown.dtype == pl.Int64:
            return unknown.to_numpy() % self.num_oov_indices
        if self.num_oov_indices == 1:
            return np.zeros(len(unknown), np.int64)
        encoded = np.array([text.encode() for text in unknown], dtype=np.bytes_)
        letters = encoded.view(np.uint8).reshape(len(encoded), -1).astype(np.uint64)
        powers = np.ones(letters.shape[1], np.uint64)
        powers[1:] = np.cumprod(np.full(letters.shape[1] - 1, _PRIME))
        return ((letters * powers).sum(axis=1) % np.uint64(self.num_oov_indices)).astype(np.int64)


def _counted(sessions: Sessions) -> pl.DataFrame:
    """The items of the sessions: `item_id`, `rows`, and `clicks`, the positive ones of these."""
    return sessions.events.group_by("item_id", maintain_order=True).agg(
        rows=pl.len(), clicks=(pl.col("label") == 1).sum().cast(pl.Int64)
    )
