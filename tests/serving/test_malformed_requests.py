"""Malformed requests: each is refused with a 4xx or has a defined answer."""

import base64
import json
import math
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

LOWEST = float(np.finfo(np.float32).min)
PATH = "/v1/models/shop:predict"
GOOD = {"item_ids": [["item 3", "item 1"]], "session_index": [[0, 1]], "k": [3]}
RANK = {"item_ids": [["item 3"]], "session_index": [[0]], "candidate_ids": [["item 5", "item 0"]]}
REFUSED = "refused"

Answer = dict[str, Any]


def same_as(**inputs: Any) -> Callable[[Answer, Callable[..., Answer]], None]:
    """The answer is that to another, well-formed request."""

    def check(answer: Answer, ask: Callable[..., Answer]) -> None:
        expected = ask({**GOOD, **inputs})
        assert answer["item_ids"] == expected["item_ids"]
        np.testing.assert_allclose(answer["scores"], expected["scores"], rtol=1e-5, atol=1e-6)

    return check


def columns(count: int) -> Callable[[Answer, Any], None]:
    """So many recommendations of real items, best first, and finite scores."""

    def check(answer: Answer, _: Any) -> None:
        (ids,), (scores,) = answer["item_ids"], answer["scores"]
        assert len(ids) == len(set(ids)) == len(scores) == count
        assert all(one.startswith("item ") for one in ids)
        assert sorted(scores, reverse=True) == scores
        assert all(math.isfinite(one) and one > LOWEST for one in scores)

    return check


def nothing(answer: Answer, _: Any) -> None:
    """No recommendation."""
    assert all(one == "" for row in answer["item_ids"] for one in row)
    # Read from nine decimal digits.
    assert all(np.float32(one) == LOWEST for row in answer["scores"] for one in row)


def no_rows(answer: Answer, _: Any) -> None:
    assert all(len(value) == 0 for value in answer.values())


def known(*expected: bool) -> Callable[[Answer, Any], None]:
    def check(answer: Answer, _: Any) -> None:
        assert answer["known"] == [list(expected)]
        assert [one > LOWEST for one in answer["scores"][0]] == list(expected)

    return check


def b64(content: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(content).decode()}


def inputs(**changes: Any) -> dict[str, Any]:
    """GOOD with other inputs; None removes one."""
    changed = {**GOOD, **changes}
    return {"inputs": {name: value for name, value in changed.items() if value is not None}}


def ranked(**changes: Any) -> dict[str, Any]:
    return {"signature_name": "rank", "inputs": {**RANK, **changes}}


def filtered(**changes: Any) -> dict[str, Any]:
    neutral = {
        "exclude_ids": [[""]],
        "allow_ids": [[""]],
        "exclude_seen": [False],
        "diversity": [0.0],
    }
    return {"signature_name": "recommend_filtered", "inputs": {**GOOD, **neutral, **changes}}


def only(*items: str) -> Callable[[Answer, Any], None]:
    def check(answer: Answer, _: Any) -> None:
        assert [one for one in answer["item_ids"][0] if one] == list(items)

    return check


def real_items(answer: Answer, _: Any) -> None:
    """Three different items with finite scores, in whatever order."""
    (ids,), (scores,) = answer["item_ids"], answer["scores"]
    assert len(set(ids)) == 3
    assert all(one.startswith("item ") for one in ids)
    assert all(math.isfinite(one) and one > LOWEST for one in scores)


def columns_of(count: int) -> Callable[[Answer, Any], None]:
    """So many different items, and padding after them."""

    def check(answer: Answer, _: Any) -> None:
        (ids,) = answer["item_ids"]
        assert all(ids[:count])
        assert not any(ids[count:])
        assert len(set(ids[:count])) == count

    return check


