"""Which sessions of a log a system was trained on."""

from tfsessionrec.data import Sessions, Vocabulary
from tfsessionrec.systems.learned_log import LearnedLog
from tfsessionrec.systems.settings import Settings

_KEY = ["user_id", "session_id"]


def trained_sessions(
    settings: Settings, vocabulary: Vocabulary, log: Sessions, asked: Sessions
) -> tuple[int, int]:
    """How many of the sessions asked for were trained on, and how many are asked for.

    The counts of items identify a log of training: if the items of `log` without the held-out
    sessions have other counts, it is another log, of which no session was trained on.

    Args:
        settings: The settings of the system.
        vocabulary: The items, with the counts of training.
        log: All sessions.
        asked: Those with `is_target` are asked for.
    """
    targets = asked.events.filter("is_target").select(_KEY).unique()
    for learned in settings.learned or (LearnedLog.first(settings.parts, vocabulary),):
        if learned.is_log(log, vocabulary):
            sessions = learned.sessions(log).events.select(_KEY).unique()
            return len(targets.join(sessions, on=_KEY, how="semi")), len(targets)
    return 0, len(targets)


def first_sessions(asked: Sessions) -> int:
    """How many of the sessions asked for are the first of their user."""
    first = asked.events.filter(asked.events["is_target"] & (asked.events["session_index"] == 0))
    return first.select(_KEY).n_unique()
