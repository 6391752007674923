import itertools
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsessionrec.export.session_features import session_features


def rebuilt(items: list[list[int]], sessions: list[list[int]], **limits: int) -> list[Any]:
    features = session_features(
        tf.constant(items, tf.int32), tf.constant(sessions, tf.int32), **limits
    )
    return features["item_ids"].numpy().tolist()


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
        # The same number in two rows is two sessions; short and empty rows beside a long one.
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
    assert session_features(empty, empty)["item_ids"].shape == (0, 1, 1)


def test_labels_stay_with_their_items() -> None:
    features = session_features(
        tf.constant([[4, 5, 6, 7]]),
        tf.constant([[0, 1, 1, -1]]),
        tf.constant([[1.0, 0.0, 1.0, 1.0]]),
    )
    assert features["item_ids"].numpy().tolist() == [[[4, 0], [5, 6]]]
    assert features["labels"].numpy().tolist() == [[[1, 0], [0, 1]]]


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
