"""A stand-in for tensorflow_model_server, for the tests of its clients.

It takes the same flags, offers the same REST and gRPC APIs, and runs SavedModels by TensorFlow's C
API, as the server's C++ does. With it the tests check clients, the roll-out and the graph's answers
where no server is installed. It proves nothing about the server.
"""

import argparse
import contextlib
import os
import pathlib
import signal
import sys
import threading
from concurrent import futures
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import grpc
import tensorflow as tf
from google.protobuf import text_format
from stand_in_models import Failure, Models
from stand_in_rest import Handler, HttpServer
from tensorflow_serving.apis import (
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)
from tensorflow_serving.config import model_server_config_pb2


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


class Threads:
    """The server's limit of requests at a time: one more is refused at once, not queued."""

    free = threading.Semaphore(4 * (os.cpu_count() or 1))


@contextlib.contextmanager
def _refusing(context: Any) -> Any:
    if not Threads.free.acquire(blocking=False):
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "Server Threadpool Exhausted")
    try:
        yield
    except Failure as error:
        context.abort(error.code, str(error))
    finally:
        Threads.free.release()


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rest_api_port", type=int, required=True)
    parser.add_argument("--model_name", default="default")
    parser.add_argument("--model_base_path")
    parser.add_argument("--model_config_file")
    parser.add_argument("--model_config_file_poll_wait_seconds", type=float, default=0)
    parser.add_argument("--file_system_poll_wait_seconds", type=float, default=1)
    parser.add_argument("--max_num_load_retries", type=int, default=0)
    parser.add_argument("--grpc_max_threads", type=int, default=4 * (os.cpu_count() or 1))
    parser.add_argument("--rest_api_timeout_in_ms", type=int, default=30_000)
    parser.add_argument("--tensorflow_intra_op_parallelism", type=int, default=0)
    parser.add_argument("--tensorflow_inter_op_parallelism", type=int, default=0)
    parser.add_argument("--monitoring_config_file")
    parser.add_argument("--batching_parameters_file")
    parser.add_argument("--enable_batching", action="store_true")
    parser.add_argument("--allow_version_labels_for_unavailable_models", action="store_true")
    return parser.parse_args([a.removesuffix("=true") for a in sys.argv[1:]])


def read_config(arguments: argparse.Namespace) -> Any:
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


def main() -> None:
    arguments = parse_arguments()
    models = Models(arguments)
    models.reload(read_config(arguments))
    failed = [error for states in models.status.values() for _, error in states.values() if error]
    if failed:
        raise SystemExit(f"Failed to start server. Error: {failed}")
    Threads.free = threading.Semaphore(arguments.grpc_max_threads)
    server = grpc.server(
        futures.ThreadPoolExecutor(arguments.grpc_max_threads + 8),  # of which 8 refuse
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
                models.reload(read_config(arguments))
            with models.reload_lock:
                models.poll()
    server.stop(None)
    rest.shutdown()


if __name__ == "__main__":
    main()
