"""Output of the commands: JSON files, tables and progress messages."""

import argparse
import json
import os
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--json FILE`."""
    parser.add_argument(
        "--json", metavar="FILE", type=pathlib.Path, help="also write the result to this file"
    )


def say(message: str) -> None:
    """Prints progress to standard error; standard output is for results."""
    print(message, file=sys.stderr, flush=True)


def write_json(path: pathlib.Path | None, content: Mapping[str, object]) -> None:
    """Writes a JSON file atomically; does nothing if `path` is None.

    Args:
        path: The file; an existing file is replaced and missing parent folders are created.
        content: NumPy numbers are written as numbers, paths as text.
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


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """A table for the terminal: the first column left-aligned, the others right-aligned.

    Args:
        rows: One mapping per row, all with the same keys. Floats get four decimals.

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


@runtime_checkable
class _Array(Protocol):
    """A NumPy number or array."""

    def tolist(self) -> object: ...


def _plain(value: object) -> object:
    if isinstance(value, _Array):
        return value.tolist()
    if isinstance(value, pathlib.Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
