"""Raw requests become the session batch that training would make of the same events."""

import pathlib
from typing import Any

import pytest
import tensorflow as tf

from tfsessionrec.data import Vocabulary
from tfsessionrec.export.request import IdTables, RequestReader, vocabulary_lines
from tfsessionrec.history_spec import HistorySpec

VOCABULARY = Vocabulary([f"item {n}" for n in range(9)], range(9, 0, -1))

# Raw ids and all that a specification may hold. Five items, the second and the last of which
# were shown but not clicked.

REQUEST = {
    "item_ids": [["item 0", "item 1", "never", "item 2", "item 3", ""]],
    "session_index": [[0, 0, 0, 1, 1, -1]],
    "labels": [[1.0, 0.0, 1.0, 1.0, 0.0, 1.0]],
    "timestamps": [[100, 110, 120, 200, 210, 0]],
    "interaction_types": [["buy", "look", "gone", "look", "buy", ""]],
    "device": [[7, 9, 9, 9, 7, 0]],
}
SPEC = {
    "labels": True,
    "interaction_types": ("look", "buy"),
    "session_times": True,
    "item_times": True,
    "session_context": {"device": (7, 9)},
}


def read(tmp_path: pathlib.Path, **fields: Any) -> dict[str, Any]:
    file = tmp_path / "vocabulary.txt"
    file.write_bytes(vocabulary_lines(VOCABULARY))
    spec = HistorySpec(**fields)
    reader = RequestReader(spec, IdTables(VOCABULARY, file, ""))
    inputs = {name: tf.constant(REQUEST[name], dtype) for name, dtype in reader.item_inputs.items()}
    batch = reader.batch(
        tf.constant(REQUEST["item_ids"]), tf.constant(REQUEST["session_index"]), inputs
    )
    assert set(batch) == set(reader.longest())
    for name, longest in reader.longest().items():
        assert longest.dtype == batch[name].dtype
        assert longest.shape.rank == batch[name].shape.rank
    return {name: value.numpy().tolist() for name, value in batch.items()}


def test_real_sessions(tmp_path: pathlib.Path) -> None:
    assert read(tmp_path, max_items=2, **SPEC) == {
        "item_ids": [[[3, 1], [4, 5]]],
        "labels": [[[0.0, 1.0], [1.0, 0.0]]],
        "interaction_types": [[[1, 0], [1, 2]]],
        "item_times": [[[110, 120], [200, 210]]],
        # The first item's, which `max_items` leaves out.
        "session_times": [[100, 200]],
        "device": [[1, 2]],
    }


def test_each_positive_item_as_a_session(tmp_path: pathlib.Path) -> None:
    assert read(tmp_path, session="item", max_sessions=2, **SPEC) == {
        "item_ids": [[[1], [4]]],
        "interaction_types": [[[0], [1]]],
        "item_times": [[[120], [200]]],
        "session_times": [[120, 200]],
        "device": [[2, 2]],
    }


def test_all_positive_items_as_one_session(tmp_path: pathlib.Path) -> None:
    """It begins at the oldest item that is kept, in training and here."""
    assert read(tmp_path, session="whole", max_items=2, **SPEC) == {
        "item_ids": [[[1, 4]]],
        "interaction_types": [[[0, 1]]],
        "item_times": [[[120, 200]]],
        "session_times": [[120]],
        "device": [[2]],
    }
    without_labels = {**SPEC, "labels": False}
    everything = read(tmp_path, session="whole", max_items=2, **without_labels)
    assert everything["item_ids"] == [[[4, 5]]]
    assert everything["session_times"] == [[200]]


def test_no_positive_item(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REQUEST, "labels", [[0.0] * 6])
    for session in ("item", "whole"):
        assert read(tmp_path, session=session, labels=True) == {"item_ids": [[[0]]]}


def test_only_the_keys_that_the_model_reads(tmp_path: pathlib.Path) -> None:
    assert set(read(tmp_path)) == {"item_ids"}
    assert set(read(tmp_path, session_times=True)) == {"item_ids", "session_times"}
    assert set(read(tmp_path, item_times=True)) == {"item_ids", "item_times"}
    assert read(tmp_path, request_times=True)["request_times"] == [[0, 0]]
