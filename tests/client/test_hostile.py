"""The client against servers that are broken or hostile: every failure is a `ServingError`."""

import base64
import contextlib
import json
import pathlib
import shutil
import socket
import ssl
import subprocess
import threading
import time
import traceback
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tfsessionrec.client import Client, ServingError

MIB = 2**20


def _signature(inputs: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
    def described(tensors: dict[str, Any]) -> dict[str, Any]:
        return {name: {"dtype": dtype, "shape": ["B"] * n} for name, (dtype, n) in tensors.items()}

    return {"inputs": described(inputs), "outputs": described(outputs)}


HISTORY = {"item_ids": ("string", 2), "session_index": ("int32", 2)}
TOP = {"item_ids": ("string", 2), "scores": ("float32", 2)}
DESCRIPTION = {
    "k": 3,
    "padding": {"item_ids": "", "session_index": -1},
    "signatures": {
        "recommend": _signature({**HISTORY, "k": ("int32", 1)}, TOP),
        "rank": _signature(
            {**HISTORY, "candidate_ids": ("string", 2)},
            {"scores": ("float32", 2), "known": ("bool", 2)},
        ),
        "encode": _signature(HISTORY, {"query_embeddings": ("float32", 2)}),
        "similar_items": _signature(
            {"item_ids": ("string", 1), "k": ("int32", 1)}, {**TOP, "known": ("bool", 1)}
        ),
    },
}
GOOD = {"outputs": {"item_ids": [["a", "b"]], "scores": [[2.0, 1.0]]}}
Script = Callable[[Any, threading.Event], None]


@contextlib.contextmanager
def serving(script: Script, context: ssl.SSLContext | None = None) -> Iterator[tuple[int, list]]:
    """Runs `script` on each connection after its request; yields the port and the requests."""
    stop, asked, threads = threading.Event(), [], []

    def talk(one: Any) -> None:
        with contextlib.suppress(OSError, ValueError):
            if context is not None:
                one = context.wrap_socket(one, server_side=True)
            with one:
                while not stop.is_set():
                    with one.makefile("rb") as file:
                        lines = [file.readline()]
                        while lines[-1] not in (b"", b"\r\n"):
                            lines.append(file.readline())
                        if lines[-1] == b"":
                            return
                        length = [int(x[15:]) for x in lines if x[:15] == b"Content-Length:"]
                        request = b"".join(lines) + file.read(sum(length))
                    asked.append(request)
                    script(one, stop)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                one, _ = listener.accept()
                one.settimeout(20)
                threads.append(threading.Thread(target=talk, args=[one], daemon=True))
                threads[-1].start()

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1], asked
        finally:
            stop.set()
            listener.shutdown(socket.SHUT_RDWR)


def client_of(port: int, **options: Any) -> Client:
    options = {"description": DESCRIPTION, "backoff": 0.001, **options}
    return Client(f"http://127.0.0.1:{port}", "shop", **options)


