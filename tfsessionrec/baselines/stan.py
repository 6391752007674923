"""Similar sessions, in sequence and in time."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfsessionrec.baselines.session_neighbours import SessionNeighbours

DAY = 86_400.0


class STAN(SessionNeighbours):
    """Sequence and time aware neighbourhood: SKNN with three decays.

    With the running session `s_1 ... s_L` asked at time t, its distinct items `set(s)`, an item at
    its last place `p`, `i*` the latest item of s that stands in the neighbour n, and `p(i, n)` the
    last place of i in n,

    `sim(s, n) = sum over i in set(s) ∩ n: exp((p(i, s) - L) / lambda_spw) / sqrt(|set(s)| |n|)
    exp(-max(t - t(n), 0) / lambda_snh)`

    `score(i) = sum over n in N(s) that hold i: sim(s, n) exp(-|p(i, n) - p(i*, n)| / lambda_inh)`

    where t(n) is the time of n's last interaction and N(s) are the k sessions of the largest
    similarity among the sample (see `SessionNeighbours`). A decay that is None is 1 throughout.

    Args:
        k: Number of neighbours, 500 by default.
        sample_size: How many sessions are compared, 5,000 by default; None for all.
        sampling: Which: `"recent"` (the default) or `"random"`.
        similarity: What divides the sum of the first decay: `"cosine"` (the default, above),
            `"vec"`, `"jaccard"` or `"dice"`.
        lambda_spw: Places in which an item of the running session falls to 1 / e, 1.02 by default.
        lambda_snh: Days in which a neighbour falls to 1 / e, 5 by default. What says when a query
            is asked is in `sparse_scores`.
        lambda_inh: Places in which an item of a neighbour falls to 1 / e, 2.05 by default.
        remind: Whether items of the running session get scores. True by default.
        seed: Seed of a random sample.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> import polars as pl
    >>> from tfsessionrec import data
    >>> log = pl.DataFrame({"s": [1, 1, 1, 2, 2], "item_id": ["cup", "tea", "pot", "jam", "tea"],
    ...                     "timestamp": [0, 1, 2, 86400, 86402]})
    >>> sessions = data.sessionize(log, session="s")
    >>> stan = STAN(remind=False).fit(sessions, data.Vocabulary.from_sessions(sessions))
    >>> [(item, round(score, 3)) for item, score in stan.recommend(["tea"], time=86402)]
    [('jam', 0.434), ('cup', 0.29), ('pot', 0.29)]

    References:
        Garg et al., "Sequence and time aware neighborhood for session-based recommendations: STAN",
        SIGIR 2019, section 3. (The authors of session-rec divide by the length of the vector of the
        first decay where the paper, and this, divide by the square root of |set(s)|: the same for
        all neighbours of a query, and so the same order.)
    """

    def __init__(
        self,
        k: int = 500,
        sample_size: int | None = 5000,
        sampling: str = "recent",
        similarity: str = "cosine",
        lambda_spw: float | None = 1.02,
        lambda_snh: float | None = 5.0,
        lambda_inh: float | None = 2.05,
        remind: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(k, sample_size, sampling, similarity, remind, seed)
        self.lambda_spw = positive_or_none("lambda_spw", lambda_spw)
        self.lambda_snh = positive_or_none("lambda_snh", lambda_snh)
        self.lambda_inh = positive_or_none("lambda_inh", lambda_inh)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "lambda_spw": self.lambda_spw,
            "lambda_snh": self.lambda_snh,
            "lambda_inh": self.lambda_inh,
        }

    def _place_weights(
        self, behind: NDArray[np.int64], length: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        return decay(behind, self.lambda_spw)

    def _seconds(self) -> float:
        return 0.0 if self.lambda_snh is None else self.lambda_snh * DAY

    def _distance(self) -> float:
        return self.lambda_inh or 0.0


def decay(distance: NDArray[np.int64], scale: float | None) -> NDArray[np.float64]:
    """exp(-distance / scale), or ones for None."""
    return np.ones(len(distance)) if scale is None else np.exp(-distance / scale)


def positive_or_none(name: str, value: float | None) -> float | None:
    """Returns `value`, a positive number or None."""
    if value is not None and not (np.isfinite(value) and value > 0):
        raise ValueError(f"`{name}` should be positive or None. Received: `{name}`={value!r}")
    return value
