"""A stand-in for tensorflow_model_server, for the tests of what talks to it.

It takes the same flags, speaks the same REST and gRPC, and runs SavedModels by TensorFlow's C API,
as the server's C++ does. It shows that clients, the roll-out and the graph's answers are
right where no server is installed. It proves nothing about the server.
"""

import argparse
import base64
import contextlib
import http.server
import json
import os
import pathlib
import queue
import signal
import socketserver
import struct
import sys
import threading
import time
from concurrent import futures
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import json_format, text_format
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)
from tensorflow_serving.config import model_server_config_pb2

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "serving"))
import c_api

STATE = get_model_status_pb2.ModelVersionStatus.State
CODE = grpc.StatusCode
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


class Failure(Exception):  # noqa: N818
    """A canonical code and a message."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class Version:
    """One loaded version, run by the C API as the server runs it."""

    def __init__(self, path: pathlib.Path) -> None:
        self.model = c_api.SavedModel(path, intra_op_threads=1, inter_op_threads=2)
        self.meta = self.model.meta_graph
        self.warm_up_records = self._warm_up(path)

    def _warm_up(self, path: pathlib.Path) -> int:
        """Replays the warm-up records; one that fails fails the load."""
        file = path / "assets.extra" / "tf_serving_warmup_requests"
        if not file.exists():
            return 0
        content, records = file.read_bytes(), 0
        while content:
            (length,) = struct.unpack_from("<Q", content)
            record = prediction_log_pb2.PredictionLog.FromString(content[12 : 12 + length])
            self.predict(record.predict_log.request)
            content, records = content[16 + length :], records + 1
        return records

    def predict(self, request: Any) -> dict[str, np.ndarray]:
        name = request.model_spec.signature_name or "serving_default"
        if name not in self.meta.signature_def:
            raise Failure(CODE.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
        signature = self.meta.signature_def[name]
        given, wanted = set(request.inputs), set(signature.inputs)
        if given != wanted:
            raise Failure(
                CODE.INVALID_ARGUMENT,
                f"input size does not match signature: {len(given)}!={len(wanted)}. Sent extra: "
                f"{sorted(given - wanted)}. Missing but required: {sorted(wanted - given)}",
            )
        feed = {}
        for key, info in signature.inputs.items():
            tensor = request.inputs[key]
            if tensor.dtype != info.dtype:
                raise Failure(
                    CODE.INVALID_ARGUMENT,
                    f"Expects {key} to be {tf.as_dtype(info.dtype).name} but "
                    f"{tf.as_dtype(tensor.dtype).name} is provided",
                )
            try:
                feed[key] = tf.make_ndarray(tensor)
            except (ValueError, TypeError) as error:
                raise Failure(CODE.INVALID_ARGUMENT, f"{key}: {error}") from error
        return self.run(name, feed)

    def run(self, name: str, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        try:
            return self.model.run(name, feed)
        except c_api.CApiError as error:
            code = next((c for c in CODE if c.value[0] == error.code), CODE.UNKNOWN)
            raise Failure(code, str(error).splitlines()[0]) from error


class Batcher:
    """Merges requests of one version and one signature, as --enable_batching.

    If their shapes differ beyond the batch, all that were merged fail, as on the server.
    """

    def __init__(self, sizes: list[int], seconds: float) -> None:
        self.sizes, self.seconds = sizes, seconds
        self.queues: dict[Any, queue.Queue[Any]] = {}
        self.lock = threading.Lock()
        self.runs = 0

    def run(self, version: Version, name: str, feed: dict[str, np.ndarray]) -> Any:
        if not all(value.ndim for value in feed.values()):
            raise Failure(CODE.INVALID_ARGUMENT, "Batching Run() input tensors must have a batch")
        rows = {len(value) for value in feed.values()}
        if len(rows) != 1:
            raise Failure(
                CODE.INVALID_ARGUMENT,
                "Batching Run() input tensors must have equal 0th-dimension size",
            )
        if not rows <= set(range(1, self.sizes[-1] + 1)):
            raise Failure(CODE.INVALID_ARGUMENT, f"Task size {rows} is not in a batch's bounds")
        key = (id(version), name)
        with self.lock:
            if key not in self.queues:
                self.queues[key] = queue.Queue()
                work = (version, name, self.queues[key])
                threading.Thread(target=self._work, args=work, daemon=True).start()
        future: futures.Future[Any] = futures.Future()
        self.queues[key].put((feed, future))
        return future.result()

    def _work(self, version: Version, name: str, tasks: "queue.Queue[Any]") -> None:
        held = None
        while True:
            batch = [held or tasks.get()]
            held, end = None, time.monotonic() + self.seconds
            rows = [len(next(iter(batch[0][0].values())))]
            while sum(rows) < self.sizes[-1]:
                try:
                    task = tasks.get(timeout=max(end - time.monotonic(), 0))
                except queue.Empty:
                    break
                more = len(next(iter(task[0].values())))
                if sum(rows) + more > self.sizes[-1]:
                    held = task
                    break
                batch.append(task)
                rows.append(more)
            self.runs += 1
            self._run(version, name, batch, rows)

    def _run(self, version: Version, name: str, batch: list[Any], rows: list[int]) -> None:
        padding = next(size for size in self.sizes if size >= sum(rows)) - sum(rows)
        try:
            feed = {}
            for key in batch[0][0]:
                parts = [task[0][key] for task in batch]
                if len({part.shape[1:] for part in parts}) > 1:
                    raise Failure(
                        CODE.FAILED_PRECONDITION,
                        f"Tensors with name '{key}' from different tasks have different shapes and "
                        "padding is turned off.",
                    )
                parts += [parts[0][:1]] * padding  # The server pads with real rows, too.
                feed[key] = np.concatenate(parts)
            answer = version.run(name, feed)
            place = 0
            for (_, future), count in zip(batch, rows, strict=True):
                future.set_result({k: v[place : place + count] for k, v in answer.items()})
                place += count
        except Exception as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)


class Models:
    """What is loaded, under which labels."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.lock = threading.RLock()
        self.reload_lock = threading.Lock()
        self.versions: dict[str, dict[int, Version]] = {}
        self.status: dict[str, dict[int, tuple[str, str]]] = {}
        self.labels: dict[str, dict[str, int]] = {}
        self.config: Any = None
        self.batcher: Batcher | None = None
        self.requests: dict[tuple[str, str], int] = {}
        if arguments.enable_batching:
            sizes, timeout = [1000], 0.0
            if arguments.batching_parameters_file:
                sizes, timeout = _batching(pathlib.Path(arguments.batching_parameters_file))
            self.batcher = Batcher(sizes, timeout)

    def reload(self, config: Any) -> None:
        with self.reload_lock:
            for one in config.model_config_list.config:
                if not one.base_path.startswith("/"):
                    raise Failure(CODE.INVALID_ARGUMENT, f"{one.base_path} is no absolute path")
            for one in config.model_config_list.config:
                known = self.labels.get(one.name, {})
                for label, number in one.version_labels.items():
                    state = self.status.get(one.name, {}).get(number, ("", ""))[0]
                    new = label not in known
                    may = new and self.arguments.allow_version_labels_for_unavailable_models
                    if state != "AVAILABLE" and not may:
                        raise Failure(
                            CODE.FAILED_PRECONDITION,
                            f"Request to assign label to version {number} of model {one.name}, "
                            "which is not currently available for inference",
                        )
            with self.lock:
                self.config = config
                for one in config.model_config_list.config:
                    self.labels[one.name] = dict(one.version_labels)
            self.poll()

    def poll(self) -> None:
        """Loads and unloads what the configuration and the disk say."""
        for one in self.config.model_config_list.config:
            wanted = _wanted(one)
            versions = self.versions.setdefault(one.name, {})
            status = self.status.setdefault(one.name, {})
            for number in sorted(wanted - set(versions)):
                if status.get(number, ("", ""))[0] == "END" and status[number][1]:
                    continue
                status[number] = ("LOADING", "")
                try:
                    version = Version(pathlib.Path(one.base_path, str(number)))
                except Exception as error:
                    print(f"version {number} failed: {error}", flush=True)
                    status[number] = ("END", str(error) or repr(error))
                    continue
                with self.lock:
                    versions[number] = version
                    status[number] = ("AVAILABLE", "")
                print(
                    f"loaded {one.name} {number}, {version.warm_up_records} warm-up records",
                    flush=True,
                )
            for number in set(versions) - wanted:
                with self.lock:
                    del versions[number]
                    status[number] = ("END", "")

    def find(self, spec: Any) -> tuple[int, Version]:
        with self.lock:
            versions = self.versions.get(spec.name, {})
            if not versions:
                raise Failure(CODE.NOT_FOUND, f"Servable not found for request: {spec.name}")
            number = max(versions)
            if spec.HasField("version"):
                number = spec.version.value
            elif spec.version_label:
                labels = self.labels.get(spec.name, {})
                if spec.version_label not in labels:
                    raise Failure(
                        CODE.INVALID_ARGUMENT,
                        f"Unrecognized servable version label: {spec.version_label}",
                    )
                number = labels[spec.version_label]
            if number not in versions:
                raise Failure(CODE.NOT_FOUND, f"Servable not found: {spec.name} {number}")
            return number, versions[number]

    def predict(self, request: Any) -> tuple[int, dict[str, np.ndarray]]:
        status = "OK"
        try:
            number, version = self.find(request.model_spec)
            if self.batcher is None:
                return number, version.predict(request)
            runner = _Batched(version, self.batcher)
            return number, runner.predict(request)
        except Failure as error:
            status = error.code.name
            raise
        finally:
            with self.lock:
                key = (request.model_spec.name, status)
                self.requests[key] = self.requests.get(key, 0) + 1

    def get_status(self, spec: Any) -> Any:
        with self.lock:
            status = dict(self.status.get(spec.name, {}))
            if spec.HasField("version"):  # The server looks at no label here.
                status = {n: s for n, s in status.items() if n == spec.version.value}
        if not status:
            raise Failure(CODE.NOT_FOUND, f"Could not find any versions of model {spec.name}")
        response = get_model_status_pb2.GetModelStatusResponse()
        for number, (state, message) in sorted(status.items(), reverse=True):
            one = response.model_version_status.add(version=number, state=STATE.Value(state))
            one.status.error_message = message
            one.status.error_code = 2 if message else 0
        return response

    def get_metadata(self, spec: Any) -> Any:
        number, version = self.find(spec)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = spec.name
        response.model_spec.version.value = number
        found = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in version.meta.signature_def.items():
            found.signature_def[name].CopyFrom(signature)
        response.metadata["signature_def"].Pack(found)
        return response


