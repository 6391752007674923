"""Ask an export for recommendations.

tfsessionrec recommend --saved-model exported/shop/1 --items i00017,i00004 --sessions 0,1
"""

import argparse
import pathlib

from tfsessionrec.cli import output
from tfsessionrec.cli.tensorflow_import import import_tensorflow


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument(
        "--saved-model", metavar="DIR", type=pathlib.Path, required=True, help="the export"
    )
    parser.add_argument(
        "--items",
        metavar="A,B,...",
        required=True,
        help="the history's item ids, oldest first; '' for a visitor without one",
    )
    parser.add_argument(
        "--sessions",
        metavar="N,N,...",
        help="the session that each item belongs to, such as 0,0,1 (default: all to one)",
    )
    parser.add_argument("--k", metavar="N", type=int, default=10, help="how many (default 10)")
    output.add_json_argument(parser)


def run(arguments: argparse.Namespace) -> None:
    """Recommends."""
    items = [item.strip() for item in arguments.items.split(",") if item.strip()]
    sessions = arguments.sessions
    if sessions is not None:
        try:
            sessions = [int(number) for number in sessions.split(",")]
        except ValueError:
            raise ValueError(
                f"`--sessions` should be whole numbers like 0,0,1. Received: {arguments.sessions!r}"
            ) from None
    import_tensorflow()
    from tfsessionrec.export import load_saved_model

    recommended = load_saved_model(arguments.saved_model).recommend(items, sessions, k=arguments.k)
    print(
        output.table(
            [
                {"rank": rank, "item": item, "score": score}
                for rank, (item, score) in enumerate(recommended, 1)
            ]
        )
    )
    output.write_json(
        arguments.json,
        {
            "items": items,
            "sessions": sessions,
            "recommended": [{"item": item, "score": score} for item, score in recommended],
        },
    )
