"""Directories of versions: the next, the newest, and one that appears complete or not at all."""

import contextlib
import ctypes
import errno
import fcntl
import os
import pathlib
import re
import shutil
import uuid
from collections.abc import Iterator

MARKER = "saved_model.pb"
_NO_REPLACE, _EXCHANGE = 1, 2  # flags of renameat2(2)
NOT_WRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES)
_LEFT = re.compile(r"\.(?P<name>.+)\.(?P<kind>reserved|(new|old)-[0-9a-f]{8})")


def _check_path(name: str, value: object) -> None:
    # As `checks.path`; this file needs the standard library alone.
    if not isinstance(value, str | os.PathLike):
        raise ValueError(f"`{name}` should be a path. Received: `{name}`={value!r}")


def next_version(base: str | os.PathLike[str]) -> pathlib.Path:
    """The directory of the next version of a model: `base` and the lowest number above all others.

    Args:
        base: The directory that holds numbered versions, as TensorFlow Serving watches it; it need
            not exist yet.

    Returns:
        `base`/1 for the first. The directory is not made: if another process makes it first,
        `export_saved_model` refuses; `reserved_next_version` keeps the number for one process.

    Raises:
        ValueError: If `base` is no directory, or an export itself.

    Example:

    ```python
    sr.export.export_saved_model(model, sr.export.next_version("exported/shop"), vocabulary)
    ```
    """
    _check_path("base", base)
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
    _check_path("path", path)
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
def reserved_next_version(base: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Gives the directory of the next version, which no other process takes in the meantime.

    Each of several exporters at the same time receives a number of its own. The number is free
    again when the block or the process ends; an export that appeared keeps it.

    Args:
        base: The directory that holds numbered versions; it is made if it does not exist.

    Yields:
        `base`/N, which does not exist yet.

    Raises:
        ValueError: If `base` is no directory, or an export itself.

    Example:

    ```python
    with sr.export.reserved_next_version("exported/shop") as path:
        sr.export.export_saved_model(model, path, vocabulary)
    ```
    """
    base = pathlib.Path(base)
    number = int(next_version(base).name)
    base.mkdir(parents=True, exist_ok=True)
    while True:
        path, file = base / str(number), base / f".{number}.reserved"
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if _locked(descriptor) and _is_at(descriptor, file):
                if int(next_version(base).name) <= number:
                    yield path
                    return
                file.unlink(missing_ok=True)  # The number was taken before the lock.
        finally:
            if _is_at(descriptor, file) and _locked(descriptor):
                file.unlink(missing_ok=True)
            os.close(descriptor)
        number = max(number + 1, int(next_version(base).name))


@contextlib.contextmanager
def atomic_directory(
    path: str | os.PathLike[str], *, overwrite: bool = False
) -> Iterator[pathlib.Path]:
    """Gives a temporary sibling directory that takes the name `path` when the block succeeds.

    If the block raises, the temporary directory and any parents made for it are removed, and an
    earlier export at `path` remains. If the process is killed at any moment, `path` is the earlier
    export or the new one, whole; what it left is removed by the next call for the same parent. The
    temporary name is not a number, so that a server that watches the parent for new versions does
    not see it.

    Args:
        path: The directory to make.
        overwrite: Whether an export at `path` may be replaced; nothing else ever is. Defaults to
            False.

    Yields:
        The temporary directory, empty.

    Raises:
        FileExistsError: If `path` exists and may not be replaced.
        OSError: If a file cannot be written; the message says what is at `path`.
    """
    path = pathlib.Path(path)
    _recover(path.absolute().parent)
    _check_free(path, overwrite)
    new_parents = [parent for parent in path.absolute().parents if not parent.exists()]
    temporary, lock = _locked_directory(path)
    try:
        yield temporary
        _publish(temporary, path, overwrite)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        for parent in new_parents:
            with contextlib.suppress(OSError):
                parent.rmdir()
        if isinstance(error, OSError) and error.errno in NOT_WRITABLE:
            held = "holds the earlier export" if path.exists() else "is not there"
            name = os.fspath(error.filename or temporary)
            raise OSError(f"{name} cannot be written: {error.strerror}; {path} {held}") from error
        raise
    finally:
        os.close(lock)
    shutil.rmtree(temporary, ignore_errors=True)  # the earlier export, if there was one


def _locked_directory(path: pathlib.Path) -> tuple[pathlib.Path, int]:
    """A new directory next to `path`, and its lock, which the kernel releases after a kill."""
    while True:
        temporary = path.with_name(f".{path.name}.new-{uuid.uuid4().hex[:8]}")
        # Not tempfile.mkdtemp, whose directories no other user (a server's, say) can read.
        temporary.mkdir(parents=True)
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(temporary, os.O_RDONLY)
            with contextlib.suppress(OSError):  # Without locks, nothing is ever removed.
                fcntl.flock(lock, fcntl.LOCK_EX)
            if _is_at(lock, temporary):
                return temporary, lock
            os.close(lock)  # Another process took it for a killed one's before it was locked.


def _publish(temporary: pathlib.Path, path: pathlib.Path, overwrite: bool) -> None:
    """Renames the directory; an earlier export then has the temporary name."""
    if not _rename(temporary, path, _NO_REPLACE):
        if not overwrite:
            raise FileExistsError(
                "`path` should stay free while it is being written. Received: "
                f"`path`={str(path)!r}, which another process has made"
            )
        _check_free(path, overwrite)
        _rename(temporary, path, _EXCHANGE)


def _rename(source: pathlib.Path, target: pathlib.Path, how: int) -> bool:
    """Renames in one step: False if `_NO_REPLACE` is asked and the target exists.

    On a file system without such steps it takes several; `_recover` repairs what a kill between
    them leaves.
    """
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is not None:
        here = -100  # AT_FDCWD: relative to the current directory
        if not renameat2(here, os.fsencode(source), here, os.fsencode(target), how):
            return True
        error = ctypes.get_errno()
        if error == errno.EEXIST and how == _NO_REPLACE:
            return False
        if error not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
            raise OSError(error, os.strerror(error), os.fspath(target))
    return _rename_in_steps(source, target, how)


def _rename_in_steps(source: pathlib.Path, target: pathlib.Path, how: int) -> bool:
    if how == _NO_REPLACE:
        if target.is_symlink() or target.exists():
            return False
        source.rename(target)
        return True
    old = source.with_name(source.name.replace(".new-", ".old-"))
    target.rename(old)
    try:
        source.rename(target)
    except BaseException:
        old.rename(target)
        raise
    old.rename(source)
    return True


def _recover(parent: pathlib.Path) -> None:
    """Removes what killed exports left in a directory, and gives an export its name back."""
    for entry in list(parent.iterdir()) if parent.is_dir() else ():
        found = _LEFT.fullmatch(entry.name)
        if found is None:
            continue
        with contextlib.suppress(OSError):
            lock = os.open(entry, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                if not _locked(lock) or not _is_at(lock, entry):
                    continue  # An export is at work.
                if entry.is_file():
                    entry.unlink()
                elif found["kind"].startswith("new-") or not _rename(
                    entry, parent / found["name"], _NO_REPLACE
                ):
                    shutil.rmtree(entry, ignore_errors=True)
            finally:
                os.close(lock)


def _locked(descriptor: int) -> bool:
    """Takes the lock of an open file: False if another process has it, or there are no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_at(descriptor: int, path: pathlib.Path) -> bool:
    """Whether an open file still has that name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


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
