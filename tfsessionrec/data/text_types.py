"""The types of the columns of text files, chosen so that an id never changes."""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

import polars as pl

_TYPES: Final = {"integer": pl.Int64, "boolean": pl.Boolean, "float": pl.Float64}
_CHECKS: Final = ("empty", "integer", "boolean", "real", "whole", "round")
_EXACT: Final = 2**53  # floats hold each whole number below this


def column_kinds(texts: pl.LazyFrame, ids: Collection[str] = ()) -> dict[str, str]:
    """What each column of text holds, from all its rows.

    A column holds integers if each value is written as Python writes that integer: `7` is, `007`,
    `+5` and `1e5` are not. It holds floats if all values are numbers and one of them has a
    fraction, or if all are whole numbers written like `7` or `7.0`, as pandas writes integers when
    one is missing. Everything else is text.

    Args:
        texts: Columns of strings.
        ids: Columns of ids, where a fraction makes the column text. Defaults to none.

    Returns:
        Column to `"empty"`, `"integer"`, `"boolean"`, `"float"` or `"text"`.
    """
    names = texts.collect_schema().names()
    checks: dict[str, pl.Expr] = {}
    for number, name in enumerate(names):
        text = pl.col(name)
        real = text.cast(pl.Float64, strict=False)
        whole = text.str.contains(r"^(0|-?[1-9]\d*)(\.0)?$") & (real.abs() < _EXACT)
        conditions: dict[str, pl.Expr] = {
            "empty": pl.lit(False),
            "integer": text.cast(pl.Int64, strict=False).cast(pl.String) == text,
            "boolean": text.is_in(["true", "false"]),
            "real": real.is_not_null(),
            "whole": whole,
            "round": real == real.floor(),
        }
        for kind, condition in conditions.items():
            met = (condition & text.is_not_null()).fill_null(False)
            checks[f"{number} {kind}"] = met.sum() == text.count()
    found = texts.select(**checks).collect(engine="streaming").row(0, named=True)
    kinds = {}
    for number, name in enumerate(names):
        holds = {kind: found[f"{number} {kind}"] for kind in _CHECKS}
        fraction = holds["real"] and not holds["round"] and name not in ids
        holds["float"] = holds["whole"] or fraction
        kinds[name] = next((kind for kind in ("empty", *_TYPES) if holds[kind]), "text")
    return kinds


def common_types(kinds: Iterable[Mapping[str, str]]) -> dict[str, type[pl.DataType]]:
    """One type for each column of several files with equal columns: text where they differ."""
    files = list(kinds)
    types: dict[str, type[pl.DataType]] = {}
    for name in files[0]:
        found = {file[name] for file in files} - {"empty"}
        if found == {"integer", "float"}:
            found = {"float"}
        types[name] = _TYPES.get(found.pop(), pl.String) if len(found) == 1 else pl.String
    return types


def cast_text(name: str, kind: str, dtype: type[pl.DataType]) -> pl.Expr:
    """A column of text as one of the types of `common_types`.

    Args:
        name: The column.
        kind: What it holds in this file.
        dtype: What it becomes, as in the other files.
    """
    column = pl.col(name)
    if dtype == pl.Boolean:
        return column == "true"
    if dtype == pl.String and kind == "float":  # 7.0 of one file is the 7 of another
        return column.str.replace(r"\.0$", "")
    return column.cast(dtype)
