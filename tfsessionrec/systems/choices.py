"""What a training chose for a log, in words."""

import logging
from collections.abc import Iterator

import polars as pl

from tfsessionrec.data import Sessions, Vocabulary
from tfsessionrec.systems.settings import Settings

LOGGER = logging.getLogger("tfsessionrec.systems")


def choices(settings: Settings, sessions: Sessions, vocabulary: Vocabulary) -> Iterator[str]:
    """A line for each choice: what is predicted, over which candidates, and with which terms.

    Args:
        settings: The settings, with the options that were not given.
        sessions: The sessions of training.
        vocabulary: Their items.
    """
    training, options = settings.training, settings.options
    rate = f"learning rate {training.learning_rate:g}"
    if training.cooldown:
        rate += f", falling in the last {training.cooldown:.0%} of the steps"
    yield (
        f"{settings.model} predicts the {training.objective.replace('_', ' ')}: {training.epochs} "
        f"epochs, {training.batch_positions} positions a batch, {rate}"
    )
    if options.get("negatives") == "full":
        yield f"softmax over all {vocabulary.num_items:,} items"
    else:
        drawn = options.get("num_negatives", 512)
        yield (
            f"{drawn:,} negatives a batch ({options.get('negatives')}) of "
            f"{vocabulary.num_items:,} items"
        )
    if options.get("habit") is not None:
        yield (
            f"habit: {repeat_share(sessions):.0%} of the items of later sessions were taken before "
            "by the same user (--set habit=null: no such term)"
        )
    if options.get("ranking_loss") is not None and sessions.has_negatives:
        yield f"items shown but not clicked are ranked, weight {options.get('ranking_weight'):g}"


def repeat_share(sessions: Sessions) -> float:
    """The share of the items of users' later sessions that are in an earlier one; 0 without any.

    Example:

    >>> from tfsessionrec.data import sessionize
    >>> log = pl.DataFrame(
    ...     {"user": [1, 1, 1], "item_id": ["tea", "tea", "cup"], "timestamp": [0, 1, 2]}
    ... )
    >>> repeat_share(sessionize(log, user="user", gap=0))
    0.5
    """
    held = sessions.events.filter(pl.col("label") > 0).select("user_id", "session_index", "item_id")
    held = held.unique()
    first = pl.col("session_index").min()
    later = (pl.col("session_index") > first.over("user_id")).sum()
    again = (pl.col("session_index") > first.over("user_id", "item_id")).sum()
    found = held.select(later=later, again=again).row(0)
    return found[1] / found[0] if found[0] else 0.0
