"""Each protocol for each way of reading a history: the same questions, to be read by eye."""

import polars as pl
import pytest

from tfsessionrec.data import (
    Sessions,
    Vocabulary,
    protocol_batches,
    protocol_examples,
    sessionize,
)
from tfsessionrec.history_spec import HistorySpec

REAL = HistorySpec()
ITEM = HistorySpec(session="item", max_items=1)
WHOLE = HistorySpec(session="whole", max_sessions=1)
VOCABULARY = Vocabulary(["a", "b", "c", "d", "e", "f"])
SESSIONS = {
    "ann": [["a", "b"], ["c"], ["d", "e", "f"]],
    "bob": [["b", "c"]],
    "cem": [["a"], ["b", "-a", "c"]],  # a was shown but not clicked
    "dan": [["-e", "f"]],  # no click before f
}


def sessions_of(users: dict[str, list[list[str]]]) -> Sessions:
    rows = [
        {
            "user": user,
            "visit": number,
            "item_id": item.strip("-"),
            "timestamp": 1000 * number + place,
            "label": 0 if item.startswith("-") else 1,
        }
        for user, visits in users.items()
        for number, visit in enumerate(visits)
        for place, item in enumerate(visit)
    ]
    return sessionize(pl.DataFrame(rows), user="user", session="visit", label="label")


@pytest.fixture(scope="module")
def sessions() -> Sessions:
    return sessions_of(SESSIONS)


def asked(
    protocol: str, sessions: Sessions, spec: HistorySpec
) -> list[tuple[list[list[str]], set[str]]]:
    """(sessions of the history, targets) of every query, as evaluation reads the batches."""
    found = []

    def raw(indices: list[int]) -> list[str]:
        return [str(VOCABULARY.raw(index)) for index in indices if index]

    for batch in protocol_batches(protocol, sessions, VOCABULARY, spec):
        items, labels = batch["item_ids"].numpy().tolist(), batch["labels"].numpy()
        for row in range(len(items)):
            visits = [visit for visit in map(raw, items[row]) if visit]
            if "target_ids" in batch:
                targets = raw(batch["target_ids"].numpy()[row].tolist())
                found.append((visits, set(targets)))
                continue
            for place in range(1, len(visits)):
                if batch["is_target"][row, place]:
                    clicked = {
                        item for item, label in zip(visits[place], labels[row, place]) if label
                    }
                    found.append((visits[:place], clicked))
    return sorted(found, key=str)


