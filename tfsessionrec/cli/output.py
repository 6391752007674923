"""What commands write: result files, and lines for the person who waits."""

import argparse
import json
import os
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--json FILE`."""
    parser.add_argument(
        "--json", metavar="FILE", type=pathlib.Path, help="also write the result to this file"
    )


def say(message: str) -> None:
    """Tells on standard error what is going on; standard output is for results."""
    print(message, file=sys.stderr, flush=True)


def write_json(path: pathlib.Path | None, content: Mapping[str, Any]) -> None:
    """Writes a JSON file whole or not at all; `path` None does nothing.

    Args:
        path: The file; a file of that name is replaced, missing parents are made.
        content: NumPy numbers are written as numbers.
    """
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(
            json.dumps(content, indent=2, ensure_ascii=False, default=_plain) + "\n"
        )
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table for the terminal: the first column to the left, numbers to the right.

    Args:
        rows: One mapping a row, all with the same keys. Floats get four decimals.

    Returns:
        The lines, without a final line break.
    """
    header = list(rows[0])
    cells = [header] + [
        [f"{row[name]:.4f}" if isinstance(row[name], float) else str(row[name]) for name in header]
        for row in rows
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths))
        ).rstrip()
        for line in cells
    )


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, pathlib.Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