def plain(content: Any, status: str = "200 OK") -> Script:
    """Answers with a whole answer."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()

    def script(one: Any, _: threading.Event) -> None:
        one.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    return script


def drip(begin: bytes, part: bytes, pause: float = 0.05) -> Script:
    """Sends `begin`, then a part again and again."""

    def script(one: Any, stop: threading.Event) -> None:
        one.sendall(begin)
        while not stop.wait(pause):
            one.sendall(part)

    return script


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


# One deadline over the whole exchange.


@pytest.mark.parametrize(
    "script",
    [
        drip(b"", b"H"),
        drip(OK, b"X-A: b\r\n", 0.1),
        drip(OK + b"Content-Length: 100000\r\n\r\n", b" "),
        drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.0),
        drip(CHUNKED, b"1\r\n \r\n"),
        drip(CHUNKED + b"1", b";"),
        drip(CHUNKED + b"0\r\n", b"X-A: b\r\n"),
    ],
    ids=["status", "headers", "body", "continue", "continue at once", "chunks", "line", "trailer"],
)
def test_one_deadline(script: Script) -> None:
    with serving(script) as (port, _), client_of(port, timeout=0.5, retries=0) as client:
        begin = time.monotonic()
        with pytest.raises(ServingError) as error:
            client.recommend([["x"]])
        assert time.monotonic() - begin < 1.5
        # A server that sends fast reaches the limit of the size first.
        assert error.value.status in ("DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "UNAVAILABLE")


def test_a_request_that_the_server_does_not_read() -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        with client_of(one.getsockname()[1], timeout=0.5) as client:
            begin = time.monotonic()
            with pytest.raises(ServingError, match="DEADLINE_EXCEEDED"):
                client.recommend([["x" * 1000] * 20_000])
            assert time.monotonic() - begin < 2


# Sizes are checked before there is memory for them.


def endless(begin: bytes, part: bytes) -> Script:
    def script(one: Any, stop: threading.Event) -> None:
        one.sendall(begin)
        while not stop.is_set():
            one.sendall(part)

    return script


@pytest.mark.parametrize(
    "script",
    [
        drip(OK + b"Content-Length: 42949672960\r\n\r\n{", b" "),
        drip(OK + b"Content-Length: " + b"9" * 400 + b"\r\n\r\n{", b" "),
        endless(OK + b"\r\n", b" " * 65536),
        endless(CHUNKED, b"10000\r\n" + b" " * 65536 + b"\r\n"),
        endless(OK, b"X-A: " + b"b" * 1000 + b"\r\n"),
        endless(CHUNKED, b"fffffffffffffff\r\n" + b" " * 65536),
    ],
    ids=["announced", "digits", "endless", "chunks", "headers", "chunk size"],
)
def test_sizes_are_bounded(script: Script) -> None:
    with (
        serving(script) as (port, _),
        client_of(port, timeout=20, retries=0, max_response_bytes=MIB) as client,
    ):
        tracemalloc.start()
        try:
            begin = time.monotonic()
            with pytest.raises(ServingError, match=r"RESOURCE_EXHAUSTED|UNAVAILABLE"):
                client.recommend([["x"]])
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 8 * MIB
        assert time.monotonic() - begin < 10


def test_headers_without_end_count() -> None:
    script = endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)
    with (
        serving(script) as (port, _),
        client_of(port, timeout=20, retries=0, max_response_bytes=MIB) as client,
        pytest.raises(ServingError, match=r"^RESOURCE_EXHAUSTED"),
    ):
        client.recommend([["x"]])


def test_the_limit_is_named_and_is_exact() -> None:
    body = json.dumps(GOOD).encode()
    with serving(plain(body)) as (port, _):
        with client_of(port, max_response_bytes=len(body)) as client:
            assert [one.item_id for one in client.recommend([["x"]])[0]] == ["a", "b"]
        with (
            client_of(port, max_response_bytes=len(body) - 1) as client,
            pytest.raises(ServingError, match=r"than \d+ bytes \(`max_response_bytes`\)"),
        ):
            client.recommend([["x"]])


# Malformed answers.


def outputs(**changes: Any) -> dict[str, Any]:
    return {"outputs": {**GOOD["outputs"], **changes}}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00",
        b'{"outputs": "\xff"}',
        b'{"outputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"outputs": {"a": ' * 50_000,
        b'{"outputs": {"item_ids": [["a"]], "scores": [[1' + b"0" * 401 + b"]]}}",
        b'{"outputs": {"item_ids": [["a"]], "scores": [[1' + b"0" * 5000 + b"]]}}",
        {},
        {"outputs": None},
        {"outputs": [1]},
        {"outputs": "text"},
        {"outputs": {"scores": [[1.0]]}},
        {"outputs": {"item_ids": [["a"]]}},
        outputs(scores=[[1.0, 2.0], [1.0, 2.0]], item_ids=[["a", "b"], ["a", "b"]]),
        outputs(scores=[], item_ids=[]),
        outputs(scores=[[1.0]]),
        outputs(scores=[1.0, 2.0]),
        outputs(scores=1.0),
        outputs(scores=[[[1.0, 2.0]]]),
        outputs(scores=[[1.0, [2.0]]]),
        outputs(scores=[["1.0", "2.0"]]),
        outputs(scores=[[None, 1.0]]),
        outputs(scores=[[True, False]]),
        outputs(scores={"a": 1}),
        outputs(item_ids=[[1, 2]]),
        outputs(item_ids=[["a", None]]),
        outputs(item_ids=[["a", {"b64": "YQ=="}]]),
        outputs(item_ids=[["a", "\ud800"]]),
        outputs(item_ids=["ab"]),
    ],
)
def test_a_malformed_answer(content: Any) -> None:
    with serving(plain(content)) as (port, _), client_of(port, retries=0) as client:
        with pytest.raises(ServingError, match=r"^INTERNAL at http://127") as error:
            client.recommend([["x"]])
        assert len(str(error.value)) < 1000
        str(error.value).encode()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("rank", {"scores": [[1.0]], "known": [[True]]}),
        ("rank", {"scores": [[1.0, 2.0]], "known": [[1, 0]]}),
        ("rank", {"scores": [[1.0, 2.0]], "known": [[True]]}),
        ("rank", {"scores": [[1.0, 2.0]] * 2, "known": [[True, True]] * 2}),
        ("rank", {"scores": [[1.0, 2.0]]}),
        ("encode", [[1.0], [2.0]]),
        ("encode", [1.0]),
        ("encode", None),
        ("similar_items", {"item_ids": [["a"]], "scores": [[1.0, 2.0]], "known": [True]}),
        ("similar_items", {"item_ids": [["a"]], "scores": [[1.0]]}),
    ],
)
def test_a_malformed_answer_of_other_signatures(name: str, found: Any) -> None:
    with serving(plain({"outputs": found})) as (port, _), client_of(port) as client:
        calls: dict[str, Callable[[], Any]] = {
            "rank": lambda: client.rank([["x"]], ["a", "b"]),
            "encode": lambda: client.encode([["x"]]),
            "similar_items": lambda: client.similar_items(["x"]),
        }
        with pytest.raises(ServingError, match=r"^INTERNAL"):
            calls[name]()


def metadata(**changes: Any) -> dict[str, Any]:
    """What a server says of a model, with a `recommend` that is changed."""

    def tensor(dtype: str, rank: int) -> dict[str, Any]:
        return {"dtype": dtype, "tensor_shape": {"dim": [{"size": "-1"}] * rank}}

    one = {
        "inputs": {
            "item_ids": tensor("DT_STRING", 2),
            "session_index": tensor("DT_INT32", 2),
            "k": tensor("DT_INT32", 1),
        },
        "outputs": {"item_ids": tensor("DT_STRING", 2), "scores": tensor("DT_FLOAT", 2)},
        **changes,
    }
    return {"metadata": {"signature_def": {"signature_def": {"recommend": one}}}}


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"metadata": []},
        {"metadata": {"signature_def": {"signature_def": [1]}}},
        {"metadata": {"signature_def": {"signature_def": {"recommend": None}}}},
        metadata(inputs=[]),
        metadata(inputs={"k": 1}),
        metadata(inputs={"k": {"dtype": 3, "tensor_shape": {}}}),
        metadata(inputs={"k": {"dtype": "DT_INT32", "tensor_shape": {"dim": 5}}}),
        metadata(inputs={"k": {"dtype": "DT_S999999999999", "tensor_shape": {"dim": []}}}),
        metadata(outputs={"scores": {"dtype": "DT_RESOURCE", "tensor_shape": {"dim": []}}}),
        metadata(outputs={}),
    ],
)
def test_malformed_metadata(content: Any) -> None:
    with (
        serving(plain(content)) as (port, _),
        client_of(port, description=None) as client,
        pytest.raises(ServingError, match=r"^INTERNAL"),
    ):
        client.recommend([["x"]])


@pytest.mark.parametrize(
    "found",
    [1, [1], ["a"], [{}], [{"version": "1"}], [{"version": "9" * 401, "state": "END"}]]
    + [[{"version": v, "state": "END"}] for v in (True, 1.5, -1, None, "one", "²")]
    + [[{"version": 1, "state": None}], [{"version": 1, "state": "END", "status": []}]],
)
def test_malformed_versions(found: Any) -> None:
    with (
        serving(plain({"model_version_status": found})) as (port, _),
        client_of(port) as client,
        pytest.raises(ServingError, match=r"^INTERNAL.*holds no states"),
    ):
        client.versions()


@pytest.mark.parametrize("number", [True, 1.5, -1, None, "one", "²", "9" * 401, 10**30, []])
def test_a_malformed_version(number: Any) -> None:
    with (
        serving(plain({"model_spec": {"version": number}})) as (port, _),
        client_of(port) as client,
        pytest.raises(ServingError, match=r"^INTERNAL.*holds no version"),
    ):
        client.resolved_version()


def test_an_error_with_a_large_or_malformed_text() -> None:
    for content in ({"error": "x" * 10**6}, {"error": [[1]]}, b"[" * 10**5, b'{"error": "\xff"}'):
        with serving(plain(content, "400 Bad")) as (port, _), client_of(port) as client:
            with pytest.raises(ServingError, match=r"^INVALID_ARGUMENT") as error:
                client.recommend([["x"]])
            assert len(str(error.value)) < 6000


@pytest.mark.parametrize(
    "answer",
    [b"\x00" * 100 + b"\r\n", b"HTTP/1.1 abc\r\n\r\n", b"SSH-2.0\r\n", b"HTTP/1.1 200\r\n:"],
)
def test_an_answer_that_is_not_http(answer: bytes) -> None:
    def script(one: Any, _: threading.Event) -> None:
        one.sendall(answer)
        one.close()

    with (
        serving(script) as (port, _),
        client_of(port, retries=1) as client,
        pytest.raises(ServingError),
    ):
        client.recommend([["x"]])


def test_a_second_answer_is_not_taken_for_that_of_the_next_request() -> None:
    def body(item: str) -> bytes:
        text = json.dumps({"outputs": {"item_ids": [[item]], "scores": [[1.0]]}}).encode()
        return OK + f"Content-Length: {len(text)}\r\n\r\n".encode() + text

    def script(one: Any, _: threading.Event) -> None:
        one.sendall(body("right"))
        time.sleep(0.02)
        one.sendall(body("wrong"))

    with serving(script) as (port, _), client_of(port) as client:
        for _ in range(3):
            assert client.recommend([["x"]])[0][0].item_id == "right"
            time.sleep(0.05)


# Passwords and paths.


def test_a_password_is_sent_and_never_shown() -> None:
    url = "http://us%40er:s%3Aecret@127.0.0.1:{}/prefix"
    with serving(plain(b"no", "401 Unauthorized")) as (port, asked):
        client = Client(url.format(port), "shop", description=DESCRIPTION)
        with client:
            with pytest.raises(ServingError, match=r"^UNAUTHENTICATED") as error:
                client.recommend([["x"]])
            text = "".join(traceback.format_exception(error.value)) + repr(client._address)
    assert base64.b64encode(b"us@er:s:ecret") in asked[0]
    assert b"POST /prefix/v1/models/shop:predict " in asked[0]
    assert f"http://127.0.0.1:{port}/prefix/v1" in text
    for secret in ("ecret", "us@er", "us%40er", base64.b64encode(b"us@er:s:ecret").decode()):
        assert secret not in text


@pytest.mark.parametrize(
    "url",
    [
        "http://user:secret@host",
        "http://user:secret@host:port",
        "http://user:se@cret@host:x",
        "user:secret@host:8501",
        "grpc://user:secret@host:8500",
        "ftp://user:secret@host:8500",
        "http://user:secret@[host:1",
        "http://user:secret@host:8501?a#b",
    ],
)
def test_a_password_in_a_malformed_url_is_not_shown(url: str) -> None:
    with pytest.raises(ValueError, match=r"`url` should be .*Received: `url`='.*\*\*\*@") as error:
        Client(url, "shop")
    text = "".join(traceback.format_exception(error.value))
    assert "user:" not in text.replace("only http", "")
    assert "secret" not in text
    assert "cret@" not in text


@pytest.fixture
def certified(tmp_path: pathlib.Path) -> tuple[ssl.SSLContext, pathlib.Path]:
    """A server's side of TLS, and its certificate, which no authority signed."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("no openssl is here, to make a certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = [program, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, certificate


