"""Where a model directory is written, whose files are removed, and who writes it."""

import contextlib
import errno
import os
import pathlib
import shutil
import socket
from collections.abc import Iterator

from tfsessionrec.files import unfinished
from tfsessionrec.systems.checkpoints import STATE, is_checkpoint_file

try:
    import fcntl
except ImportError:  # not on Windows: no lock there
    fcntl = None  # type: ignore[assignment]

CHECKPOINTS = "checkpoint"
FILES = ("config.json", "vocabulary.json", "items.parquet", "history.json", "baseline.npz")


def sibling(path: pathlib.Path, suffix: str) -> pathlib.Path:
    """A hidden name in the folder of the directory."""
    real = pathlib.Path(os.path.realpath(path))
    return real.with_name(f".{real.name}.{suffix}")


def foreign_files(path: pathlib.Path) -> list[str]:
    """The files of a directory that no training writes."""
    found = []
    for entry in sorted(path.iterdir()):
        if entry.name == CHECKPOINTS and entry.is_dir() and not entry.is_symlink():
            found += [
                f"{entry.name}/{file.name}"
                for file in sorted(entry.iterdir())
                if not is_checkpoint_file(file.name)
            ]
        elif entry.is_dir() or not {entry.name, unfinished(entry.name)} & {*FILES}:
            found.append(entry.name)
    return found


def remove(path: pathlib.Path) -> None:
    """Removes a model directory.

    Raises:
        FileExistsError: If it holds files that no training writes; nothing is removed then.
    """
    if not path.exists():
        return
    foreign = foreign_files(path)
    if foreign:
        raise FileExistsError(
            f"{path} holds files that tfsessionrec did not write: {', '.join(foreign)}"
        )
    shutil.rmtree(path)


def recover(path: pathlib.Path) -> None:
    """Completes what a kill cut: the earlier model returns where no new one is.

    What a killed process was writing is removed. Call it under the lock of the directory.
    """
    for folder in (path, path / CHECKPOINTS):
        for file in list(folder.iterdir()) if folder.is_dir() else ():
            if unfinished(file.name) in (*FILES, STATE):
                file.unlink(missing_ok=True)
    old = sibling(path, "old")
    if not old.exists():
        return
    real = pathlib.Path(os.path.realpath(path))
    if real.exists():
        remove(old)
    else:
        old.rename(real)


def take_place(new: pathlib.Path, path: pathlib.Path) -> None:
    """Moves a written directory to its place; the model there before is removed after that."""
    real = pathlib.Path(os.path.realpath(path))
    old = sibling(path, "old")
    if real.exists() and any(real.iterdir()):
        real.rename(old)
    try:
        new.rename(real)
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.EXDEV):
            raise
        # An empty folder on a disk of its own. The configuration makes the files a model.
        for entry in sorted(new.iterdir(), key=lambda entry: entry.name == FILES[0]):
            shutil.move(str(entry), str(real / entry.name))
        new.rmdir()
    remove(old)


class DirectoryInUseError(OSError):
    """Another process writes the model directory."""


@contextlib.contextmanager
def locked(path: pathlib.Path) -> Iterator[None]:
    """Keeps other processes from writing a model directory; the lock ends with its process.

    Raises:
        DirectoryInUseError: If another process has it.
    """
    if fcntl is None:
        yield
        return
    name = sibling(path, "lock")
    name.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _acquire(name, path)
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        yield
    finally:
        name.unlink(missing_ok=True)
        os.close(descriptor)


def _acquire(name: pathlib.Path, path: pathlib.Path) -> int:
    while True:
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(descriptor, 200, 0).decode(errors="replace") or "another process"
            os.close(descriptor)
            raise DirectoryInUseError(
                f"{path} is being written by {owner}: wait for its end, or name another directory"
            ) from error
        with contextlib.suppress(FileNotFoundError):
            # The file may have been removed by the process that had it, or replaced since.
            if os.stat(name).st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        os.close(descriptor)
