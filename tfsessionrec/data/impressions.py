"""Impressions: the items that were shown, as positives and negatives of their session."""

from collections.abc import Sequence

import polars as pl

from tfsessionrec.data.cleaning import FLOAT32_MAX, LOGGER


def clean_impressions(
    shown: pl.Series, separator: str, item_dtype: pl.DataType, argument: str = "impressions"
) -> pl.Series:
    """Shown items as a List of `item_dtype`, without blanks; empty where nothing was shown.

    Raises:
        ValueError: If the column is neither lists nor strings, or an id does not fit the items'.
    """
    if shown.dtype == pl.String:
        shown = shown.str.split(separator)
    elif shown.dtype == pl.Null:
        shown = shown.cast(pl.List(item_dtype))
    elif isinstance(shown.dtype, pl.Array):
        shown = shown.arr.to_list()
    inner = shown.dtype.inner if isinstance(shown.dtype, pl.List) else pl.Unknown()
    if not (
        inner == pl.Null or inner.is_integer() or inner in (pl.String, pl.Categorical, pl.Enum)
    ):
        raise ValueError(
            f"`{argument}` should hold lists of ids, or strings with `impressions_separator` "
            f"between the ids. Received: {shown.dtype} in column {shown.name!r}"
        )
    if inner in (pl.String, pl.Categorical, pl.Enum):
        shown = shown.cast(pl.List(pl.String))
        shown = shown.list.eval(pl.element().filter(pl.element() != ""))
    shown = shown.list.drop_nulls()
    result = shown.cast(pl.List(item_dtype), strict=False)
    misfit = result.list.drop_nulls().list.len() < shown.list.len()
    if shown.dtype == pl.List(pl.String):  # the text 007 is not 7
        misfit |= result.cast(shown.dtype).ne_missing(shown)
    if misfit.any():
        row = misfit.arg_max() or 0
        raise ValueError(
            f"`{argument}` should hold ids of the type of the items, {item_dtype}. "
            f"Received: {shown[row].to_list()} in column {shown.name!r}, row {row} "
            "(counted from 0). `item_type='string'` (--item-type string) makes all of them text"
        )
    return result.to_frame("shown").select(pl.col("shown").fill_null([]))["shown"]


def clean_values(
    values: pl.Series, impressions: pl.Series, separator: str, shown: pl.Series
) -> pl.Series:
    """Numbers aligned with the shown items, as lists of Float64.

    Raises:
        ValueError: If the column is neither lists nor strings, or a row does not hold one number
            for each shown item.
    """
    name = values.name
    if values.dtype == pl.String:
        values = values.set(values == "", None).str.split(separator)
    elif isinstance(values.dtype, pl.Array):
        values = values.arr.to_list()
    elif values.dtype == pl.Null:
        values = values.cast(pl.List(pl.Float64))
    if not isinstance(values.dtype, pl.List):
        raise ValueError(
            "`impression_features` should be columns of lists, or of strings with "
            f"`impressions_separator` between the numbers. Received: {values.dtype} in column "
            f"{name!r}"
        )
    blank = values.list.eval(pl.element().cast(pl.String).replace("", None))
    numbers = blank.cast(pl.List(pl.Float64), strict=False)
    lost = numbers.list.drop_nulls().list.len() < blank.list.drop_nulls().list.len()
    numbers = numbers.list.eval(pl.element().fill_nan(None))
    _check_finite(numbers, name)
    # Blank shown items were dropped: the numbers of such a row cannot be assigned.
    counts = numbers.list.len().fill_null(0)
    wrong = lost.fill_null(False) | ((counts != shown.list.len()) & (counts > 0))
    if wrong.any():
        row = wrong.arg_max() or 0
        raise ValueError(
            "`impression_features` should hold one number for each item of `impressions`. "
            f"Received: {values[row].to_list()} in column {name!r} for {len(shown[row])} items of "
            f"column {impressions.name!r}, row {row} (counted from 0)"
        )
    missing = numbers.list.explode().null_count() - (counts == 0).sum()
    if missing > 0:
        LOGGER.info("column %r has no number for %d shown items: a model reads 0", name, missing)
    absent = pl.lit(None, pl.Float64).repeat_by(pl.col("shown").list.len())
    table = pl.DataFrame({"numbers": numbers, "shown": shown})
    return table.select(
        pl.when(pl.col("numbers").list.len().fill_null(0) > 0).then("numbers").otherwise(absent)
    ).to_series()


def _check_finite(numbers: pl.Series, name: str) -> None:
    infinite = (
        numbers.list.eval(pl.element().fill_nan(None).abs() > FLOAT32_MAX)
        .list.any()
        .fill_null(False)
    )
    if infinite.any():
        row = infinite.arg_max() or 0
        raise ValueError(
            "`impression_features` should hold finite numbers, within float32. Received: "
            f"{numbers[row].to_list()} in column {name!r}, row {row} (counted from 0)"
        )


def expand_impressions(events: pl.DataFrame, aligned: Sequence[str] = ()) -> pl.DataFrame:
    """Makes one row of each shown item of an event, in shown order.

    Args:
        events: Sorted events with the columns `user_id`, `session_index`, `item_id` (null where no
            item was clicked), `_shown` (a list, empty where no item was shown) and any others,
            which are repeated.
        aligned: Names of lists `_shown_{name}`, as long as `_shown`. Defaults to none.

    Returns:
        The same columns without `_shown`; each of `aligned`, null in rows that were not shown; the
        Int32 `_position` in the list, from 1 on, 0 in those rows; and a `label`: 1 where the item
        was clicked (at its place among the shown, or after them), 0 where it was not. Within a
        session an item is a negative at most once, and never if it was clicked. Where the label is
        0, an `interaction_type` is null.
    """
    clicked, shown = pl.col("item_id"), pl.col("_shown")
    absent = clicked.is_not_null() & ~shown.list.contains(clicked)
    # A clicked item that was not shown comes last, at position 0.
    more = {"_shown": clicked, "_position": pl.lit(0, pl.Int32)}
    more |= {f"_shown_{name}": pl.lit(None, pl.Float64) for name in aligned}
    places = pl.int_ranges(1, shown.list.len() + 1, dtype=pl.Int32)
    rows = (
        events.with_row_index("_event")
        .with_columns(_position=places)
        .with_columns(
            pl.when(absent).then(pl.concat_list(name, value)).otherwise(name).alias(name)
            for name, value in more.items()
        )
        .explode(*more)
        .rename({f"_shown_{name}": name for name in aligned})
        .with_columns(item_id=shown, _clicked=clicked.eq(shown).fill_null(False))
    )
    session_item = ("user_id", "session_index", "item_id")
    first_click = pl.struct("_event", "item_id").is_first_distinct()
    first_shown = pl.struct(session_item).is_first_distinct()
    never_clicked = ~pl.col("_clicked").any().over(session_item)
    rows = rows.filter(
        pl.when("_clicked").then(first_click).otherwise(first_shown & never_clicked)
    ).with_columns(label=pl.col("_clicked").cast(pl.Float32))
    if "interaction_type" in rows.columns:
        rows = rows.with_columns(pl.when("_clicked").then("interaction_type"))
    return rows.drop("_event", "_shown", "_clicked")
