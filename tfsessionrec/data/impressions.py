"""Impressions: the items a request showed, turned into positives and negatives of its session."""

import polars as pl


def clean_impressions(
    shown: pl.Series, separator: str, item_dtype: pl.DataType, argument: str = "impressions"
) -> pl.Series:
    """Shown items as a List of `item_dtype`, without blanks; null where nothing was shown.

    Raises:
        ValueError: If the column is neither lists nor strings, or an id does not fit the items'.
    """
    if shown.dtype == pl.String:
        if not separator:
            raise ValueError(
                "`impressions_separator` should be a non-empty string. "
                f"Received: `impressions_separator`={separator!r}"
            )
        shown = shown.str.split(separator)
    elif isinstance(shown.dtype, pl.Array):
        shown = shown.arr.to_list()
    elif shown.dtype == pl.Null:
        shown = shown.cast(pl.List(item_dtype))
    elif not isinstance(shown.dtype, pl.List):
        raise ValueError(
            f"`{argument}` should hold lists, or strings of ids with `impressions_separator` "
            f"between them. Received: {shown.dtype} in column {shown.name!r}"
        )
    if shown.dtype.inner == pl.String:  # type: ignore[attr-defined]
        shown = shown.list.eval(pl.element().filter(pl.element() != ""))
    else:
        shown = shown.list.drop_nulls()
    try:
        shown = shown.cast(pl.List(item_dtype))
    except pl.exceptions.InvalidOperationError as error:
        raise ValueError(
            f"`{argument}` should hold ids of the type of the items, {item_dtype}. "
            f"Received: column {shown.name!r} of {shown.dtype}: {error}"
        ) from error
    return shown.set(shown.list.len() == 0, None) if shown.null_count() < len(shown) else shown


def expand_impressions(events: pl.DataFrame) -> pl.DataFrame:
    """Each event with impressions becomes one row a shown item, in shown order.

    Args:
        events: Sorted events with the columns `user_id`, `session_index`, `item_id` (null where
            nothing was taken), `_shown` (a list, or null) and any others, which are repeated.

    Returns:
        The same columns without `_shown`, and a `label`: 1 where the item was taken (at its place
        among the shown, or after them), 0 where it was not. Within a session an item is a negative
        at most once, and never if it was taken.
    """
    item, shown = pl.col("item_id"), pl.col("_shown")
    absent = item.is_not_null() & ~shown.list.contains(item).fill_null(False)
    taken_last = (
        pl.when(absent).then(pl.concat_list(item)).otherwise(pl.lit([], shown_type(events)))
    )
    rows = (
        events.with_row_index("_event")
        .with_columns(
            _shown=pl.concat_list(shown.fill_null(pl.lit([], shown_type(events))), taken_last),
            _taken=item,
        )
        .explode("_shown")
        .with_columns(item_id=pl.col("_shown"), label=pl.col("_shown").eq(pl.col("_taken")))
        .with_columns(pl.col("label").fill_null(False))
    )
    session_item = ("user_id", "session_index", "item_id")
    first_take = pl.struct("_event", "item_id").is_first_distinct()
    first_show = pl.struct(session_item).is_first_distinct()
    return (
        rows.filter(
            pl.when("label")
            .then(first_take)
            .otherwise(first_show & ~pl.col("label").any().over(session_item))
        )
        .with_columns(pl.col("label").cast(pl.Float32))
        .drop("_event", "_shown", "_taken")
    )


def shown_type(events: pl.DataFrame) -> pl.DataType:
    """The type of the shown lists."""
    return events.schema["_shown"]
