"""From a raw interaction log to sessions, vocabularies, splits and batches.

Reading and cutting a log needs Polars alone: TensorFlow is imported when `session_dataset` is
first touched.
"""

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

from tfsessionrec.data.examples import (
    Examples,
    expand_prefixes,
    expand_targets,
    protocol_examples,
    training_examples,
)
from tfsessionrec.data.flatten_sessions import flatten_sessions
from tfsessionrec.data.interaction_log import interaction_log
from tfsessionrec.data.item_features import item_features
from tfsessionrec.data.merge_sessions import merge_sessions
from tfsessionrec.data.read_events import read_events
from tfsessionrec.data.sessionize import sessionize
from tfsessionrec.data.sessions import Sessions
from tfsessionrec.data.splits import (
    last_days,
    leave_last_session_out,
    sliding_windows,
    split_by_time,
)
from tfsessionrec.data.vocabulary import Vocabulary

if TYPE_CHECKING:
    from tfsessionrec.data.from_tfds import sessions_from_tfds
    from tfsessionrec.data.session_dataset import protocol_batches, session_dataset
    from tfsessionrec.data.simulate import simulate

__all__ = [
    "Examples",
    "Sessions",
    "Vocabulary",
    "expand_prefixes",
    "expand_targets",
    "flatten_sessions",
    "interaction_log",
    "item_features",
    "last_days",
    "leave_last_session_out",
    "merge_sessions",
    "protocol_batches",
    "protocol_examples",
    "read_events",
    "session_dataset",
    "sessionize",
    "sessions_from_tfds",
    "simulate",
    "sliding_windows",
    "split_by_time",
    "training_examples",
]

_LAZY = {
    "protocol_batches": "session_dataset",
    "session_dataset": "session_dataset",
    "sessions_from_tfds": "from_tfds",
    "simulate": "simulate",
}


class _Room(types.ModuleType):
    """A package whose functions stay functions.

    Importing a submodule binds it as an attribute of its package. Functions share the names of
    their modules, and what a user means by `data.session_dataset` is the function, whoever
    imported the module, and when.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, types.ModuleType):
            value = getattr(value, name, value)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Room


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
