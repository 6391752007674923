"""The REST API of the stand-in server."""

import base64
import http.server
import json
import socketserver
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from stand_in_models import CODE, Failure, Models
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2

# The server's own table, from a canonical code to an HTTP status.
HTTP = {
    CODE.INVALID_ARGUMENT: 400,
    CODE.FAILED_PRECONDITION: 400,
    CODE.OUT_OF_RANGE: 400,
    CODE.NOT_FOUND: 404,
    CODE.RESOURCE_EXHAUSTED: 429,
    CODE.UNIMPLEMENTED: 501,
    CODE.UNAVAILABLE: 503,
    CODE.DEADLINE_EXCEEDED: 504,
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    models: Models

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/monitoring/prometheus/metrics":
            lines = ["# TYPE :tensorflow:serving:request_count counter"]
            for (name, status), count in sorted(self.models.requests.items()):
                labels = f'model_name="{name}",status="{status}"'
                lines.append(f":tensorflow:serving:request_count{{{labels}}} {count}")
            if self.models.batcher is not None:
                name = ":tensorflow:serving:batching_session:wrapped_run_count"
                lines += [f"# TYPE {name} counter", f"{name}{{}} {self.models.batcher.runs}"]
            self._send(200, "\n".join(lines).encode() + b"\n")
            return
        self._answer(self._get)

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "0")
        body = self.rfile.read(int(length))
        self._answer(lambda: self._predict(body))

    def _answer(self, make: Any) -> None:
        try:
            status, content = 200, make()
        except Failure as error:
            # The server's errors are escaped as in C, which is not always JSON.
            escaped = _c_escape(str(error))
            self._send(HTTP.get(error.code, 500), b'{ "error": "' + escaped + b'" }')
            return
        self._send(status, json.dumps(content).encode())

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _spec(self, ending: str) -> Any:
        spec = predict_pb2.PredictRequest().model_spec
        path = self.path
        malformed = Failure(CODE.INVALID_ARGUMENT, f"Malformed request: {self.command} {path}")
        if not path.startswith("/v1/models/") or not path.endswith(ending):
            raise malformed
        words = path[len("/v1/models/") : len(path) - len(ending)].split("/")
        spec.name = words[0]
        if len(words) == 3 and words[1] == "versions" and words[2].isdecimal():
            spec.version.value = int(words[2])
        elif len(words) == 3 and words[1] == "labels":
            spec.version_label = words[2]
        elif len(words) != 1 or ":" in words[0]:
            raise malformed
        return spec

    def _get(self) -> Any:
        if self.path.endswith("/metadata"):
            response = self.models.get_metadata(self._spec("/metadata"))
            found = get_model_metadata_pb2.SignatureDefMap()
            response.metadata["signature_def"].Unpack(found)
            signatures = json_format.MessageToDict(
                found, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
            )
            return {
                "model_spec": {
                    "name": response.model_spec.name,
                    "version": str(response.model_spec.version.value),
                },
                "metadata": {"signature_def": signatures},
            }
        return json_format.MessageToDict(
            self.models.get_status(self._spec("")),
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
        )

    def _predict(self, body: bytes) -> Any:
        spec = self._spec(":predict")
        try:
            content = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Failure(CODE.INVALID_ARGUMENT, f"JSON Parse error: {error}") from error
        if not isinstance(content, dict) or ("inputs" in content) == ("instances" in content):
            raise Failure(CODE.INVALID_ARGUMENT, "Expected one of `inputs` and `instances`")
        signature = content.get("signature_name", "serving_default")
        if not isinstance(signature, str):
            raise Failure(CODE.INVALID_ARGUMENT, "`signature_name` must be a string")
        _, version = self.models.find(spec)
        if signature not in version.meta.signature_def:
            raise Failure(CODE.INVALID_ARGUMENT, f'Serving signature name: "{signature}" not found')
        definition = version.meta.signature_def[signature]
        columns = content.get("inputs")
        if columns is None:
            columns = _columns(content["instances"])
        if not isinstance(columns, dict):
            if len(definition.inputs) != 1:
                raise Failure(
                    CODE.INVALID_ARGUMENT,
                    "inputs is a plain value/list, but expecting "
                    "an object as multiple input tensors required",
                )
            columns = {next(iter(definition.inputs)): columns}
        request = predict_pb2.PredictRequest()
        request.model_spec.CopyFrom(spec)
        request.model_spec.signature_name = signature
        extra = set(columns) - set(definition.inputs)
        if extra and "instances" in content:
            raise Failure(CODE.INVALID_ARGUMENT, f"does not have named input: {extra}")
        for name, info in definition.inputs.items():  # The server ignores further "inputs".
            if name not in columns:
                raise Failure(
                    CODE.INVALID_ARGUMENT, f"Missing named input: {name} in 'inputs' object."
                )
            dtype = tf.as_dtype(info.dtype)
            request.inputs[name].CopyFrom(_tensor(name, columns[name], dtype))
        _, answer = self.models.predict(request)
        rows = {name: _plain(value) for name, value in answer.items()}
        if "inputs" in content:
            return {"outputs": rows if len(rows) > 1 else next(iter(rows.values()))}
        names = list(rows)
        each = [dict(zip(names, row)) for row in zip(*rows.values(), strict=True)]
        if len(names) == 1:
            return {"predictions": [row[names[0]] for row in each]}
        return {"predictions": each}


