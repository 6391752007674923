"""From sessions to what a model of some recipe is trained on: any objective, any history."""

from collections.abc import Mapping
from typing import Any, Literal

from tfsessionrec import data
from tfsessionrec.data import Sessions


def training_examples(sessions: Sessions, training: Mapping[str, Any]) -> Sessions:
    """The sessions of each user, to be predicted from those before where `is_target` says so.

    Where one row can ask at all its positions, it does; where not, each question is a user of its
    own.

    Args:
        sessions: The log.
        training: The recipe, see `tfsessionrec.models.Recipe`.

    Returns:
        `Sessions`.
    """
    objective = training["objective"]
    by_item = training["next_item"] or training.get("whole_history")
    if objective == "next_item" and by_item:
        items = data.flatten_sessions(sessions)
        if training["next_item"]:
            return items
        examples = data.expand_targets(items, training["max_items"])
    elif objective == "next_session":
        if not by_item and training["max_sessions"] > 1:
            return sessions
        examples = data.expand_targets(sessions, longest_history(training))
    else:
        target: Literal["next", "rest"] = "next" if objective == "next_item" else "rest"
        examples = data.expand_prefixes(sessions, target, longest_history(training))
    return lay_out(examples, training)


def lay_out(examples: Sessions, training: Mapping[str, Any]) -> Sessions:
    """The same questions, with the history before each user's last session as the model reads it.

    Args:
        examples: Users whose last session is to be predicted.
        training: The recipe: `next_item` makes a session of each item of the history,
            `whole_history` makes one session of the newest `max_items`.

    Returns:
        `Sessions`, the last of each user as they were.
    """
    if not (training["next_item"] or training.get("whole_history")):
        return examples
    items = data.flatten_sessions(examples, except_last=True)
    if training["next_item"]:
        return items
    newest = data.expand_targets(items, training["max_items"], empty_history=True)
    return data.merge_sessions(newest, except_last=True)


def relation_columns(training: Mapping[str, Any]) -> dict[str, Any]:
    """What `data.session_dataset` has to give to a model with a relation; nothing to others."""
    numeric = training.get("relation")
    return {} if numeric is None else {"match_ids": True, "context": ("position", *numeric)}


def side_columns(training: Mapping[str, Any]) -> dict[str, Any]:
    """What else `data.session_dataset` has to give to a model, beside its items."""
    names = ("interaction_types", "session_context", "item_times")
    return {name: training[name] for name in names if training.get(name)}


def request_columns(training: Mapping[str, Any], protocol: str) -> dict[str, Any]:
    """What `data.session_dataset` has to give to a model whose candidates know the time.

    A next session is asked for when it begins, what remains of a running one at its last
    interaction.

    Args:
        training: The recipe.
        protocol: The objective of training, or the protocol of an evaluation.
    """
    if not (training.get("trend") or training.get("request_times")):
        return {}
    running = protocol in ("next_item", "rest_of_session")
    return {"request_times": "last_interaction" if running else "next_start"}


def longest_history(training: Mapping[str, Any]) -> int:
    """How many sessions can hold something that the model reads."""
    return training["max_items"] if training.get("whole_history") else training["max_sessions"]
