"""The running session's own items, then what is popular."""

from typing import Any

import numpy as np
import scipy.sparse

from tfsessionrec.baselines.recent_popularity import RecentPopularity
from tfsessionrec.baselines.running_sessions import RunningSessions
from tfsessionrec.baselines.session_neighbours import choice

ORDERS = ("count", "recency")


class SessionPopularity(RecentPopularity):
    """The running session's own items first, then what was popular before the request.

    `score(i) = 1 + place(i)` for the distinct items of the running session, where place is 1 for
    the last of them in the order by how often they stand in it, of equal ones by popularity, of
    equal ones by the latest place (`order="count"`); or by the latest place alone (`"recency"`).
    For all other items

    `score(i) = count(i, t) / max over items j: count(j, t)`

    with the counts of `RecentPopularity`.

    Args:
        order: Of the session's items: `"count"` (by default) or `"recency"`.
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

    def get_config(self) -> dict[str, Any]:
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
        # From the end, so that `unique` finds the latest of each.
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
