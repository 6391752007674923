"""TensorFlow without the notices that it writes while it is loaded."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import IO


def import_tensorflow() -> None:
    """Imports TensorFlow; what it writes to file descriptor 2 meanwhile is shown only if it fails.

    TensorFlow writes some lines there whatever `TF_CPP_MIN_LOG_LEVEL` says.
    """
    if "tensorflow" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    with tempfile.TemporaryFile() as noise:
        try:
            with _standard_error_into(noise):
                import tensorflow  # noqa: F401
        except BaseException:
            noise.seek(0)
            os.write(2, noise.read())
            raise


@contextlib.contextmanager
def _standard_error_into(file: IO[bytes]) -> Iterator[None]:
    saved = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