REST: dict[str, tuple[Any, Any]] = {
    # Wrong types.
    "ids are numbers": (inputs(item_ids=[[3, 1]]), REFUSED),
    "ids are null": (inputs(item_ids=[[None, "item 1"]]), REFUSED),
    "ids are objects": (inputs(item_ids=[[{"id": "item 3"}, "item 1"]]), REFUSED),
    "ids are no base64": (inputs(item_ids=[[{"b64": "*"}, "item 1"]]), REFUSED),
    "k is a string": (inputs(k=["3"]), REFUSED),
    "k is a fraction": (inputs(k=[2.5]), REFUSED),
    "k is a truth": (inputs(k=[True]), REFUSED),
    "k is null": (inputs(k=[None]), REFUSED),
    "k is not a number": (b'{"inputs": {"k": [NaN]}}', REFUSED),
    "session_index is a fraction": (inputs(session_index=[[0.5, 1]]), REFUSED),
    "session_index is strings": (inputs(session_index=[["0", "1"]]), REFUSED),
    "session_index is too large": (inputs(session_index=[[0, 2**40]]), REFUSED),
    # Wrong shapes.
    "ids without a batch": (inputs(item_ids=["item 3", "item 1"]), REFUSED),
    "ids and index without a batch": (
        inputs(item_ids=["item 3", "item 1"], session_index=[0, 1]),
        REFUSED,
    ),
    "ids of three dimensions": (inputs(item_ids=[[["item 3"], ["item 1"]]]), REFUSED),
    "all of three dimensions": (
        inputs(item_ids=[[["item 3", "item 1"]]], session_index=[[[0, 1]]]),
        REFUSED,
    ),
    "ids are one string": (inputs(item_ids="item 3"), REFUSED),
    "k is one number": (inputs(k=3), REFUSED),
    "k is a matrix": (inputs(k=[[3]]), REFUSED),
    "k for two rows": (inputs(k=[3, 3]), REFUSED),
    "index shorter than ids": (inputs(session_index=[[0]]), REFUSED),
    "index for two rows": (inputs(session_index=[[0, 1], [0, 1]]), REFUSED),
    "ragged ids": (
        inputs(item_ids=[["item 3"], ["item 1", "item 2"]], session_index=[[0, 0]] * 2, k=[1, 1]),
        REFUSED,
    ),
    "candidates without a batch": (ranked(candidate_ids=["item 5"]), REFUSED),
    "candidates for two rows": (ranked(candidate_ids=[["item 5"]] * 2), REFUSED),
    # Something missing, something more.
    "no k": (inputs(k=None), REFUSED),
    "no ids": (inputs(item_ids=None), REFUSED),
    "no index": (inputs(session_index=None), REFUSED),
    "no inputs at all": ({"inputs": {}}, REFUSED),
    # The server ignores inputs that the signature does not name.
    "an input too many": (inputs(colour=["red"]), same_as()),
    "labels that the export does not read": (inputs(labels=[[1.0, 0.0]]), same_as()),
    "rank without candidates": ({"signature_name": "rank", **inputs(k=None)}, REFUSED),
    "an unknown signature": ({"signature_name": "guess", **inputs()}, REFUSED),
    "a signature that is a number": ({"signature_name": 3, **inputs()}, REFUSED),
    # No request at all.
    "no JSON": (b"item 3", REFUSED),
    "no content": (b"", REFUSED),
    "half a JSON": (json.dumps(inputs()).encode()[:-9], REFUSED),
    "a list": (b"[]", REFUSED),
    "neither inputs nor instances": ({"rows": []}, REFUSED),
    "both inputs and instances": ({**inputs(), "instances": [{}]}, REFUSED),
    "instances of unlike keys": (
        {"instances": [{**{"item_ids": ["a"], "session_index": [0], "k": 1}}, {"item_ids": ["a"]}]},
        REFUSED,
    ),
    "invalid UTF-8 in the JSON": (b'{"inputs": {"item_ids": [["\xff\xfe"]]}}', REFUSED),
    # Strange, with a defined answer.
    "k is 0": (inputs(k=[0]), nothing),
    "k is negative": (inputs(k=[-5]), nothing),
    "k is the lowest number": (inputs(k=[-(2**31)]), nothing),
    "k over the catalogue": (inputs(k=[1000]), columns(12)),
    "k is the highest number": (inputs(k=[2**31 - 1]), columns(12)),
    "unknown ids are out of the vocabulary": (
        inputs(item_ids=[["missing", "item 3"]], session_index=[[0, 0]]),
        columns(3),
    ),
    "invalid UTF-8 in an id": (
        inputs(item_ids=[[b64(b"\xff\xfe\x00"), "item 3"]]),
        same_as(item_ids=[["missing", "item 3"]]),
    ),
    "a zero byte in an id": (
        inputs(item_ids=[["item 3\0", "item 1"]]),
        same_as(item_ids=[["missing", "item 1"]]),
    ),
    "an id with a line break": (
        inputs(item_ids=[["item 3\nitem 4", "item 1"]]),
        same_as(item_ids=[["missing", "item 1"]]),
    ),
    "an id of a megabyte": (
        inputs(item_ids=[["x" * 1_000_000, "item 1"]]),
        same_as(item_ids=[["missing", "item 1"]]),
    ),
    "session_index out of order": (
        inputs(item_ids=[["item 3", "item 1"]], session_index=[[9, 2]]),
        same_as(session_index=[[0, 1]]),
    ),
    "session_index comes back": (
        inputs(item_ids=[["item 3", "item 1", "item 3"]], session_index=[[4, 0, 4]]),
        same_as(item_ids=[["item 3", "item 1", "item 3"]], session_index=[[0, 1, 2]]),
    ),
    "session_index at its highest": (
        inputs(session_index=[[2**31 - 1, 1]]),
        same_as(session_index=[[0, 1]]),
    ),
    "session_index at its lowest is padding": (
        inputs(session_index=[[-(2**31), 1]]),
        same_as(item_ids=[["item 1"]], session_index=[[0]]),
    ),
    "padding first": (
        inputs(item_ids=[["", "item 3"]], session_index=[[-1, 0]]),
        same_as(item_ids=[["item 3"]], session_index=[[0]]),
    ),
    "padding that is an item": (
        inputs(item_ids=[["item 3", "item 7"]], session_index=[[0, -1]]),
        same_as(item_ids=[["item 3"]], session_index=[[0]]),
    ),
    "padding only": (inputs(item_ids=[["", ""]], session_index=[[-1, -1]]), columns(3)),
    "candidates unknown, empty and twice": (
        ranked(candidate_ids=[["item 5", "missing", "", "item 5"]]),
        known(True, False, False, True),
    ),
    "a history of 10 MB": (
        inputs(
            item_ids=[["x" * 200] * 50_000 + ["item 3"]],
            session_index=[[0] * 50_001],
        ),
        same_as(item_ids=[["missing", "missing", "item 3"]], session_index=[[0, 0, 0]]),
    ),
    # Rules of a request.
    "no item is allowed that exists": (filtered(allow_ids=[["missing"]]), nothing),
    "everything is excluded": (
        filtered(exclude_ids=[[f"item {n}" for n in range(12)]]),
        nothing,
    ),
    "excluded and allowed": (
        filtered(exclude_ids=[["item 5"]], allow_ids=[["item 5", "item 6"]]),
        only("item 6"),
    ),
    "excluded ids for two rows": (filtered(exclude_ids=[["item 5"]] * 2), REFUSED),
    "exclude_seen is a number": (filtered(exclude_seen=[1]), REFUSED),
    "exclude_seen for two rows": (filtered(exclude_seen=[True, True]), REFUSED),
    "diversity is a string": (filtered(diversity=["0.5"]), REFUSED),
    "diversity is not a number": (filtered(diversity=[math.nan]), real_items),
    "diversity is infinite": (filtered(diversity=[math.inf]), real_items),
    "diversity is negative": (filtered(diversity=[-3.0]), real_items),
    "diversity is far above 1": (filtered(diversity=[1e30]), real_items),
    "k over the catalogue with rules": (
        filtered(k=[2**31 - 1], diversity=[0.5], exclude_seen=[True]),
        columns_of(10),
    ),
    "k is negative with rules": (filtered(k=[-1], diversity=[0.5]), nothing),
    "an unknown item is like no other": (
        {"signature_name": "similar_items", "inputs": {"item_ids": ["missing"], "k": [3]}},
        nothing,
    ),
    "similar to an item of two dimensions": (
        {"signature_name": "similar_items", "inputs": {"item_ids": [["item 3"]], "k": [3]}},
        REFUSED,
    ),
}


