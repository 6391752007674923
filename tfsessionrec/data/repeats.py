"""How often people take an item again."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tfsessionrec.checks import instance, number
from tfsessionrec.data.sessions import Sessions
from tfsessionrec.data.vocabulary import Vocabulary


def repeat_rates(
    sessions: Sessions, vocabulary: Vocabulary, prior: float = 10.0
) -> NDArray[np.float32]:
    """The share of takings of each item after which the user takes it again in a later session.

    A taking is a session with the item, of a user who has a later session. With n takings of item
    c, a of them followed by another, and p the share of all items together,

    `rate(c) = (a + prior p) / (n + prior)`.

    Args:
        sessions: The sessions. Items that were shown but not clicked are left out.
        vocabulary: Gives each item its index.
        prior: Number of takings that the share of all items counts for. Defaults to 10.

    Returns:
        float32 [V], 0 for padding and out-of-vocabulary buckets.

    Raises:
        ValueError: If `prior` is negative.

    Example:

    >>> import polars as pl
    >>> from tfsessionrec.data import Vocabulary, sessionize
    >>> events = pl.DataFrame(
    ...     {
    ...         "user_id": [1, 1, 1, 1],
    ...         "item_id": ["tea", "cup", "tea", "jam"],
    ...         "timestamp": [0, 1, 2, 3],
    ...     }
    ... )
    >>> sessions = sessionize(events, user="user_id", gap=0)
    >>> vocabulary = Vocabulary.from_sessions(sessions)
    >>> rates = repeat_rates(sessions, vocabulary, prior=0)  # tea: the first of two; cup: never
    >>> dict(zip(vocabulary.ids.tolist(), rates[2:].tolist()))
    {'tea': 0.5, 'cup': 0.0, 'jam': 0.0}
    """
    instance("sessions", sessions, Sessions)
    instance("vocabulary", vocabulary, Vocabulary)
    prior = number("prior", prior, least=0)
    log = sessions.events
    last = log.group_by("user_id").agg(last=pl.col("session_index").max())
    taken = (
        log.filter(pl.col("label") > 0)
        .with_columns(item=pl.Series(vocabulary.lookup(log["item_id"])).filter(log["label"] > 0))
        .filter(pl.col("item") >= vocabulary.first_item_index)
        .select("user_id", "session_index", "item")
        .unique()
        .with_columns(
            again=pl.col("session_index") < pl.col("session_index").max().over("user_id", "item")
        )
        .join(last, on="user_id")
        .filter(pl.col("session_index") < pl.col("last"))
    )
    found = taken.group_by("item").agg(n=pl.len(), again=pl.col("again").sum())
    count, again = np.zeros(len(vocabulary)), np.zeros(len(vocabulary))
    index = found["item"].to_numpy()
    count[index], again[index] = found["n"].to_numpy(), found["again"].to_numpy()
    mean = again.sum() / max(count.sum(), 1)
    rates = np.zeros(len(vocabulary))
    np.divide(again + prior * mean, count + prior, out=rates, where=count + prior > 0)
    rates[: vocabulary.first_item_index] = 0
    return rates.astype(np.float32)
