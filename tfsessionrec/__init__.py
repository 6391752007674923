"""Session-based and session-aware recommendation in TensorFlow.

```python
import tfsessionrec as sr
```

The rooms of the package (`sr.data`, `sr.layers`, `sr.models`, ...) are loaded when first used, so
that reading a log does not wait for TensorFlow.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

# TensorFlow Recommenders needs Keras 2. TensorFlow reads this variable once, when its Keras is
# first touched, so it is set before anything here can import TensorFlow. A user's choice
# takes precedence.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

__version__ = "0.1.0"

_ROOMS = (
    "backend",
    "baselines",
    "client",
    "data",
    "datasets",
    "evaluation",
    "export",
    "layers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "query_model",
    "rules",
    "sampling",
    "scoring",
    "session_batch",
    "systems",
    "tasks",
)

if TYPE_CHECKING:
    from tfsessionrec import (
        backend,
        baselines,
        client,
        data,
        datasets,
        evaluation,
        export,
        layers,
        losses,
        metrics,
        models,
        optimizers,
        query_model,
        rules,
        sampling,
        scoring,
        session_batch,
        systems,
        tasks,
    )
    from tfsessionrec.history_spec import HistorySpec

__all__ = ["HistorySpec", "__version__", *_ROOMS]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    if name == "HistorySpec":
        return importlib.import_module(f"{__name__}.history_spec").HistorySpec
    if name == "masking":  # Its former name; deprecated, for a release.
        return importlib.import_module(f"{__name__}.masking")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
