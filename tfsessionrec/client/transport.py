"""What REST and gRPC have in common."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np

from tfsessionrec.client.model_reference import ModelReference
from tfsessionrec.client.tensor_spec import TensorSpec
from tfsessionrec.client.version_status import VersionStatus


class Signature(NamedTuple):
    """The inputs and outputs of a signature by name."""

    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]


class Transport(Protocol):
    """One try of one request; every failure is a `ServingError`. Seconds are what is left."""

    def predict(
        self,
        model: ModelReference,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        specs: Signature,
        seconds: float,
    ) -> dict[str, np.ndarray]:
        """The outputs of a signature."""

    def signatures(self, model: ModelReference, seconds: float) -> dict[str, Signature]:
        """What the model offers."""

    def resolved_version(self, model: ModelReference, seconds: float) -> int:
        """The version that answers now, whatever names it."""

    def versions(self, model: ModelReference, seconds: float) -> list[VersionStatus]:
        """The state of the model's versions."""

    def close(self) -> None:
        """Ends connections."""
