"""From a catalog to the side features of a vocabulary's items."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tfsessionrec.checks import instance, positive_integer, sequence, text
from tfsessionrec.data.cleaning import FLOAT32_MAX, LOGGER, missing, note_dropped
from tfsessionrec.data.ids import clean_ids
from tfsessionrec.data.reading import (
    EventSource,
    check_column,
    collect_events,
    column_names,
    scan_events,
)
from tfsessionrec.data.vocabulary import Vocabulary


def item_features(
    frame: EventSource,
    vocabulary: Vocabulary,
    *,
    item: str = "item_id",
    categorical: Sequence[str] = (),
    multi_hot: Sequence[str] = (),
    dense: Sequence[str] = (),
    multi_hot_separator: str = "|",
    num_fitted: int | None = None,
) -> dict[str, NDArray[np.int32] | NDArray[np.float32]]:
    """Turns a catalog, one row an item, into the `features` of `layers.ItemEmbedding`.

    Categories are numbered by the sorted values of the whole catalog. Dense numbers are
    standardized, `(x - mean) / std`, over the vocabulary's items that are not new, so that new
    items change nothing. The features of padding, of out-of-vocabulary buckets and of items that
    the catalog lacks are missing.

    Args:
        frame: The catalog, of any kind that `read_events` reads.
        vocabulary: Gives each item its row.
        item: Column of item ids. Defaults to `"item_id"`.
        categorical: Columns of one category an item: text, whole numbers or booleans. Defaults to
            none.
        multi_hot: Columns of several categories an item: lists, or text with `multi_hot_separator`
            between them. Defaults to none.
        dense: Columns of numbers. Defaults to none.
        multi_hot_separator: Separator of the categories in a text. Defaults to `"|"`.
        num_fitted: The numbers are standardized over this many first items of the vocabulary, such
            as those before it grew. Defaults to None: over all that are not new.

    Returns:
        One array a column, by its name, with V = `len(vocabulary)` rows: int32 [V] for a
        categorical one (0 is missing), int32 [V, M] for a multi-hot one (padded with 0), float32
        [V, 2] for a dense one: the number, 0 where it is missing, and 1 where it is missing.

    Raises:
        FileNotFoundError: If `frame` names a file that does not exist.
        ValueError: If a column is missing, is named twice or is of another kind, or an item has
            two rows.

    Example:

    >>> import polars as pl
    >>> from tfsessionrec.data import Vocabulary, item_features
    >>> catalog = pl.DataFrame({"item_id": ["tea", "rum"], "kind": ["hot", "cold"]})
    >>> item_features(catalog, Vocabulary(["tea", "rum"]), categorical=["kind"])
    {'kind': array([0, 0, 2, 1], dtype=int32)}
    """
    instance("vocabulary", vocabulary, Vocabulary)
    text("multi_hot_separator", multi_hot_separator, empty=False)
    text("item", item)
    lazy = scan_events(frame, argument="frame", ids=(item,))
    names = column_names(lazy, "frame", frame)
    check_column(names, item, "item")
    columns: list[str] = []
    for argument, value in (
        ("categorical", categorical),
        ("multi_hot", multi_hot),
        ("dense", dense),
    ):
        sequence(argument, value, "columns")
        for name in value:
            check_column(names, name, argument)
            if name in columns:
                raise ValueError(f"A column should be one feature. Received: {name!r} twice")
            columns.append(name)
    table = collect_events(lazy.select(*dict.fromkeys((item, *columns))), "frame", frame)
    ids = clean_ids(table[item], "item", id_type=vocabulary.dtype)
    twice = ids.is_duplicated()
    if twice.any():
        raise ValueError(
            f"`frame` should have one row an item. Received: {ids.filter(twice)[0]!r} again"
        )
    trained = len(vocabulary) - vocabulary.num_new_items
    if num_fitted is not None:
        positive_integer("num_fitted", num_fitted)
        trained = min(trained, vocabulary.first_item_index + num_fitted)
    # The catalog's row of each index of the vocabulary; -1 is the empty row at the end of the
    # encoders below.
    index = vocabulary.lookup(ids)
    row = np.full(len(vocabulary), -1)
    known = index >= vocabulary.first_item_index
    row[index[known]] = np.flatnonzero(known)

    features: dict[str, NDArray[np.int32] | NDArray[np.float32]] = {
        name: _categorical(table[name])[row] for name in categorical
    }
    for name in multi_hot:
        features[name] = _multi_hot(table[name], multi_hot_separator)[row]
    for name in dense:
        features[name] = _dense(table[name], row, trained)
    return features


def read_catalog(
    source: EventSource, item: str = "item_id", drop_missing: bool = False
) -> pl.DataFrame:
    """Reads a catalog, one row an item, with ids as they are written.

    Args:
        source: The catalog, of any kind that `read_events` reads.
        item: Column of item ids. Defaults to `"item_id"`.
        drop_missing: Whether to leave out rows without an id. Defaults to False: an error.

    Raises:
        FileNotFoundError: If `source` names a file that does not exist.
        ValueError: If it cannot be read, has no column `item`, or an id is missing.
    """
    lazy = scan_events(source, argument="item_features", ids=(item,))
    check_column(column_names(lazy, "item_features", source), item, "item")
    table = collect_events(lazy, "item_features", source)
    absent = missing(table[item])
    if not absent.any():
        return table
    where = "the frame" if isinstance(source, (pl.DataFrame, pl.LazyFrame)) else source
    if not drop_missing or absent.all():
        raise ValueError(
            f"`item_features` should have an id in each row. Received: {where}, {absent.sum()} "
            f"missing in column {item!r}, the first in row {absent.arg_max()} (counted from 0). "
            "`drop_missing=True` (--drop-missing) leaves such rows out"
        )
    note_dropped(int(absent.sum()), f"of {where}, without an id in column {item!r}")
    return table.filter(~absent)


def _categorical(values: pl.Series) -> NDArray[np.int32]:
    absent = int(missing(values).sum())
    if absent:
        LOGGER.info(
            "column %r has no category in %d of %d rows: 0, no category",
            values.name,
            absent,
            len(values),
        )
    return np.append(_numbered(values, "categorical"), np.int32(0))


def _multi_hot(values: pl.Series, separator: str) -> NDArray[np.int32]:
    if values.dtype == pl.String:
        values = values.str.split(separator)
    elif isinstance(values.dtype, pl.Array):
        values = values.arr.to_list()
    elif not isinstance(values.dtype, pl.List):
        raise ValueError(
            "`multi_hot` should name columns of lists or of text. Received: column "
            f"{values.name!r} of {values.dtype}"
        )
    flat = pl.DataFrame({"row": np.arange(len(values)), values.name: values}).explode(values.name)
    flat = flat.with_columns(index=pl.Series(_numbered(flat[values.name], "multi_hot")))
    flat = flat.filter(pl.col("index") > 0).unique(["row", "index"], maintain_order=True)
    rows = flat["row"].to_numpy()
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)
    bags = np.zeros((len(values) + 1, max(1, place.max(initial=0) + 1)), np.int32)
    bags[rows, place] = flat["index"].to_numpy()
    return bags


def _numbered(values: pl.Series, argument: str) -> NDArray[np.int32]:
    """1, 2, ... by sorted value; 0 for a missing one, NaN and ""."""
    if values.dtype.is_float():  # whole numbers, one of which is missing
        values = values.fill_nan(None)
        if (values == values.round()).all() and (values.abs() < 2**53).all():
            values = values.cast(pl.Int64)
    if not (
        values.dtype.is_integer()
        or values.dtype in (pl.Boolean, pl.String, pl.Null)
        or isinstance(values.dtype, (pl.Categorical, pl.Enum))
    ):
        raise ValueError(
            f"`{argument}` should name columns of text or whole numbers. Received: column "
            f"{values.name!r} of {values.dtype}"
        )
    text = values.cast(pl.String) if not values.dtype.is_integer() else values
    if text.dtype == pl.String:
        text = text.set(text == "", None)
    return text.rank("dense").fill_null(0).to_numpy().astype(np.int32)


def _dense(values: pl.Series, row: NDArray[np.int64], num_trained: int) -> NDArray[np.float32]:
    if values.dtype == pl.String:
        values = _numbers_of_text(values)
    if not (values.dtype.is_numeric() or values.dtype in (pl.Boolean, pl.Null)):
        raise ValueError(
            f"`dense` should name columns of numbers. Received: column {values.name!r} of "
            f"{values.dtype}"
        )
    numbers = values.cast(pl.Float64).fill_null(np.nan).to_numpy()
    wrong = np.abs(numbers) > FLOAT32_MAX
    if wrong.any():
        raise ValueError(
            "`dense` should name columns of finite numbers, within float32. Received: "
            f"{numbers[wrong][0]} in column {values.name!r}"
        )
    absent = int(np.isnan(numbers).sum())
    if absent:
        LOGGER.info(
            "column %r has no number in %d of %d rows: 0, and a flag",
            values.name,
            absent,
            len(values),
        )
    numbers = np.append(numbers, np.nan)[row]
    trained = numbers[:num_trained]
    trained = trained[~np.isnan(trained)]
    mean, std = (trained.mean(), trained.std()) if len(trained) else (0.0, 0.0)
    missing = np.isnan(numbers)
    scaled = np.where(missing, 0.0, (numbers - mean) / (std or 1.0))
    return np.stack([scaled, missing], axis=1).astype(np.float32)


def _numbers_of_text(values: pl.Series) -> pl.Series:
    """Text such as 1e5 as numbers, if all of it is."""
    text = values.set(values == "", None)
    numbers = text.cast(pl.Float64, strict=False)
    return values if numbers.null_count() > text.null_count() else numbers
