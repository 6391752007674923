"""Checksums, by which a whole export differs from a damaged one."""

import hashlib
import json
import os
import pathlib
from collections.abc import Iterable, Mapping

CHECKSUMS = "checksums.json"
SHA256SUMS = "SHA256SUMS"


def write_checksums(directory: str | os.PathLike[str], replaceable: Iterable[str] = ()) -> None:
    """Writes sizes and SHA-256 of all files of an export; the last step of making one.

    `checksums.json` has both; `SHA256SUMS` is for `sha256sum --check`, without Python.

    Args:
        directory: The export.
        replaceable: Files that may be replaced while the export is served; a check ignores them.
            Defaults to none.
    """
    directory = pathlib.Path(directory)
    may_change = set(replaceable)
    known: dict[str, dict[str, dict[str, int | str]]] = {"files": {}, "replaceable": {}}
    for name in _names(directory):
        file = directory / name
        kind = "replaceable" if name in may_change else "files"
        known[kind][name] = {"bytes": file.stat().st_size, "sha256": sha256(file)}
    (directory / CHECKSUMS).write_text(json.dumps({"format": 1, **known}, indent=2) + "\n")
    sums = {name: str(entry["sha256"]) for name, entry in known["files"].items()}
    (directory / SHA256SUMS).write_bytes(_sha256sums(directory, sums))


def damaged_files(directory: str | os.PathLike[str], *, hashes: bool = True) -> list[str]:
    """The problems of the files of an export, one line each; empty if there is none.

    Args:
        directory: The export.
        hashes: Whether to read all files and compare their SHA-256 (default); otherwise only sizes
            are compared, which takes no time.

    Raises:
        FileNotFoundError: If there is no `checksums.json`.
        ValueError: If that file is damaged.
    """
    directory = pathlib.Path(directory)
    problems = []
    for name, (size, digest) in _known(directory, "files").items():
        file = directory / name
        if not file.is_file():
            problems.append(f"`{name}` is missing")
        elif file.stat().st_size != size:
            problems.append(f"`{name}` has {file.stat().st_size} bytes instead of {size}")
        elif hashes and sha256(file) != digest:
            problems.append(f"`{name}` has another SHA-256 than when it was written")
    return problems


def misplaced_files(directory: str | os.PathLike[str]) -> list[str]:
    """The differences from what was exported that no server notices, one line each.

    These are a replaceable file that is missing, a file that was added, and a `SHA256SUMS` that is
    not that of `checksums.json`.

    Raises:
        FileNotFoundError: If there is no `checksums.json`.
        ValueError: If that file is damaged.
    """
    directory = pathlib.Path(directory)
    files, replaceable = _known(directory, "files"), _known(directory, "replaceable")
    problems = [f"`{name}` is missing" for name in replaceable if not (directory / name).is_file()]
    sums = {name: digest for name, (_, digest) in files.items()}
    if not (directory / SHA256SUMS).is_file():
        problems.append(f"`{SHA256SUMS}` is missing")
    elif (directory / SHA256SUMS).read_bytes() != _sha256sums(directory, sums):
        problems.append(f"`{SHA256SUMS}` does not match `{CHECKSUMS}`")
    known = {*files, *replaceable, CHECKSUMS, SHA256SUMS}
    added = (name for name in _names(directory) if name not in known)
    return [*problems, *(f"`{name}` was added after the export" for name in added)]


def replaced_files(directory: str | os.PathLike[str]) -> list[str]:
    """Those files that may be replaced and have been, or are gone.

    Raises:
        FileNotFoundError: If there is no `checksums.json`.
        ValueError: If that file is damaged.
    """
    directory = pathlib.Path(directory)
    return [
        name
        for name, (_, digest) in _known(directory, "replaceable").items()
        if not (directory / name).is_file() or sha256(directory / name) != digest
    ]


def sha256(file: pathlib.Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _names(directory: pathlib.Path) -> list[str]:
    """The files of an export, without those that `files.write_file` is writing."""
    found = (file for file in directory.rglob("*") if file.is_file() or file.is_symlink())
    return [
        file.relative_to(directory).as_posix()
        for file in sorted(found)
        if not (file.name.startswith(".") and file.suffix == ".part")
    ]


def _sha256sums(directory: pathlib.Path, sums: Mapping[str, str]) -> bytes:
    entries = {**sums, CHECKSUMS: sha256(directory / CHECKSUMS)}
    return "".join(f"{digest}  {name}\n" for name, digest in entries.items()).encode()


def _known(directory: pathlib.Path, kind: str) -> dict[str, tuple[int, str]]:
    text = (directory / CHECKSUMS).read_text()
    try:
        entries = json.loads(text)[kind].items()
        return {name: (int(entry["bytes"]), str(entry["sha256"])) for name, entry in entries}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"`{CHECKSUMS}` is damaged: {error!r}") from error
