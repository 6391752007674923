"""Splits the Globo log into the two files of the next-click protocol.

    python benchmarks/prepare_globo.py --events globo_clicks_hours_000_095.parquet --output FOLDER

`globo_next_click_train.parquet` contains the sessions of hours 000 to 071 (column `hour`).
`globo_next_click_test.parquet` contains the first 20,000 sessions of hours 072 to 095, in the order
of the file, without clicks on articles that are not in the training data and then without sessions
of one click: 19,291 sessions, 36,573 positions to predict. The script fails with any other counts.
"""

import argparse
import pathlib

import polars as pl

FIRST_TEST_HOUR = 72
TEST_SESSIONS = 20_000
COUNTS = (19_291, 36_573)  # sessions, positions


def split(
    events: pl.DataFrame, first_test_hour: int = FIRST_TEST_HOUR, num_sessions: int = TEST_SESSIONS
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The training clicks and the test clicks, each in the order of the file."""
    late = pl.col("hour") >= first_test_hour
    train, test = events.filter(~late), events.filter(late)
    chosen = test["session_id"].unique(maintain_order=True).head(num_sessions)
    test = test.filter(pl.col("session_id").is_in(chosen.implode()))
    known = train["click_article_id"].unique()
    test = test.filter(pl.col("click_article_id").is_in(known.implode()))
    return train, test.filter(pl.len().over("session_id") > 1)


def counts(test: pl.DataFrame) -> tuple[int, int]:
    """The number of sessions, and of positions after the first click of each."""
    sessions = test["session_id"].n_unique()
    return sessions, len(test) - sessions


def prepare(events: pathlib.Path, output: pathlib.Path) -> None:
    """Writes the two files.

    Raises:
        ValueError: If the log does not give the counts of the protocol.
    """
    train, test = split(pl.read_parquet(events))
    if counts(test) != COUNTS:
        raise ValueError(
            f"{events} should give {COUNTS} test sessions and positions. Received: {counts(test)}"
        )
    output.mkdir(parents=True, exist_ok=True)
    train.write_parquet(output / "globo_next_click_train.parquet")
    test.write_parquet(output / "globo_next_click_test.parquet")


def main() -> None:
    """Writes the two files and prints their counts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=pathlib.Path, required=True, help="the Globo log")
    parser.add_argument(
        "--output", type=pathlib.Path, required=True, help="folder of the two files"
    )
    arguments = parser.parse_args()
    prepare(arguments.events, arguments.output)
    print(f"{arguments.output}: {COUNTS[0]:,} test sessions, {COUNTS[1]:,} positions")


if __name__ == "__main__":
    main()
