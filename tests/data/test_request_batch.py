"""The histories of requests as batches: by eye, against NumPy, and against those of training."""

import dataclasses
import itertools

import numpy as np
import polars as pl
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsessionrec.data import Examples, Vocabulary, session_dataset, sessionize
from tfsessionrec.history_spec import HistorySpec
from tfsessionrec.session_batch import last_session, request_batch

SMALL = HistorySpec(max_sessions=3, max_items=2)
KINDS = ("real", "item", "whole")


def item_ids(items: list, sessions: list, spec: HistorySpec = SMALL) -> list:
    ids, index = tf.constant(items, tf.int32), tf.constant(sessions, tf.int32)
    return request_batch(spec, ids, index)["item_ids"].numpy().tolist()


@pytest.mark.parametrize(
    ("items", "sessions", "expected"),
    [
        ([[5, 6, 7]], [[0, 0, 1]], [[[5, 6], [7, 0]]]),
        # Only changes of the number count, not the number.
        ([[5, 6, 7]], [[3, 3, 90]], [[[5, 6], [7, 0]]]),
        ([[5, 6, 7]], [[4, 1, 1]], [[[5, 0], [6, 7]]]),
        # A number that comes back starts another session.
        ([[5, 6, 7]], [[0, 1, 0]], [[[5], [6], [7]]]),
        # Padding by number or by index, at the end or within: it changes nothing.
        ([[5, 6, 7, 8]], [[0, 0, -1, -1]], [[[5, 6]]]),
        ([[5, 0, 7, 8]], [[0, 0, -1, 0]], [[[5, 8]]]),
        ([[5, 0, 7]], [[0, 1, 2]], [[[5], [7]]]),
        # The same number in two rows is two sessions; short and empty rows next to a long one.
        ([[5, 6], [0, 0], [7, 0]], [[1, 1], [-1, -1], [1, -1]], [[[5, 6]], [[0, 0]], [[7, 0]]]),
        # Empty: one session of one item, of padding.
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
def test_literal(items: list, sessions: list, expected: list) -> None:
    assert item_ids(items, sessions) == expected


@pytest.mark.parametrize(
    ("session", "expected"),
    [("item", [[[7], [8], [9]], [[4], [0], [0]]]), ("whole", [[[8, 9]], [[4, 0]]])],
)
def test_other_kinds_of_sessions(session: str, expected: list) -> None:
    spec = dataclasses.replace(SMALL, session=session)
    items, sessions = [[6, 7, 0, 8, 9], [4, 0, 0, 0, 0]], [[0, 0, 0, 1, 2], [0, -1, -1, -1, -1]]
    assert item_ids(items, sessions, spec) == expected


@pytest.mark.parametrize("session", KINDS)
def test_no_rows(session: str) -> None:
    empty = tf.zeros([0, 3], tf.int32)
    batch = request_batch(HistorySpec(session=session), empty, empty)
    assert batch["item_ids"].shape == (0, 1, 1)


@pytest.mark.parametrize(
    ("session", "ids", "labels"),
    [
        ("real", [[[4, 0], [5, 6]]], [[[1, 0], [0, 1]]]),
        ("item", [[[4], [6]]], None),  # items with label 0 or less are left out
        ("whole", [[[4, 6]]], None),
    ],
)
def test_labels(session: str, ids: list, labels: list | None) -> None:
    batch = request_batch(
        HistorySpec(session=session, labels=True),
        tf.constant([[4, 5, 6, 7]]),
        tf.constant([[0, 1, 1, -1]]),
        tf.constant([[1.0, -1.0, 0.5, 1.0]]),
    )
    assert batch["item_ids"].numpy().tolist() == ids
    assert ("labels" in batch) == (labels is not None)
    if labels is not None:
        assert batch["labels"].dtype == tf.float32
        assert batch["labels"].numpy().tolist() == labels


def test_a_session_has_the_features_of_its_first_item() -> None:
    batch = request_batch(
        HistorySpec(max_items=1),
        tf.constant([[4, 5, 6]]),
        tf.constant([[0, 0, 1]]),
        of_items={"item_times": tf.constant([[10, 11, 12]], tf.int64)},
        of_sessions={"session_times": tf.constant([[10, 11, 12]], tf.int64)},
    )
    assert batch["item_times"].numpy().tolist() == [[[11], [12]]]
    assert batch["session_times"].numpy().tolist() == [[10, 12]]  # though item 4 is cut off


def test_last_session() -> None:
    ids = tf.constant([[[5, 6], [7, 0]], [[5, 0], [0, 0]], [[0, 0], [0, 0]]])
    assert last_session(ids).dtype == tf.int32
    assert last_session(ids).numpy().tolist() == [1, 0, -1]
    assert last_session(ids[:0]).shape == (0,)


# ---------------------------------------------------------------------------------------------
# Against plain Python
# ---------------------------------------------------------------------------------------------

ITEMS = st.tuples(st.integers(0, 3), st.integers(-1, 2), st.integers(0, 1), st.integers(1, 99))


def oracle(
    spec: HistorySpec, row: list[tuple[int, int, int, int]], labels: bool
) -> list[list[tuple[int, int, int, int]]]:
    real = [item for item in row if item[0] > 0 and item[1] >= 0]
    if spec.session != "real" and labels:
        real = [item for item in real if item[2] > 0]
    if spec.session == "item":
        sessions = [[item] for item in real]
    elif spec.session == "whole":
        sessions = [real] if real else []
    else:
        sessions = [list(run) for _, run in itertools.groupby(real, lambda item: item[1])]
    return sessions[-spec.max_sessions :]


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.lists(ITEMS, max_size=12), min_size=1, max_size=4),
    session=st.sampled_from(KINDS),
    max_sessions=st.integers(1, 4),
    max_items=st.integers(1, 4),
    extra=st.integers(0, 3),
    labels=st.booleans(),
)
def test_against_plain_python(
    rows: list[list[tuple[int, int, int, int]]],
    session: str,
    max_sessions: int,
    max_items: int,
    extra: int,
    labels: bool,
) -> None:
    spec = HistorySpec(session, max_sessions, max_items, labels=labels)
    length = max(map(len, rows)) + extra
    padded = np.array([row + [(1, -1, 1, 7)] * (length - len(row)) for row in rows], np.int32)
    ids, index, label, time = np.moveaxis(padded.reshape(len(rows), length, 4), 2, 0)
    batch = request_batch(
        spec,
        tf.constant(ids),
        tf.constant(index),
        tf.constant(label, tf.float32) if labels else None,
        of_items={"item_times": tf.constant(time)},
        of_sessions={"session_times": tf.constant(time)},
    )
    expected = [oracle(spec, row, labels) for row in rows]
    width = max(1, *map(len, expected)) if len(expected) > 1 else max(1, len(expected[0]))
    longest = [len(items) for sessions in expected for items in sessions]
    shape = (len(rows), width, min(max_items, max(longest, default=1)))
    cells = {name: np.zeros(shape, np.int32) for name in ("item_ids", "labels", "item_times")}
    starts = np.zeros(shape[:2], np.int32)
    for row, sessions in enumerate(expected):
        for place, items in enumerate(sessions):
            starts[row, place] = items[0][3] if session != "whole" else items[-max_items:][0][3]
            kept = np.array(items[-max_items:])
            for name, column in (("item_ids", 0), ("labels", 2), ("item_times", 3)):
                cells[name][row, place, : len(kept)] = kept[:, column]
    if not labels or session != "real":
        del cells["labels"]
    assert set(batch) == {*cells, "session_times"}
    np.testing.assert_array_equal(batch["session_times"], starts)
    for name, value in cells.items():
        np.testing.assert_array_equal(batch[name], value, name)


