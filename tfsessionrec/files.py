"""Files that appear whole or not at all."""

import json
import os
import pathlib
import re
import uuid
from collections.abc import Mapping

# Releases before this one named such a file by the number of its process.
_PART = re.compile(r"\.(?P<name>.+)\.[0-9a-f]+\.part")


def write_file(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Writes a file under a temporary name, then renames it; a file of that name is replaced.

    Each call has a temporary name of its own: of several writers, the last one's file remains.
    """
    path = pathlib.Path(path)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with part.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def unfinished(name: str) -> str | None:
    """The file that `write_file` was writing under a temporary name; None for any other name.

    >>> unfinished(".config.json.3608bb1f.part")
    'config.json'
    """
    found = _PART.fullmatch(name)
    return None if found is None else found["name"]


def write_json(path: str | os.PathLike[str], content: Mapping[str, object]) -> None:
    """Writes a JSON file; NumPy numbers become numbers, paths become text."""
    text = json.dumps(content, indent=2, ensure_ascii=False, default=_plain)
    write_file(path, text + "\n")


def _plain(value: object) -> object:
    tolist = getattr(value, "tolist", None)
    if callable(tolist):
        return tolist()
    if isinstance(value, pathlib.Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
