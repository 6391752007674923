"""Ctrl-C that lets a running step finish."""

import contextlib
import signal
import types
from collections.abc import Iterator


class Interrupt:
    """Whether Ctrl-C was pressed within `deferred`."""

    def __init__(self) -> None:
        self.requested = False

    @classmethod
    @contextlib.contextmanager
    def deferred(cls) -> Iterator["Interrupt"]:
        """Within, the first Ctrl-C is only noted; a second one interrupts at once."""
        interrupt = cls()

        def note(number: int, frame: types.FrameType | None) -> None:
            if interrupt.requested:
                raise KeyboardInterrupt
            interrupt.requested = True

        before = signal.signal(signal.SIGINT, note)
        try:
            yield interrupt
        finally:
            signal.signal(signal.SIGINT, before)
