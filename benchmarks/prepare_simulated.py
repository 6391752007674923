"""Writes a simulated log twice: with all shown items and with clicked items only.

    python benchmarks/prepare_simulated.py --output FOLDER

`simulated_shown.parquet` is the log of `tfsessionrec simulate --users 3000 --items 800`;
`simulated_taken.parquet` omits the items shown but not clicked. Both contain one additional user
with one session that shows every item: it adds no training target and gives both logs the same
candidates.
"""

import argparse
import pathlib

import prepare_trivago

import tfsessionrec as sr

USERS, ITEMS = 3000, 800


def prepare(output: pathlib.Path) -> None:
    """Writes the two files."""
    events = sr.data.simulate(USERS, ITEMS, seed=0).events
    shown, clicked = prepare_trivago.with_and_without(events.cast({"session_id": str}))
    output.mkdir(parents=True, exist_ok=True)
    shown.write_parquet(output / "simulated_shown.parquet")
    clicked.write_parquet(output / "simulated_taken.parquet")


def main() -> None:
    """Writes the two files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--output", type=pathlib.Path, required=True, help="folder of the two files"
    )
    prepare(parser.parse_args().output)


if __name__ == "__main__":
    main()
