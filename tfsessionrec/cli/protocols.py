"""From held-out sessions to the queries that an evaluation asks."""

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from tfsessionrec import data
from tfsessionrec.cli.examples import (
    lay_out,
    longest_history,
    relation_columns,
    request_columns,
    side_columns,
)
from tfsessionrec.data import Sessions, Vocabulary
from tfsessionrec.evaluation.system import ORIGINS

PROTOCOLS = ("next_item", "rest_of_session", "next_session", "ranking")
BATCH_POSITIONS = 8192


def queries(
    protocol: str,
    sessions: Sessions,
    vocabulary: Vocabulary,
    training: Mapping[str, Any],
    empty_history: bool = False,
    origins: bool = False,
) -> Iterable[Mapping[str, Any]]:
    """Batches for `tfsessionrec.evaluation`; next-item and session models get the same questions.

    Args:
        protocol: `next_item`: each taken item of a target session after the session's first row,
            given everything before it, of which something was taken. `rest_of_session`: at the
            same places, the set of items taken from there to the end of the session.
            `next_session`: the set of items taken in a target session, given the user's sessions
            before it, of which there is at least one. `ranking`: the items shown in a target
            session, given the sessions before it.
        sessions: The sessions; those with `is_target` are asked for.
        vocabulary: Gives each item its index.
        training: The recipe: `next_item` (does the model know one item a session?),
            `whole_history` (does it know one session?), `max_sessions`, `max_items`, and what
            `side_columns` asks for if the model knows any.
        empty_history: Whether `ranking` asks for the first sessions of users too.
        origins: Whether the batches tell of each item whose it is and where in that user's sessions
            it stands (`origin`, `running_length`, `earlier_sessions`), which the layout hides.

    Returns:
        Session batches, to be read once.

    Raises:
        ValueError: If the protocol is not known, or there is nothing to ask.
    """
    limits = {
        "max_sessions": training["max_sessions"],
        "max_items": training["max_items"],
        "batch_positions": BATCH_POSITIONS,
        **side_columns(training),
        **relation_columns(training),
        **request_columns(training, protocol),
    }
    if origins:
        positives = (pl.col("label") == 1).cum_sum().over("user_id", "session_index")
        sessions = Sessions(
            sessions.events.with_columns(
                origin=pl.col("user_id").rank("dense").cast(pl.Int64),
                running_length=positives.cast(pl.Int64),
                earlier_sessions=pl.col("session_index").cast(pl.Int64),
            )
        )
        limits["context"] = (*limits.get("context", ()), *ORIGINS)
    if protocol == "ranking" and training.get("relation") is not None:
        # Asked is who showed something, and not each touch in between.
        shown = (pl.col("position") > 0).any().over("user_id", "session_index")
        sessions = Sessions(sessions.events.with_columns(is_target=pl.col("is_target") & shown))
    if protocol not in PROTOCOLS:
        raise ValueError(
            f"`protocol` should be one of {', '.join(PROTOCOLS)}. Received: `protocol`={protocol!r}"
        )
    if protocol == "next_item" and training["next_item"]:
        return _next_item_queries(sessions, vocabulary, limits)
    if protocol in ("next_item", "rest_of_session"):
        examples = data.expand_prefixes(sessions, "next" if protocol == "next_item" else "rest")
        taken = (pl.col("label") == 1) & ~pl.col("is_target")
        examples = Sessions(examples.events.filter(taken.any().over("user_id")))
    else:
        empty_history = empty_history and protocol == "ranking"
        examples = data.expand_targets(sessions, longest_history(training), empty_history)
    examples = lay_out(examples, training)
    if protocol != "ranking":
        return data.session_dataset(examples, vocabulary, targets="last", **limits)
    # Every shown item is ranked, however many a training session was cut to.
    limits["max_sessions"] += 1
    sizes = examples.events.group_by("user_id", "session_index").len()["len"]
    limits["max_items"] = max(sizes)
    return data.session_dataset(examples, vocabulary, **limits)


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
        batches.append(
            data.session_dataset(data.expand_targets(late, longest), vocabulary, **limits)
        )
    return itertools.chain(*batches)
