"""The files of a log: one, several, those of a folder or of a pattern."""

import csv
import glob
import gzip
import json
import os
import pathlib
import re
from collections.abc import Collection, Sequence

import polars as pl

from tfsessionrec.data.text_types import cast_text, column_kinds, common_types

Path = str | os.PathLike[str]

READ_ERRORS = (
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,  # of a damaged Parquet file; not an `Exception`
    OSError,
    EOFError,
    UnicodeError,
)
_SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": None}
_JSON_LINES = (".jsonl", ".ndjson")
SUFFIXES = (*_SEPARATORS, *_JSON_LINES, ".parquet")


def resolve_paths(source: Path | Sequence[Path], argument: str) -> list[pathlib.Path]:
    """The files that a path, a folder, a pattern such as `logs/*.csv` or a list of them names.

    Files of a folder and of a pattern are in the order of their names; a file with another ending
    is left out of a folder.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a file is empty or has an unknown ending, or if the files are of several
            kinds.
    """
    given = [source] if isinstance(source, (str, os.PathLike)) else list(source)
    paths = [path for name in given for path in _expand(pathlib.Path(name), argument)]
    if not paths:
        raise ValueError(f"`{argument}` should name at least one file. Received: an empty list")
    for path in paths:
        if _suffix(path) not in SUFFIXES:
            raise ValueError(
                f"`{argument}` should end in {', '.join(SUFFIXES[:-1])} or .parquet (text also in "
                f".gz). Received: `{argument}`={str(path)!r}"
            )
        if not path.is_file():
            raise FileNotFoundError(
                f"`{argument}` should be a file that exists. Received: `{argument}`={str(path)!r}"
            )
        if path.stat().st_size == 0:
            raise ValueError(
                f"`{argument}` should hold at least one event. Received: {path}, an empty file"
            )
    if len({_is_text(path) for path in paths}) > 1:
        raise ValueError(
            f"`{argument}` should name files of one kind. Received: "
            f"{', '.join(sorted({_suffix(path) for path in paths}))}"
        )
    return paths


def scan_files(
    source: Path | Sequence[Path],
    separator: str | None,
    argument: str,
    ids: Collection[str] = (),
) -> pl.LazyFrame:
    """The rows of the files of `resolve_paths`, one file after the other.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a file cannot be read, or the files have other columns.
    """
    if separator is not None and len(separator.encode()) != 1:
        raise ValueError(
            f"`separator` should be a single character. Received: `separator`={separator!r}"
        )
    paths = resolve_paths(source, argument)
    scans, kinds, names = [], [], None
    for path in paths:
        try:
            scan = _scan(path, separator)
            columns = scan.collect_schema().names()
            if _is_text(path):
                kinds.append(column_kinds(scan, ids))
        except READ_ERRORS as error:
            raise unreadable(path, error, argument) from error
        names = columns if names is None else names
        if sorted(names) != sorted(columns):
            raise ValueError(
                f"`{argument}` should name files with the same columns. Received: {paths[0]} with "
                f"{', '.join(names)}; {path} with {', '.join(columns)}"
            )
        scans.append(scan)
    if kinds:
        types = common_types(kinds)
        return pl.concat(
            [
                scan.select(cast_text(name, kind[name], dtype) for name, dtype in types.items())
                for scan, kind in zip(scans, kinds, strict=True)
            ]
        )
    if len(scans) == 1:
        return scans[0]
    return _concat_typed([scan.select(names) for scan in scans], argument)


def unreadable(path: object, error: BaseException, argument: str) -> ValueError:
    """The error of a file that cannot be read, without Polars' advice on its own arguments."""
    reason = str(error).partition("\n")[0] or type(error).__name__
    return ValueError(f"`{argument}` cannot be read: {path}: {reason}")


