"""Imports TensorFlow without its start-up messages."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import IO


def import_tensorflow() -> None:
    """Imports TensorFlow and shows its start-up messages only if the import fails.

    `TF_CPP_MIN_LOG_LEVEL` does not silence all of them: some go directly to file descriptor 2.
    """
    if "tensorflow" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    with tempfile.TemporaryFile() as messages:
        try:
            with _standard_error_into(messages):
                import tensorflow  # noqa: F401
        except BaseException:
            messages.seek(0)
            os.write(2, messages.read())
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
