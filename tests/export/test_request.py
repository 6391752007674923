"""Raw requests become the session batch that training would make of the same events."""

import itertools
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsessionrec.data import Vocabulary
from tfsessionrec.export.request import IdTables, RequestReader, vocabulary_lines
from tfsessionrec.history_spec import HistorySpec
from tfsessionrec.session_batch import request_batch

VOCABULARY = Vocabulary([f"item {n}" for n in range(9)], range(9, 0, -1))


def rebuilt(items: list[list[int]], sessions: list[list[int]], **limits: int) -> list[Any]:
    spec = HistorySpec(**limits)
    batch = request_batch(spec, tf.constant(items, tf.int32), tf.constant(sessions, tf.int32))
    return batch["item_ids"].numpy().tolist()


@pytest.mark.parametrize(
    ("items", "sessions", "expected"),
    [
        ([[5, 6, 7]], [[0, 0, 1]], [[[5, 6], [7, 0]]]),
        # Only changes of the number count, not the number.
        ([[5, 6, 7]], [[3, 3, 90]], [[[5, 6], [7, 0]]]),
        ([[5, 6, 7]], [[4, 1, 1]], [[[5, 0], [6, 7]]]),
        # A number that comes back begins one more session.
        ([[5, 6, 7]], [[0, 1, 0]], [[[5], [6], [7]]]),
        # Padding by number or by index, at the end or within: it leaves no trace.
        ([[5, 6, 7, 8]], [[0, 0, -1, -1]], [[[5, 6]]]),
        ([[5, 0, 7, 8]], [[0, 0, -1, 0]], [[[5, 8]]]),
        ([[5, 0, 7]], [[0, 1, 2]], [[[5], [7]]]),
        # The same number in two rows is two sessions; short and empty rows next to a long one.
        ([[5, 6], [0, 0], [7, 0]], [[1, 1], [-1, -1], [1, -1]], [[[5, 6]], [[0, 0]], [[7, 0]]]),
        # Empty: still one session of one item, of padding.
        ([[0, 0]], [[-1, -1]], [[[0]]]),
        ([[], []], [[], []], [[[0]], [[0]]]),
        # The newest sessions, and the newest items of each: limits are 3 and 2.
        ([[1, 2, 3, 4, 5]], [[0, 1, 2, 3, 4]], [[[3], [4], [5]]]),
        ([[1, 2, 3, 4, 5]], [[0, 0, 0, 0, 1]], [[[3, 4], [5, 0]]]),
        (
            [[9, 9, 1, 2, 3, 4, 5, 6], [7, 8, 0, 0, 0, 0, 0, 0]],
            [[0, 1, 2, 2, 2, 3, 4, 4], [0, 1, -1, -1, -1, -1, -1, -1]],
            [[[2, 3], [4, 0], [5, 6]], [[7, 0], [8, 0], [0, 0]]],
        ),
    ],
)
def test_literal(items: Any, sessions: Any, expected: Any) -> None:
    assert rebuilt(items, sessions, max_sessions=3, max_items=2) == expected


def test_no_rows() -> None:
    empty = tf.zeros([0, 3], tf.int32)
    assert request_batch(HistorySpec(), empty, empty)["item_ids"].shape == (0, 1, 1)


def test_labels_stay_with_their_items() -> None:
    batch = request_batch(
        HistorySpec(labels=True),
        tf.constant([[4, 5, 6, 7]]),
        tf.constant([[0, 1, 1, -1]]),
        tf.constant([[1.0, 0.0, 1.0, 1.0]]),
    )
    assert batch["item_ids"].numpy().tolist() == [[[4, 0], [5, 6]]]
    assert batch["labels"].numpy().tolist() == [[[1, 0], [0, 1]]]


rows = st.lists(
    st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 2)), max_size=12), min_size=1, max_size=4
)


@settings(max_examples=60, deadline=None)
@given(rows, st.integers(1, 4), st.integers(1, 4), st.integers(0, 3))
def test_against_plain_python(
    batch: list[list[tuple[int, int]]], max_sessions: int, max_items: int, extra: int
) -> None:
    length = max(map(len, batch)) + extra
    padded = np.array([row + [(1, -1)] * (length - len(row)) for row in batch], np.int32)
    padded = padded.reshape(len(batch), length, 2)
    got = rebuilt(
        padded[..., 0].tolist(),
        padded[..., 1].tolist(),
        max_sessions=max_sessions,
        max_items=max_items,
    )
    for row, answer in zip(batch, got, strict=True):
        real = [(item, number) for item, number in row if item > 0 and number >= 0]
        runs = [[item for item, _ in run] for _, run in itertools.groupby(real, lambda x: x[1])]
        expected = [run[-max_items:] for run in runs[-max_sessions:]]
        without_padding = [[item for item in session if item] for session in answer]
        assert [session for session in without_padding if session] == expected
        # Padding is last.
        assert without_padding[: len(expected)] == expected
        assert all(s[: len(w)] == w for s, w in zip(answer, without_padding, strict=True))


# With raw ids and all that a specification may hold. Five items, the second and the last of which
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
