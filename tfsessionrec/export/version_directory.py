"""Directories of versions: the next, the newest, and one that appears complete or not at all."""

import contextlib
import os
import pathlib
import shutil
import uuid
from collections.abc import Iterator

MARKER = "saved_model.pb"


def next_version(base: str | os.PathLike[str]) -> pathlib.Path:
    """The directory of the next version of a model: `base` and the lowest number above all others.

    Args:
        base: The directory that holds numbered versions, as TensorFlow Serving watches it; it need
            not exist yet.

    Returns:
        `base`/1 for the first. The directory is not made: if another process makes it first,
        `export_saved_model` refuses.

    Raises:
        ValueError: If `base` is no directory, or an export itself.

    Example:

    ```python
    sr.export.export_saved_model(model, sr.export.next_version("exported/shop"), vocabulary)
    ```
    """
    base = pathlib.Path(base)
    if (base.exists() and not base.is_dir()) or (base / MARKER).exists():
        raise ValueError(
            "`base` should be a directory of numbered versions. Received: "
            f"`base`={os.fspath(base)!r}"
        )
    entries = base.iterdir() if base.is_dir() else ()
    names = (entry.name for entry in entries)
    return base / str(1 + max((int(n) for n in names if n.isascii() and n.isdigit()), default=0))


def version_directory(path: str | os.PathLike[str]) -> pathlib.Path:
    """`path` itself, or the newest numbered version in it, which TensorFlow Serving would take.

    Raises:
        FileNotFoundError: If neither is an export.
    """
    path = pathlib.Path(path)
    if path.is_dir() and not (path / MARKER).exists():
        versions = [p for p in path.iterdir() if p.name.isdecimal() and (p / MARKER).exists()]
        path = max(versions, key=lambda version: int(version.name), default=path)
    if not (path / MARKER).is_file():
        raise FileNotFoundError(
            f"`path` should be an export (a directory with {MARKER}) or hold numbered versions "
            f"of one. Received: `path`={str(path)!r}"
        )
    return path


@contextlib.contextmanager
def atomic_directory(
    path: str | os.PathLike[str], *, overwrite: bool = False
) -> Iterator[pathlib.Path]:
    """Gives a temporary sibling directory that takes the name `path` when the block succeeds.

    If the block raises, the temporary directory and any parents made for it are removed, and an
    earlier export at `path` remains. The temporary name is not a number, so that a server that
    watches the parent for new versions does not see it.

    Args:
        path: The directory to make.
        overwrite: Whether an export at `path` may be replaced; nothing else ever is. Defaults to
            False.

    Yields:
        The temporary directory, empty.

    Raises:
        FileExistsError: If `path` exists and may not be replaced.
    """
    path = pathlib.Path(path)
    _check_free(path, overwrite)
    new_parents = [parent for parent in path.absolute().parents if not parent.exists()]
    suffix = uuid.uuid4().hex[:8]
    temporary = path.with_name(f".{path.name}.new-{suffix}")
    old = path.with_name(f".{path.name}.old-{suffix}")
    try:
        # Not tempfile.mkdtemp, whose directories no other user (a server's, say) can read.
        temporary.mkdir(parents=True)
        yield temporary
        if path.exists():
            if not overwrite:
                raise FileExistsError(
                    "`path` should stay free while it is being written. Received: "
                    f"`path`={str(path)!r}, which another process has made"
                )
            path.rename(old)
        try:
            temporary.rename(path)
        except BaseException:
            if old.exists():
                old.rename(path)
            raise
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        for parent in new_parents:
            with contextlib.suppress(OSError):
                parent.rmdir()
        raise
    shutil.rmtree(old, ignore_errors=True)


def _check_free(path: pathlib.Path, overwrite: bool) -> None:
    if not path.is_symlink() and not path.exists():
        return
    if not overwrite:
        raise FileExistsError(
            f"`path` exists; `overwrite=True` replaces it. Received: `path`={str(path)!r}"
        )
    if path.is_symlink() or not (path / MARKER).is_file():
        raise FileExistsError(
            f"`path` should be an export (a directory with {MARKER}) to be overwritten. "
            f"Received: `path`={str(path)!r}"
        )