def test_a_certificate_error_is_not_retried(certified: tuple[ssl.SSLContext, Any]) -> None:
    context, tries = certified[0], []
    context.sni_callback = lambda *_: tries.append(1)
    with (
        serving(plain(GOOD), context) as (port, _),
        Client(f"https://localhost:{port}", "shop", description=DESCRIPTION) as client,
        pytest.raises(ServingError, match=r"^UNAUTHENTICATED at https.*certificate"),
    ):
        client.recommend([["x"]])
    assert len(tries) == 1


def test_https(
    certified: tuple[ssl.SSLContext, pathlib.Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certified[1]))
    with (
        serving(plain(GOOD), certified[0]) as (port, asked),
        Client(f"https://localhost:{port}", "shop", description=DESCRIPTION) as client,
    ):
        for _ in range(2):
            assert len(client.recommend([["x"]])[0]) == 2
    assert len(asked) == 2


def test_padding_of_the_description() -> None:
    description = json.loads(json.dumps(DESCRIPTION))
    description["padding"]["item_ids"] = "<none>"
    answer = outputs(item_ids=[["a", "b"]] * 2, scores=[[2.0, 1.0]] * 2)
    with (
        serving(plain(answer)) as (port, asked),
        client_of(port, description=description) as client,
    ):
        client.recommend([["x", "y"], ["z"]])
    sent = json.loads(asked[0].partition(b"\r\n\r\n")[2])
    assert sent["inputs"]["item_ids"][1] == ["z", "<none>"]