def _columns(instances: Any) -> Any:
    if not isinstance(instances, list) or not instances:
        raise Failure(CODE.INVALID_ARGUMENT, "`instances` must be a list that is not empty")
    if not all(isinstance(row, dict) and set(row) == set(instances[0]) for row in instances):
        raise Failure(CODE.INVALID_ARGUMENT, "`instances` must be objects of the same keys")
    return {name: [row[name] for row in instances] for name in instances[0]}


def _tensor(name: str, value: Any, dtype: tf.DType) -> Any:
    """A tensor of a JSON value; values of another type are an error, as on the server."""

    def leaf(one: Any) -> Any:
        if isinstance(one, list):
            return [leaf(inner) for inner in one]
        if dtype == tf.string and isinstance(one, dict) and set(one) == {"b64"}:
            try:
                return base64.b64decode(one["b64"], validate=True)
            except (ValueError, TypeError) as error:
                raise Failure(CODE.INVALID_ARGUMENT, f"{name}: {error}") from error
        kinds = {tf.string: str, tf.bool: bool}.get(dtype, (int, float))
        wrong = not isinstance(one, kinds) or (isinstance(one, bool) and dtype != tf.bool)
        if wrong or (dtype.is_integer and not isinstance(one, int)):
            raise Failure(
                CODE.INVALID_ARGUMENT, f"JSON Value: {one!r} of {name} is not a {dtype.name}"
            )
        if dtype.is_integer and not dtype.min <= one <= dtype.max:
            raise Failure(CODE.INVALID_ARGUMENT, f"{name}: {one} is not in range of {dtype.name}")
        return one.encode() if dtype == tf.string else one

    def shape(one: Any) -> list[int]:
        if not isinstance(one, list):
            return []
        if not one:
            return [0]
        shapes = [shape(inner) for inner in one]
        if any(other != shapes[0] for other in shapes):
            raise Failure(CODE.INVALID_ARGUMENT, f"Encountered list at unexpected size: {name}")
        return [len(one), *shapes[0]]

    try:
        return tf.make_tensor_proto(leaf(value), dtype, shape(value))
    except (ValueError, TypeError, OverflowError) as error:
        raise Failure(CODE.INVALID_ARGUMENT, f"{name}: {error}") from error


def _plain(value: np.ndarray) -> Any:
    if value.dtype == object:
        return np.vectorize(lambda one: one.decode(errors="replace"), otypes=[object])(
            value
        ).tolist()
    if value.dtype == np.float32:  # Nine digits distinguish all of them.
        return np.vectorize(lambda one: float(f"{one:.9g}"), otypes=[object])(value).tolist()
    return value.tolist()


def _c_escape(text: str) -> bytes:
    marks = {ord(mark): f"\\{name}" for mark, name in zip("\n\r\t\"'\\", "nrt\"'\\", strict=True)}
    return "".join(
        marks.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}")
        for byte in text.encode()
    ).encode()


class HttpServer(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 512
