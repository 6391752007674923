"""Optimisers whose step does not grow with the catalogue."""

from tfsessionrec.backend import require_legacy_keras

require_legacy_keras("tfsessionrec.optimizers")

from tfsessionrec.optimizers.lazy_adam import LazyAdam  # noqa: E402

__all__ = ["LazyAdam"]