def test_next_item(sessions: Sessions) -> None:
    assert asked("next_item", sessions, REAL) == sorted(
        [
            ([["a"]], {"b"}),
            ([["a", "b"], ["c"], ["d"]], {"e"}),
            ([["a", "b"], ["c"], ["d", "e"]], {"f"}),
            ([["b"]], {"c"}),
            ([["a"], ["b", "a"]], {"c"}),
        ],
        key=str,
    )
    # The same questions; the history leaves out items that were shown but not clicked.
    assert asked("next_item", sessions, ITEM) == sorted(
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
    whole = asked("next_item", sessions, ITEM)
    spec = HistorySpec(session="item", max_sessions=longest, max_items=1)
    cut = asked("next_item", sessions, spec)
    assert cut == sorted([(history[-longest:], item) for history, item in whole], key=str)


def test_rest_of_session(sessions: Sessions) -> None:
    expected = [
        ([["a"]], {"b"}),
        ([["a", "b"], ["c"], ["d"]], {"e", "f"}),
        ([["a", "b"], ["c"], ["d", "e"]], {"f"}),
        ([["b"]], {"c"}),
        ([["a"], ["b", "a"]], {"c"}),
    ]
    assert asked("rest_of_session", sessions, REAL) == sorted(expected, key=str)
    # The same questions to a next-item model, whose history has only clicked items.
    flat = [([[item] for visit in history for item in visit], rest) for history, rest in expected]
    flat[4] = ([["a"], ["b"]], {"c"})
    assert asked("rest_of_session", sessions, ITEM) == sorted(flat, key=str)


@pytest.mark.parametrize("protocol", ["next_item", "rest_of_session", "next_session"])
def test_the_whole_history_as_one_session(sessions: Sessions, protocol: str) -> None:
    one = asked(protocol, sessions, WHOLE)
    items = asked(protocol, sessions, ITEM)
    merged = [([[item for (item,) in history]], targets) for history, targets in items]
    assert one == sorted(merged, key=str)


@pytest.mark.parametrize("spec", [REAL, ITEM])
def test_next_session(sessions: Sessions, spec: HistorySpec) -> None:
    history = [["a", "b"]] if spec is REAL else [["a"], ["b"]]
    assert asked("next_session", sessions, spec) == sorted(
        [
            (history, {"c"}),
            ([*history, ["c"]], {"d", "e", "f"}),
            ([["a"]], {"b", "c"}),
        ],
        key=str,
    )


@pytest.mark.parametrize(
    ("spec", "width"),
    [
        (REAL, 2),
        (HistorySpec(max_items=1), 1),
        (ITEM, 1),
        (HistorySpec(session="whole", max_items=2), 2),
    ],
)
def test_ranking_shows_all_items_of_a_session(
    sessions: Sessions, spec: HistorySpec, width: int
) -> None:
    (batch,) = protocol_batches("ranking", sessions, VOCABULARY, spec)
    items, target = batch["item_ids"].numpy(), batch["is_target"].numpy()
    shown = [
        (VOCABULARY.raw(ids[ids > 0]).tolist(), labels[ids > 0].tolist())
        for ids, labels in zip(items[target], batch["labels"].numpy()[target])
    ]
    assert shown == [(["c"], [1]), (["d", "e", "f"], [1, 1, 1]), (["b", "a", "c"], [1, 0, 1])]
    # The limit cuts the history alone.
    assert (items[~target] > 0).sum(1).max() == width


@pytest.mark.parametrize(
    ("spec", "history"),
    [
        (HistorySpec(session="item", max_sessions=2, max_items=1), [["b"], ["c"]]),
        (HistorySpec(session="whole", max_sessions=1, max_items=2), [["b", "c"]]),
    ],
)
def test_the_newest_positive_items_may_be_in_older_sessions(
    spec: HistorySpec, history: list[list[str]]
) -> None:
    # The two newest sessions hold no positive item.
    log = sessions_of({"eve": [["a", "b", "c"], ["-d"], ["-e"], ["f", "-a", "d"]]})
    newest = Sessions(log.events.with_columns(is_target=pl.col("session_index") == 3))
    assert asked("next_session", newest, spec) == [(history, {"f", "d"})]
    assert asked("ranking", newest, spec) == [(history, {"f", "d"})]
    read = [["c"], ["f"]] if spec.session == "item" else [["c", "f"]]
    for protocol in ("rest_of_session", "next_item"):
        assert asked(protocol, newest, spec) == [(read, {"d"})]


def test_ranking_may_ask_for_first_sessions(sessions: Sessions) -> None:
    for empty_history, expected in ((False, 3), (True, 7)):
        batches = protocol_batches(
            "ranking", sessions, VOCABULARY, REAL, empty_history=empty_history
        )
        assert sum(int(batch["is_target"].numpy().sum()) for batch in batches) == expected


def test_ranking_with_a_relation_asks_for_sessions_that_showed_a_list(sessions: Sessions) -> None:
    # Of the targets, the list of the session d e f alone was shown.
    position = pl.when(pl.col("item_id").is_in(["d", "e"])).then(1).otherwise(0)
    listed = Sessions(sessions.events.with_columns(position=position))
    (examples,) = protocol_examples("ranking", listed, HistorySpec(relation=()))
    assert [listed.events["item_id"][int(row)] for row in examples.target] == ["d"]


def test_origins(sessions: Sessions) -> None:
    (batch,) = protocol_batches(
        "next_session", sessions.filter_users(["cem"]), VOCABULARY, REAL, origins=True
    )
    assert batch["origin"].numpy().tolist() == [[[1]]]
    (batch,) = protocol_batches(
        "rest_of_session", sessions.filter_users(["ann"]), VOCABULARY, REAL, origins=True
    )
    # Before b; before e; before f.
    assert batch["running_length"].numpy().tolist() == [
        [[1, 0], [0, 0], [0, 0]],
        [[1, 2], [1, 0], [1, 0]],
        [[1, 2], [1, 0], [1, 2]],
    ]
    assert batch["earlier_sessions"].numpy()[2].tolist() == [[0, 0], [1, 0], [2, 2]]


def test_only_targets_are_asked_for(sessions: Sessions) -> None:
    last = sessions.events.with_columns(is_target=pl.col("session_index") == 2)
    for protocol in ("next_item", "rest_of_session", "next_session"):
        for spec in (REAL, ITEM):
            for history, targets in asked(protocol, Sessions(last), spec):
                assert {item for visit in history for item in visit} >= {"a", "b", "c"}
                assert targets <= {"d", "e", "f"}


def test_unknown_protocol(sessions: Sessions) -> None:
    with pytest.raises(ValueError, match="`protocol` should be one of"):
        asked("last_item", sessions, REAL)


@pytest.mark.parametrize("spec", [REAL, ITEM, WHOLE])
@pytest.mark.parametrize("protocol", ["next_item", "rest_of_session", "next_session", "ranking"])
def test_nothing_to_ask(sessions: Sessions, protocol: str, spec: HistorySpec) -> None:
    # dan has one session, in which no click precedes the click on f.
    with pytest.raises(ValueError, match="`sessions` should hold a target session"):
        asked(protocol, sessions.filter_users(["dan"]), spec)