def _expand(path: pathlib.Path, argument: str) -> list[pathlib.Path]:
    if path.is_dir():
        found = [
            inner
            for inner in sorted(path.iterdir())
            if inner.is_file() and _suffix(inner) in SUFFIXES and not inner.name.startswith(".")
        ]
        if not found:
            raise FileNotFoundError(
                f"`{argument}` should be a folder with a file that ends in {', '.join(SUFFIXES)}. "
                f"Received: `{argument}`={str(path)!r}"
            )
        return found
    if not path.exists() and glob.has_magic(str(path)):
        matches = [pathlib.Path(name) for name in sorted(glob.glob(str(path), recursive=True))]
        if not matches:
            raise FileNotFoundError(
                f"`{argument}` should be a pattern that a file matches. "
                f"Received: `{argument}`={str(path)!r}"
            )
        return matches
    return [path]


def _suffix(path: pathlib.Path) -> str:
    """The ending of the name, without `.gz` of a text file."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [".gz"] and suffixes[-2:-1] != [".parquet"]:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _is_text(path: pathlib.Path) -> bool:
    return _suffix(path) in _SEPARATORS


def _scan(path: pathlib.Path, separator: str | None) -> pl.LazyFrame:
    """One file; the columns of a text file are strings."""
    suffix = _suffix(path)
    if suffix == ".parquet":
        return pl.scan_parquet(path, glob=False)
    if suffix in _JSON_LINES:
        _check_keys(path)
        return pl.scan_ndjson(path, infer_schema_length=None)
    separator = separator or _SEPARATORS[suffix] or ("\t" if "\t" in _header(path) else ",")
    scan = pl.scan_csv(path, separator=separator, infer_schema=False, glob=False)
    _check_header(path, scan.collect_schema().names(), separator)
    return scan


def _header(path: pathlib.Path) -> str:
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    with opened(path, "rt", encoding="utf-8-sig", errors="replace") as file:
        return file.readline()


def _check_header(path: pathlib.Path, names: Sequence[str], separator: str) -> None:
    """Raises if two columns have one name: Polars gives the second another one."""
    if any(re.search(r"_duplicated_\d+$", name) for name in names):
        fields = next(csv.reader([_header(path).rstrip("\r\n")], delimiter=separator))
        _check_names(path, fields)


def _check_keys(path: pathlib.Path) -> None:
    """Raises if the first object of a JSON file has two equal keys: Polars forgets one of them."""
    try:
        pairs = json.loads(_header(path), object_pairs_hook=lambda pairs: pairs)
    except (ValueError, RecursionError):
        return  # an error of the reader names the file
    if isinstance(pairs, list) and all(isinstance(pair, tuple) for pair in pairs):
        _check_names(path, [name for name, _ in pairs])


def _check_names(path: pathlib.Path, names: Sequence[str]) -> None:
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise ValueError(
            f"A log should have columns of different names. Received: {path} with several "
            f"columns named {', '.join(map(repr, twice))}"
        )


def _concat_typed(scans: Sequence[pl.LazyFrame], argument: str) -> pl.LazyFrame:
    """Files that have types of their own: whole numbers widen; text and whole numbers are text."""
    schemas = [scan.collect_schema() for scan in scans]
    types: dict[str, pl.DataType] = {}
    for name in schemas[0].names():
        found = {schema[name] for schema in schemas} - {pl.Null()}
        if len(found) > 1 and all(dtype == pl.String or dtype.is_integer() for dtype in found):
            text = any(dtype == pl.String for dtype in found)
            types[name] = pl.String() if text else pl.Int64()
        elif len(found) > 1 and all(dtype.is_numeric() for dtype in found):
            types[name] = pl.Float64()
        elif len(found) > 1:
            raise ValueError(
                f"`{argument}` should name files whose columns have the same types. Received: "
                f"column {name!r} of {', '.join(sorted(map(str, found)))}"
            )
        elif found:
            types[name] = found.pop()
    return pl.concat([scan.cast(types) for scan in scans])  # type: ignore[arg-type]