# ---------------------------------------------------------------------------------------------
# Against the batches of training and evaluation
# ---------------------------------------------------------------------------------------------

VOCABULARY = Vocabulary(["a", "b", "c", "d"])
EVENTS = st.lists(
    st.tuples(
        st.integers(0, 2),  # user
        st.integers(0, 3),  # session of the user
        st.sampled_from(["a", "b", "c", "d", "unknown"]),
        st.integers(0, 50),  # time, with ties
        st.integers(0, 1),  # label
        st.sampled_from(["click", "buy", "view", None]),
        st.sampled_from(["phone", "desk", "watch", None]),
        st.floats(0, 9, width=32),
    ),
    min_size=1,
    max_size=40,
)
COLUMNS = ["user", "session", "item_id", "timestamp", "clicked", "type", "device", "hour"]


def served_batch(spec: HistorySpec, events: pl.DataFrame) -> dict[str, tf.Tensor]:
    """The batch of requests that send the events of each user as [B, N] columns."""
    categories = {"interaction_type": ["click", "buy"], "device": ["phone", "desk"]}
    users = [user for _, user in events.group_by("user_id", maintain_order=True)]
    longest = max(map(len, users))

    def padded(name: str, padding: int, dtype: type) -> tf.Tensor:
        rows = np.full((len(users), longest), padding, dtype)
        for row, user in zip(rows, users, strict=True):
            values = user[name].to_list()
            if name == "item_id":
                values = VOCABULARY.lookup(values)
            if name in categories:
                known = categories[name]
                values = [known.index(v) + 1 if v in known else 0 for v in values]
            row[: len(user)] = values
        return tf.constant(rows)

    times = padded("timestamp", 0, np.int64)
    return request_batch(
        spec,
        padded("item_id", 0, np.int32),
        padded("session_index", -1, np.int32),
        padded("label", 0, np.float32),
        of_items={
            "item_times": times,
            "interaction_types": padded("interaction_type", 0, np.int32),
        },
        of_sessions={
            "session_times": times,
            "device": padded("device", 0, np.int32),
            "hour": padded("hour", 0, np.float64),
        },
    )


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    events=EVENTS,
    session=st.sampled_from(KINDS),
    max_sessions=st.integers(1, 4),
    max_items=st.integers(1, 4),
)
def test_requests_are_laid_out_as_training_and_evaluation_are(
    events: list[tuple], session: str, max_sessions: int, max_items: int
) -> None:
    # Each user gets a last session to predict; a request sends the sessions before it.
    users = sorted({event[0] for event in events})
    events = events + [(user, 9, "a", 99, 1, "buy", None, 1.0) for user in users]
    log = pl.DataFrame(
        events,
        schema=COLUMNS,
        schema_overrides={"type": pl.String, "device": pl.String},
        orient="row",
    )
    sessions = sessionize(
        log,
        user="user",
        session="session",
        label="clicked",
        interaction_type="type",
        keep=["device", "hour"],
    )
    spec = HistorySpec(
        session,
        max_sessions,
        max_items,
        labels=True,
        interaction_types=("click", "buy"),
        session_times=True,
        item_times=True,
        session_context={"device": ("phone", "desk"), "hour": None},
    )
    served = served_batch(spec, sessions.events.filter(pl.col("session_id") != 9))
    examples = Examples.last_sessions(sessions)

    (evaluated,) = session_dataset(examples, VOCABULARY, spec, targets="last")
    for name, value in served.items():
        assert value.dtype == evaluated[name].dtype, name
        np.testing.assert_array_equal(value, evaluated[name], name)

    (trained,) = session_dataset(examples, VOCABULARY, spec)
    target = trained["is_target"].numpy()
    assert (target.sum(axis=1) == 1).all()
    for name, value in served.items():
        history = trained[name].numpy()
        history[target] = 0
        same = tuple(slice(size) for size in value.shape)
        np.testing.assert_array_equal(value, history[same], name)
        history[same] = 0
        assert not history.any()
