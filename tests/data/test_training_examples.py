"""Each objective for each way of reading a history: batches to be read by eye."""

import polars as pl
import pytest

from tfsessionrec.data import (
    Examples,
    Sessions,
    Vocabulary,
    session_dataset,
    sessionize,
    training_examples,
)
from tfsessionrec.history_spec import HistorySpec

SPECS = {
    "sessions": HistorySpec(),
    "running": HistorySpec(max_sessions=1),
    "items": HistorySpec(session="item", max_items=1),
    "whole": HistorySpec(session="whole", max_sessions=1),
}
# Sessions of a user are separated by |, targets end in *; b- was shown but not clicked.
LOG = "a b- c | d e"
EXPECTED = {
    ("sessions", "next_session"): ["a b- c* | d e*"],
    ("sessions", "next_item"): ["a b- | c*", "a b- c | d | e*"],
    ("sessions", "rest_of_session"): ["a b- | c*", "a b- c | d | e*"],
    ("running", "next_session"): ["a b- c | d e*"],
    ("running", "next_item"): ["a b- | c*", "d | e*"],
    ("running", "rest_of_session"): ["a b- | c*", "d | e*"],
    ("items", "next_session"): ["a | c | d e*"],
    ("items", "next_item"): ["a* | c* | d* | e*"],
    ("items", "rest_of_session"): ["a | c*", "a | c | d | e*"],
    ("whole", "next_session"): ["a c | d e*"],
    ("whole", "next_item"): ["a | c*", "a c | d*", "a c d | e*"],
    ("whole", "rest_of_session"): ["a | c*", "a c d | e*"],
}


def sessions_of(log: str) -> Sessions:
    rows = [
        {
            "user": 0,
            "visit": number,
            "item_id": item.strip("-"),
            "timestamp": 1000 * number + place,
            "label": 0 if item.endswith("-") else 1,
        }
        for number, visit in enumerate(log.split(" | "))
        for place, item in enumerate(visit.split())
    ]
    return sessionize(pl.DataFrame(rows), user="user", session="visit", label="label")


def lines(examples: Examples, spec: HistorySpec) -> list[str]:
    vocabulary = Vocabulary(list("abcdefgh"))
    (batch,) = session_dataset(examples, vocabulary, spec)
    found = []
    for items, labels, targets in zip(
        *(batch[name].numpy() for name in ("item_ids", "labels", "is_target")), strict=True
    ):
        visits = [
            " ".join(
                str(vocabulary.raw(item)) + ("" if label else "-")
                for item, label in zip(visit, marks, strict=True)
                if item
            )
            + "*" * int(target)
            for visit, marks, target in zip(items, labels, targets, strict=True)
            if visit.any()
        ]
        found.append(" | ".join(visits))
    return found


@pytest.mark.parametrize(("read", "objective"), EXPECTED)
def test_examples(read: str, objective: str) -> None:
    examples = training_examples(sessions_of(LOG), objective, SPECS[read])
    assert lines(examples, SPECS[read]) == EXPECTED[read, objective]


@pytest.mark.parametrize(("read", "objective"), EXPECTED)
def test_when_they_are_asked(read: str, objective: str) -> None:
    # A next session is asked for when it starts, the rest of a running one at its last interaction.
    examples = training_examples(sessions_of(LOG), objective, SPECS[read])
    expected = "next_start" if objective == "next_session" else "last_interaction"
    assert examples.asked == expected


def test_the_rest_of_a_session_is_a_set() -> None:
    spec = SPECS["items"]
    examples = training_examples(sessions_of("a b c"), "rest_of_session", spec)
    assert lines(examples, spec) == ["a | b c*", "a | b | c*"]


def test_the_whole_history_is_cut_to_its_newest_items() -> None:
    spec = HistorySpec(session="whole", max_sessions=1, max_items=2)
    examples = training_examples(sessions_of(LOG), "next_item", spec)
    assert lines(examples, spec) == ["a | c*", "a c | d*", "c d | e*"]
    examples = training_examples(sessions_of("a b | c d | e"), "next_session", spec)
    assert lines(examples, spec) == ["a b | c d*", "c d | e*"]


@pytest.mark.parametrize(
    ("spec", "history"),
    [
        (HistorySpec(session="item", max_sessions=2, max_items=1), "b | c"),
        (HistorySpec(session="whole", max_sessions=1, max_items=2), "b c"),
    ],
)
def test_the_newest_positive_items_may_be_in_older_sessions(
    spec: HistorySpec, history: str
) -> None:
    # The newest sessions hold no positive item: they do not push positive items out.
    sessions = sessions_of("a b c | d- e- | f- | g h")
    examples = training_examples(sessions, "next_session", spec)
    assert lines(examples, spec) == [f"{history} | {target}*" for target in ("d- e-", "f-", "g h")]
    (rest,) = lines(
        training_examples(sessions_of("a b- | c- | d e"), "rest_of_session", spec), spec
    )
    assert rest == ("a | d | e*" if spec.session == "item" else "a d | e*")


def test_sessions_that_are_not_targets_train_nothing() -> None:
    sessions = sessions_of("a b | c d")
    sessions = Sessions(sessions.events.with_columns(is_target=pl.col("session_index") == 1))
    for read, objective, expected in (
        ("sessions", "next_session", ["a b | c d*"]),
        ("sessions", "next_item", ["a b | c | d*"]),
        ("items", "next_item", ["a | b | c* | d*"]),
        ("whole", "next_item", ["a b | c*", "a b c | d*"]),
        ("whole", "rest_of_session", ["a b c | d*"]),
    ):
        examples = training_examples(sessions, objective, SPECS[read])
        assert lines(examples, SPECS[read]) == expected


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="`objective` should be one of next_session, next_item"):
        training_examples(sessions_of(LOG), "last_item", HistorySpec())
    for read, objective in (
        ("sessions", "next_item"),
        ("whole", "next_item"),
        ("running", "next_session"),
        ("items", "rest_of_session"),
    ):
        with pytest.raises(ValueError, match=r"`sessions` should hold a target session"):
            training_examples(sessions_of("a"), objective, SPECS[read])
