"""Popularity: of all items, before a request, and after the running session's own items."""

import numpy as np
import polars as pl
import scipy.sparse
from numpy.typing import ArrayLike, NDArray

from tfsessionrec.baselines.arguments import choice, integer_or_none, positive
from tfsessionrec.baselines.recent_counts import ANCHORS, RecentCounts
from tfsessionrec.baselines.running_sessions import Features, RunningSessions
from tfsessionrec.baselines.session_baseline import SessionBaseline
from tfsessionrec.baselines.session_log import Arrays
from tfsessionrec.types import Config

ORDERS = ("count", "recency")


class Popularity:
    """Scores every item by its count, whatever the history.

    `score(query, item) = 1 * counts[item]`: a model whose query is the number 1 and whose item
    embedding is the count, so that it is evaluated like any model with embeddings.

    Args:
        counts: [vocabulary_size] numbers, not negative, by vocabulary index: padding and
            out-of-vocabulary entries first, such as `Vocabulary.counts`. Kept as float32: counts
            above 2**24 may tie.

    Raises:
        ValueError: If `counts` is not a vector of finite numbers >= 0.

    Example:

    >>> import numpy as np
    >>> popularity = Popularity([0, 0, 5, 9, 5])
    >>> features = {"item_ids": np.array([[[3, 2], [4, 0]]])}
    >>> popularity.encode(features) @ popularity.candidate_embeddings().T
    array([[0., 0., 5., 9., 5.]], dtype=float32)
    >>> popularity(features).shape
    (1, 2, 1)
    """

    def __init__(self, counts: ArrayLike) -> None:
        array = np.asarray(counts)
        if array.ndim != 1 or not np.issubdtype(array.dtype, np.number):
            raise ValueError(
                "`counts` should be numbers of shape [vocabulary_size]. Received: "
                f"`counts` of shape {array.shape} and dtype {array.dtype}"
            )
        if not (np.isfinite(array) & (array >= 0)).all():
            bad = int(np.flatnonzero(~(np.isfinite(array) & (array >= 0)))[0])
            raise ValueError(
                "`counts` should be finite and not negative. Received: "
                f"`counts[{bad}]`={array[bad]}"
            )
        self.counts = array.astype(np.float32)

    def __call__(self, features: Features, training: bool = False) -> NDArray[np.float32]:
        """The query after every session, [B, S, 1]: ones."""
        return np.ones((*np.shape(np.asarray(features["item_ids"]))[:2], 1), np.float32)

    def encode(self, features: Features) -> NDArray[np.float32]:
        """The query after the whole history, [B, 1]: ones."""
        return np.ones((len(np.asarray(features["item_ids"])), 1), np.float32)

    def candidate_embeddings(self) -> NDArray[np.float32]:
        """[vocabulary_size, 1]: the counts."""
        return self.counts[:, None]


class RecentPopularity(SessionBaseline):
    """Popularity before a request, the same for all requests of one moment.

    With t the time of the request and e that of the last interaction learned before t,

    `score(i, t) = sum over interactions of i with time t_i < t: weight(e - t_i)`

    where weight(a) is `2^(-a / half_life)`, or with a window 1 for `a <= window` and 0 beyond it,
    or with neither 1: the popularity of everything before t. Interactions at t and later are not
    counted, however much was learned.

    Args:
        half_life: Seconds after which an interaction counts half. None by default.
        window: Seconds after which an interaction does not count any more. None by default.
        anchor: `"last"` (the default) measures age from the last interaction before the request, as
            above: the last hour of a log that ended a day ago. `"request"` measures it from the
            request, e = t.
        top: Number of most popular items with a score, 1,000 by default, plus all that tie with
            the last of them; None for all.

    Raises:
        ValueError: If an argument is out of its range, or both `half_life` and `window` are given.

    Example:

    >>> import polars as pl
    >>> from tfsessionrec import data
    >>> log = pl.DataFrame({"s": [1, 1, 1, 2, 2], "item_id": ["tea", "tea", "cup", "pot", "cup"],
    ...                     "timestamp": [0, 10, 60, 90, 120]})
    >>> sessions = data.sessionize(log, session="s")
    >>> popularity = RecentPopularity(half_life=60)
    >>> _ = popularity.fit(sessions, data.Vocabulary.from_sessions(sessions))
    >>> popularity.recommend([], k=2)
    [('cup', 1.5), ('pot', 0.70...)]
    >>> popularity.recommend([], k=1, time=60)  # before the first cup
    [('tea', 1.89...)]
    """

    learns = "by_time"
    causal = True
    """As `learns == "by_time"`; kept for older code."""

    _recent: RecentCounts

    def __init__(
        self,
        half_life: float | None = None,
        window: float | None = None,
        anchor: str = "last",
        top: int | None = 1000,
    ) -> None:
        for name, seconds in (("half_life", half_life), ("window", window)):
            if seconds is not None:
                positive(name, seconds, "number of seconds")
        if half_life is not None and window is not None:
            raise ValueError(
                "`half_life` and `window` should not both be given. "
                f"Received: `half_life`={half_life!r}, `window`={window!r}"
            )
        self.half_life = half_life
        self.window = window
        self.anchor = choice("anchor", anchor, ANCHORS)
        self.top = integer_or_none("top", top)

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "half_life": self.half_life,
            "window": self.window,
            "anchor": self.anchor,
            "top": self.top,
        }

    def update(self, events: pl.DataFrame) -> None:
        self._learn(self.positives(events))

    def _learn_all(self, events: pl.DataFrame) -> None:
        self._start()
        self._learn(events)

    def _start(self) -> None:
        size = len(self._fitted())
        self._recent = RecentCounts(size, self.half_life, self.window, self.anchor)

    def _learn(self, events: pl.DataFrame) -> None:
        times = events["timestamp"].cast(pl.Float64).to_numpy()
        order = np.argsort(times, kind="stable")  # the log goes session by session
        self._recent.learn(events["item_ids"].to_numpy()[order], times[order])

    def _score(self, queries: RunningSessions) -> scipy.sparse.csr_array:
        return self._recent.scores(queries.times, self.top)

    def _arrays(self) -> Arrays:
        return {"items": self._recent.items, "times": self._recent.times}

    def _restore(self, arrays: Arrays) -> None:
        self._start()
        self._recent.learn(arrays["items"], arrays["times"])


