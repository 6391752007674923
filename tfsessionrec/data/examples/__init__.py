"""Examples: histories, their targets, when each is asked, and where each came from."""

from tfsessionrec.data.examples.examples import Examples
from tfsessionrec.data.examples.expand import expand_prefixes, expand_targets
from tfsessionrec.data.examples.objectives import (
    PROTOCOLS,
    protocol_examples,
    training_examples,
)
from tfsessionrec.recipe import OBJECTIVES

__all__ = [
    "OBJECTIVES",
    "PROTOCOLS",
    "Examples",
    "expand_prefixes",
    "expand_targets",
    "protocol_examples",
    "training_examples",
]
