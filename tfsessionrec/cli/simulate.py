"""Write a simulated log: drifting interests, skewed popularity, items shown but not clicked.

    tfsessionrec simulate --users 2000 --items 500 --output log.csv

One row per shown item: user_id, session_id, item_id, timestamp (unix seconds), label (1:
clicked, 0: shown but not clicked).
"""

import argparse
import pathlib

from tfsessionrec.cli import output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=pathlib.Path,
        required=True,
        help="the log to write, .csv or .parquet",
    )
    parser.add_argument(
        "--users", metavar="N", type=int, default=3000, help="number of users (default %(default)s)"
    )
    parser.add_argument(
        "--items", metavar="N", type=int, default=800, help="number of items (default %(default)s)"
    )
    parser.add_argument(
        "--seed", metavar="N", type=int, default=0, help="random seed (default %(default)s)"
    )
    output.add_json_argument(parser)


def run(arguments: argparse.Namespace) -> None:
    """Simulates a log and writes it."""
    path: pathlib.Path = arguments.output
    if path.suffix not in (".csv", ".parquet"):
        raise ValueError(f"`--output` should end in .csv or .parquet. Received: `--output`={path}")
    if path.exists():
        raise FileExistsError(f"`--output` should not exist yet. Received: `--output`={path}")
    from tfsessionrec import data

    events = data.simulate(arguments.users, arguments.items, seed=arguments.seed).events
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        events.write_csv(path)
    else:
        events.write_parquet(path)
    summary = {
        "users": events["user_id"].n_unique(),
        "sessions": events["session_id"].n_unique(),
        "items": events["item_id"].n_unique(),
        "rows": len(events),
        "taken": int(events["label"].sum()),
        "seed": arguments.seed,
        "output": path,
    }
    print(", ".join(f"{name} {value}" for name, value in summary.items()))
    output.write_json(arguments.json, summary)
