"""What was popular before a request."""

from typing import Any

import numpy as np
import polars as pl
import scipy.sparse
from numpy.typing import NDArray

from tfsessionrec.baselines.recent_counts import ANCHORS, RecentCounts
from tfsessionrec.baselines.running_sessions import RunningSessions
from tfsessionrec.baselines.session_baseline import SessionBaseline
from tfsessionrec.baselines.session_neighbours import choice
from tfsessionrec.checks import positive_integer


class RecentPopularity(SessionBaseline):
    """What was popular before a request, the same for all who ask at that moment.

    With t the time of the request and e that of the last interaction learned before t,

    `score(i, t) = sum over interactions of i with time t_i < t: weight(e - t_i)`

    where weight(a) is `2^(-a / half_life)`, or with a window 1 for `a <= window` and 0 beyond it,
    or with neither 1: the popularity of everything before t. Interactions at t and later are not
    counted, however much was learned.

    Args:
        half_life: Seconds after which an interaction counts half. None by default.
        window: Seconds after which it does not count any more. None by default.
        anchor: `"last"` (by default) looks back from the last interaction before the request, as
            above: the last hour of a log whose end is a day ago. `"request"` looks back from the
            request, e = t.
        top: How many of the most popular items get a score, 1,000 by default, and all that tie
            with the last of them; None for all.

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

    causal = True
    """Nothing at the time of a request or later is counted, however much was learned."""

    _recent: RecentCounts

    def __init__(
        self,
        half_life: float | None = None,
        window: float | None = None,
        anchor: str = "last",
        top: int | None = 1000,
    ) -> None:
        for name, seconds in (("half_life", half_life), ("window", window)):
            if seconds is not None and not (np.isfinite(seconds) and seconds > 0):
                raise ValueError(
                    f"`{name}` should be a positive number of seconds. "
                    f"Received: `{name}`={seconds!r}"
                )
        if half_life is not None and window is not None:
            raise ValueError(
                "`half_life` and `window` should not both be given. "
                f"Received: `half_life`={half_life!r}, `window`={window!r}"
            )
        self.half_life = half_life
        self.window = window
        self.anchor = choice("anchor", anchor, ANCHORS)
        self.top = top if top is None else positive_integer("top", top)

    def get_config(self) -> dict[str, Any]:
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
        order = np.argsort(times, kind="stable")  # of a log that goes session by session
        self._recent.learn(events["item_ids"].to_numpy()[order], times[order])

    def _score(self, queries: RunningSessions) -> scipy.sparse.csr_array:
        return self._recent.scores(queries.times, self.top)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {"items": self._recent.items, "times": self._recent.times}

    def _restore(self, arrays: dict[str, NDArray[Any]]) -> None:
        self._start()
        self._recent.learn(arrays["items"], arrays["times"])
