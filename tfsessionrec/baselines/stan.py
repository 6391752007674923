"""Session-based kNN with decays in sequence and in time."""

import numpy as np
from numpy.typing import NDArray

from tfsessionrec.baselines.arguments import not_negative, positive_or_none
from tfsessionrec.baselines.session_neighbors import SessionNeighbors
from tfsessionrec.types import Config

DAY = 86_400.0


class STAN(SessionNeighbors):
    """Sequence and time aware neighborhood: SKNN with three decays.

    With the running session `s_1 ... s_L` asked at time t, its distinct items `set(s)`, an item at
    its last place `p`, `i*` the latest item of s that the neighbor n holds, and `p(i, n)` the last
    place of i in n,

    `sim(s, n) = sum over i in set(s) ∩ n: exp((p(i, s) - L) / lambda_spw) / sqrt(|set(s)| |n|)
    exp(-max(t - t(n), 0) / lambda_snh)`

    `score(i) = sum over n in N(s) that hold i: sim(s, n) exp(-|p(i, n) - p(i*, n)| / lambda_inh)`

    where t(n) is the time of n's last interaction and N(s) are the k sessions of the largest
    similarity among the sample (see `SessionNeighbors`). A decay of None is 1 throughout.

    Args:
        k: Number of neighbors, 500 by default.
        sample_size: Number of sessions that are compared, 5,000 by default; None for all.
        sampling: Which sessions: `"recent"` (the default) or `"random"`.
        similarity: The divisor of the sum of the first decay: `"cosine"` (the default, above),
            `"vec"`, `"jaccard"` or `"dice"`.
        lambda_spw: Places in which an item of the running session falls to 1 / e, 1.02 by default.
        lambda_snh: Days in which a neighbor falls to 1 / e, 5 by default. `sparse_scores` lists
            the sources of the request's time.
        lambda_inh: Places in which an item of a neighbor falls to 1 / e, 2.05 by default.
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
        SIGIR 2019, section 3. (session-rec divides by the length of the vector of the first decay
        where the paper, and this, divide by the square root of |set(s)|: the same for all neighbors
        of a query, and so the same order.)
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

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "lambda_spw": self.lambda_spw,
            "lambda_snh": self.lambda_snh,
            "lambda_inh": self.lambda_inh,
        }

    def _place_weights(
        self, behind: NDArray[np.int64], length: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        return _decay(behind, self.lambda_spw)

    def _seconds(self) -> float:
        return 0.0 if self.lambda_snh is None else self.lambda_snh * DAY

    def _distance(self) -> float:
        return self.lambda_inh or 0.0


class VSTAN(STAN):
    """STAN with VSKNN's weights of the latest common item and of rare items.

    With STAN's terms, `i*` the latest item of the running session `s_1 ... s_L` that the neighbor n
    holds, at its last place `p(i*, s)`,

    `score(i) = (1 + lambda_idf idf(i)) sum over n in N(s) that hold i:
    sim(s, n) exp(-|p(i, n) - p(i*, n)| / lambda_inh) exp((p(i*, s) - L) / lambda_ipw)`

    where `idf(i) = max(log(number of sessions / number of interactions with i), 0)`. A decay of
    None is 1 throughout.

    Args:
        k, sample_size, sampling, similarity, lambda_spw, lambda_snh, lambda_inh, remind, seed: As
            in `STAN`.
        lambda_ipw: Places in which a neighbor falls to 1 / e by its latest common item's place in
            the running session, 1.02 by default.
        lambda_idf: Strength of the bonus for rare items, 5 by default; None or 0 for none.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> import polars as pl
    >>> from tfsessionrec import data
    >>> log = pl.DataFrame({"s": [1, 1, 1, 2, 2], "item_id": ["cup", "tea", "pot", "jam", "tea"],
    ...                     "timestamp": [0, 1, 2, 86400, 86402]})
    >>> sessions = data.sessionize(log, session="s")
    >>> vstan = VSTAN(lambda_idf=1).fit(sessions, data.Vocabulary.from_sessions(sessions))
    >>> [(item, round(score, 2)) for item, score in vstan.recommend(["tea"], time=86402)]
    [('tea', 1.18), ('jam', 0.74), ('cup', 0.49), ('pot', 0.49)]

    References:
        Ludewig et al., "Empirical analysis of session-based recommendation algorithms", UMUAI 2021,
        section 3.2 (VSTAN).
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
        lambda_ipw: float | None = 1.02,
        lambda_idf: float | None = 5.0,
        remind: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(
            k,
            sample_size,
            sampling,
            similarity,
            lambda_spw,
            lambda_snh,
            lambda_inh,
            remind,
            seed,
        )
        self.lambda_ipw = positive_or_none("lambda_ipw", lambda_ipw)
        self.lambda_idf = lambda_idf
        if lambda_idf is not None:
            not_negative("lambda_idf", lambda_idf, ", or None")

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "lambda_ipw": self.lambda_ipw,
            "lambda_idf": self.lambda_idf,
        }

    def _match_weights(self, behind: NDArray[np.int64]) -> NDArray[np.float64]:
        return _decay(behind, self.lambda_ipw)

    def _item_weights(self) -> NDArray[np.float64]:
        return 1 + (self.lambda_idf or 0.0) * self._idf()


def _decay(distance: NDArray[np.int64], scale: float | None) -> NDArray[np.float64]:
    """exp(-distance / scale), or ones for None."""
    return np.ones(len(distance)) if scale is None else np.exp(-distance / scale)
