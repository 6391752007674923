"""STAN with the weights of VSKNN."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfsessionrec.baselines.stan import STAN, decay, positive_or_none


class VSTAN(STAN):
    """STAN, and from VSKNN a weight of the latest common item and of rare items.

    With STAN's terms, `i*` the latest item of the running session `s_1 ... s_L` that stands in the
    neighbour n, at its last place `p(i*, s)`,

    `score(i) = (1 + lambda_idf idf(i)) sum over n in N(s) that hold i:
    sim(s, n) exp(-|p(i, n) - p(i*, n)| / lambda_inh) exp((p(i*, s) - L) / lambda_ipw)`

    where `idf(i) = max(log(number of sessions / number of interactions with i), 0)`. A decay that
    is None is 1 throughout.

    Args:
        k, sample_size, sampling, similarity, lambda_spw, lambda_snh, lambda_inh, remind, seed: As
            in `STAN`.
        lambda_ipw: Places in which a neighbour falls to 1 / e by its latest common item's place in
            the running session, 1.02 by default.
        lambda_idf: How much rare items gain, 5 by default; None or 0 for nothing.

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
        if lambda_idf is not None and not (np.isfinite(lambda_idf) and lambda_idf >= 0):
            raise ValueError(
                "`lambda_idf` should be finite and not negative, or None. "
                f"Received: `lambda_idf`={lambda_idf!r}"
            )
        self.lambda_idf = lambda_idf

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "lambda_ipw": self.lambda_ipw,
            "lambda_idf": self.lambda_idf,
        }

    def _match_weights(self, behind: NDArray[np.int64]) -> NDArray[np.float64]:
        return decay(behind, self.lambda_ipw)

    def _item_weights(self) -> NDArray[np.float64]:
        return 1 + (self.lambda_idf or 0.0) * self._idf()
