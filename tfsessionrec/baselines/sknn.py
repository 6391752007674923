"""Session-based kNN, plain and with weights of places."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfsessionrec.baselines.arguments import choice, integer_or_none, not_negative
from tfsessionrec.baselines.running_sessions import Features, RunningSessions
from tfsessionrec.baselines.session_neighbors import SessionNeighbors
from tfsessionrec.types import Config

WEIGHTINGS = ("same", "div", "linear", "quadratic", "log")


class SKNN(SessionNeighbors):
    """Session-based kNN: the items of the sessions most similar to the running one.

    With the set of the running session's items `s` and the k most similar sessions `N(s)` of the
    sample (see `SessionNeighbors`),

    `score(i) = sum over n in N(s) that hold i: sim(s, n)`, `sim(s, n) = |s ∩ n| / sqrt(|s| |n|)`.

    Args:
        k: Number of neighbors, 100 by default.
        sample_size: Number of sessions that are compared, 1,000 by default; None for all.
        sampling: Which sessions: `"recent"` (the default) or `"random"`.
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
        the cosine; this is the paper's.)
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


class VSKNN(SessionNeighbors):
    """Vector multiplication session-based kNN: the latest items of the running session count most.

    With the running session `s_1 ... s_L`, its distinct items `set(s)`, the weights below, an item
    at its last place, and `d(n) = 1, 2 ...` the place from the end of s of the latest item that the
    neighbor n also holds,

    `sim(s, n) = sum over i in set(s) ∩ n: weighting(place of i in s, L) / |set(s)|`

    `score(i) = (1 + idf_weighting idf(i))
    sum over n in N(s) that hold i: sim(s, n) score_weight(d(n))`

    where `idf(i) = max(log(number of sessions / number of interactions with i), 0)` and N(s) are
    the k sessions of the largest similarity among the sample (see `SessionNeighbors`).

    | name | weighting(p, L) | score_weight(d) |
    | --- | --- | --- |
    | `"same"` | 1 | 1 |
    | `"div"` | p / L | 1 / d |
    | `"linear"` | max(1 - (L - p) / 10, 0) | max(1 - d / 10, 0) |
    | `"quadratic"` | (p / L)² | 1 / d² |
    | `"log"` | 1 / log10(L - p + 1.7) | 1 / log10(d + 1.7) |

    Args:
        k: Number of neighbors, 100 by default.
        sample_size: Number of sessions that are compared, 1,000 by default; None for all.
        sampling: Which sessions: `"recent"` (the default) or `"random"`.
        similarity: `"vec"` (the default, above), `"cosine"`, `"jaccard"` or `"dice"`.
        weighting: Weight of the places in the running session, `"div"` by default.
        weighting_score: Weight of the neighbors by their latest common item, `"div"` by default.
        idf_weighting: Strength of the bonus for rare items, 0 by default.
        last_n_items: Number of last items of the running session that are read; None, the default,
            for all.
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
    >>> knn = VSKNN(remind=False).fit(sessions, data.Vocabulary.from_sessions(sessions))
    >>> knn.recommend(["cup", "tea"])
    [('pot', 0.75), ('jam', 0.5)]
    >>> knn.explain(["cup", "tea"], "pot")[0].items
    ('tea', 'cup', 'pot')

    References:
        Ludewig and Jannach, "Evaluation of session-based recommendation algorithms", UMUAI 2018,
        section 3.3 (V-SkNN).
    """

    def __init__(
        self,
        k: int = 100,
        sample_size: int | None = 1000,
        sampling: str = "recent",
        similarity: str = "vec",
        weighting: str = "div",
        weighting_score: str = "div",
        idf_weighting: float = 0.0,
        last_n_items: int | None = None,
        remind: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(k, sample_size, sampling, similarity, remind, seed)
        self.weighting = choice("weighting", weighting, WEIGHTINGS)
        self.weighting_score = choice("weighting_score", weighting_score, WEIGHTINGS)
        self.idf_weighting = not_negative("idf_weighting", idf_weighting)
        self.last_n_items = integer_or_none("last_n_items", last_n_items)

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "weighting": self.weighting,
            "weighting_score": self.weighting_score,
            "idf_weighting": self.idf_weighting,
            "last_n_items": self.last_n_items,
        }

    def running_sessions(
        self,
        features: Features,
        rows: ArrayLike | None = None,
        positions: ArrayLike | None = None,
    ) -> RunningSessions:
        queries = super().running_sessions(features, rows, positions)
        if self.last_n_items is None:
            return queries
        lengths = np.diff(queries.offsets)
        behind = np.repeat(queries.offsets[1:], lengths) - np.arange(len(queries.items))
        ends = np.cumsum(np.minimum(lengths, self.last_n_items))
        return RunningSessions(
            queries.items[behind <= self.last_n_items], np.append(0, ends), queries.times
        )

    def _place_weights(
        self, behind: NDArray[np.int64], length: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        if self.weighting == "div":
            return (length - behind) / length
        if self.weighting == "quadratic":
            return ((length - behind) / length) ** 2
        if self.weighting == "linear":
            return np.maximum(1 - behind / 10, 0)
        if self.weighting == "log":
            return 1 / np.log10(behind + 1.7)
        return np.ones(len(behind))

    def _match_weights(self, behind: NDArray[np.int64]) -> NDArray[np.float64]:
        place = behind + 1
        if self.weighting_score == "div":
            return 1 / place
        if self.weighting_score == "quadratic":
            return 1 / place**2
        if self.weighting_score == "linear":
            return np.maximum(1 - place / 10, 0)
        if self.weighting_score == "log":
            return 1 / np.log10(place + 1.7)
        return np.ones(len(behind))

    def _item_weights(self) -> NDArray[np.float64]:
        return 1 + self.idf_weighting * self._idf()