class SessionPopularity(RecentPopularity):
    """The running session's own items first, then items by popularity before the request.

    `score(i) = 1 + rank(i)` for the distinct items of the running session, where rank is 1 for the
    last one in the session's order: by occurrences, ties by popularity, further ties by latest
    place (`order="count"`); or by latest place alone (`"recency"`). For all other items

    `score(i) = count(i, t) / max over items j: count(j, t)`

    with the counts of `RecentPopularity`.

    Args:
        order: Order of the session's items: `"count"` (the default) or `"recency"`.
        half_life: As in `RecentPopularity`. None by default.
        window: As in `RecentPopularity`. None by default.
        anchor: As in `RecentPopularity`. `"last"` by default.
        top: As in `RecentPopularity`. 1,000 by default.

    Raises:
        ValueError: If an argument is out of its range, or both `half_life` and `window` are given.

    Example:

    >>> import polars as pl
    >>> from tfsessionrec import data
    >>> log = pl.DataFrame({"s": [1, 1, 2, 2], "item_id": ["tea", "cup", "pot", "cup"],
    ...                     "timestamp": [0, 1, 2, 3]})
    >>> sessions = data.sessionize(log, session="s")
    >>> popularity = SessionPopularity().fit(sessions, data.Vocabulary.from_sessions(sessions))
    >>> popularity.recommend(["pot", "tea", "pot"], k=3)
    [('pot', 3.0), ('tea', 2.0), ('cup', 1.0)]

    References:
        Hidasi et al., "Session-based recommendations with recurrent neural networks", ICLR 2016,
        section 4.1 (S-POP).
    """

    def __init__(
        self,
        order: str = "count",
        half_life: float | None = None,
        window: float | None = None,
        anchor: str = "last",
        top: int | None = 1000,
    ) -> None:
        super().__init__(half_life, window, anchor, top)
        self.order = choice("order", order, ORDERS)

    def get_config(self) -> Config:
        return {**super().get_config(), "order": self.order}

    def _score(self, queries: RunningSessions) -> scipy.sparse.csr_array:
        popular = super()._score(queries)
        popular.sort_indices()
        size = popular.shape[1]
        held = np.diff(popular.indptr)
        other = np.repeat(np.arange(len(held)), held)
        largest = np.zeros(len(held), np.float32)
        np.maximum.at(largest, other, popular.data)
        share = popular.data / largest[other]
        pair = other * size + popular.indices

        lengths = np.diff(queries.offsets)
        mine = np.repeat(np.arange(len(lengths)), lengths) * size + queries.items
        # `unique` finds the first of equal pairs: reversed, the latest place.
        own, behind, number = np.unique(mine[::-1], return_index=True, return_counts=True)
        keys = [-behind]
        if self.order == "count":
            at = np.minimum(np.searchsorted(pair, own), max(len(pair) - 1, 0))
            known = pair[at] == own if len(pair) else np.zeros(len(own), bool)
            keys += [np.where(known, share[at] if len(pair) else 0, 0), number]
        own = own[np.lexsort([*keys, own // size])]
        row = own // size
        place = np.arange(len(row)) - np.searchsorted(row, row) + 1
        kept = ~np.isin(pair, own)
        values = np.concatenate([1.0 + place, share[kept]]).astype(np.float32)
        pairs = np.concatenate([own, pair[kept]])
        return scipy.sparse.csr_array((values, np.divmod(pairs, size)), shape=popular.shape)
