"""Raw ids of any kind as 64-bit integers or strings, the two types that the package keeps."""

import re
from collections.abc import Iterable
from typing import Final, Literal, Protocol, get_args, runtime_checkable

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

RawIds = ArrayLike | pl.Series
IdType = Literal["string", "int64"]
ID_TYPES: Final = get_args(IdType)
_INTEGER: Final = re.compile(r"0|-?[1-9]\d{0,18}")


@runtime_checkable
class _Typed(Protocol):
    """An array of any library."""

    dtype: object


def ids_series(values: RawIds, argument: str) -> pl.Series:
    """An array, list or Series as a flat Series; bytes are text.

    Raises:
        ValueError: If the ids are of several types.
    """
    if isinstance(values, pl.Series):
        return values.rename(argument)
    # A list stays objects: NumPy would turn the 1 of [1, "a"] into a string.
    array = np.asarray(values, dtype=None if isinstance(values, _Typed) else object).reshape(-1)
    try:
        if array.dtype.kind in "OSU":
            series = pl.Series(argument, array.tolist())
            return series.cast(pl.String) if series.dtype == pl.Binary else series
        return pl.Series(argument, array)
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise ValueError(
            f"`{argument}` should hold integers only, or strings only. "
            f"Received: {str(error).partition(chr(10))[0]}"
        ) from error


def clean_ids(
    values: pl.Series, argument: str, allow_null: bool = False, id_type: IdType | None = None
) -> pl.Series:
    """Ids as Int64 or String, with `""` as null.

    Floats that hold whole numbers (a column with a missing value) become integers, categories
    become strings.

    Args:
        values: The column.
        argument: Its name, for messages.
        allow_null: Whether ids may be missing. Defaults to False.
        id_type: `"string"` or `"int64"`: type of the result. Defaults to None: as the column.

    Raises:
        ValueError: If the type is neither, an id is missing and `allow_null` is False, or a text
            is not an integer as Python writes it and `id_type` is `"int64"`.
    """
    dtype = values.dtype
    if dtype.is_float():
        values = values.fill_nan(None)
        exact = 2**53 if dtype == pl.Float64 else 2**24
        if (values.round() != values).any():
            raise ValueError(_type_message(values, argument, "fractions"))
        if (values.abs() >= exact).any():
            raise ValueError(_type_message(values, argument, f"inexact floats, {exact} or more,"))
    if dtype.is_integer() or dtype.is_float():
        values = _cast_to_int64(values, argument)
    elif dtype == pl.String or isinstance(dtype, (pl.Categorical, pl.Enum)):
        values = values.cast(pl.String)
        values = values.set(values == "", None)
    elif dtype == pl.Null:
        values = values.cast(pl.String)
    else:
        raise ValueError(_type_message(values, argument, str(dtype)))
    if id_type is not None:
        values = _of_type(values, argument, id_type)
    if not allow_null:
        _raise_if_missing(values, argument)
    return values


def exact_ids(values: Iterable[object], argument: str, id_type: IdType) -> list[str | int]:
    """Raw ids that are given one by one, as the ids of a vocabulary.

    Args:
        values: Texts or integers. The text of an integer is that integer if Python writes it so:
            `"7"` is, `"007"` is not.
        argument: Their name, for messages.
        id_type: The vocabulary's.

    Raises:
        ValueError: If a value is neither, or a text is not an integer and `id_type` is `"int64"`.

    Example:

    >>> exact_ids(["7", 8], "history", "int64"), exact_ids(["007", 8], "history", "string")
    ([7, 8], ['007', '8'])
    """
    ids: list[str | int] = []
    for value in values:
        text = value.decode() if isinstance(value, bytes) else value
        if isinstance(text, (int, np.integer)) and not isinstance(text, bool):
            text = str(int(text))
        if not isinstance(text, str) or (id_type == "int64" and not _INTEGER.fullmatch(text)):
            expected = "texts" if id_type == "string" else "integers such as 7"
            raise ValueError(
                f"`{argument}` should be {expected}, as in the vocabulary of the model. Received: "
                f"{value!r}"
            )
        ids.append(text if id_type == "string" else int(text))
    return ids


def check_id_type(id_type: IdType | None) -> None:
    """Raises unless it is a type of ids, or None."""
    if id_type not in (None, *ID_TYPES):
        raise ValueError(
            f"`item_type` should be one of {', '.join(ID_TYPES)}. Received: `item_type`={id_type!r}"
        )


def _of_type(values: pl.Series, argument: str, id_type: IdType) -> pl.Series:
    check_id_type(id_type)
    if id_type == "string" or values.dtype == pl.Int64:
        return values.cast(pl.String) if id_type == "string" else values
    numbers = values.cast(pl.Int64, strict=False)
    # The text of a number that is not written as usual (007) is not that number.
    wrong = numbers.cast(pl.String).ne_missing(values)
    if wrong.any():
        row = wrong.arg_max() or 0
        raise ValueError(
            f"`{argument}` should hold integers such as 7 (id type int64, as given or as in "
            f"training). Received: {values[row]!r} in column {values.name!r}, row {row} (counted "
            "from 0)"
        )
    return numbers


def _raise_if_missing(values: pl.Series, argument: str) -> None:
    """Raises with the number of missing ids and the row of the first."""
    missing = values.is_null()
    if missing.any():
        raise ValueError(
            f"`{argument}` should have no missing ids. Received: {missing.sum()} missing in "
            f"column {values.name!r}, the first in row {missing.arg_max()} (counted from 0)"
        )


def _cast_to_int64(values: pl.Series, argument: str) -> pl.Series:
    result = values.cast(pl.Int64, strict=False)
    if result.null_count() > values.null_count():
        raise ValueError(_type_message(values, argument, "numbers beyond 64 bits"))
    return result


def _type_message(values: pl.Series, argument: str, received: str) -> str:
    return (
        f"`{argument}` should hold integers or strings. "
        f"Received: {received} in column {values.name!r}"
    )