def send(server: Any, body: Any, path: str = PATH) -> tuple[int, Any]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(server.rest + path, content)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(errors="replace")


def alive(server: Any) -> None:
    assert server.process.poll() is None
    status, answer = send(server, inputs())
    assert status == 200, answer
    columns(3)(answer["outputs"], None)


def test_there_are_fifty() -> None:
    assert len(REST) + len(GRPC) >= 50


@pytest.mark.parametrize("name", REST)
def test_over_rest(server: Any, name: str) -> None:
    body, expected = REST[name]
    status, answer = send(server, body)
    if expected is REFUSED:
        assert 400 <= status < 500, (status, answer)
        assert re.fullmatch(r'\s*\{\s*"error":\s*".+"\s*\}\s*', answer), answer
    elif server.kind == "stand-in" or not 400 <= status < 500:  # The server may refuse more.
        assert status == 200, answer

        def ask(well_formed: Any) -> Answer:
            status, answer = send(server, {"inputs": well_formed})
            assert status == 200, answer
            return answer["outputs"]

        expected(answer["outputs"], ask)
    alive(server)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/models/other:predict", 404),
        ("/v1/models/shop/versions/99:predict", 404),
        ("/v1/models/shop/labels/missing:predict", 400),
        ("/v1/models/shop/versions/x:predict", 400),
        ("/v1/models/shop:guess", 400),
    ],
)
def test_paths(server: Any, path: str, status: int) -> None:
    code, answer = send(server, inputs(), path)
    assert 400 <= code < 500, answer
    if server.kind == "stand-in":
        assert code == status
    alive(server)


