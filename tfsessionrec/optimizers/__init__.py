"""An optimizer whose step does not grow with the catalog, and a learning rate schedule."""

from tfsessionrec.backend import require_legacy_keras

require_legacy_keras("tfsessionrec.optimizers")

from tfsessionrec.optimizers.cooldown import Cooldown  # noqa: E402
from tfsessionrec.optimizers.lazy_adam import LazyAdam  # noqa: E402

__all__ = ["Cooldown", "LazyAdam"]
