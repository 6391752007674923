"""From a raw interaction log to sessions, vocabularies, splits and batches.

Reading and cutting a log needs Polars alone: TensorFlow is imported when `session_dataset`,
`protocol_batches` or `sessions_from_tfds` is first used.
"""

import importlib
from typing import TYPE_CHECKING

from tfsessionrec.data.catalog import item_features
from tfsessionrec.data.columns import interaction_log
from tfsessionrec.data.examples import (
    Examples,
    expand_prefixes,
    expand_targets,
    protocol_examples,
    training_examples,
)
from tfsessionrec.data.inspection import Inspection, inspect_log
from tfsessionrec.data.log_format import LogColumns, LogFormat, split_by_rule
from tfsessionrec.data.reading import read_events
from tfsessionrec.data.regrouping import flatten_sessions, merge_sessions
from tfsessionrec.data.repeats import repeat_rates
from tfsessionrec.data.sessionizing import sessionize
from tfsessionrec.data.sessions import Sessions
from tfsessionrec.data.splits import (
    last_days,
    leave_last_session_out,
    sliding_windows,
    split_by_time,
)
from tfsessionrec.data.vocabulary import Vocabulary
from tfsessionrec.recipe import TargetWeights

if TYPE_CHECKING:
    from tfsessionrec.data.batching import protocol_batches, session_dataset
    from tfsessionrec.data.from_tfds import sessions_from_tfds
    from tfsessionrec.data.simulation import simulate

__all__ = [
    "Examples",
    "Inspection",
    "LogColumns",
    "LogFormat",
    "Sessions",
    "TargetWeights",
    "Vocabulary",
    "expand_prefixes",
    "expand_targets",
    "flatten_sessions",
    "inspect_log",
    "interaction_log",
    "item_features",
    "last_days",
    "leave_last_session_out",
    "merge_sessions",
    "protocol_batches",
    "protocol_examples",
    "read_events",
    "repeat_rates",
    "session_dataset",
    "sessionize",
    "sessions_from_tfds",
    "simulate",
    "sliding_windows",
    "split_by_rule",
    "split_by_time",
    "training_examples",
]

# No submodule has the name of a public function: importing it would hide the function.
_LAZY = {
    "protocol_batches": "batching",
    "session_dataset": "batching",
    "sessions_from_tfds": "from_tfds",
    "simulate": "simulation",
}


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
