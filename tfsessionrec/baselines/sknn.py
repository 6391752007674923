"""Similar sessions."""

import numpy as np
from numpy.typing import NDArray

from tfsessionrec.baselines.session_neighbours import SessionNeighbours


class SKNN(SessionNeighbours):
    """Session-based kNN: what stands in the sessions most like the running one.

    With the set of the running session's items `s` and the k most similar sessions `N(s)` of the
    sample (see `SessionNeighbours`),

    `score(i) = sum over n in N(s) that hold i: sim(s, n)`, `sim(s, n) = |s ∩ n| / sqrt(|s| |n|)`.

    Args:
        k: Number of neighbours, 100 by default.
        sample_size: How many sessions are compared, 1,000 by default; None for all.
        sampling: Which: `"recent"` (the default) or `"random"`.
        similarity: `"cosine"` (the default, above), `"jaccard"` (|s ∩ n| / |s ∪ n|), `"dice"`
            (2 |s ∩ n| / (|s| + |n|)) or `"vec"` (|s ∩ n| / |s|).
        remind: Whether items of the running session get scores. True by default.
        seed: Seed of a random sample.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> import polars as pl
    >>> from tfsessionrec import data
    >>> log = pl.DataFrame({"s": [1, 1, 1, 2, 2], "item_id": ["tea", "cup", "pot", "tea", "jam"],
    ...                     "timestamp": [0, 1, 2, 3, 4]})
    >>> sessions = data.sessionize(log, session="s")
    >>> knn = SKNN(remind=False).fit(sessions, data.Vocabulary.from_sessions(sessions))
    >>> [(item, round(score, 3)) for item, score in knn.recommend(["cup", "tea"])]
    [('pot', 0.816), ('jam', 0.5)]

    References:
        Jannach and Ludewig, "When recurrent neural networks meet the neighborhood for session-based
        recommendation", RecSys 2017, section 3. (The authors' program has |n| in the numerator of
        the cosine; here it is the paper's.)
    """

    def __init__(
        self,
        k: int = 100,
        sample_size: int | None = 1000,
        sampling: str = "recent",
        similarity: str = "cosine",
        remind: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(k, sample_size, sampling, similarity, remind, seed)

    def _place_weights(
        self, behind: NDArray[np.int64], length: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        return np.ones(len(behind))
