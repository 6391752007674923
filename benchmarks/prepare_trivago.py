"""Writes the trivago clickouts as a log of shown and taken hotels, twice.

    python benchmarks/prepare_trivago.py --events trivago_val_100k.parquet --output FOLDER

A session is the clickouts of a user within one second (nearly always one) with the hotels shown
there: `user_id`, `session_id`, `item_id`, `timestamp`, `label` (1 clicked, 0 shown in vain).
`trivago_shown.parquet` holds all of them, `trivago_taken.parquet` only the clicked ones. In both,
one further user of one session was shown every hotel: it trains nothing, and gives both logs the
same candidates.
"""

import argparse
import pathlib

import polars as pl

import tfsessionrec as sr

CATALOGUE = "everything"


def split(events: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The log with what was shown in vain, and without."""
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
    """A log with what was shown in vain, and without: the same candidates, the same last sessions.

    A user's last session has to be one in which something was taken, after another such session
    if there is any before: what follows it, and users without, are left out of both logs.
    """
    fruitful = (pl.col("label") == 1).any().over("session_id")
    last = pl.col("timestamp").filter(fruitful).max().over("user_id")
    rows = rows.filter(pl.col("timestamp").min().over("session_id") <= last)
    sessions = pl.col("session_id").n_unique().over("user_id")
    taken = pl.col("session_id").filter(fruitful).n_unique().over("user_id")
    rows = rows.filter((sessions == 1) | (taken >= 2))
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
    shown, taken = split(pl.read_parquet(events))
    shown.write_parquet(output / "trivago_shown.parquet")
    taken.write_parquet(output / "trivago_taken.parquet")


def main() -> None:
    """Writes the two files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=pathlib.Path, required=True)
    parser.add_argument("--output", type=pathlib.Path, required=True, help="a folder")
    arguments = parser.parse_args()
    prepare(arguments.events, arguments.output)


if __name__ == "__main__":
    main()
