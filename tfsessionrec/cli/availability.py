"""Tell a served model which items are not to be had: writes its availability file anew.

    tfsessionrec availability --export exported/shop/1 --unavailable sold_out.txt

The next request sees it; nothing is exported, loaded or restarted. The export must have been made
with `tfsessionrec export --availability`.
"""

import argparse
import pathlib

from tfsessionrec.cli import output
from tfsessionrec.cli.tensorflow_import import import_tensorflow


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument(
        "--export", metavar="DIR", type=pathlib.Path, required=True, help="what is served"
    )
    parser.add_argument(
        "--unavailable",
        metavar="FILE",
        type=pathlib.Path,
        required=True,
        help="the ids of all items that are not to be had, one a line",
    )
    output.add_json_argument(parser)


def run(arguments: argparse.Namespace) -> None:
    """Writes the file."""
    import_tensorflow()
    from tfsessionrec.export import write_availability_file

    file = arguments.export / "assets" / "availability.pb"
    if not file.is_file():
        raise FileNotFoundError(
            f"{arguments.export} is no export made with --availability: it has no {file.name}"
        )
    ids = {line for line in arguments.unavailable.read_text().splitlines() if line}
    found = write_availability_file(file, ids)
    print(f"{file}: {found:,} items are not to be had")
    if found < len(ids):
        print(f"{len(ids) - found:,} ids are not known to the export")
    output.write_json(arguments.json, {"file": file, "unavailable": found, "ids": len(ids)})
