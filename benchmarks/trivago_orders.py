"""The mean reciprocal rank of simple orders of the shown hotels, on the trivago log.

    python benchmarks/trivago_orders.py --events trivago_val_100k.parquet --json FILE

The queries are the clickouts of 8 November 2018 (UTC) whose hotel is among the shown ones. The
script reports the mean reciprocal rank of the clicked hotel in two orders: as displayed, and by the
most recent interaction of the running session (any earlier event that names the hotel), then as
displayed.
"""

import argparse
import json
import pathlib

import polars as pl

DAY_BEGINS = 1541635200  # 2018-11-08 00:00 UTC


def mean_reciprocal_ranks(file: pathlib.Path) -> dict[str, float]:
    """The mean reciprocal rank of each order, and the number of queries."""
    # One session is not in time order: sort by time, with ties in the order of the file.
    events = pl.read_parquet(file).sort("session_id", "timestamp", maintain_order=True)
    events = events.with_row_index("place")
    asked = events.filter(
        (pl.col("action_type") == "clickout item") & (pl.col("timestamp") >= DAY_BEGINS)
    )
    shown = (
        asked.select("place", "session_id", "reference", item=pl.col("impressions").str.split("|"))
        .with_columns(position=pl.int_ranges(pl.col("item").list.len()))
        .explode("item", "position")
        .filter((pl.col("item") == pl.col("reference")).any().over("place"))
    )
    touches = events.select("session_id", item="reference", touched="place", at="place")
    shown = shown.sort("place", maintain_order=True).join_asof(
        touches,
        left_on="place",
        right_on="at",
        by=["session_id", "item"],
        strategy="backward",
        allow_exact_matches=False,
        check_sortedness=False,
    )
    touched = pl.col("touched").cast(pl.Int64).fill_null(-1)
    orders = {"as displayed": pl.col("position"), "touched last first": -touched}
    result: dict[str, float] = {}
    for name, key in orders.items():
        ranked = shown.sort("place", key, "position").with_columns(
            rank=pl.int_range(1, pl.len() + 1).over("place")
        )
        clicked = ranked.filter(pl.col("item") == pl.col("reference"))
        clicked = clicked.group_by("place").agg(pl.col("rank").min())
        result[name] = float((1 / clicked["rank"]).mean())
        result["queries"] = len(clicked)
    return result


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=pathlib.Path, required=True, help="the trivago log")
    parser.add_argument("--json", type=pathlib.Path, help="write the figures to this file")
    arguments = parser.parse_args()
    result: dict[str, object] = {**mean_reciprocal_ranks(arguments.events)}
    touched = {"model, then as displayed: mrr": result["touched last first"]}
    result["rows"] = {"most recent interaction of the running session first": touched}
    print(json.dumps(result, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
