"""The specification of a history: JSON in and out, and what it refuses."""

import dataclasses
import json

import numpy as np
import pytest

from tfsessionrec.history_spec import HistorySpec

FULL = HistorySpec(
    session="whole",
    max_sessions=1,
    max_items=7,
    labels=True,
    interaction_types=("click", "buy"),
    session_times=True,
    item_times=True,
    session_context={"device": ("phone", "desk"), "hour": None, "shop": (3, 1)},
    request_times=True,
    relation=("price", "rating"),
    first_item_index=4,
    padding_id=-1,
)


def test_every_field_of_the_example_differs_from_its_default() -> None:
    for field in dataclasses.fields(HistorySpec):
        assert getattr(FULL, field.name) != getattr(HistorySpec(), field.name), field.name


@pytest.mark.parametrize(
    "spec", [HistorySpec(), FULL, HistorySpec(relation=()), HistorySpec(session="item")]
)
def test_round_trip_through_json(spec: HistorySpec) -> None:
    again = HistorySpec.from_json(json.loads(json.dumps(spec.to_json())))
    assert again == spec
    for field in dataclasses.fields(HistorySpec):
        assert type(getattr(again, field.name)) is type(getattr(spec, field.name)), field.name
    assert json.dumps(again.to_json()) == json.dumps(spec.to_json())


def test_absent_fields_have_their_defaults() -> None:
    assert HistorySpec.from_json({}) == HistorySpec()
    assert HistorySpec.from_json({"max_items": 3}) == HistorySpec(max_items=3)


def test_sequences_become_tuples_and_integers_of_numpy_plain() -> None:
    spec = HistorySpec(
        max_sessions=np.int64(3),
        interaction_types=["a"],
        session_context={"x": [1]},
        relation=["p"],
    )
    assert spec.interaction_types == ("a",)
    assert spec.session_context == {"x": (1,)}
    assert spec.relation == ("p",)
    assert type(spec.max_sessions) is int


def test_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        FULL.max_items = 3  # type: ignore[misc]


def test_reads_times() -> None:
    assert not HistorySpec(request_times=True).reads_times
    assert HistorySpec(session_times=True).reads_times
    assert HistorySpec(item_times=True).reads_times


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"session": "real_"}, "`session` should be one of real, item, whole. .*'real_'"),
        ({"max_sessions": 0}, "`max_sessions` should be a positive integer. Received: .*=0"),
        ({"max_items": 2.5}, "`max_items` should be a positive integer. Received: .*=2.5"),
        ({"max_items": True}, "`max_items` should be a positive integer. Received: .*=True"),
        ({"max_items": "3"}, "`max_items` should be a positive integer. Received: .*='3'"),
        ({"first_item_index": -1}, "`first_item_index` should be a positive integer"),
        ({"interaction_types": "click"}, "`interaction_types` should be distinct values"),
        ({"interaction_types": [1, 1]}, "`interaction_types` should be distinct values"),
        ({"relation": ["p", "p"]}, "`relation` should be distinct values"),
        (
            {"session_context": {"device": "phone"}},
            r"`session_context\['device'\]` should be distinct values. .*'phone'",
        ),
        ({"max_item": 3, "a": 1}, "should have the fields .*max_items.* Received: a, max_item"),
    ],
)
def test_bad_content(content: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HistorySpec.from_json(content)
