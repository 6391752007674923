"""Systems: every model and baseline by name, from a log to recommendations in one step.

TensorFlow is imported when the first system is made.
"""

import importlib
from typing import TYPE_CHECKING

from tfsessionrec.recipe import Training
from tfsessionrec.systems.registry import BASELINES, names

if TYPE_CHECKING:
    from tfsessionrec.systems.baseline_system import BaselineSystem
    from tfsessionrec.systems.extending import extend
    from tfsessionrec.systems.joint_evaluation import evaluate_together
    from tfsessionrec.systems.neural_system import NeuralSystem
    from tfsessionrec.systems.settings import Settings
    from tfsessionrec.systems.train import Untrained, build, fit, load
    from tfsessionrec.systems.trained_system import Streaming, TrainedSystem
    from tfsessionrec.systems.training_callback import FiniteLoss, TrainingDiverged
    from tfsessionrec.systems.validation import Validation

__all__ = [
    "BASELINES",
    "BaselineSystem",
    "FiniteLoss",
    "NeuralSystem",
    "Settings",
    "Streaming",
    "TrainedSystem",
    "Training",
    "TrainingDiverged",
    "Untrained",
    "Validation",
    "build",
    "evaluate_together",
    "extend",
    "fit",
    "load",
    "names",
]

_LAZY = {
    "BaselineSystem": "baseline_system",
    "FiniteLoss": "training_callback",
    "NeuralSystem": "neural_system",
    "Settings": "settings",
    "Streaming": "trained_system",
    "TrainedSystem": "trained_system",
    "TrainingDiverged": "training_callback",
    "Untrained": "train",
    "Validation": "validation",
    "build": "train",
    "evaluate_together": "joint_evaluation",
    "extend": "extending",
    "fit": "train",
    "load": "train",
}


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
