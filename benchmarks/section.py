"""Shared by the scripts: progress messages, Markdown tables and sections of `RESULTS.md`."""

import json
import os
import pathlib
import resource
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

RESULTS = pathlib.Path(__file__).resolve().parent / "results"

Report = dict[str, Any]
"""Measured figures, as written to JSON."""


def say(line: str) -> None:
    """Prints progress to standard error; standard output is for results."""
    print(line, file=sys.stderr, flush=True)


def command(script: str, argv: Sequence[str] | None) -> str:
    """The command as typed; paths of files are shortened to their names, folders to `FOLDER`."""
    words = [_word(word) for word in (sys.argv[1:] if argv is None else argv)]
    return " ".join(["python", f"benchmarks/{script}.py", *words])


def _word(word: str) -> str:
    path = pathlib.Path(word)
    if path.is_dir():
        return "FOLDER"
    return path.name if path.is_file() else word


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An aligned Markdown table; columns of figures are right-aligned.

    >>> print(table(["what", "n"], [["a", "1"], ["bc", "20"]]))
    | what |  n |
    | ---- | -: |
    | a    |  1 |
    | bc   | 20 |
    """
    columns = list(zip(header, *rows, strict=True))
    widths = [max(2, *(len(cell) for cell in column)) for column in columns]
    right = [all(cell[:1].isdigit() for cell in column[1:]) for column in columns]
    align: list[Callable[[str, int], str]] = [str.rjust if r else str.ljust for r in right]
    rule = ["-" * (width - r) + ":" * r for width, r in zip(widths, right, strict=True)]
    lines = [
        [pad(cell, width) for pad, cell, width in zip(align, row, widths, strict=True)]
        for row in (header, *rows)
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in (lines[0], rule, *lines[1:]))


def write_section(name: str, title: str, command: str, *paragraphs: str) -> pathlib.Path:
    """Writes `results/NAME.md`; `tfsessionrec benchmark` includes it in `RESULTS.md`."""
    text = "\n\n".join([f"## {title}", f"```sh\n{command}\n```", *paragraphs])
    RESULTS.mkdir(exist_ok=True)
    return _replace(RESULTS / f"{name}.md", text.strip() + "\n")


def write_report(path: pathlib.Path | None, report: Mapping[str, object]) -> None:
    """Writes a report as JSON; does nothing if `path` is None."""
    if path is not None:
        _replace(path, json.dumps(report, indent=1) + "\n")


def _replace(file: pathlib.Path, text: str) -> pathlib.Path:
    part = file.with_name(f".{file.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(file)
    return file


def cpu_seconds() -> tuple[float, float]:
    """CPU seconds of all processes of the machine, and of this process's finished children."""
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    stat = pathlib.Path("/proc/stat")
    if not stat.exists():  # not Linux: the load of other processes is unknown
        return own.ru_utime + own.ru_stime, own.ru_utime + own.ru_stime
    user, nice, system, _, _, irq, softirq, steal = stat.read_text().split(maxsplit=9)[1:9]
    ticks = sum(map(int, (user, nice, system, irq, softirq, steal)))
    return ticks / os.sysconf("SC_CLK_TCK"), own.ru_utime + own.ru_stime
