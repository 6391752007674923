"""gRPC; needs the extra `serving`."""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from tfsessionrec.client.address import Address
from tfsessionrec.client.answer import check_rank, reading, shown
from tfsessionrec.client.transport import (
    ModelReference,
    ServingError,
    Signature,
    TensorSpec,
    VersionStatus,
)

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from tensorflow.core.framework.tensor_pb2 import TensorProto
    from tensorflow.core.protobuf.meta_graph_pb2 import TensorInfo
    from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataResponse
    from tensorflow_serving.apis.model_pb2 import ModelSpec

RESPONSE = TypeVar("RESPONSE")


class GrpcTransport:
    """gRPC without encryption, the server's default.

    Args:
        address: The server's.
        max_response_bytes: The largest answer that is read.

    Raises:
        ImportError: If tensorflow-serving-api is not installed.
    """

    def __init__(self, address: Address, max_response_bytes: int) -> None:
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
        self.url = str(address)
        self._max_response_bytes = max_response_bytes
        self._grpc, self._tf = grpc, tf
        self._predict_pb2 = predict_pb2
        self._metadata_pb2, self._status_pb2 = get_model_metadata_pb2, get_model_status_pb2
        # The client retries within its deadline; gRPC's own retries would be hidden from it.
        options = [
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", min(max_response_bytes, 2**31 - 1)),
            ("grpc.enable_retries", 0),
        ]
        self._channel = grpc.insecure_channel(address.netloc, options)
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
        where = f"{self.url}{model.path}"
        with reading(f"the answer does not have the outputs of `{signature}`", where):
            return {
                name: self._array(dict(response.outputs)[name], spec, name)
                for name, spec in specs.outputs.items()
            }

    def signatures(self, model: ModelReference, seconds: float) -> dict[str, Signature]:
        response = self._metadata(model, seconds)
        with reading("the answer holds no signatures", f"{self.url}{model.path}"):
            found = self._metadata_pb2.SignatureDefMap()
            if not response.metadata["signature_def"].Unpack(found):
                raise ValueError("no `signature_def`")
            return {
                name: Signature(self._specs(one.inputs), self._specs(one.outputs))
                for name, one in found.signature_def.items()
                if not name.startswith("__")
            }

    def resolved_version(self, model: ModelReference, seconds: float) -> int:
        spec = self._metadata(model, seconds).model_spec
        with reading("the answer holds no version", f"{self.url}{model.path}"):
            if not spec.HasField("version") or spec.version.value < 0:
                raise ValueError("not a number of a version")
            return spec.version.value

    def versions(self, model: ModelReference, seconds: float) -> list[VersionStatus]:
        request = self._status_pb2.GetModelStatusRequest()
        _fill(request.model_spec, model)
        response = self._call(self._models.GetModelStatus, request, model, seconds)
        states = self._status_pb2.ModelVersionStatus.State
        with reading("the answer holds no states of versions", f"{self.url}{model.path}"):
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
            text = shown(error.details() or "", 4096)
            raise ServingError(text, where, error.code().name) from error

    def _array(self, tensor: "TensorProto", spec: TensorSpec, name: str) -> NDArray:
        """An output; its size is checked before there is memory for it.

        Raises:
            ValueError: If it is not what the signature lists.
        """
        sizes = [one.size for one in tensor.tensor_shape.dim]
        if tensor.dtype != self._tf.as_dtype(spec.dtype).as_datatype_enum:
            raise ValueError(f"`{name}` is not {spec.dtype}")
        width = max(spec.array_dtype.itemsize, 1)
        if min(sizes, default=0) < 0 or math.prod(sizes) > self._max_response_bytes // width:
            raise ValueError(f"`{name}` has the shape {sizes}")
        value = self._tf.make_ndarray(tensor)
        check_rank(value, spec, name)
        if value.dtype == object:
            value = np.array([v.decode() for v in value.ravel()], object).reshape(value.shape)
        return value

    def _specs(self, tensors: "Mapping[str, TensorInfo]") -> dict[str, TensorSpec]:
        return {
            name: TensorSpec(
                self._tf.as_dtype(one.dtype).name,
                -1 if one.tensor_shape.unknown_rank else len(one.tensor_shape.dim),
            )
            for name, one in tensors.items()
        }


def _fill(spec: "ModelSpec", model: ModelReference) -> None:
    spec.name = model.name
    if model.version is not None:
        spec.version.value = model.version
    if model.label is not None:
        spec.version_label = model.label
