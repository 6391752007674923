"""What a training step would do on a GPU, read off its graph; no GPU is needed."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import kernels

import tfsessionrec as sr

SIZE = 60


def step_graph(name: str, **options: object) -> tf.compat.v1.GraphDef:
    """The graph of a training step on batches of one shape."""
    model = sr.models.build(name, vocabulary_size=SIZE, embedding_dim=8, **options)
    model.history_spec = None
    model.compile(optimizer=sr.optimizers.LazyAdam(1e-3))
    ids = np.random.default_rng(0).integers(2, SIZE, (4, 5, 3))
    batch = {
        "item_ids": tf.constant(ids, tf.int32),
        "labels": tf.constant(ids % 2, tf.int32),
        "session_times": tf.tile(tf.range(5, dtype=tf.int64)[None] * 86_400, [4, 1]),
    }
    model.train_step(batch)  # makes the variables
    return tf.function(model.train_step).get_concrete_function(batch).graph.as_graph_def()


def has_gpu_kernel(node: tf.compat.v1.NodeDef) -> bool:
    """Whether this build has a kernel of the node's types for a GPU."""

    def allows(kernel: object) -> bool:
        given = {c.name: c.allowed_values.list.type for c in kernel.constraint}
        return all(
            node.attr[name].type in types for name, types in given.items() if node.attr[name].type
        )

    registered = kernels.get_registered_kernels_for_op(node.op).kernel
    return any(k.device_type in {"GPU", "DEFAULT"} and allows(k) for k in registered)


@pytest.mark.skipif(
    not tf.sysconfig.get_build_info()["is_cuda_build"], reason="TensorFlow is built without CUDA"
)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sessionrec-sasrec", {}),
        ("sessionrec-sasrec", {"negatives": "uniform", "habit": {"half_lives": [3600.0]}}),
        ("sessionrec-hstu", {}),
        ("sessionrec-gru", {"ise": "attention"}),
        ("sasrec", {"negatives": "uniform"}),
        ("hstu", {"loss": "gbce"}),
    ],
)
def test_no_operation_leaves_the_gpu(name: str, options: dict[str, object]) -> None:
    graph = step_graph(name, **options)
    nodes = [*graph.node, *(node for one in graph.library.function for node in one.node_def)]
    assert len(nodes) > 300
    assert not {node.op for node in nodes if "PyFunc" in node.op}
    # Keras's GRU puts a constant of its shape there.
    pinned = {(node.op, node.device) for node in nodes if node.device}
    assert {op for op, _ in pinned} <= {"Const"}
    calls = {one.signature.name for one in graph.library.function}
    without = {node.op for node in nodes if node.op not in calls and not has_gpu_kernel(node)}
    assert not without - {"NoOp"}, sorted(without)
