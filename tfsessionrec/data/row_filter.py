"""Conditions on the rows of a log, as text."""

import math
import re
from collections.abc import Callable, Sequence
from typing import Final

import polars as pl

from tfsessionrec.data.times import to_seconds

_OPERATOR = re.compile(r"\s*(!=|>=|<=|=|>|<|(?<=\s)in(?=\s))\s*(.*)", re.DOTALL)
_ORDER: Final[dict[str, Callable[[pl.Expr, float | str], pl.Expr]]] = {
    ">=": lambda column, value: column >= value,
    "<=": lambda column, value: column <= value,
    ">": lambda column, value: column > value,
    "<": lambda column, value: column < value,
}


def row_filter(conditions: Sequence[str], schema: pl.Schema) -> pl.Expr:
    """True in the rows that meet all conditions.

    Args:
        conditions: `COLUMN=VALUE`, `COLUMN in VALUE,VALUE` (several of these on one column: one of
            all the values), `COLUMN!=VALUE`, and `>=`, `<=`, `>`, `<`. Numbers are compared as
            numbers, dates and times as times, text in alphabetical order.
        schema: The columns of the log.

    Raises:
        ValueError: If a condition is none of these, or a value does not fit its column.

    Example:

    >>> import polars as pl
    >>> log = pl.DataFrame({"price": [5, 10, 20], "kind": ["a", "b", "c"]})
    >>> log.filter(row_filter(["price>=10", "kind in a,b"], log.schema)).rows()
    [(10, 'b')]
    """
    wanted: dict[str, list[str]] = {}
    met = []
    for condition in conditions:
        column, operator, value = _parts(condition, schema)
        if operator in ("=", "in"):
            values = value.split(",") if operator == "in" else [value]
            wanted.setdefault(column, []).extend(v.strip() for v in values)
        elif operator == "!=":
            met.append(~_is_in(column, [value], schema[column]))
        else:
            met.append(_ORDER[operator](*_compared(column, value, schema[column], condition)))
    met += [_is_in(column, values, schema[column]) for column, values in wanted.items()]
    return pl.all_horizontal(met)


def _parts(condition: str, schema: pl.Schema) -> tuple[str, str, str]:
    """Column, operator and value; of several columns that fit, the longest name."""
    for column in sorted(schema, key=len, reverse=True):
        if condition.startswith(column):
            found = _OPERATOR.fullmatch(condition, len(column))
            if found:
                return column, found[1], found[2]
    raise ValueError(
        "`--filter` should be COLUMN=VALUE (or !=, >=, <=, >, <, `COLUMN in VALUE,VALUE`) with a "
        f"column of the log. Received: {condition!r}. Columns: {', '.join(schema)}"
    )


def _is_in(column: str, values: list[str], dtype: pl.DataType) -> pl.Expr:
    if dtype.is_nested() or dtype == pl.Binary:
        raise ValueError(
            f"`--filter` should name a column of single values. Received: {column!r} of {dtype}"
        )
    numbers = [number for number in map(_number, values) if number is not None]
    if not dtype.is_numeric() or len(numbers) < len(values):
        found = pl.col(column).cast(pl.String).is_in(values)
    elif dtype.is_integer():
        whole = [number for number in numbers if number == int(number) and abs(number) < 2**63]
        found = pl.col(column).cast(pl.Int64, strict=False).is_in([int(n) for n in whole])
    else:
        found = pl.col(column).cast(pl.Float64).is_in([float(number) for number in numbers])
    return found.fill_null(False)


def _compared(
    column: str, value: str, dtype: pl.DataType, condition: str
) -> tuple[pl.Expr, float | str]:
    number = _number(value)
    if dtype.is_numeric() and number is not None:
        return pl.col(column), number
    if dtype == pl.String:
        if number is not None:
            return pl.col(column).cast(pl.Float64, strict=False), number
        return pl.col(column), value
    if isinstance(dtype, (pl.Datetime, pl.Date)):
        time = round(to_seconds(value, "--filter") * 1e6)
        return pl.col(column).cast(pl.Datetime("us")).dt.epoch("us"), time
    raise ValueError(
        f"`--filter` should compare numbers, times or text. Received: {condition!r}, where the "
        f"column is {dtype}"
    )


def _number(text: str) -> float | int | None:
    try:
        return int(text) if re.fullmatch(r"-?\d+", text) else _finite(float(text))
    except ValueError:
        return None


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