# gRPC.


@contextlib.contextmanager
def grpc_serving(predict: Any, meta: Any = None, status: Any = None) -> Iterator[str]:
    """Serves messages as they are."""
    grpc = pytest.importorskip("grpc")
    pytest.importorskip("tensorflow_serving")
    from concurrent import futures

    def handler(answer: bytes) -> Any:
        return grpc.unary_unary_rpc_method_handler(lambda request, context: answer)

    server = grpc.server(
        futures.ThreadPoolExecutor(2), options=[("grpc.max_send_message_length", -1)]
    )
    methods = {"Predict": handler(predict), "GetModelMetadata": handler(meta or b"")}
    server.add_generic_rpc_handlers(
        [
            grpc.method_handlers_generic_handler("tensorflow.serving.PredictionService", methods),
            grpc.method_handlers_generic_handler(
                "tensorflow.serving.ModelService", {"GetModelStatus": handler(status or b"")}
            ),
        ]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"grpc://127.0.0.1:{port}"
    finally:
        server.stop(0).wait()


def _response(**changes: Any) -> bytes:
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    response = predict_pb2.PredictResponse()
    values = {
        "item_ids": tf.make_tensor_proto([["a", "b"]]),
        "scores": tf.make_tensor_proto([[2.0, 1.0]]),
    }
    for name, tensor in {**values, **changes}.items():
        if tensor is not None:
            response.outputs[name].CopyFrom(tensor)
    return response.SerializeToString()


def _tensor(value: Any, dims: list[int] | None = None, dtype: Any = None) -> Any:
    import tensorflow as tf

    tensor = tf.make_tensor_proto(np.array(value, dtype))
    if dims is not None:
        del tensor.tensor_shape.dim[:]
        for size in dims:
            tensor.tensor_shape.dim.add().size = size
    return tensor


@pytest.mark.parametrize(
    "change",
    [
        lambda: {"scores": _tensor([1.0], [1, 10**12], np.float32)},
        lambda: {"scores": _tensor([1.0], [10**6, 10**6, 10**6], np.float32)},
        lambda: {"scores": _tensor([1.0], [-1, 2], np.float32)},
        lambda: {"scores": _tensor([[2.0, 1.0]], [1, 5], np.float32)},
        lambda: {"scores": _tensor([[2.0, 1.0]])},  # float64
        lambda: {"scores": _tensor([2.0, 1.0], dtype=np.float32)},
        lambda: {"scores": _tensor([[2.0, 1.0]] * 2, dtype=np.float32)},
        lambda: {"scores": None},
        lambda: {"item_ids": _tensor([[b"a", b"\xff"]])},
        lambda: {"item_ids": _tensor([["a"]])},
    ],
)
def test_a_malformed_answer_over_grpc(change: Callable[[], dict[str, Any]]) -> None:
    pytest.importorskip("tensorflow_serving")
    with (
        grpc_serving(_response(**change())) as url,
        Client(url, "shop", description=DESCRIPTION, timeout=30) as client,
        pytest.raises(ServingError, match=r"^INTERNAL"),
    ):
        client.recommend([["x"]])


def test_a_claimed_size_takes_no_memory_over_grpc() -> None:
    pytest.importorskip("tensorflow_serving")
    tensor = _tensor([1.0], [1, 5 * 10**7], np.float32)
    with (
        grpc_serving(_response(scores=tensor)) as url,
        Client(url, "shop", description=DESCRIPTION, timeout=30, max_response_bytes=MIB) as client,
    ):
        tracemalloc.start()
        try:
            with pytest.raises(ServingError, match=r"`scores` has the shape"):
                client.recommend([["x"]])
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 50 * MIB


def test_other_malformed_answers_over_grpc() -> None:
    pytest.importorskip("tensorflow_serving")
    from tensorflow_serving.apis import get_model_status_pb2

    status = get_model_status_pb2.GetModelStatusResponse()
    status.model_version_status.add().state = 77  # type: ignore[assignment]
    with (
        grpc_serving(b"\xff" * 100, b"", status.SerializeToString()) as url,
        Client(url, "shop", description=DESCRIPTION, timeout=30) as client,
    ):
        for call in (lambda: client.recommend([["x"]]), client.resolved_version, client.versions):
            with pytest.raises(ServingError, match=r"^INTERNAL"):
                call()
        client._signatures = None
        with pytest.raises(ServingError, match="holds no signatures"):
            client.recommend([["x"]])
    with (
        grpc_serving(_response(scores=_tensor(np.ones([1, MIB], np.float32)))) as url,
        Client(url, "shop", description=DESCRIPTION, max_response_bytes=MIB) as client,
        pytest.raises(ServingError, match=r"^RESOURCE_EXHAUSTED"),
    ):
        client.recommend([["x"]])
    with grpc_serving(_response()) as url, Client(url, "m", description=DESCRIPTION) as client:
        assert [one.item_id for one in client.recommend([["x"]])[0]] == ["a", "b"]
