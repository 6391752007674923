"""Ctrl-C that waits for the running step to finish."""

import contextlib
import signal
import types
from collections.abc import Iterator


class Interrupt:
    """Records whether Ctrl-C was pressed within `deferred`."""

    def __init__(self) -> None:
        self.requested = False

    @classmethod
    @contextlib.contextmanager
    def deferred(cls) -> Iterator["Interrupt"]:
        """Defers the first Ctrl-C: it sets `requested`. The second one raises at once."""
        interrupt = cls()

        def record(number: int, frame: types.FrameType | None) -> None:
            if interrupt.requested:
                raise KeyboardInterrupt
            interrupt.requested = True

        before = signal.signal(signal.SIGINT, record)
        try:
            yield interrupt
        finally:
            signal.signal(signal.SIGINT, before)
