"""A request and its answer, in the bytes that TensorFlow Serving replays."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

# Field numbers of tensorflow_serving/apis: prediction_log.proto, predict.proto, model.proto.
_PREDICT_LOG = 6
_REQUEST, _RESPONSE = 1, 2
_REQUEST_MODEL_SPEC, _REQUEST_INPUTS = 1, 2
_RESPONSE_OUTPUTS, _RESPONSE_MODEL_SPEC = 1, 2
_SPEC_NAME, _SPEC_SIGNATURE_NAME = 1, 3
_KEY, _VALUE = 1, 2


class PredictionLog(NamedTuple):
    """A `tensorflow.serving.PredictionLog` of one call of `Predict`, without that package.

    Its few messages hold only texts and messages, so that this class writes and reads them itself;
    an export needs no `tensorflow-serving-api`.

    Attributes:
        model_name: The name of the model.
        signature: The name of the signature.
        inputs: The request's arrays by name; texts are objects, str or bytes.
        outputs: The answer's, likewise. A server does not look at them.

    Example:

    >>> log = PredictionLog("shop", "recommend", {"k": np.array([3], np.int32)}, {})
    >>> PredictionLog.from_bytes(log.to_bytes()).inputs
    {'k': array([3], dtype=int32)}
    """

    model_name: str
    signature: str
    inputs: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray]

    def to_bytes(self) -> bytes:
        """The serialised message."""
        spec = _field(_SPEC_NAME, self.model_name.encode())
        spec += _field(_SPEC_SIGNATURE_NAME, self.signature.encode())
        request = _field(_REQUEST_MODEL_SPEC, spec) + _tensors(_REQUEST_INPUTS, self.inputs)
        response = _tensors(_RESPONSE_OUTPUTS, self.outputs) + _field(_RESPONSE_MODEL_SPEC, spec)
        log = _field(_REQUEST, request) + _field(_RESPONSE, response)
        return _field(_PREDICT_LOG, log)

    @classmethod
    def from_bytes(cls, content: bytes) -> "PredictionLog":
        """Reads a serialised message; texts come as bytes.

        Raises:
            ValueError: If it is not one, or of another call than `Predict`.
        """
        try:
            log = dict(_fields(dict(_fields(content))[_PREDICT_LOG]))
            request = list(_fields(log[_REQUEST]))
            spec = dict(_fields(dict(request)[_REQUEST_MODEL_SPEC]))
            return cls(
                spec.get(_SPEC_NAME, b"").decode(),
                spec[_SPEC_SIGNATURE_NAME].decode(),
                _arrays(_REQUEST_INPUTS, request),
                _arrays(_RESPONSE_OUTPUTS, list(_fields(log.get(_RESPONSE, b"")))),
            )
        except Exception as error:  # Protocol buffers raise kinds of their own.
            raise ValueError(
                "`content` should be a `PredictionLog` of a call of `Predict`. Received: "
                f"{len(content)} bytes that are not one: {type(error).__name__}: {error}"
            ) from error


def _tensors(number: int, arrays: Mapping[str, np.ndarray]) -> bytes:
    """A map from texts to tensors."""
    content = b""
    for name, array in arrays.items():
        array = np.asarray(array)
        dtype = tf.string if array.dtype == object else array.dtype
        tensor = tf.make_tensor_proto(array, dtype, array.shape).SerializeToString()
        content += _field(number, _field(_KEY, name.encode()) + _field(_VALUE, tensor))
    return content


def _arrays(number: int, fields: list[tuple[int, bytes]]) -> dict[str, np.ndarray]:
    arrays = {}
    for entry in (dict(_fields(content)) for found, content in fields if found == number):
        tensor = tensor_pb2.TensorProto.FromString(entry[_VALUE])
        arrays[entry[_KEY].decode()] = tf.make_ndarray(tensor)
    return arrays


def _field(number: int, content: bytes) -> bytes:
    """A field of a message that is a text or a message itself."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    """Seven bits a byte, lowest first, the highest bit set in all but the last."""
    content = bytearray()
    while number > 0x7F:
        content.append(number & 0x7F | 0x80)
        number >>= 7
    content.append(number)
    return bytes(content)


def _fields(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Numbers and contents of a message's fields."""
    place = 0

    def varint() -> int:
        nonlocal place
        number = shift = 0
        while True:
            byte = content[place]
            place += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number

    while place < len(content):
        key = varint()
        if key & 7 != 2:
            raise ValueError(f"field {key >> 3} is of wire type {key & 7}")
        length = varint()
        if place + length > len(content):
            raise ValueError(f"field {key >> 3} is cut short")
        yield key >> 3, content[place : place + length]
        place += length