class _Batched(Version):
    """A version whose runs go through the batcher."""

    def __init__(self, version: Version, batcher: Batcher) -> None:
        self.meta, self._version, self._batcher = version.meta, version, batcher

    def run(self, name: str, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self._batcher.run(self._version, name, feed)


def _wanted(one: Any) -> set[int]:
    base = pathlib.Path(one.base_path)
    there = [p for p in base.iterdir() if p.name.isdecimal() and (p / "saved_model.pb").exists()]
    numbers = sorted(int(p.name) for p in there)
    policy = one.model_version_policy
    if policy.HasField("specific"):
        return set(policy.specific.versions) & set(numbers)
    if policy.HasField("all"):
        return set(numbers)
    return set(numbers[-max(policy.latest.num_versions, 1) :])


def _batching(path: pathlib.Path) -> tuple[list[int], float]:
    """Allowed sizes and the timeout, of the text form of BatchingParameters."""
    sizes, maximum, timeout = [], 1000, 0
    for line in path.read_text().splitlines():
        line = line.partition("#")[0].replace(":", " ").replace("{", " ").replace("}", " ")
        words = line.split()
        if words[:1] == ["allowed_batch_sizes"]:
            sizes.append(int(words[-1]))
        elif words[:1] == ["max_batch_size"]:
            maximum = int(words[-1])
        elif words[:1] == ["batch_timeout_micros"]:
            timeout = int(words[-1])
    sizes = sizes or [maximum]
    if sizes[-1] != maximum:
        raise SystemExit("the last of allowed_batch_sizes must equal max_batch_size")
    return sizes, timeout / 1e6


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, models: Models) -> None:
        self.models = models

    def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802
        with _refusing(context):
            number, answer = self.models.predict(request)
            response = predict_pb2.PredictResponse()
            response.model_spec.name = request.model_spec.name
            response.model_spec.version.value = number
            for name, value in answer.items():
                response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
            return response

    def GetModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        with _refusing(context):
            return self.models.get_metadata(request.model_spec)


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, models: Models) -> None:
        self.models = models

    def GetModelStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        with _refusing(context):
            return self.models.get_status(request.model_spec)

    def HandleReloadConfigRequest(self, request: Any, context: Any) -> Any:  # noqa: N802
        response = model_management_pb2.ReloadConfigResponse()
        try:
            self.models.reload(request.config)
        except Failure as error:
            response.status.error_code = error.code.value[0]
            response.status.error_message = str(error)
        return response


