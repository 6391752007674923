"""The messages written by hand against the real ones."""

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec.export.prediction_log import PredictionLog

INPUTS = {
    "item_ids": np.array([["tea", "Käse 😀", ""], ["x" * 300, "b", "c"]], object),
    "session_index": np.array([[0, 1, -1], [0, 0, 0]], np.int32),
    "timestamps": np.array([[2**62, -1, 0], [1, 2, 3]], np.int64),
    "labels": np.array([[0.5, -0.0, 1e-30], [1, 2, 3]], np.float32),
    "exclude_seen": np.array([True, False]),
    "nothing": np.zeros([2, 0], np.int32),
}
OUTPUTS = {"scores": np.linspace(-1, 1, 2000, dtype=np.float32).reshape(2, 1000)}


def same(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        if value.dtype == object:
            value = np.vectorize(str.encode, otypes=[object])(value)
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)


def test_the_real_message_reads_it() -> None:
    apis = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    content = PredictionLog("shop", "recommend_filtered", INPUTS, OUTPUTS).to_bytes()
    log = apis.PredictionLog.FromString(content)
    assert log.WhichOneof("log_type") == "predict_log"
    for spec in (log.predict_log.request.model_spec, log.predict_log.response.model_spec):
        assert (spec.name, spec.signature_name) == ("shop", "recommend_filtered")
    for found, wanted in (
        (log.predict_log.request.inputs, INPUTS),
        (log.predict_log.response.outputs, OUTPUTS),
    ):
        same({name: tf.make_ndarray(tensor) for name, tensor in found.items()}, wanted)
    # Nothing is in it that the real message does not know.
    assert sorted(apis.PredictionLog.FromString(content).SerializeToString()) == sorted(content)


def test_it_reads_the_real_message() -> None:
    apis = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    log = apis.PredictionLog()
    spec = log.predict_log.request.model_spec
    spec.name, spec.signature_name = "shop", "rank"
    for name, value in INPUTS.items():
        log.predict_log.request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    found = PredictionLog.from_bytes(log.SerializeToString())
    assert (found.model_name, found.signature, found.outputs) == ("shop", "rank", {})
    same(dict(found.inputs), INPUTS)


def test_there_and_back() -> None:
    log = PredictionLog("m" * 200, "encode", INPUTS, OUTPUTS)
    found = PredictionLog.from_bytes(log.to_bytes())
    assert found[:2] == log[:2]
    same(dict(found.inputs), INPUTS)
    same(dict(found.outputs), OUTPUTS)


@pytest.mark.parametrize("keep", [0, 1, 5, 40, -1])
def test_a_damaged_message(keep: int) -> None:
    content = PredictionLog("shop", "encode", INPUTS, OUTPUTS).to_bytes()
    with pytest.raises(ValueError, match="`content` should be a `PredictionLog` of a call"):
        PredictionLog.from_bytes(content[:keep])


def test_a_call_of_another_kind() -> None:
    with pytest.raises(ValueError, match="Received: 2 bytes that are not one: KeyError"):
        PredictionLog.from_bytes(b"\x12\x00")  # an empty classify_log
