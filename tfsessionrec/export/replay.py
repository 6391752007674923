"""Replays requests in a process that does not import this package: a script.

    python -P replay.py EXPORT REQUESTS ANSWERS

REQUESTS: JSON lines `{"signature": text, "inputs": {name: TensorProto in base 64}}`. ANSWERS: first
a line `{signature: {"inputs": {name: [dtype, rank]}, "outputs": …}}` of the graph; then for
each request `{"outputs": …}` or `{"error": text}`.
"""

import base64
import json
import pathlib
import sys
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2


def replay(export: str, requests: Iterable[str]) -> Iterator[str]:
    """Asks a session of TensorFlow 1, which runs a graph as the server does; yields ANSWERS."""
    v1 = tf.compat.v1
    with v1.Session(graph=tf.Graph()) as session:
        found = v1.saved_model.load(session, ["serve"], export).signature_def
        # Those of TensorFlow itself are called __saved_model_init_op and the like.
        signatures = {name: found[name] for name in found if not name.startswith("__")}
        described = {}
        for name, signature in signatures.items():
            sides = {"inputs": signature.inputs, "outputs": signature.outputs}
            described[name] = {side: _described(tensors) for side, tensors in sides.items()}
        yield json.dumps(described)
        for line in requests:
            request = json.loads(line)
            try:
                signature = signatures[request["signature"]]
                feed = {
                    signature.inputs[name].name: _decode(value)
                    for name, value in request["inputs"].items()
                }
                fetched = {name: info.name for name, info in signature.outputs.items()}
                answer = session.run(fetched, feed)
            except Exception as error:  # The caller reports any of them.
                text = getattr(error, "message", str(error)).partition("\n")[0]
                yield json.dumps({"error": f"{type(error).__name__}: {text}"})
            else:
                outputs = {
                    name: _encode(value, signature.outputs[name].dtype)
                    for name, value in answer.items()
                }
                yield json.dumps({"outputs": outputs})


def _described(tensors: Mapping[str, meta_graph_pb2.TensorInfo]) -> dict[str, list[str | int]]:
    return {
        name: [tf.as_dtype(info.dtype).name, len(info.tensor_shape.dim)]
        for name, info in tensors.items()
    }


def _decode(value: str) -> np.ndarray:
    return tf.make_ndarray(tensor_pb2.TensorProto.FromString(base64.b64decode(value)))


def _encode(value: np.ndarray, dtype: int) -> str:
    tensor = tf.make_tensor_proto(value, dtype, value.shape)
    return base64.b64encode(tensor.SerializeToString()).decode()


if __name__ == "__main__":
    export, requests, answers = sys.argv[1:]
    with pathlib.Path(requests).open() as lines, pathlib.Path(answers).open("w") as file:
        for answer in replay(export, lines):
            file.write(answer + "\n")
