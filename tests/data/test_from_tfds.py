import pytest
import tensorflow as tf

from tfsessionrec.data import Vocabulary, session_dataset
from tfsessionrec.data.from_tfds import sessions_from_tfds

SECOND = 1_000_000


def dataset_of(**changes):
    examples = {
        "user_id": ["ann", "bob", "ann"],
        "session_id": [3, 1, 2],
        "session_time": tf.constant([90, 20, 60], tf.int64),
        "item_ids": tf.ragged.constant([[7], [8, 9], [8]], dtype=tf.int64),
        "timestamps": tf.ragged.constant(
            [[90 * SECOND], [20 * SECOND, 20 * SECOND + SECOND // 2], [60 * SECOND]], dtype=tf.int64
        ),
        "labels": tf.ragged.constant([[1.0], [0.0, 1.0], [1.0]]),
        "device": ["phone", "desk", "phone"],
        "price": tf.ragged.constant([[1.5], [2.5, 3.5], [4.5]]),
    } | changes
    return tf.data.Dataset.from_tensor_slices(
        {name: value for name, value in examples.items() if value is not None}
    )


def test_examples_in_events_out():
    events = sessions_from_tfds(dataset_of()).events
    columns = ["user_id", "session_id", "session_index", "item_id", "label", "device", "price"]
    assert events.select(columns).rows() == [
        ("ann", 2, 0, 8, 1.0, "phone", 4.5),
        ("ann", 3, 1, 7, 1.0, "phone", 1.5),
        ("bob", 1, 0, 8, 0.0, "desk", 2.5),
        ("bob", 1, 0, 9, 1.0, "desk", 3.5),
    ]
    assert events["timestamp"].to_list() == [60.0, 90.0, 20.0, 20.5]
    assert "session_time" not in events.columns


def test_without_labels_all_are_positive():
    assert sessions_from_tfds(dataset_of(labels=None)).events["label"].to_list() == [1.0] * 4


def test_any_number_of_examples():
    numbers = tf.range(20_000, dtype=tf.int64)  # more than are read at once
    dataset = tf.data.Dataset.from_tensor_slices({"user_id": numbers, "session_id": numbers}).map(
        lambda example: (
            example
            | {
                "item_ids": tf.fill([1 + example["user_id"] % 3], example["user_id"]),
                "timestamps": tf.range(1 + example["user_id"] % 3),
            }
        )
    )
    events = sessions_from_tfds(dataset).events
    assert events["item_id"].to_list() == [n for n in range(20_000) for _ in range(1 + n % 3)]


def test_session_dataset_takes_it():
    (batch,) = session_dataset(dataset_of(), Vocabulary([7, 8, 9]), context=["price"])
    assert batch["item_ids"].numpy().tolist() == [[[3, 0], [2, 0]], [[3, 4], [0, 0]]]
    assert batch["price"].numpy().tolist() == [[[4.5, 0], [1.5, 0]], [[2.5, 3.5], [0, 0]]]


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (dataset_of(user_id=None), "dicts with the keys user_id, session_id, item_ids"),
        (dataset_of().map(lambda example: example["user_id"]), "dicts with the keys user_id"),
        (dataset_of().batch(2), "a dataset that is not batched"),
        (dataset_of().take(0), "at least one session. Received: none"),
        (
            dataset_of(timestamps=tf.ragged.constant([[1.0], [2.0, 3.0], [4.0]])),
            "'timestamps' as integers, unix microseconds",
        ),
        (
            dataset_of(price=tf.ragged.constant([[1.5], [2.5], [4.5]])),
            "as many 'price' as 'item_ids'",
        ),
    ],
)
def test_bad_datasets(dataset, message):
    with pytest.raises(ValueError, match=message):
        sessions_from_tfds(dataset)
