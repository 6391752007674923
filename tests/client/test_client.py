"""The client against scripted answers."""

import contextlib
import http.server
import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tfsessionrec.client import (
    Client,
    History,
    ModelReference,
    Recommendation,
    ServingError,
    VersionStatus,
)

DESCRIPTION = {
    "k": 7,
    "signatures": {
        "recommend": {
            "inputs": {
                "item_ids": {"dtype": "string", "shape": ["B", "N"]},
                "session_index": {"dtype": "int32", "shape": ["B", "N"]},
                "k": {"dtype": "int32", "shape": ["B"]},
            },
            "outputs": {
                "item_ids": {"dtype": "string", "shape": ["B", "K"]},
                "scores": {"dtype": "float32", "shape": ["B", "K"]},
            },
        }
    },
}
LOWEST = float(np.finfo(np.float32).min)
GOOD = {"outputs": {"item_ids": [["b", "a", ""]], "scores": [[2.5, 1.0, LOWEST]]}}


@contextlib.contextmanager
def scripted(*answers: Any) -> Iterator[tuple[str, list[Any]]]:
    """Serves (status, content) in turn; yields the address and the requests."""
    left, asked = list(answers), []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked.append((self.path, json.loads(body) if body else None))
            status, content = left.pop(0)
            if status is None:  # The connection is closed without an answer.
                self.close_connection = True
                return
            text = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST  # noqa: N815

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def client_of(url: str, **options: Any) -> Client:
    return Client(url, "shop", description=DESCRIPTION, **{"backoff": 0.001, **options})


def test_request_and_answer() -> None:
    with scripted((200, GOOD)) as (url, asked), client_of(url, label="stable") as client:
        answer = client.recommend([History.of_sessions([["x"], ["y", "z"]])])
    assert answer == [[Recommendation("b", 2.5), Recommendation("a", 1.0)]]
    assert asked == [
        (
            "/v1/models/shop/labels/stable:predict",
            {
                "signature_name": "recommend",
                "inputs": {
                    "item_ids": [["x", "y", "z"]],
                    "session_index": [[0, 1, 1]],
                    "k": [7],
                },
            },
        )
    ]


def test_unavailable_is_retried() -> None:
    busy = (503, {"error": "queue is full"})
    with scripted(busy, busy, (200, GOOD)) as (url, asked), client_of(url) as client:
        assert len(client.recommend([["x"]], k=1)[0]) == 1
        assert len(asked) == 3
    with (
        scripted(busy, busy, (200, GOOD)) as (url, asked),
        client_of(url, retries=1) as client,
        pytest.raises(ServingError, match=r"^UNAVAILABLE at http.*shop:predict: queue is full\. "),
    ):
        client.recommend([["x"]])
    assert len(asked) == 2


def test_a_refusal_for_want_of_a_thread_is_retried() -> None:
    """The server's words, by way of a proxy that turns gRPC's status into HTTP's."""
    busy = (429, {"error": "Server Threadpool Exhausted"})
    with scripted(busy, (200, GOOD)) as (url, asked), client_of(url) as client:
        assert len(client.recommend([["x"]], k=1)[0]) == 1
        assert len(asked) == 2
    with scripted(busy) as (url, _), client_of(url, retries=0) as client:
        with pytest.raises(ServingError, match=r"^RESOURCE_EXHAUSTED .*--grpc_max_threads") as seen:
            client.recommend([["x"]])
        assert seen.value.may_be_repeated


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "INVALID_ARGUMENT"),
        (404, "NOT_FOUND"),
        (429, "RESOURCE_EXHAUSTED"),
        (500, "INTERNAL"),
        (504, "DEADLINE_EXCEEDED"),
        (418, "HTTP 418"),
    ],
)
def test_other_failures_are_not_retried(status: int, name: str) -> None:
    with scripted((status, {"error": "no"}), (200, GOOD)) as (url, asked), client_of(url) as client:
        with pytest.raises(ServingError, match=rf"^{name} at {url}/v1/models/shop:predict: no\. ."):
            client.recommend([["x"]])
        assert len(asked) == 1


