"""Mark items as unavailable in a served model.

    tfsessionrec availability --export exported/shop/1 --unavailable sold_out.txt

The command replaces the export's availability file. The server reads the new file at the next
request, without a new export or a restart. Requires an export by `tfsessionrec export
--availability`.
"""

import argparse
import pathlib

from tfsessionrec.cli import output
from tfsessionrec.cli.tensorflow_import import import_tensorflow


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument(
        "--export", metavar="DIR", type=pathlib.Path, required=True, help="the served export"
    )
    parser.add_argument(
        "--unavailable",
        metavar="FILE",
        type=pathlib.Path,
        required=True,
        help="the ids of all unavailable items, one per line; all other items are available",
    )
    output.add_json_argument(parser)


def run(arguments: argparse.Namespace) -> None:
    """Replaces the availability file."""
    import_tensorflow()
    from tfsessionrec.export import write_availability_file

    file = arguments.export / "assets" / "availability.pb"
    if not file.is_file():
        raise FileNotFoundError(
            "`--export` should be an export with availability (`tfsessionrec export "
            f"--availability`). Received: {arguments.export}, without {file.name}"
        )
    ids = {line for line in arguments.unavailable.read_text().splitlines() if line}
    found = write_availability_file(file, ids)
    print(f"{file}: unavailable items: {found:,}")
    if found < len(ids):
        print(f"ids that are not in the export: {len(ids) - found:,}")
    output.write_json(arguments.json, {"file": file, "unavailable": found, "ids": len(ids)})
