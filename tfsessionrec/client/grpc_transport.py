"""gRPC; needs the extra `serving`."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from tfsessionrec.client.transport import (
    ModelReference,
    ServingError,
    Signature,
    TensorSpec,
    VersionStatus,
)

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from tensorflow.core.protobuf.meta_graph_pb2 import TensorInfo
    from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataResponse
    from tensorflow_serving.apis.model_pb2 import ModelSpec

RESPONSE = TypeVar("RESPONSE")

UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class GrpcTransport:
    """gRPC without encryption, the server's default.

    Args:
        url: Such as "grpc://localhost:8500".

    Raises:
        ImportError: If tensorflow-serving-api is not installed.
    """

    def __init__(self, url: str) -> None:
        try:
            import grpc
            import tensorflow as tf
            from tensorflow_serving.apis import (
                get_model_metadata_pb2,
                get_model_status_pb2,
                model_service_pb2_grpc,
                predict_pb2,
                prediction_service_pb2_grpc,
            )
        except ImportError as error:
            raise ImportError(
                "A grpc:// address needs tensorflow-serving-api: pip install "
                f"'tfsessionrec[serving]'. An http:// address works without it. ({error})"
            ) from error
        self.url = url
        self._grpc, self._tf = grpc, tf
        self._predict_pb2 = predict_pb2
        self._metadata_pb2, self._status_pb2 = get_model_metadata_pb2, get_model_status_pb2
        # The client retries within its deadline; gRPC's own retries would be hidden from it.
        options = [*UNLIMITED, ("grpc.enable_retries", 0)]
        self._channel = grpc.insecure_channel(url.removeprefix("grpc://"), options)
        self._prediction = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def predict(
        self,
        model: ModelReference,
        signature: str,
        inputs: Mapping[str, NDArray],
        specs: Signature,
        seconds: float,
    ) -> dict[str, NDArray]:
        request = self._predict_pb2.PredictRequest()
        _fill(request.model_spec, model)
        request.model_spec.signature_name = signature
        for name, value in inputs.items():
            if value.dtype == object:
                value = np.array([str(v).encode() for v in value.ravel()], object).reshape(
                    value.shape
                )
            dtype = self._tf.as_dtype(specs.inputs[name].dtype)
            request.inputs[name].CopyFrom(self._tf.make_tensor_proto(value, dtype, value.shape))
        response = self._call(self._prediction.Predict, request, model, seconds)
        answer = {}
        for name, tensor in response.outputs.items():
            value = self._tf.make_ndarray(tensor)
            if value.dtype == object:
                value = np.array([v.decode() for v in value.ravel()], object).reshape(value.shape)
            answer[name] = value
        return answer

    def signatures(self, model: ModelReference, seconds: float) -> dict[str, Signature]:
        response = self._metadata(model, seconds)
        found = self._metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(found)
        return {
            name: Signature(self._specs(one.inputs), self._specs(one.outputs))
            for name, one in found.signature_def.items()
            if not name.startswith("__")
        }

    def resolved_version(self, model: ModelReference, seconds: float) -> int:
        return self._metadata(model, seconds).model_spec.version.value

    def versions(self, model: ModelReference, seconds: float) -> list[VersionStatus]:
        request = self._status_pb2.GetModelStatusRequest()
        _fill(request.model_spec, model)
        response = self._call(self._models.GetModelStatus, request, model, seconds)
        states = self._status_pb2.ModelVersionStatus.State
        return [
            VersionStatus(one.version, states.Name(one.state), one.status.error_message)
            for one in response.model_version_status
        ]

    def close(self) -> None:
        self._channel.close()

    def _metadata(self, model: ModelReference, seconds: float) -> "GetModelMetadataResponse":
        request = self._metadata_pb2.GetModelMetadataRequest()
        _fill(request.model_spec, model)
        request.metadata_field.append("signature_def")
        return self._call(self._prediction.GetModelMetadata, request, model, seconds)

    def _call(
        self,
        method: Callable[..., RESPONSE],
        request: "Message",
        model: ModelReference,
        seconds: float,
    ) -> RESPONSE:
        try:
            return method(request, timeout=seconds)
        except self._grpc.RpcError as error:
            where = f"{self.url}{model.path}"
            raise ServingError(error.details() or "", where, error.code().name) from error

    def _specs(self, tensors: "Mapping[str, TensorInfo]") -> dict[str, TensorSpec]:
        return {
            name: TensorSpec(self._tf.as_dtype(one.dtype).name, len(one.tensor_shape.dim))
            for name, one in tensors.items()
        }


def _fill(spec: "ModelSpec", model: ModelReference) -> None:
    spec.name = model.name
    if model.version is not None:
        spec.version.value = model.version
    if model.label is not None:
        spec.version_label = model.label
