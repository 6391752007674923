"""How well simple orders of the shown hotels find the clicked one, on the trivago log.

    python benchmarks/trivago_orders.py --events trivago_val_100k.parquet --json FILE

The questions are the clickouts of 8 November 2018 (UTC) whose hotel is among the shown ones. The
mean reciprocal rank of the clicked hotel is printed for the displayed order, and for the hotels
that the running session touched last first (any earlier event that names the hotel), then as
displayed.
"""

import argparse
import json
import pathlib

import polars as pl

DAY_BEGINS = 1541635200  # 2018-11-08 00:00 UTC


def mean_reciprocal_ranks(file: pathlib.Path) -> dict[str, float]:
    """The mean reciprocal rank of each order, and the number of questions."""
    # One session jumps back in time: its events are in the order of their times, ties as stored.
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
    parser.add_argument("--events", type=pathlib.Path, required=True)
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()
    result: dict[str, object] = {**mean_reciprocal_ranks(arguments.events)}
    touched = {"model, then as displayed: mrr": result["touched last first"]}
    result["rows"] = {"hotels the running session touched last first": touched}
    print(json.dumps(result, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
