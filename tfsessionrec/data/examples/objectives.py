"""The examples of each training objective and of each evaluation protocol."""

from typing import Literal, get_args

import numpy as np
import polars as pl

from tfsessionrec.checks import boolean, instance
from tfsessionrec.data.examples.examples import Examples
from tfsessionrec.data.examples.expand import expand_prefixes, expand_targets
from tfsessionrec.data.sessions import Sessions, starting_rows, user_bounds
from tfsessionrec.history_spec import HistorySpec
from tfsessionrec.recipe import OBJECTIVES, Objective

Protocol = Literal["next_item", "rest_of_session", "next_session", "ranking"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)


def training_examples(sessions: Sessions, objective: Objective, spec: HistorySpec) -> Examples:
    """The examples that a model trains on.

    One sequence a user trains all its positions at once, where the model reads the history of every
    position from the same layout. Otherwise each target has an example of its own.

    Args:
        sessions: The training sessions; those with `is_target` are predicted.
        objective: `"next_session"`, the set of items of the next session; `"next_item"`, the next
            positive item; `"rest_of_session"`, the set of items that remain of the running session.
        spec: The part of a history that the model reads.

    Raises:
        ValueError: If the objective is unknown, or there is no target.
    """
    _check("objective", objective, OBJECTIVES)
    instance("sessions", sessions, Sessions)
    instance("spec", spec, HistorySpec)
    if objective == "next_session":
        if spec.session == "real" and spec.max_sessions > 1:
            return Examples.sequences(sessions)
        return expand_targets(sessions)
    if objective == "next_item" and spec.session == "item":
        return Examples.sequences(sessions, asked="last_interaction")
    if objective == "next_item" and spec.session == "whole":
        return _every_item(sessions)
    return expand_prefixes(sessions, "next" if objective == "next_item" else "rest")


def protocol_examples(
    protocol: Protocol,
    sessions: Sessions,
    spec: HistorySpec,
    empty_history: bool = False,
    apart: bool = False,
) -> list[Examples]:
    """The examples that an evaluation asks: the same questions of every model.

    Args:
        protocol: `"next_item"`: each positive item of a target session after the session's first
            interaction, given everything before it, if that holds a positive item.
            `"rest_of_session"`: at the same positions, the set of positive items up to the end of
            the session. `"next_session"`: the set of positive items of a target session, given the
            user's sessions before it, of which there is at least one. `"ranking"`: the items shown
            in a target session, given the sessions before it.
        sessions: The sessions; those with `is_target` are asked for.
        spec: The part of a history that the model reads.
        empty_history: Whether `"ranking"` asks for the first sessions of users too. Defaults to
            False.
        apart: Whether each question is an example of its own, in the order of the log. Defaults to
            False.

    Returns:
        One or two `Examples`; with several, a model answers all positions of the first at once.

    Raises:
        ValueError: If the protocol is unknown, or there is no target.
    """
    _check("protocol", protocol, PROTOCOLS)
    instance("sessions", sessions, Sessions)
    instance("spec", spec, HistorySpec)
    boolean("empty_history", empty_history)
    boolean("apart", apart)
    if protocol == "ranking" and spec.relation is not None:
        # Sessions that showed a list are asked for, not the interactions between them.
        sessions = sessions.split_targets()
        shown = (pl.col("position") > 0).any().over("user_id", "session_index")
        sessions = Sessions(sessions.events.with_columns(is_target=pl.col("is_target") & shown))
    if protocol == "next_item" and spec.session == "item" and not apart:
        return _item_positions(sessions, spec.max_sessions)
    if protocol in ("next_item", "rest_of_session"):
        examples = expand_prefixes(sessions, "next" if protocol == "next_item" else "rest")
        positives = np.append(0, np.cumsum(examples.log["label"].to_numpy() > 0))
        examples = examples.filter(positives[examples.target] > positives[examples.begin])
        if not len(examples):
            raise _no_target("after another positive item of the same user")
        return [examples]
    return [expand_targets(sessions, empty_history=empty_history and protocol == "ranking")]


def _check(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"`{name}` should be one of {', '.join(known)}. Received: {value!r}")


def _no_target(where: str) -> ValueError:
    return ValueError(
        f"`sessions` should hold a target session with a positive item {where}. Received: none"
    )


def _positives(sessions: Sessions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of positive items, the first row of the user of each, and its number for that user."""
    begin, _ = user_bounds(sessions.events)
    rows = np.flatnonzero(sessions.events["label"].to_numpy() > 0)
    user = np.searchsorted(begin, rows, side="right") - 1
    first = np.searchsorted(rows, begin)
    return rows, begin[user], np.arange(len(rows)) - first[user]


def _every_item(sessions: Sessions) -> Examples:
    """An example of every positive item that follows another one of its user."""
    rows, begin, number = _positives(sessions)
    asked = sessions.events["is_target"].to_numpy()[rows] & (number > 0)
    if not asked.any():
        raise _no_target("after another positive item of the same user")
    rows, begin = rows[asked], begin[asked]
    return Examples(sessions.events, begin, rows, rows + 1, asked="last_interaction")


def _item_positions(sessions: Sessions, longest: int) -> list[Examples]:
    """All positions of a causal model at once; an example each where the history has to be cut."""
    log = sessions.events
    rows, first, number = _positives(sessions)
    is_target = log["is_target"].to_numpy() & ~starting_rows(log)
    asked = is_target[rows]
    examples = []
    if (asked & (number >= 1) & (number <= longest)).any():
        begin, end = user_bounds(log)
        (last,) = (number == longest).nonzero()
        end = end.copy()
        end[np.searchsorted(begin, first[last])] = rows[last] + 1
        examples.append(Examples(log, begin, end, end, is_target, asked="last_interaction"))
    late = asked & (number > longest)
    if late.any() or not examples:
        if not late.any():
            raise _no_target("after its first and after another one of the same user")
        examples.append(
            Examples(log, first[late], rows[late], rows[late] + 1, asked="last_interaction")
        )
    return examples
