"""Reading a log from a file or a frame."""

import os
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias, TypeGuard, Union

import polars as pl

from tfsessionrec.checks import mapping, text
from tfsessionrec.data.log_files import READ_ERRORS, Path, scan_files, unreadable

if TYPE_CHECKING:
    import pandas as pd

EventSource: TypeAlias = Union[Path, Sequence[Path], pl.DataFrame, pl.LazyFrame, "pd.DataFrame"]


def read_events(
    source: EventSource,
    columns: Mapping[str, str] | None = None,
    separator: str | None = None,
) -> pl.DataFrame:
    """Reads an interaction log, one row an event, in the order of the source.

    Args:
        source: A path ending in `.csv`, `.tsv`, `.txt` (a table with a header; also `.csv.gz`
            ...), `.jsonl`, `.ndjson` or `.parquet`; a folder of such files; a pattern such as
            `"logs/*.csv"`; a list of these; a Polars DataFrame or LazyFrame; or a pandas DataFrame.
            A column of a text file holds integers only if each value is written as Python writes
            it: `007`, `+5` and `1e5` stay text.
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
    text("separator", separator, optional=True, empty=False)
    if columns is not None:
        mapping("columns", columns, "columns of the source")
    events = scan_events(source, separator)
    if columns:
        names = column_names(events, source=source)
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
    return collect_events(events, source=source)


def scan_events(
    source: EventSource,
    separator: str | None = None,
    argument: str = "source",
    ids: Collection[str] = (),
) -> pl.LazyFrame:
    """The source as a LazyFrame, so that only the selected columns are read.

    Args:
        source: As in `read_events`.
        separator: As in `read_events`.
        argument: Name of the source, for messages.
        ids: Columns of ids, which a text file's fractions do not turn into numbers.
    """
    if isinstance(source, pl.LazyFrame):
        return source
    if isinstance(source, pl.DataFrame):
        return source.lazy()
    if _names_files(source):
        return scan_files(source, separator, argument, ids)
    pandas = sys.modules.get("pandas")  # a pandas frame exists only where pandas was imported
    if pandas is not None and isinstance(source, pandas.DataFrame):
        return _from_pandas(source, argument).lazy()
    raise _no_source(argument, source)


def check_source(argument: str, source: object) -> None:
    """Checks the kind of a source of events.

    Raises:
        ValueError: If it is none that `read_events` takes.
    """
    pandas = sys.modules.get("pandas")
    frames = (pl.LazyFrame, pl.DataFrame, *([] if pandas is None else [pandas.DataFrame]))
    if not isinstance(source, frames) and not _names_files(source):
        raise _no_source(argument, source)


def _no_source(argument: str, source: object) -> ValueError:
    return ValueError(
        f"`{argument}` should be a path or a list of paths, a Polars DataFrame or LazyFrame, or a "
        f"pandas DataFrame. Received: {type(source)}"
    )


def column_names(
    events: pl.LazyFrame, argument: str = "source", source: EventSource | None = None
) -> list[str]:
    """The columns of a LazyFrame of `scan_events`.

    Args:
        events: The rows.
        argument: Name of the source, for messages.
        source: Where they come from, for messages.
    """
    try:
        return events.collect_schema().names()
    except READ_ERRORS as error:
        raise unreadable(_described(source), error, argument) from error


def collect_events(
    events: pl.LazyFrame, argument: str = "source", source: EventSource | None = None
) -> pl.DataFrame:
    """Reads a LazyFrame of `scan_events`; no rows are an error.

    Args:
        events: The rows.
        argument: Name of the source, for messages.
        source: Where they come from, for messages.
    """
    try:
        frame = events.collect()
    except READ_ERRORS as error:
        raise unreadable(_described(source), error, argument) from error
    if frame.is_empty():
        raise ValueError(
            f"`{argument}` should hold at least one event. Received: no rows in "
            f"{_described(source)}"
        )
    return frame


def check_column(names: list[str], name: object, argument: str) -> None:
    """Raises unless `name` is one of `names`."""
    if name not in names:
        raise ValueError(
            f"`{argument}` should name a column of the events. Received: `{argument}`={name!r}. "
            f"Columns: {', '.join(names)}"
        )


def _names_files(source: object) -> TypeGuard[Path | Sequence[Path]]:
    if isinstance(source, (list, tuple)):
        return all(isinstance(path, (str, os.PathLike)) for path in source)
    return isinstance(source, (str, os.PathLike))


def _described(source: EventSource | None) -> str:
    if source is not None and _names_files(source):
        paths = [source] if isinstance(source, (str, os.PathLike)) else source
        return ", ".join(str(path) for path in paths)
    return "the frame"


def _from_pandas(frame: "pd.DataFrame", argument: str) -> pl.DataFrame:
    """A pandas frame; whole numbers among text become text, as in a text file."""
    columns = []
    for name in frame.columns:
        if not isinstance(name, str):
            raise ValueError(
                f"`{argument}` should have columns with names. Received: column {name!r}"
            )
        values = frame[name]
        if values.ndim > 1:
            raise ValueError(
                f"`{argument}` should have columns of different names. Received: several columns "
                f"named {name!r}"
            )
        try:
            columns.append(pl.from_pandas(frame[[name]]).to_series())
        except (*READ_ERRORS, ValueError, TypeError, OverflowError) as error:
            found = values.dropna()
            kinds = {type(value) for value in found}
            if kinds != {int, str}:
                raise ValueError(
                    f"`{argument}` should have values of one type in a column. Received: "
                    f"{', '.join(sorted(kind.__name__ for kind in kinds))} in column {name!r}"
                ) from error
            text = [str(value) if isinstance(value, (int, str)) else None for value in values]
            columns.append(pl.Series(name, text, dtype=pl.String))
    return pl.DataFrame(columns)
