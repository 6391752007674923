"""The one place Keras comes from.

TensorFlow Recommenders 0.7.7 refuses Keras 3, so the package asks for Keras 2 (`tf-keras`) by
setting `TF_USE_LEGACY_KERAS=1` unless the user has set the variable. Layers, losses and metrics
work under both; `tasks` and `models` call `require_legacy_keras` and say what to do otherwise.
"""

import os
from typing import Any

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import tensorflow as tf

keras = tf.keras

IS_KERAS_3: bool = not keras.Model.__module__.startswith("tf_keras")


def build_sublayer(layer: Any, input_shape: Any) -> Any:
    """Builds a sublayer under its own name, so that the names of its weights are unique."""
    with tf.name_scope(layer.name):
        layer.build(input_shape)
    return layer


def check_keras_2(argument: str, value: object) -> None:
    """Raises for an object of the package `keras` (Keras 3) where `tf.keras` is Keras 2.

    Args:
        argument: Name of the argument, for the message.
        value: The object.

    Raises:
        ValueError: If its class is of Keras 3.
    """
    roots = {base.__module__.partition(".")[0] for base in type(value).__mro__}
    if not IS_KERAS_3 and "keras" in roots:
        kind = type(value)
        raise ValueError(
            f"`{argument}` should be of Keras 2, as the model is: take it from `tf.keras` or "
            f"`tf_keras`, not from `keras`, which is Keras 3. Received: `{argument}` of class "
            f"{kind.__module__}.{kind.__qualname__}"
        )


def require_legacy_keras(module: str) -> None:
    """Raises when TensorFlow's Keras is version 3, which TensorFlow Recommenders cannot use.

    Args:
        module: Name of the module that needs Keras 2, for the message.

    Raises:
        ImportError: If `tf.keras` was resolved to Keras 3.
    """
    if IS_KERAS_3:
        setting = os.environ.get("TF_USE_LEGACY_KERAS")
        raise ImportError(
            f"`{module}` uses TensorFlow Recommenders, which needs Keras 2 (`tf-keras`), but "
            f"`tf.keras` was resolved to Keras 3 (TF_USE_LEGACY_KERAS={setting!r}). Import "
            "`tfsessionrec` before anything touches `tf.keras`, or set TF_USE_LEGACY_KERAS=1 in "
            "the environment. `tfsessionrec.layers`, `.losses` and `.metrics` work under Keras 3."
        )
