"""Histories in, tensors out, readable by eye."""

from typing import Any

import numpy as np
import pytest

from tfsessionrec.client import History
from tfsessionrec.client.batch import make_inputs
from tfsessionrec.client.transport import TensorSpec

IDS = TensorSpec("string", 2)
SPECS = {"item_ids": IDS, "session_index": TensorSpec("int32", 2), "k": TensorSpec("int32", 1)}


def test_padding() -> None:
    histories = [History(["a", "b"], [4, 4]), History([]), History(["c", "d", "e"])]
    inputs = make_inputs(SPECS, histories, {"k": [1, 2, 3]})
    assert inputs["item_ids"].tolist() == [["a", "b", ""], ["", "", ""], ["c", "d", "e"]]
    assert inputs["session_index"].tolist() == [[4, 4, -1], [-1, -1, -1], [0, 0, 0]]
    assert inputs["k"].tolist() == [1, 2, 3]
    assert {name: value.dtype for name, value in inputs.items()} == {
        "item_ids": object,
        "session_index": np.int32,
        "k": np.int32,
    }


def test_one_length_for_all_requests() -> None:
    specs = {**SPECS, "labels": TensorSpec("float32", 2), "exclude_ids": IDS}
    histories = [History(["a", "b", "c"], [4, 4, 5]), History(["d"])]
    inputs = make_inputs(
        specs,
        histories,
        {"k": [1, 2], "exclude_ids": [["x"], []]},
        history_length=2,
        list_length=3,
    )
    assert inputs["item_ids"].tolist() == [["b", "c"], ["d", ""]]
    assert inputs["session_index"].tolist() == [[4, 5], [0, -1]]
    assert inputs["labels"].shape == (2, 2)
    assert inputs["exclude_ids"].tolist() == [["x", "", ""], ["", "", ""]]
    with pytest.raises(ValueError, match="`exclude_ids` should hold at most 1 values a row"):
        make_inputs(specs, histories, {"k": [1, 2], "exclude_ids": [["x", "y"], []]}, list_length=1)


def test_a_request_of_empty_histories() -> None:
    inputs = make_inputs(SPECS, [History([])], {"k": [1]})
    assert inputs["item_ids"].tolist() == [[""]]


def test_integer_ids() -> None:
    specs = {**SPECS, "item_ids": TensorSpec("int64", 2)}
    inputs = make_inputs(specs, [History([5, "6"])], {"k": [1]})
    assert inputs["item_ids"].tolist() == [[5, 6]]
    with pytest.raises(ValueError, match="`item_ids` should hold values of type int64"):
        make_inputs(specs, [History(["shoes"])], {"k": [1]})


def test_defaults_of_inputs() -> None:
    specs = {
        **SPECS,
        "labels": TensorSpec("float32", 2),
        "exclude_ids": TensorSpec("string", 2, default=""),
        "diversity": TensorSpec("float32", 1),
        "exclude_seen": TensorSpec("bool", 1),
        "allow_ids": TensorSpec("string", 2),
        "tag_mask": TensorSpec("int64", 1, default=3),
        "timestamps": TensorSpec("int64", 2),
    }
    histories = [History(["a"], inputs={"timestamps": [7]}), History([])]
    inputs = make_inputs(specs, histories, {"k": [1, 1]})
    assert inputs["labels"].tolist() == [[1.0]] * 2
    assert inputs["exclude_ids"].tolist() == [[""], [""]]
    assert inputs["allow_ids"].tolist() == [[""], [""]]
    assert inputs["diversity"].tolist() == [0.0, 0.0]
    assert inputs["exclude_seen"].tolist() == [False, False]
    assert inputs["tag_mask"].tolist() == [3, 3]
    assert inputs["timestamps"].tolist() == [[7], [-1]]
    with pytest.raises(ValueError, match="Missing: `timestamps`"):
        make_inputs(specs, [History(["a"])], {"k": [1]})
    with pytest.raises(ValueError, match="the same inputs"):
        make_inputs(specs, [histories[0], History(["b"])], {"k": [1, 1]})


def test_lists_of_unequal_lengths() -> None:
    specs = {**SPECS, "exclude_ids": IDS}
    inputs = make_inputs(
        specs, [History(["a"]), History(["b"])], {"k": [1, 1], "exclude_ids": [["x", "y"], []]}
    )
    assert inputs["exclude_ids"].tolist() == [["x", "y"], ["", ""]]


def test_one_item_a_row() -> None:
    specs = {"item_ids": TensorSpec("string", 1), "k": TensorSpec("int32", 1)}
    inputs = make_inputs(specs, [History(["a"]), History(["b"])], {"k": [1, 2]})
    assert inputs["item_ids"].tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("dtype", "value"), [("int32", 1.5), ("int32", 2**31), ("int64", None), ("float32", "x")]
)
def test_values_that_do_not_fit(dtype: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"`size` should hold values of type {dtype}. Received"):
        TensorSpec(dtype, 1).convert(value, "size")


def test_history_needs_one_value_an_item() -> None:
    with pytest.raises(ValueError, match=r"`session_index` should have one value an item"):
        History(["a", "b"], [0])
    with pytest.raises(ValueError, match=r"`labels` should have one value an item"):
        History(["a", "b"], inputs={"labels": [1.0]})
