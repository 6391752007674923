"""Writes the trivago clickouts twice: with all shown hotels and with clicked hotels only.

    python benchmarks/prepare_trivago.py --events trivago_val_100k.parquet --output FOLDER

A session contains the clickouts of a user within one second (nearly always one) and the hotels
shown with them: `user_id`, `session_id`, `item_id`, `timestamp`, `label` (1 clicked, 0 shown but
not clicked). `trivago_shown.parquet` contains all of these rows, `trivago_taken.parquet` only those
with label 1. Both contain one additional user with one session that shows every hotel: it adds no
training target and gives both logs the same candidates.
"""

import argparse
import pathlib

import polars as pl

import tfsessionrec as sr

CATALOGUE = "everything"


def split(events: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The log with all shown hotels, and with clicked hotels only."""
    sessions = sr.data.sessionize(
        events.filter(pl.col("action_type") == "clickout item"),
        user="user_id",
        gap="0s",
        item="reference",
        time="timestamp",
        impressions="impressions",
    )
    rows = sessions.events.select(
        pl.col("user_id").cast(pl.String),
        session_id=pl.format("{}:{}", "user_id", "session_index"),
        item_id=pl.col("item_id").cast(pl.String),
        timestamp=pl.col("timestamp"),
        label=pl.col("label").cast(pl.Int8),
    )
    return with_and_without(rows)


def with_and_without(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A log with all shown items, and with clicked items only; candidates and targets are equal.

    Both logs end each user's history with a session that has a click, and omit users without
    clicks and users with several sessions of which only one has clicks.
    """
    has_click = (pl.col("label") == 1).any().over("session_id")
    last = pl.col("timestamp").filter(has_click).max().over("user_id")
    rows = rows.filter(pl.col("timestamp").min().over("session_id") <= last)
    sessions = pl.col("session_id").n_unique().over("user_id")
    with_click = pl.col("session_id").filter(has_click).n_unique().over("user_id")
    rows = rows.filter((sessions == 1) | (with_click >= 2))
    catalogue = rows.select(
        user_id=pl.lit(CATALOGUE),
        session_id=pl.lit(CATALOGUE),
        item_id=pl.col("item_id").unique(maintain_order=True),
        timestamp=pl.col("timestamp").min(),
        label=pl.lit(0, pl.Int8),
    )
    return pl.concat([rows, catalogue]), pl.concat([rows.filter(label=1), catalogue])


def prepare(events: pathlib.Path, output: pathlib.Path) -> None:
    """Writes the two files."""
    output.mkdir(parents=True, exist_ok=True)
    shown, clicked = split(pl.read_parquet(events))
    shown.write_parquet(output / "trivago_shown.parquet")
    clicked.write_parquet(output / "trivago_taken.parquet")


def main() -> None:
    """Writes the two files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=pathlib.Path, required=True, help="the trivago log")
    parser.add_argument(
        "--output", type=pathlib.Path, required=True, help="folder of the two files"
    )
    arguments = parser.parse_args()
    prepare(arguments.events, arguments.output)


if __name__ == "__main__":
    main()
