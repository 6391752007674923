"""The events that the candidates of a model with a trend know before each request."""

import dataclasses
from typing import Literal

from tfsessionrec.data import Sessions
from tfsessionrec.systems.log_parts import LogParts

KnownEvents = Sessions | Literal["training", "all"]
"""Which events a trend counts before each request: `"training"` (default), those that are trained
on; `"all"`, every event of the log, those held out of other users too; or those of another log."""


@dataclasses.dataclass(frozen=True)
class Known:
    """The events that a trend counts, and the words of a report for them.

    Args:
        sessions: The events.
        words: What they are.
    """

    sessions: Sessions
    words: str

    @classmethod
    def of(cls, chosen: KnownEvents | None, log: Sessions, parts: LogParts) -> "Known":
        """The chosen events.

        Args:
            chosen: The choice. None: `"training"`.
            log: The log that is trained on or evaluated.
            parts: What is kept from training.

        Raises:
            ValueError: If the choice is unknown, or the log has no training events.
        """
        if isinstance(chosen, Sessions):
            return cls(chosen, "the given events before each request")
        if chosen not in (None, "training", "all"):
            raise ValueError(
                "`events_before` should be 'training', 'all' or sessions. Received: "
                f"`events_before`={chosen!r}"
            )
        if chosen == "all":
            return cls(log, "every event before each request, held-out ones of other users too")
        if parts == LogParts():
            return cls(log, "every event before each request; nothing of the log is held out")
        try:
            training = parts.training(log)
        except ValueError as error:
            raise ValueError(
                "The log should hold the events that the model was trained on, or "
                "`events_before` (--trend-events) should give those that its trend counts. "
                f"Received: {error}"
            ) from error
        return cls(training, "training events before each request, none that are held out")
