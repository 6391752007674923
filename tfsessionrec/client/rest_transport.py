"""REST, with the standard library alone."""

import http.client
import json
import re
import threading
import time
import urllib.parse
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfsessionrec.client.transport import (
    ModelReference,
    ServingError,
    Signature,
    TensorSpec,
    VersionStatus,
)

Json = dict[str, Any]

# The server's own mapping; it sends 400 for FAILED_PRECONDITION and OUT_OF_RANGE as well.
STATUS_OF_HTTP = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    413: "RESOURCE_EXHAUSTED",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class _Kept(threading.local):
    """The open connection of each thread."""

    connection: http.client.HTTPConnection | None = None


class RestTransport:
    """REST: each thread keeps one connection open.

    Args:
        url: Such as "http://localhost:8501"; behind a proxy, with the path before "/v1".
    """

    def __init__(self, url: str) -> None:
        parts = urllib.parse.urlsplit(url)
        self.url = url.rstrip("/")
        self._https = parts.scheme == "https"
        self._address = parts.hostname or "", parts.port
        self._prefix = parts.path.rstrip("/")
        self._local = _Kept()
        self._connections: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()

    def predict(
        self,
        model: ModelReference,
        signature: str,
        inputs: Mapping[str, NDArray],
        specs: Signature,
        seconds: float,
    ) -> dict[str, NDArray]:
        content = {
            "signature_name": signature,
            "inputs": {name: value.tolist() for name, value in inputs.items()},
        }
        answer = self._ask("POST", f"{model.path}:predict", seconds, content)
        try:
            outputs = answer["outputs"]
            if len(specs.outputs) == 1:  # The server then leaves the name out.
                outputs = {next(iter(specs.outputs)): outputs}
            return {
                name: np.array(outputs[name], spec.array_dtype)
                for name, spec in specs.outputs.items()
            }
        except (KeyError, TypeError, ValueError) as error:
            raise ServingError(
                f"the answer does not have the outputs of `{signature}`: {error}",
                self.url + model.path,
                "INTERNAL",
            ) from error

    def signatures(self, model: ModelReference, seconds: float) -> dict[str, Signature]:
        answer = self._ask("GET", f"{model.path}/metadata", seconds)
        try:
            found = answer["metadata"]["signature_def"]["signature_def"]
            return {
                name: Signature(_specs(one.get("inputs", {})), _specs(one.get("outputs", {})))
                for name, one in found.items()
                if not name.startswith("__")
            }
        except (KeyError, TypeError) as error:
            raise ServingError(
                f"the answer holds no signatures: {error!r}", self.url + model.path, "INTERNAL"
            ) from error

    def resolved_version(self, model: ModelReference, seconds: float) -> int:
        answer = self._ask("GET", f"{model.path}/metadata", seconds)
        try:
            return int(answer["model_spec"]["version"])
        except (KeyError, TypeError, ValueError) as error:
            raise ServingError(
                f"the answer holds no version: {error!r}", self.url + model.path, "INTERNAL"
            ) from error

    def versions(self, model: ModelReference, seconds: float) -> list[VersionStatus]:
        answer = self._ask("GET", model.path, seconds)
        return [
            VersionStatus(
                int(one["version"]),
                str(one["state"]),
                str(one.get("status", {}).get("error_message", "")),
            )
            for one in answer.get("model_version_status", [])
        ]

    def close(self) -> None:
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()
            self._local = _Kept()

    def _ask(self, method: str, path: str, seconds: float, content: Json | None = None) -> Json:
        where = self.url + path
        body = None if content is None else json.dumps(content).encode()
        try:
            status, text = self._send(method, path, body, seconds)
        except TimeoutError as error:
            raise ServingError(
                f"no answer in {seconds:.3g} s", where, "DEADLINE_EXCEEDED"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise ServingError(str(error) or repr(error), where, "UNAVAILABLE") from error
        try:
            answer = json.loads(text)
            if not isinstance(answer, dict):
                raise ValueError("not an object")
        except ValueError as error:
            if status == 200:
                raise ServingError(f"the answer is not JSON: {error}", where, "INTERNAL") from error
            page = text[:500].decode(errors="replace")
            answer = {"error": _error_of(text) or f"HTTP {status}: {page}"}
        if status != 200:
            name = STATUS_OF_HTTP.get(status, "INTERNAL" if status >= 500 else f"HTTP {status}")
            raise ServingError(str(answer.get("error", f"HTTP {status}")), where, name)
        return answer

    def _send(
        self, method: str, path: str, body: bytes | None, seconds: float
    ) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        end = time.monotonic() + seconds
        for may_be_stale in (True, False):
            connection = self._local.connection
            kept = connection is not None
            if connection is None:
                connection = self._connect()
            connection.timeout = seconds
            try:
                if connection.sock is None:
                    connection.connect()  # It also turns Nagle's algorithm off.
                connection.sock.settimeout(seconds)
                connection.request(method, self._prefix + path, body, headers)
                response = connection.getresponse()
                return response.status, _read(connection, response, end)
            except (ConnectionError, http.client.BadStatusLine) as error:
                self._drop(connection)
                # A server may close an idle connection. Requests change nothing on it, so that
                # sending one again is safe.
                if not (may_be_stale and kept) or isinstance(error, ConnectionRefusedError):
                    raise
            except BaseException:
                self._drop(connection)
                raise
        raise AssertionError("the second try returns or raises")

    def _connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._https else http.client.HTTPConnection
        connection = kind(*self._address)
        self._local.connection = connection
        with self._lock:
            self._connections.append(connection)
        return connection

    def _drop(self, connection: http.client.HTTPConnection) -> None:
        connection.close()
        self._local.connection = None
        with self._lock:
            if connection in self._connections:
                self._connections.remove(connection)


def _error_of(text: bytes) -> str | None:
    """The error in an answer that escapes like C, as the server does, instead of like JSON."""
    found = re.fullmatch(rb'\s*\{\s*"error":\s*"(.*)"\s*\}\s*', text, re.DOTALL)
    try:
        # Octal escapes are bytes of UTF-8.
        return found and found[1].decode("unicode_escape").encode("latin-1").decode()
    except UnicodeError:
        return None


def _read(
    connection: http.client.HTTPConnection, response: http.client.HTTPResponse, end: float
) -> bytes:
    """The whole answer by `end`; a socket's own timeout restarts with every part of it."""
    parts = []
    while part := response.read1():
        parts.append(part)
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if connection.sock is not None:
            connection.sock.settimeout(left)
    response.read()  # Marks the response as read, so that the connection can be reused.
    return b"".join(parts)


def _specs(tensors: Json) -> dict[str, TensorSpec]:
    return {
        name: TensorSpec(_dtype(one["dtype"]), len(one["tensor_shape"].get("dim", [])))
        for name, one in tensors.items()
    }


def _dtype(name: str) -> str:
    """The NumPy name of DT_INT32 and the like."""
    short = name.removeprefix("DT_").lower()
    return {"float": "float32", "double": "float64"}.get(short, short)