def test_a_connection_closed_while_idle_is_reopened() -> None:
    with (
        scripted((200, GOOD), (None, b""), (200, GOOD)) as (url, asked),
        client_of(url, retries=0) as client,
    ):
        client.recommend([["x"]])
        client.recommend([["x"]])
    assert len(asked) == 3


@pytest.mark.parametrize("content", [b"<html>", b"[1]", b'{"outputs": {"scores": [[1]]}}'])
def test_a_malformed_answer(content: bytes) -> None:
    with scripted((200, content)) as (url, _), client_of(url) as client:
        with pytest.raises(ServingError, match=r"the answer (is not JSON|does not have)") as error:
            client.recommend([["x"]])
        assert error.value.status == "INTERNAL"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        # As absl::CEscape writes it, which is no JSON.
        (
            rb"""{ "error": "Missing \'k\' in \"inputs\"\n of caf\303\251" }""",
            "Missing 'k' in \"inputs\"\n of café",
        ),
        (b'{ "error": "as it is \\u00e9" }', "as it is é"),
        (rb"""{ "error": "no \' text \303" }""", "HTTP 400: { "),
    ],
)
def test_an_error_as_the_server_escapes_it(content: bytes, message: str) -> None:
    with scripted((400, content)) as (url, _), client_of(url) as client:
        with pytest.raises(ServingError, match=re.escape(message)) as error:
            client.recommend([["x"]])
        assert error.value.status == "INVALID_ARGUMENT"


def test_a_page_of_a_proxy_is_shown() -> None:
    with (
        scripted((502, b"<html>bad gateway")) as (url, _),
        client_of(url) as client,
        pytest.raises(ServingError, match="HTTP 502"),
    ):
        client.recommend([["x"]])


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_no_server_listens(protocol: str) -> None:
    if protocol == "grpc":
        pytest.importorskip("tensorflow_serving")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
        with (
            client_of(f"{protocol}://127.0.0.1:{port}", retries=1) as client,
            pytest.raises(ServingError, match=r"^UNAVAILABLE at .*Check that the server runs"),
        ):
            client.recommend([["x"]])


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_no_answer_in_time(protocol: str) -> None:
    if protocol == "grpc":
        pytest.importorskip("tensorflow_serving")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        port = one.getsockname()[1]
        with client_of(f"{protocol}://127.0.0.1:{port}", timeout=0.2) as client:
            begin = time.monotonic()
            with pytest.raises(ServingError, match=r"^DEADLINE_EXCEEDED at .*Allow more time"):
                client.recommend([["x"]])
            assert time.monotonic() - begin < 2


def test_an_answer_that_never_ends() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        stop = threading.Event()

        def drip() -> None:
            one, _ = listener.accept()
            with one, contextlib.suppress(OSError):
                one.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                while not stop.wait(0.05):
                    one.sendall(b" ")

        thread = threading.Thread(target=drip)
        thread.start()
        begin = time.monotonic()
        try:
            with (
                client_of(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=0.3) as client,
                pytest.raises(ServingError, match=r"^DEADLINE_EXCEEDED"),
            ):
                client.recommend([["x"]])
        finally:
            stop.set()
            thread.join()
        assert time.monotonic() - begin < 3


def test_the_time_of_retries_counts() -> None:
    busy = (503, {"error": "busy"})
    with scripted(*[busy] * 50) as (url, asked), client_of(url, backoff=0.05) as client:
        client.timeout, client.retries = 0.3, 1000
        with pytest.raises(ServingError, match=r"^UNAVAILABLE"):
            client.recommend([["x"]])
        assert 2 <= len(asked) <= 6


