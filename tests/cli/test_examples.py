"""Each objective for each way of reading a history: examples to be read by eye."""

import polars as pl
import pytest
from tfsessionrec.cli.examples import training_examples

from tfsessionrec.data import Sessions, sessionize

READ = {
    "sessions": {"max_sessions": 50, "max_items": 20, "next_item": False, "whole_history": False},
    "running": {"max_sessions": 1, "max_items": 20, "next_item": False, "whole_history": False},
    "items": {"max_sessions": 50, "max_items": 1, "next_item": True, "whole_history": False},
    "whole": {"max_sessions": 1, "max_items": 20, "next_item": False, "whole_history": True},
}
# Sessions of a user are separated by |, targets end in *; b- was shown and not taken.
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


def lines(sessions: Sessions) -> list[str]:
    item = pl.when(pl.col("label") == 1).then(pl.col("item_id")).otherwise(pl.col("item_id") + "-")
    visits = sessions.events.group_by("user_id", "session_index", maintain_order=True).agg(
        item.alias("items"), pl.col("is_target").first()
    )
    shown = pl.col("items").list.join(" ") + pl.when("is_target").then(pl.lit("*")).otherwise(
        pl.lit("")
    )
    users = visits.group_by("user_id", maintain_order=True).agg(shown)
    return [" | ".join(line) for line in users["items"].to_list()]


@pytest.mark.parametrize(("read", "objective"), EXPECTED)
def test_examples(read: str, objective: str) -> None:
    examples = training_examples(sessions_of(LOG), {**READ[read], "objective": objective})
    assert lines(examples) == EXPECTED[read, objective]


def test_what_remains_is_a_set() -> None:
    rest = {**READ["items"], "objective": "rest_of_session"}
    assert lines(training_examples(sessions_of("a b c"), rest)) == ["a | b c*", "a | b | c*"]


def test_the_whole_history_is_cut_to_its_newest_items() -> None:
    newest = {**READ["whole"], "objective": "next_item", "max_items": 2}
    assert lines(training_examples(sessions_of(LOG), newest)) == ["a | c*", "a c | d*", "c d | e*"]
    newest["objective"] = "next_session"
    assert lines(training_examples(sessions_of("a b | c d | e"), newest)) == [
        "a b | c d*",
        "c d | e*",
    ]
