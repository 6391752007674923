"""A log that a model was trained on."""

import dataclasses
import hashlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tfsessionrec import checks
from tfsessionrec.data import Sessions, Vocabulary, split_by_rule
from tfsessionrec.systems.log_parts import LogParts


@dataclasses.dataclass(frozen=True)
class LearnedLog:
    """A log that a model was trained on, by which it is recognized.

    Args:
        num_items: Items of the vocabulary that were trained on after it.
        counts: Fingerprint of their positive interactions in the log, by index.
        parts: What was kept from training.
        since: Only what happened at this time or later was counted. None: all.
        first_step: Steps that the optimizer had made before.
    """

    num_items: int
    counts: str
    parts: LogParts = dataclasses.field(default_factory=LogParts)
    since: str | None = None
    first_step: int = 0

    def __post_init__(self) -> None:
        checks.non_negative_integer("num_items", self.num_items)
        checks.text("counts", self.counts)
        checks.instance("parts", self.parts, LogParts)
        checks.text("since", self.since, optional=True)
        checks.non_negative_integer("first_step", self.first_step)

    @classmethod
    def first(cls, parts: LogParts, vocabulary: Vocabulary) -> "LearnedLog":
        """The one log of a vocabulary that has not grown."""
        counts = vocabulary.counts[vocabulary.first_item_index :]
        counts = counts[: len(counts) - vocabulary.num_new_items]
        return cls(len(counts), _fingerprint(counts), parts)

    @classmethod
    def later(
        cls,
        log: Sessions,
        vocabulary: Vocabulary,
        parts: LogParts,
        since: str | None,
        first_step: int,
    ) -> "LearnedLog":
        """A later log, with the vocabulary that has grown by it."""
        learned = cls(vocabulary.num_items - vocabulary.num_new_items, "", parts, since, first_step)
        return dataclasses.replace(learned, counts=learned._counts_of(log, vocabulary))

    @classmethod
    def from_json(cls, content: Mapping[str, object]) -> "LearnedLog":
        """The inverse of `dataclasses.asdict`."""
        fields = dict(content)
        fields["parts"] = LogParts(**fields["parts"])  # type: ignore[arg-type]
        return cls(**fields)  # type: ignore[arg-type]

    def sessions(self, log: Sessions) -> Sessions:
        """What is learned of a log: with `since` what happened then or later."""
        try:
            training = self.parts.training(log)
        except ValueError:  # the cut lies outside of the log: all of it is on one side
            training = log
        if self.since is None:
            return training
        return split_by_rule(training, f"after={self.since}")[1].targets()

    def is_log(self, log: Sessions, vocabulary: Vocabulary) -> bool:
        """Whether a log is this one: its items have the same counts."""
        try:
            return self._counts_of(log, vocabulary) == self.counts
        except ValueError:  # nothing happened since
            return False

    def _counts_of(self, log: Sessions, vocabulary: Vocabulary) -> str:
        events = self.sessions(log).events
        items = vocabulary.lookup(events.filter(events["label"] == 1)["item_id"])
        counts = np.bincount(items, minlength=len(vocabulary))[vocabulary.first_item_index :]
        return _fingerprint(counts[: self.num_items])


def _fingerprint(counts: NDArray[np.int64]) -> str:
    return hashlib.sha256(counts.astype("<i8").tobytes()).hexdigest()
