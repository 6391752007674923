"""REST, with the standard library alone.

The deadlines of HTTP libraries restart with each part of an answer: none replaces `connection`.
"""

import http.client
import json
import re
import ssl
import threading
import time
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from tfsessionrec.client.address import Address
from tfsessionrec.client.answer import array_of, check_rank, reading, shown
from tfsessionrec.client.connection import AnswerTooLargeError, Connection
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


MESSAGE = 4096  # the longest error of a server that is shown


class _Kept(threading.local):
    """The open connection of each thread."""

    connection: Connection | None = None


class RestTransport:
    """REST: each thread keeps one connection open.

    Args:
        address: The server's.
        max_response_bytes: The largest answer that is read.
    """

    def __init__(self, address: Address, max_response_bytes: int) -> None:
        self.url = str(address)
        self._address = address
        self._max_response_bytes = max_response_bytes
        self._local = _Kept()
        self._connections: list[Connection] = []
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
        where = self.url + model.path
        with reading(f"the answer does not have the outputs of `{signature}`", where):
            outputs = answer["outputs"]
            if len(specs.outputs) == 1:  # The server then leaves the name out.
                outputs = {next(iter(specs.outputs)): outputs}
            arrays = {}
            for name, spec in specs.outputs.items():
                arrays[name] = array_of(outputs[name], spec, name)
                check_rank(arrays[name], spec, name)
            return arrays

    def signatures(self, model: ModelReference, seconds: float) -> dict[str, Signature]:
        answer = self._ask("GET", f"{model.path}/metadata", seconds)
        with reading("the answer holds no signatures", self.url + model.path):
            found = answer["metadata"]["signature_def"]["signature_def"]
            return {
                name: Signature(_specs(one.get("inputs", {})), _specs(one.get("outputs", {})))
                for name, one in found.items()
                if not name.startswith("__")
            }

    def resolved_version(self, model: ModelReference, seconds: float) -> int:
        answer = self._ask("GET", f"{model.path}/metadata", seconds)
        with reading("the answer holds no version", self.url + model.path):
            return _version(answer["model_spec"]["version"])

    def versions(self, model: ModelReference, seconds: float) -> list[VersionStatus]:
        answer = self._ask("GET", model.path, seconds)
        with reading("the answer holds no states of versions", self.url + model.path):
            return [
                VersionStatus(
                    _version(one["version"]),
                    shown(_text(one["state"])),
                    _text(one.get("status", {}).get("error_message", "")),
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
        except AnswerTooLargeError as error:
            raise ServingError(str(error), where, "RESOURCE_EXHAUSTED") from error
        except TimeoutError as error:
            raise ServingError(
                f"no answer in {seconds:.3g} s", where, "DEADLINE_EXCEEDED"
            ) from error
        except ssl.SSLCertVerificationError as error:
            raise ServingError(shown(str(error)), where, "UNAUTHENTICATED") from error
        except (OSError, http.client.HTTPException) as error:
            raise ServingError(shown(str(error) or repr(error)), where, "UNAVAILABLE") from error
        if status != 200:
            name = STATUS_OF_HTTP.get(status, "INTERNAL" if status >= 500 else f"HTTP {status}")
            raise ServingError(_failure(status, text), where, name)
        with reading("the answer is not JSON", where):
            answer = json.loads(text)
            if not isinstance(answer, dict):
                raise ValueError("not an object")
        return answer

    def _send(
        self, method: str, path: str, body: bytes | None, seconds: float
    ) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if self._address.authorization is not None:
            headers["Authorization"] = self._address.authorization
        end = time.monotonic() + seconds
        for may_be_stale in (True, False):
            connection = self._local.connection
            if connection is not None and not connection.is_usable():
                self._drop(connection)
                connection = None
            kept = connection is not None
            if connection is None:
                connection = self._connect()
            try:
                return connection.exchange(method, self._address.path + path, body, headers, end)
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

    def _connect(self) -> Connection:
        connection = Connection(self._address, self._max_response_bytes)
        self._local.connection = connection
        with self._lock:
            self._connections.append(connection)
        return connection

    def _drop(self, connection: Connection) -> None:
        connection.close()
        self._local.connection = None
        with self._lock:
            if connection in self._connections:
                self._connections.remove(connection)


def _failure(status: int, text: bytes) -> str:
    """What an answer with an error status says."""
    try:
        error = json.loads(text)["error"]
        if isinstance(error, str):
            return shown(error, MESSAGE)
    except (LookupError, MemoryError, RecursionError, TypeError, ValueError):
        pass
    page = text[:500].decode(errors="replace")
    return shown(_error_of(text[:MESSAGE]) or f"HTTP {status}: {page}", MESSAGE)


def _error_of(text: bytes) -> str | None:
    """The error in an answer that escapes like C, as the server does, instead of like JSON."""
    found = re.fullmatch(rb'\s*\{\s*"error":\s*"(.*)"\s*\}\s*', text, re.DOTALL)
    try:
        # Octal escapes are bytes of UTF-8.
        return found and found[1].decode("unicode_escape").encode("latin-1").decode()
    except UnicodeError:
        return None


def _specs(tensors: Json) -> dict[str, TensorSpec]:
    specs = {}
    for name, one in tensors.items():
        shape = one["tensor_shape"]
        rank = -1 if shape.get("unknown_rank") is True else len(list(shape.get("dim", [])))
        specs[name] = TensorSpec(_dtype(_text(one["dtype"])), rank)
    return specs


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return shown(value, MESSAGE)


def _version(value: object) -> int:
    if not isinstance(value, str | int) or not re.fullmatch("[0-9]{1,19}", str(value)):
        raise ValueError("not a number of a version")
    return int(value)


def _dtype(name: str) -> str:
    """The NumPy name of DT_INT32 and the like."""
    short = name.removeprefix("DT_").lower()
    return {"float": "float32", "double": "float64"}.get(short, short)
