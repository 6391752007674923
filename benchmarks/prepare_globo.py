"""Splits the Globo log into the two files of the next-click protocol.

    python benchmarks/prepare_globo.py --events globo_clicks_hours_000_095.parquet --output FOLDER

`globo_next_click_train.parquet` contains the clicks before the first one of the sessions of hours
072 to 095 (column `hour`): a session of an earlier hour that goes on then is cut. The published
protocol keeps all clicks of the earlier hours, 2,628 of them in the time of the test; `--published`
writes its files.
`globo_next_click_test.parquet` contains the first 20,000 sessions of hours 072 to 095, in the order
of the file, without clicks on articles that are not in the training data and then without sessions
of one click: 17,281 sessions, 30,716 positions to predict (published: 19,291 and 36,573). The
script fails with any other counts.
"""

import argparse
import pathlib

import polars as pl

FIRST_TEST_HOUR = 72
TEST_SESSIONS = 20_000
COUNTS = (17_281, 30_716)  # sessions, positions
PUBLISHED_COUNTS = (19_291, 36_573)


def split(
    events: pl.DataFrame,
    first_test_hour: int = FIRST_TEST_HOUR,
    num_sessions: int = TEST_SESSIONS,
    published: bool = False,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The training clicks and the test clicks, each in the order of the file.

    Args:
        events: The log.
        first_test_hour: The hour of the first test sessions.
        num_sessions: Test sessions to choose from.
        published: Whether to train on all clicks of earlier hours, those in the time of the test
            too. Defaults to False.
    """
    late = pl.col("hour") >= first_test_hour
    train, test = events.filter(~late), events.filter(late)
    if not published:
        train = train.filter(pl.col("click_timestamp") < test["click_timestamp"].min())
    chosen = test["session_id"].unique(maintain_order=True).head(num_sessions)
    test = test.filter(pl.col("session_id").is_in(chosen.implode()))
    known = train["click_article_id"].unique()
    test = test.filter(pl.col("click_article_id").is_in(known.implode()))
    return train, test.filter(pl.len().over("session_id") > 1)


def counts(test: pl.DataFrame) -> tuple[int, int]:
    """The number of sessions, and of positions after the first click of each."""
    sessions = test["session_id"].n_unique()
    return sessions, len(test) - sessions


def prepare(events: pathlib.Path, output: pathlib.Path, published: bool = False) -> tuple[int, int]:
    """Writes the two files, and returns the counts of the test.

    Raises:
        ValueError: If the log does not give the counts of the protocol.
    """
    train, test = split(pl.read_parquet(events), published=published)
    expected = PUBLISHED_COUNTS if published else COUNTS
    if counts(test) != expected:
        raise ValueError(
            f"{events} should give {expected} test sessions and positions. Received: {counts(test)}"
        )
    output.mkdir(parents=True, exist_ok=True)
    train.write_parquet(output / "globo_next_click_train.parquet")
    test.write_parquet(output / "globo_next_click_test.parquet")
    return expected


def main() -> None:
    """Writes the two files and prints their counts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=pathlib.Path, required=True, help="the Globo log")
    parser.add_argument(
        "--output", type=pathlib.Path, required=True, help="folder of the two files"
    )
    parser.add_argument(
        "--published",
        action="store_true",
        help="train on all clicks of hours 0 to 71, those in the time of the test too",
    )
    arguments = parser.parse_args()
    sessions, positions = prepare(arguments.events, arguments.output, arguments.published)
    print(f"{arguments.output}: {sessions:,} test sessions, {positions:,} positions")


if __name__ == "__main__":
    main()