def test_threads_share_a_client() -> None:
    with scripted(*[(200, GOOD)] * 8) as (url, asked), client_of(url) as client:
        threads = [
            threading.Thread(target=client.recommend, args=([["x"]],), daemon=True)
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(asked) == 8


def test_versions() -> None:
    content = {
        "model_version_status": [
            {"version": "1", "state": "END", "status": {"error_message": "bad"}},
            {"version": "2", "state": "AVAILABLE", "status": {"error_message": ""}},
        ]
    }
    with (
        scripted((200, content), (200, {"model_spec": {"version": "2"}})) as (url, asked),
        client_of(url, label="stable") as client,
    ):
        assert client.versions() == [
            VersionStatus(2, "AVAILABLE"),
            VersionStatus(1, "END", "bad"),
        ]
        assert client.resolved_version() == 2
    assert [path for path, _ in asked] == [
        "/v1/models/shop",
        "/v1/models/shop/labels/stable/metadata",
    ]


def test_a_malformed_version() -> None:
    with (
        scripted((200, {"metadata": {}}), (404, {"error": "no"})) as (url, _),
        client_of(url) as client,
    ):
        with pytest.raises(ServingError, match="the answer holds no version"):
            client.resolved_version()
        assert not client.is_ready()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "localhost:8501"}, "`url` should be http://HOST:PORT or grpc://HOST:PORT"),
        ({"url": "http://localhost"}, "`url` should be http://HOST:PORT"),
        ({"url": "http://localhost:port"}, "`url` should be http://HOST:PORT"),
        ({"model_name": "a/b"}, "`model_name` should be a model's name"),
        ({"timeout": 0}, "`timeout` should be a finite number above 0. Received: `timeout`=0"),
        ({"retries": -1}, "`retries` should be a non-negative integer"),
        ({"backoff": -1}, "`backoff` should be a finite number of 0 or more"),
        ({"history_length": 0}, "`history_length` should be a positive integer"),
        ({"list_length": 1.5}, "`list_length` should be a positive integer"),
        ({"version": 1, "label": "stable"}, "A version or a label"),
        ({"max_response_bytes": True}, "`max_response_bytes` should be a positive integer"),
        ({"label": "a/../../../other:predict?"}, "`label` should be a label"),
        ({"label": ""}, "`label` should be a label"),
        ({"label": ".."}, "`label` should be a label"),
        ({"version": "1/labels/x"}, "`version` should be a non-negative integer"),
        ({"version": True}, "`version` should be a non-negative integer"),
        ({"url": "http://localhost:8501?a=b"}, "`url` should be http://HOST:PORT"),
        ({"url": "http://local\nhost:8501"}, "`url` should be http://HOST:PORT"),
        ({"url": 8501}, "`url` should be http://HOST:PORT"),
        ({"description": {"k": 1}}, "`description` should be signature.json"),
    ],
)
def test_arguments(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Client(**{"url": "http://localhost:8501", "model_name": "shop", **options})


@pytest.mark.parametrize(
    ("histories", "options", "message"),
    [
        ([["x"]], {"k": 0}, "`k` should be positive integers. Received: `k`=0"),
        ([["x"]], {"k": [1.5]}, "`k` should be positive integers"),
        ([["x"]], {"k": [1, 2]}, r"`k` should have one value a history \(1\)"),
        ([], {}, "`histories` should hold at least one history"),
        ("x", {}, "`histories` should be a list"),
        (["x"], {}, "`item_ids` should be a list of ids"),
        ([["x"]], {"color": 1}, "Received: color"),
        ([History(["x"], [2**40])], {}, "`session_index` should hold values of type int32"),
    ],
)
def test_malformed_requests(histories: Any, options: Any, message: str) -> None:
    with (
        client_of("http://127.0.0.1:9") as client,
        pytest.raises(ValueError, match=message),
    ):
        client.recommend(histories, **options)


def test_paths_of_versions() -> None:
    assert ModelReference("m", version=3).path == "/v1/models/m/versions/3"


def test_rest_loads_neither_tensorflow_nor_grpc() -> None:
    code = """
import sys
from tfsessionrec.client import Client, ServingError
try:
    Client("http://127.0.0.1:9", "shop", retries=0).versions()
except ServingError:
    pass
sys.exit(bool({"tensorflow", "grpc", "polars"} & set(sys.modules)))
"""
    subprocess.run([sys.executable, "-c", code], check=True)
