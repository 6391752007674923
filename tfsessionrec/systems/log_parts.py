"""What training keeps of a log for validation and for a test."""

import dataclasses

from tfsessionrec import checks
from tfsessionrec.data import Sessions, split_by_rule

# What is cut from the sessions that remain after the holdout, as a rule of `split_by_rule`.
_RULES = {"last-day": "last-days=1", "last-session": "last-session"}


@dataclasses.dataclass(frozen=True)
class LogParts:
    """The parts of a log: to train on, to validate on and to test on.

    Args:
        holdout: The test, see `tfsessionrec.data.split_by_rule`. Defaults to `"none"`.
        validation: What is cut from the rest: `"none"` (default), `"last-day"`, what happened in
            the 24 hours before the start of its last session and since; `"last-session"` of each
            user with two; or the path of another log, which leaves this one whole.
    """

    holdout: str = "none"
    validation: str = "none"

    def __post_init__(self) -> None:
        checks.text("holdout", self.holdout)
        checks.text("validation", self.validation)

    @property
    def validation_file(self) -> str | None:
        """The path of the log to validate on; None if it is a part of the log of training."""
        return None if self.validation in ("none", *_RULES) else self.validation

    def training(self, log: Sessions) -> Sessions:
        """The sessions to train on.

        Raises:
            ValueError: If a part would be empty.
        """
        return self._validation_cut(log)[0]

    def validated(self, log: Sessions) -> Sessions | None:
        """The sessions to validate on, with what their users did before; None without any.

        Raises:
            ValueError: If a part would be empty.
        """
        return self._validation_cut(log)[1]

    def _validation_cut(self, log: Sessions) -> tuple[Sessions, Sessions | None]:
        rest, _ = split_by_rule(log, self.holdout)
        if self.validation not in _RULES:
            return rest, None
        try:
            return split_by_rule(rest, _RULES[self.validation])
        except ValueError as error:
            raise ValueError(
                "`validation` (--validation) should leave sessions to train on and to validate on. "
                f"Received: `validation`={self.validation!r}: {error}"
            ) from error
