"""From methods to the functions of a SavedModel, with all variables that they read."""

import pathlib
from collections.abc import Callable, Collection, Iterable, Mapping

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tfsessionrec.export.contract import ConcreteFunction
from tfsessionrec.export.version_directory import MARKER

Method = Callable[..., dict[str, tf.Tensor]]


def trace(method: Method, inputs: Mapping[str, tf.TensorSpec]) -> ConcreteFunction:
    """The function of a method; it refuses inputs of another rank.

    A server checks only names and types, and some operations take tensors of a wrong rank.
    """

    def checked(**given: tf.Tensor) -> dict[str, tf.Tensor]:
        return method(
            **{name: tf.ensure_shape(value, value.shape) for name, value in given.items()}
        )

    return tf.function(checked).get_concrete_function(**inputs)


def variables_of(functions: Iterable[ConcreteFunction]) -> list[tf.Variable]:
    """The variables that functions read, by name."""
    variables = {id(v): v for function in functions for v in function.graph.variables}
    return sorted(variables.values(), key=lambda variable: variable.name)


def reads_other_resources(
    functions: Iterable[ConcreteFunction],
    variables: Iterable[tf.Variable],
    tables: Collection[tf.lookup.StaticHashTable],
) -> bool:
    """Whether functions read a resource that is neither of the variables nor of the tables."""
    tracked = {id(variable.handle) for variable in variables}
    tracked |= {id(table.resource_handle) for table in tables}
    captured = (tensor for function in functions for tensor in function.captured_inputs)
    return any(t.dtype == tf.resource and id(t) not in tracked for t in captured)


def drop_compilation_requirements(directory: pathlib.Path) -> None:
    """Lets functions of the model made with `jit_compile=True` run without XLA.

    TensorFlow Serving refuses to run them on a CPU. The mark changes how a function is run, never
    what it computes.
    """
    file = directory / MARKER
    saved_model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    mark = "_XlaMustCompile"
    found = False
    for meta_graph in saved_model.meta_graphs:
        graph = meta_graph.graph_def
        functions = graph.library.function
        nodes = [*graph.node, *(node for function in functions for node in function.node_def)]
        for holder in (*functions, *nodes):
            if mark in holder.attr:
                found |= holder.attr[mark].b
                del holder.attr[mark]
    if found:
        file.write_bytes(saved_model.SerializeToString(deterministic=True))
        # It is optional, and it is the fingerprint of another graph now.
        (directory / "fingerprint.pb").unlink(missing_ok=True)
