"""From held-out sessions to the queries that an evaluation asks."""

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import polars as pl

from tfsessionrec import data
from tfsessionrec.data import Sessions, Vocabulary

PROTOCOLS = ("next_item", "next_session", "ranking")
BATCH_POSITIONS = 8192


def queries(
    protocol: str,
    sessions: Sessions,
    vocabulary: Vocabulary,
    training: Mapping[str, Any],
    empty_history: bool = False,
) -> Iterable[Mapping[str, Any]]:
    """Batches for `tfsessionrec.evaluation`; next-item and session models get the same questions.

    Args:
        protocol: `next_item`: each taken item of a target session after the session's first row,
            given everything before it, of which something was taken. `next_session`: the set of
            items taken in a target session, given the user's sessions before it, of which there
            is at least one. `ranking`: the items shown in a target session, given the sessions
            before it.
        sessions: The sessions; those with `is_target` are asked for.
        vocabulary: Gives each item its index.
        training: The recipe: `next_item` (does the model know one item a session?),
            `max_sessions`, `max_items`, and `interaction_types` if the model knows any.
        empty_history: Whether `ranking` asks for the first sessions of users too.

    Returns:
        Session batches, to be read once.

    Raises:
        ValueError: If the protocol is not known, or there is nothing to ask.
    """
    limits = {
        "max_sessions": training["max_sessions"],
        "max_items": training["max_items"],
        "batch_positions": BATCH_POSITIONS,
        "interaction_types": training.get("interaction_types"),
    }
    if protocol == "next_item" and training["next_item"]:
        return _next_item_queries(sessions, vocabulary, limits)
    if protocol == "next_item":
        examples = data.expand_prefixes(sessions)
        taken = (pl.col("label") == 1) & ~pl.col("is_target")
        examples = Sessions(examples.events.filter(taken.any().over("user_id")))
        return data.session_dataset(examples, vocabulary, targets="last", **limits)
    empty_history = empty_history and protocol == "ranking"
    examples = expand_targets(sessions, limits["max_sessions"], empty_history)
    if training["next_item"]:
        examples = data.flatten_sessions(examples, except_last=True)
    if protocol == "next_session":
        return data.session_dataset(examples, vocabulary, targets="last", **limits)
    if protocol == "ranking":
        # Every shown item is ranked, however many a training session was cut to.
        limits["max_sessions"] += 1
        sizes = examples.events.group_by("user_id", "session_index").len()["len"]
        limits["max_items"] = max(sizes)
        return data.session_dataset(examples, vocabulary, **limits)
    raise ValueError(
        f"`protocol` should be one of {', '.join(PROTOCOLS)}. Received: `protocol`={protocol!r}"
    )


def expand_targets(sessions: Sessions, max_sessions: int, empty_history: bool = False) -> Sessions:
    """Makes each target session the last of a user of its own, after the sessions before it.

    Args:
        sessions: Sessions to expand.
        max_sessions: How many sessions before it are kept.
        empty_history: Whether target sessions with none before them are kept too.

    Returns:
        `Sessions`, one user a target session.

    Raises:
        ValueError: If no user has a session before a target session.
    """
    events = sessions.events
    index = events["session_index"].to_numpy()
    begins = (
        (events["user_id"].rle_id().diff().fill_null(1) != 0).to_numpy()
        | (np.diff(index, prepend=-1) != 0)
    ).nonzero()[0]
    ends = np.append(begins[1:], len(events))
    asked = events["is_target"].to_numpy()[begins] & (empty_history | (index[begins] > 0))
    (chosen,) = asked.nonzero()
    if not len(chosen):
        raise ValueError(
            "There should be something to predict after something else of the same user. "
            "Received: nothing"
        )
    oldest = chosen - np.minimum(index[begins[chosen]], max_sessions)
    lengths = ends[chosen] - begins[oldest]
    stops = np.cumsum(lengths)
    rows = np.arange(stops[-1]) - np.repeat(stops - lengths - begins[oldest], lengths)
    return Sessions(
        events[rows].with_columns(
            user_id=pl.Series(np.repeat(np.arange(len(chosen)), lengths), dtype=pl.Int64),
            session_index=pl.Series(
                index[rows] - np.repeat(index[begins[oldest]], lengths), dtype=pl.Int32
            ),
            is_target=pl.Series(rows >= np.repeat(begins[chosen], lengths)),
        )
    )


def _next_item_queries(
    sessions: Sessions, vocabulary: Vocabulary, limits: Mapping[str, Any]
) -> Iterable[Mapping[str, Any]]:
    """All positions of a causal model at once; a row each where the history has to be cut."""
    longest = limits["max_sessions"]
    index = pl.col("session_index")
    new_session = pl.struct("user_id", "session_index")
    marked = sessions.events.with_columns(_first=new_session.ne_missing(new_session.shift(1)))
    flat = data.flatten_sessions(Sessions(marked)).events
    flat = flat.with_columns(is_target=pl.col("is_target") & ~pl.col("_first")).drop("_first")
    limits = {**limits, "max_sessions": longest + 1, "min_sessions": 2}
    batches = []
    if flat.select((pl.col("is_target") & index.is_between(1, longest)).any()).item():
        whole = Sessions(flat.filter(index <= longest))
        batches.append(data.session_dataset(whole, vocabulary, **limits))
    if not batches or flat.select((pl.col("is_target") & (index > longest)).any()).item():
        late = Sessions(flat.with_columns(is_target=pl.col("is_target") & (index > longest)))
        batches.append(data.session_dataset(expand_targets(late, longest), vocabulary, **limits))
    return itertools.chain(*batches)
