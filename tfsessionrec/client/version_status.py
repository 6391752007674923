"""What a server says of one version of a model."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class VersionStatus:
    """What a server says of one version of a model.

    Attributes:
        version: The number of its folder.
        state: START, LOADING, AVAILABLE, UNLOADING or END.
        error: Why it did not load; "" if nothing went wrong.
    """

    version: int
    state: str
    error: str = ""
