"""Reading a log from a file or a frame."""

import os
import pathlib
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias, Union

import polars as pl

if TYPE_CHECKING:
    import pandas as pd

EventSource: TypeAlias = Union[str, os.PathLike[str], pl.DataFrame, pl.LazyFrame, "pd.DataFrame"]

_SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": None}


def read_events(
    source: EventSource,
    columns: Mapping[str, str] | None = None,
    separator: str | None = None,
) -> pl.DataFrame:
    """Reads an interaction log, one row an event, in the order of the source.

    Args:
        source: A path ending in `.csv`, `.tsv`, `.txt` (a table with a header) or `.parquet`, a
            Polars DataFrame or LazyFrame, or a pandas DataFrame.
        columns: Renaming: new name to the source's column. A source column may have several new
            names. Other columns keep their names. Defaults to `None`.
        separator: Separator of the fields of a text file. Defaults to `None`: a comma for `.csv`, a
            tab for `.tsv`, and for `.txt` a tab if the header holds one, else a comma.

    Returns:
        A Polars DataFrame.

    Raises:
        FileNotFoundError: If `source` names a file that does not exist.
        ValueError: If the suffix is unknown, if the file is empty or cannot be read, or if
            `columns` has an unknown column or a name that another column has already.

    Example:

    >>> import polars as pl
    >>> from tfsessionrec.data import read_events
    >>> log = pl.DataFrame({"visitor": [7, 7], "article": ["a", "b"]})
    >>> read_events(log, columns={"user_id": "visitor", "item_id": "article"}).to_dicts()
    [{'user_id': 7, 'item_id': 'a'}, {'user_id': 7, 'item_id': 'b'}]
    """
    events = scan_events(source, separator)
    if columns:
        names = events.collect_schema().names()
        for new, old in columns.items():
            check_column(names, old, f"columns[{new!r}]")
        rest = [name for name in names if name not in columns.values()]
        twice = [name for name in rest if name in columns]
        if twice:
            raise ValueError(
                f"`columns` should give names that no other column has. Received: {twice}, "
                f"which the source has already"
            )
        events = events.select(*(pl.col(old).alias(new) for new, old in columns.items()), *rest)
    return collect_events(events)


def scan_events(
    source: EventSource, separator: str | None = None, argument: str = "source"
) -> pl.LazyFrame:
    """The source as a LazyFrame, so that only the selected columns are read."""
    if isinstance(source, pl.LazyFrame):
        return source
    if isinstance(source, pl.DataFrame):
        return source.lazy()
    if isinstance(source, (str, os.PathLike)):
        return _scan_file(pathlib.Path(source), separator, argument)
    pandas = sys.modules.get("pandas")  # a pandas frame exists only where pandas was imported
    if pandas is not None and isinstance(source, pandas.DataFrame):
        return pl.from_pandas(source).lazy()
    raise ValueError(
        f"`{argument}` should be a path, a Polars DataFrame or LazyFrame, or a pandas DataFrame. "
        f"Received: {type(source)}"
    )


def collect_events(events: pl.LazyFrame, argument: str = "source") -> pl.DataFrame:
    """Reads a LazyFrame of `scan_events`; no rows are an error."""
    try:
        frame = events.collect()
    except (pl.exceptions.ComputeError, pl.exceptions.SchemaError) as error:
        raise ValueError(f"`{argument}` cannot be read: {_first_line(error)}") from error
    if frame.is_empty():
        raise ValueError(f"`{argument}` should hold at least one event. Received: no rows")
    return frame


def check_column(names: list[str], name: object, argument: str) -> None:
    """Raises unless `name` is one of `names`."""
    if name not in names:
        raise ValueError(
            f"`{argument}` should name a column of the events. Received: `{argument}`={name!r}. "
            f"Columns: {', '.join(names)}"
        )


def _scan_file(path: pathlib.Path, separator: str | None, argument: str) -> pl.LazyFrame:
    suffix = path.suffix.lower()
    if suffix != ".parquet" and suffix not in _SEPARATORS:
        raise ValueError(
            f"`{argument}` should end in .csv, .tsv, .txt or .parquet. "
            f"Received: `{argument}`={str(path)!r}"
        )
    if separator is not None and len(separator.encode()) != 1:
        raise ValueError(
            f"`separator` should be a single character. Received: `separator`={separator!r}"
        )
    if not path.is_file():
        raise FileNotFoundError(
            f"`{argument}` should be a file that exists. Received: `{argument}`={str(path)!r}"
        )
    if path.stat().st_size == 0:
        raise ValueError(
            f"`{argument}` should hold at least one event. Received: {path}, an empty file"
        )
    try:
        if suffix == ".parquet":
            events = pl.scan_parquet(path)
        else:
            # The whole file decides a column's type: after an id like 17, a text may follow.
            events = pl.scan_csv(
                path,
                separator=separator or _SEPARATORS[suffix] or _guess_separator(path),
                infer_schema_length=None,
            )
        events.collect_schema()
    except (pl.exceptions.ComputeError, pl.exceptions.NoDataError) as error:
        raise ValueError(f"`{argument}` cannot be read: {path}: {_first_line(error)}") from error
    return events


def _guess_separator(path: pathlib.Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return "\t" if "\t" in file.readline() else ","


def _first_line(error: Exception) -> str:
    """The error without Polars' advice on its own arguments."""
    return str(error).partition("\n")[0]
