"""What is known when queries are asked."""

import dataclasses

import numpy as np
from numpy.typing import NDArray


@dataclasses.dataclass(frozen=True)
class RunningSessions:
    """What is known when each query is asked.

    Args:
        items: [N] int32, the taken items of the running sessions, one after another, oldest first.
        offsets: [Q + 1] int64, where each query's items start and the last ones end.
        times: [Q] float64, unix seconds of the requests; NaN where not known.
    """

    items: NDArray[np.int32]
    offsets: NDArray[np.int64]
    times: NDArray[np.float64]