@contextlib.contextmanager
def _refusing(context: Any) -> Any:
    try:
        yield
    except Failure as error:
        context.abort(error.code, str(error))


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
        for name, info in definition.inputs.items():  # What is more in "inputs" is not looked at.
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
    """A tensor of a JSON value; what is not of the type is refused, as the server does."""

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
    if value.dtype == np.float32:  # Nine digits tell all of them apart.
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


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rest_api_port", type=int, required=True)
    parser.add_argument("--model_name", default="default")
    parser.add_argument("--model_base_path")
    parser.add_argument("--model_config_file")
    parser.add_argument("--model_config_file_poll_wait_seconds", type=float, default=0)
    parser.add_argument("--file_system_poll_wait_seconds", type=float, default=1)
    parser.add_argument("--max_num_load_retries", type=int, default=0)
    parser.add_argument("--monitoring_config_file")
    parser.add_argument("--batching_parameters_file")
    parser.add_argument("--enable_batching", action="store_true")
    parser.add_argument("--allow_version_labels_for_unavailable_models", action="store_true")
    arguments = parser.parse_args([a.removesuffix("=true") for a in os.sys.argv[1:]])

    def read_config() -> Any:
        config = model_server_config_pb2.ModelServerConfig()
        if arguments.model_config_file:
            text_format.Parse(pathlib.Path(arguments.model_config_file).read_text(), config)
        else:
            config.model_config_list.config.add(
                name=arguments.model_name,
                base_path=arguments.model_base_path,
                model_platform="tensorflow",
            )
        return config

    models = Models(arguments)
    models.reload(read_config())
    failed = [error for states in models.status.values() for _, error in states.values() if error]
    if failed:
        raise SystemExit(f"Failed to start server. Error: {failed}")
    server = grpc.server(
        futures.ThreadPoolExecutor(16),
        options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(models), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(models), server)
    server.add_insecure_port(f"127.0.0.1:{arguments.port}")
    server.start()
    Handler.models = models
    rest = HttpServer(("127.0.0.1", arguments.rest_api_port), Handler)
    threading.Thread(target=rest.serve_forever, daemon=True).start()
    print("ready", flush=True)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    wait = arguments.model_config_file_poll_wait_seconds or arguments.file_system_poll_wait_seconds
    while not stop.wait(wait):
        with contextlib.suppress(OSError, text_format.ParseError, Failure):
            if arguments.model_config_file_poll_wait_seconds:
                models.reload(read_config())
            with models.reload_lock:
                models.poll()
    server.stop(None)
    rest.shutdown()


if __name__ == "__main__":
    main()
