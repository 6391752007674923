"""Which sessions of a log a system was trained on."""

import numpy as np

from tfsessionrec.data import Sessions, Vocabulary
from tfsessionrec.systems.log_parts import LogParts

_KEY = ["user_id", "session_id"]


def trained_sessions(
    vocabulary: Vocabulary, parts: LogParts, log: Sessions, asked: Sessions
) -> tuple[int, int]:
    """How many of the sessions asked for were trained on, and how many are asked for.

    The counts of the vocabulary identify the log of training: if the items of `log` without the
    held-out sessions have other counts, it is another log, of which no session was trained on.

    Args:
        vocabulary: The items, with the counts of training.
        parts: What was kept from training.
        log: All sessions.
        asked: Those with `is_target` are asked for.
    """
    targets = asked.events.filter("is_target").select(_KEY).unique()
    learned = parts.training(log).events
    items = vocabulary.lookup(learned.filter(learned["label"] == 1)["item_id"].to_numpy())
    counts = np.bincount(items, minlength=len(vocabulary))
    first = vocabulary.first_item_index
    if not np.array_equal(counts[first:], vocabulary.counts[first:]):
        return 0, len(targets)
    return len(targets.join(learned.select(_KEY).unique(), on=_KEY, how="semi")), len(targets)


def first_sessions(asked: Sessions) -> int:
    """How many of the sessions asked for are the first of their user."""
    first = asked.events.filter(asked.events["is_target"] & (asked.events["session_index"] == 0))
    return first.select(_KEY).n_unique()
