"""A directory that appears complete or not at all."""

import contextlib
import os
import pathlib
import shutil
import uuid
from collections.abc import Iterator

MARKER = "saved_model.pb"


@contextlib.contextmanager
def atomic_directory(
    path: str | os.PathLike[str], *, overwrite: bool = False
) -> Iterator[pathlib.Path]:
    """Gives a temporary sibling directory that takes the name `path` when the block succeeds.

    If the block raises, the temporary directory and any parents made for it are removed, and what
    stood at `path` still stands there. The temporary name is not a number, so that a server that
    watches the parent for new versions does not see it.

    Args:
        path: The directory to make.
        overwrite: Whether an export that stands at `path` may be replaced; nothing else ever is.
            Defaults to False.

    Yields:
        The temporary directory, empty.

    Raises:
        FileExistsError: If `path` exists and may not be replaced.
    """
    path = pathlib.Path(path)
    if path.is_symlink() or path.exists():
        if not overwrite:
            raise FileExistsError(
                f"`path` exists; `overwrite=True` replaces it. Received: `path`={str(path)!r}"
            )
        if path.is_symlink() or not (path / MARKER).is_file():
            raise FileExistsError(
                f"`path` should be an export (a directory with {MARKER}) to be overwritten. "
                f"Received: `path`={str(path)!r}"
            )

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
                    f"`path`={str(path)!r}, which somebody else has made"
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
