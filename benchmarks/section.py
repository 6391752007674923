"""Sections of `RESULTS.md` that a script writes by itself."""

import pathlib
import sys
from collections.abc import Sequence

RESULTS = pathlib.Path(__file__).resolve().parent / "results"


def command(script: str, argv: Sequence[str] | None) -> str:
    """What was typed, paths of logs shortened to their names, that of their folder to `FOLDER`."""
    words = [_word(word) for word in (sys.argv[1:] if argv is None else argv)]
    return " ".join(["python", f"benchmarks/{script}.py", *words])


def _word(word: str) -> str:
    path = pathlib.Path(word)
    if path.is_dir():
        return "FOLDER"
    return path.name if path.is_file() else word


def write_section(name: str, title: str, command: str, *paragraphs: str) -> pathlib.Path:
    """Writes `results/NAME.md`; `tfsessionrec benchmark` puts it into `RESULTS.md`."""
    text = "\n\n".join([f"## {title}", f"```sh\n{command}\n```", *paragraphs])
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{name}.md"
    part = file.with_name(f".{file.name}.part")
    part.write_text(text.strip() + "\n", encoding="utf-8")
    part.replace(file)
    return file
