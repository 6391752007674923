"""The models of the stand-in server: versions, labels, batching."""

import argparse
import pathlib
import queue
import struct
import sys
import threading
import time
from concurrent import futures
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    prediction_log_pb2,
)

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "serving"))
import c_api

STATE = get_model_status_pb2.ModelVersionStatus.State
CODE = grpc.StatusCode
UNLOAD_SECONDS = 1.0  # in which a version still reads AVAILABLE


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
    """Merges requests of one version and one signature, as --enable_batching does.

    If their shapes differ beyond the batch, all merged requests fail, as on the server.
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
    """The loaded versions and their labels."""

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
        self.unloading: set[tuple[str, int]] = set()
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
        """Loads and unloads versions by the configuration and the disk."""
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
                if (one.name, number) not in self.unloading:
                    self.unloading.add((one.name, number))
                    timer = threading.Timer(UNLOAD_SECONDS, self._unload, (one.name, number))
                    timer.daemon = True
                    timer.start()

    def _unload(self, name: str, number: int) -> None:
        """As on the server, a version reads AVAILABLE until it is gone, wanted again or not."""
        with self.lock:
            self.unloading.discard((name, number))
            del self.versions[name][number]
            self.status[name][number] = ("END", "")

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
            if spec.HasField("version"):  # The server ignores labels here.
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
    found = [p for p in base.iterdir() if p.name.isdecimal() and (p / "saved_model.pb").exists()]
    numbers = sorted(int(p.name) for p in found)
    policy = one.model_version_policy
    if policy.HasField("specific"):
        return set(policy.specific.versions) & set(numbers)
    if policy.HasField("all"):
        return set(numbers)
    return set(numbers[-max(policy.latest.num_versions, 1) :])


def _batching(path: pathlib.Path) -> tuple[list[int], float]:
    """Allowed sizes and the timeout, from the text form of BatchingParameters."""
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