def tensors(**changes: Any) -> dict[str, Any]:
    """NumPy arrays of GOOD with changes; None removes one."""
    changed = {
        "item_ids": np.array([[b"item 3", b"item 1"]], object),
        "session_index": np.array([[0, 1]], np.int32),
        "k": np.array([3], np.int32),
        **changes,
    }
    return {name: value for name, value in changed.items() if value is not None}


GRPC: dict[str, tuple[dict[str, Any], Any]] = {
    "k of 64 bits": (tensors(k=np.array([3], np.int64)), REFUSED),
    "k of floats": (tensors(k=np.array([np.nan], np.float32)), REFUSED),
    "index of 64 bits": (tensors(session_index=np.array([[0, 1]])), REFUSED),
    "index of floats": (tensors(session_index=np.array([[0, np.inf]], np.float32)), REFUSED),
    "ids of numbers": (tensors(item_ids=np.array([[3, 1]])), REFUSED),
    "no k": (tensors(k=None), REFUSED),
    "an input too many": (tensors(colour=np.array([b"red"], object)), REFUSED),
    "ids of no dimension": (tensors(item_ids=np.array(b"item 3", object)), REFUSED),
    "k of no dimension": (tensors(k=np.array(3, np.int32)), REFUSED),
    "ids of four dimensions": (
        tensors(item_ids=np.array([[[[b"item 3"]]]], object)),
        REFUSED,
    ),
    "invalid UTF-8": (
        tensors(item_ids=np.array([[b"\xff\xfe\x80", b"item 1"]], object)),
        columns(3),
    ),
    "no rows": (
        tensors(
            item_ids=np.zeros([0, 2], object),
            session_index=np.zeros([0, 2], np.int32),
            k=np.zeros([0], np.int32),
        ),
        no_rows,
    ),
    "no items": (
        tensors(item_ids=np.zeros([1, 0], object), session_index=np.zeros([1, 0], np.int32)),
        columns(3),
    ),
}


@pytest.mark.parametrize("name", GRPC)
def test_over_grpc(server: Any, name: str) -> None:
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    arrays, expected = GRPC[name]
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "shop"
    for key, value in arrays.items():
        dtype = tf.string if value.dtype == object else value.dtype
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value, dtype, value.shape))
    with grpc.insecure_channel(server.grpc.removeprefix("grpc://")) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        if expected is REFUSED:
            with pytest.raises(grpc.RpcError) as error:
                stub.Predict(request, timeout=30)
            assert error.value.code() in (
                grpc.StatusCode.INVALID_ARGUMENT,
                grpc.StatusCode.FAILED_PRECONDITION,
                grpc.StatusCode.OUT_OF_RANGE,
            ), error.value.details()
        else:
            response = stub.Predict(request, timeout=30)
            answer = {key: tf.make_ndarray(one).tolist() for key, one in response.outputs.items()}
            answer["item_ids"] = [[one.decode() for one in row] for row in answer["item_ids"]]
            expected(answer, None)
    alive(server)


def test_a_request_that_is_cut_off(server: Any) -> None:
    """A client that disconnects in the middle of a request does not affect others."""
    import socket

    host, port = server.rest.removeprefix("http://").split(":")
    for content in (
        b"POST " + PATH.encode() + b' HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n{"inp',
        b"\x00\xff\r\n\r\n",
        b"GET",
    ):
        with socket.create_connection((host, int(port)), timeout=10) as one:
            one.sendall(content)
    alive(server)
