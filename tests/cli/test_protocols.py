import polars as pl
import pytest
from tfsessionrec.cli.protocols import queries

from tfsessionrec.data import Sessions, Vocabulary, sessionize

SESSIONS = {
    "ann": [["a", "b"], ["c"], ["d", "e", "f"]],
    "bob": [["b", "c"]],
    "cem": [["a"], ["b", "-a", "c"]],  # a was shown and not taken
    "dan": [["-e", "f"]],  # nothing taken before f
}


@pytest.fixture
def sessions() -> Sessions:
    rows = [
        {
            "user": user,
            "visit": number,
            "item_id": item.strip("-"),
            "timestamp": 1000 * number + place,
            "label": 0 if item.startswith("-") else 1,
        }
        for user, visits in SESSIONS.items()
        for number, visit in enumerate(visits)
        for place, item in enumerate(visit)
    ]
    return sessionize(pl.DataFrame(rows), user="user", session="visit", label="label")


def asked(
    protocol: str,
    sessions: Sessions,
    *,
    next_item: bool,
    max_sessions: int = 50,
    whole_history: bool = False,
) -> list[tuple[list[list[str]], set[str]]]:
    """(sessions of the history, targets) of every query, as evaluation reads the batches."""
    vocabulary = Vocabulary(["a", "b", "c", "d", "e", "f"])
    training = {
        "next_item": next_item,
        "whole_history": whole_history,
        "max_sessions": max_sessions,
        "max_items": 1 if next_item else 20,
    }
    found = []

    def raw(indices: list[int]) -> list[str]:
        return [str(vocabulary.raw(index)) for index in indices if index]

    for batch in queries(protocol, sessions, vocabulary, training):
        items, labels = batch["item_ids"].numpy().tolist(), batch["labels"].numpy()
        for row in range(len(items)):
            visits = [visit for visit in map(raw, items[row]) if visit]
            if "target_ids" in batch:
                targets = raw(batch["target_ids"].numpy()[row].tolist())
                found.append((visits, set(targets)))
                continue
            for place in range(1, len(visits)):
                if batch["is_target"][row, place]:
                    taken = {
                        item for item, label in zip(visits[place], labels[row, place]) if label
                    }
                    found.append((visits[:place], taken))
    return sorted(found, key=str)


def test_next_item(sessions: Sessions) -> None:
    assert asked("next_item", sessions, next_item=False) == sorted(
        [
            ([["a"]], {"b"}),
            ([["a", "b"], ["c"], ["d"]], {"e"}),
            ([["a", "b"], ["c"], ["d", "e"]], {"f"}),
            ([["b"]], {"c"}),
            ([["a"], ["b", "a"]], {"c"}),
        ],
        key=str,
    )
    # The same questions; what was shown and not taken is no item of the history.
    assert asked("next_item", sessions, next_item=True) == sorted(
        [
            ([["a"]], {"b"}),
            ([["a"], ["b"], ["c"], ["d"]], {"e"}),
            ([["a"], ["b"], ["c"], ["d"], ["e"]], {"f"}),
            ([["b"]], {"c"}),
            ([["a"], ["b"]], {"c"}),
        ],
        key=str,
    )


@pytest.mark.parametrize("longest", [1, 2, 3, 4])
def test_next_item_with_cut_histories_asks_everything(sessions: Sessions, longest: int) -> None:
    whole = asked("next_item", sessions, next_item=True)
    cut = asked("next_item", sessions, next_item=True, max_sessions=longest)
    assert cut == sorted([(history[-longest:], item) for history, item in whole], key=str)


def test_rest_of_session(sessions: Sessions) -> None:
    expected = [
        ([["a"]], {"b"}),
        ([["a", "b"], ["c"], ["d"]], {"e", "f"}),
        ([["a", "b"], ["c"], ["d", "e"]], {"f"}),
        ([["b"]], {"c"}),
        ([["a"], ["b", "a"]], {"c"}),
    ]
    assert asked("rest_of_session", sessions, next_item=False) == sorted(expected, key=str)
    # The same questions to a next-item model: what was not taken is no item of its history.
    flat = [([[item] for visit in history for item in visit], rest) for history, rest in expected]
    flat[4] = ([["a"], ["b"]], {"c"})
    assert asked("rest_of_session", sessions, next_item=True) == sorted(flat, key=str)


@pytest.mark.parametrize("protocol", ["next_item", "rest_of_session", "next_session"])
def test_the_whole_history_as_one_session(sessions: Sessions, protocol: str) -> None:
    one = asked(protocol, sessions, next_item=False, max_sessions=1, whole_history=True)
    items = asked(protocol, sessions, next_item=True)
    merged = [([[item for (item,) in history]], targets) for history, targets in items]
    assert one == sorted(merged, key=str)


@pytest.mark.parametrize("next_item", [False, True])
def test_next_session(sessions: Sessions, next_item: bool) -> None:
    history = [["a"], ["b"]] if next_item else [["a", "b"]]
    assert asked("next_session", sessions, next_item=next_item) == sorted(
        [
            (history, {"c"}),
            ([*history, ["c"]], {"d", "e", "f"}),
            ([["a"]], {"b", "c"}),
        ],
        key=str,
    )


@pytest.mark.parametrize("read", ["sessions", "items", "whole"])
def test_ranking_shows_everything_that_was_shown(sessions: Sessions, read: str) -> None:
    vocabulary = Vocabulary(["a", "b", "c", "d", "e", "f"])
    training = {
        "next_item": read == "items",
        "whole_history": read == "whole",
        "max_sessions": 1 if read == "whole" else 50,
        "max_items": 2 if read == "whole" else 1,
    }
    (batch,) = queries("ranking", sessions, vocabulary, training)
    target = batch["is_target"].numpy()
    shown = [
        (vocabulary.raw(items[items > 0]).tolist(), labels[items > 0].tolist())
        for items, labels in zip(batch["item_ids"].numpy()[target], batch["labels"].numpy()[target])
    ]
    assert shown == [(["c"], [1]), (["d", "e", "f"], [1, 1, 1]), (["b", "a", "c"], [1, 0, 1])]
    if read == "whole":
        assert (batch["item_ids"].numpy()[:, 0] > 0).sum(1).max() == 2


def test_ranking_may_ask_for_first_sessions(sessions: Sessions) -> None:
    vocabulary = Vocabulary(["a", "b", "c", "d", "e", "f"])
    training = {"next_item": False, "max_sessions": 50, "max_items": 20}
    for empty_history, expected in ((False, 3), (True, 7)):
        batches = queries("ranking", sessions, vocabulary, training, empty_history)
        assert sum(int(batch["is_target"].numpy().sum()) for batch in batches) == expected


def test_only_targets_are_asked_for(sessions: Sessions) -> None:
    last = sessions.events.with_columns(is_target=pl.col("session_index") == 2)
    for protocol in ("next_item", "rest_of_session", "next_session"):
        for next_item in (False, True):
            for history, targets in asked(protocol, Sessions(last), next_item=next_item):
                assert {item for visit in history for item in visit} >= {"a", "b", "c"}
                assert targets <= {"d", "e", "f"}


def test_unknown_protocol(sessions: Sessions) -> None:
    with pytest.raises(ValueError, match="`protocol` should be one of"):
        asked("last_item", sessions, next_item=False)
