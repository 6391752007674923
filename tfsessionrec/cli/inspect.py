"""Inspect a log: guess its columns, count what may go wrong, propose the train command.

    tfsessionrec inspect log.csv

Columns and formats that are given are not guessed.
"""

import argparse
import warnings

from tfsessionrec.cli import log_arguments, output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    log_arguments.add_files(parser, "events")
    log_arguments.add_format_arguments(parser)
    output.add_json_argument(parser)


def run(arguments: argparse.Namespace) -> None:
    """Prints what the log holds."""
    from tfsessionrec.data import inspect_log

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        found = inspect_log(arguments.events, log_arguments.log_format(arguments))
    remarks = dict.fromkeys([*found.remarks, *(str(warning.message) for warning in caught)])
    print(f"{found.rows:,} rows")
    print(
        output.table(
            [
                {
                    "column": column.name,
                    "role": column.role or "",
                    "type": column.type,
                    "missing": column.missing,
                    "distinct": column.distinct,
                    "example": column.example[:30],
                }
                for column in found.columns
            ]
        )
    )
    for name, value in found.sessions.items():
        number = f"{value:,.2f}" if isinstance(value, float) else f"{value}"
        print(f"{name.replace('_', ' ')}: {number}")
    for remark in remarks:
        print(f"! {remark}")
    command = found.command(log_arguments.quoted(arguments.events))
    if not found.sessions:
        print("! The command below does not run before this is mended or named")
    print(f"\n{command}")
    content = {**found.to_dict(), "remarks": list(remarks), "command": command}
    output.write_json(arguments.json, content)
