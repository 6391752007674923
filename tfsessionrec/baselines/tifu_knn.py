"""TIFU-KNN: decayed personal frequencies, mixed with those of the nearest users."""

import numpy as np
import polars as pl
import scipy.sparse
from numpy.typing import NDArray

from tfsessionrec.baselines.arguments import integer_or_none, share
from tfsessionrec.baselines.running_sessions import RunningSessions
from tfsessionrec.baselines.session_log import Arrays
from tfsessionrec.baselines.whole_history import WholeHistoryBaseline, best_of_rows
from tfsessionrec.checks import positive_integer
from tfsessionrec.types import Config

_TOGETHER = 2**22  # Distances in memory at a time.


class TIFUKNN(WholeHistoryBaseline):
    """Temporal item frequencies of a user, mixed with those of the most similar users.

    The n sessions of a history are cut into `min(groups, n)` groups of consecutive sessions, the
    longer groups last. With the session at place j from the end of its group of length L, and the
    group at place g from the end of G groups (places from 0 on), a user's vector is

    `u(i) = 1/G sum over groups of group_decay^g 1/L sum over sessions with i of within_decay^j`.

    A query is a history, whose vector u is made the same way. With the k learned users whose
    vectors are nearest (least Euclidean distance) and the mean v of their vectors,

    `score(i) = alpha u(i) + (1 - alpha) v(i)`.

    If the query's own user was learned, that user is one of the k, as in the authors' code. A
    history without known items has no scores.

    Args:
        k: Number of nearest users, 300 by default.
        groups: Most groups of a history, 7 by default.
        within_decay: Decay from session to session in a group, 0 to 1; 0.9 by default.
        group_decay: Decay from group to group, 0 to 1; 0.7 by default.
        alpha: Weight of the user's own vector, 0 to 1; 0.7 by default.
        top: Number of best items with a score, 1,000 by default; None for all.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> import polars as pl
    >>> from tfsessionrec.data import Vocabulary, sessionize
    >>> log = pl.DataFrame(
    ...     {
    ...         "user_id": [1, 1, 2, 2],
    ...         "item_id": ["tea", "cup", "tea", "jam"],
    ...         "timestamp": [1, 2, 3, 4],
    ...     }
    ... )
    >>> sessions = sessionize(log, user="user_id", gap=0)
    >>> model = TIFUKNN(k=2).fit(sessions, Vocabulary.from_sessions(sessions))
    >>> [(item, round(score, 4)) for item, score in model.recommend([["jam"]])]
    [('jam', 0.775), ('tea', 0.105), ('cup', 0.075)]

    References:
        Hu, He, Gao, Zhang, "Modeling Personalized Item Frequency Information for Next-basket
        Recommendation", SIGIR 2020 (arXiv 2006.00556); the defaults are its values for Ta-Feng.
    """

    _users: scipy.sparse.csr_array

    def __init__(
        self,
        k: int = 300,
        groups: int = 7,
        within_decay: float = 0.9,
        group_decay: float = 0.7,
        alpha: float = 0.7,
        top: int | None = 1000,
    ) -> None:
        self.k = positive_integer("k", k)
        self.groups = positive_integer("groups", groups)
        self.within_decay = share("within_decay", within_decay)
        self.group_decay = share("group_decay", group_decay)
        self.alpha = share("alpha", alpha)
        self.top = integer_or_none("top", top)

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "k": self.k,
            "groups": self.groups,
            "within_decay": self.within_decay,
            "group_decay": self.group_decay,
            "alpha": self.alpha,
            "top": self.top,
        }

    def _learn_all(self, events: pl.DataFrame) -> None:
        user = events["user_id"].rank("dense").cast(pl.Int64).to_numpy() - 1
        self._users = self._vectors(
            user,
            events["session_index"].cast(pl.Int64).to_numpy(),
            events["item_ids"].to_numpy(),
            int(user.max(initial=-1)) + 1,
        )

    def _score(self, queries: RunningSessions) -> scipy.sparse.csr_array:
        assert queries.sessions is not None
        own = self._vectors(queries.queries, queries.sessions, queries.items, len(queries.times))
        step = max(_TOGETHER // max(self._users.shape[0], 1), 1)
        parts = [scipy.sparse.csr_array((0, own.shape[1]), dtype=np.float32)]
        for begin in range(0, own.shape[0], step):
            some = own[begin : begin + step]
            mixed = self.alpha * some + (1 - self.alpha) * (self._nearest(some) @ self._users)
            mixed.eliminate_zeros()
            parts.append(best_of_rows(scipy.sparse.csr_array(mixed, dtype=np.float32), self.top))
        return scipy.sparse.csr_array(scipy.sparse.vstack(parts, format="csr"))

    def _nearest(self, asked: scipy.sparse.csr_array) -> scipy.sparse.csr_array:
        """1/k at the k nearest users [Q, users] of each query that has a vector."""
        count = self._users.shape[0]
        k = min(self.k, count)
        known = np.flatnonzero(np.diff(asked.indptr))
        if not k or not len(known):
            return scipy.sparse.csr_array((asked.shape[0], count), dtype=np.float64)
        lengths = self._users.multiply(self._users).sum(axis=1)
        # |u - v|² without |u|², which is the same for all users v.
        distance = lengths - 2 * (asked[known] @ self._users.T).toarray()
        near = np.argpartition(distance, k - 1, axis=1)[:, :k]
        row = np.repeat(known, k)
        shares = np.full(len(row), 1 / k)
        return scipy.sparse.csr_array((shares, (row, near.ravel())), (asked.shape[0], count))

    def _vectors(
        self,
        row: NDArray[np.int64],
        session: NDArray[np.int64],
        items: NDArray[np.int32],
        count: int,
    ) -> scipy.sparse.csr_array:
        """The vectors [count, V] of histories, given the row, session and item of events."""
        size = len(self._fitted())
        cells = np.unique(np.stack([row, session, items.astype(np.int64)]), axis=1)
        row, session, item = cells
        # Places of the sessions of a row that hold a known item: 0, 1, ... n - 1.
        new = np.ones(len(row), bool)
        new[1:] = (row[1:] != row[:-1]) | (session[1:] != session[:-1])
        number = np.cumsum(new) - 1
        length = np.bincount(row[new], minlength=count)
        place = number - (np.cumsum(length) - length)[row]
        n = length[row]
        groups = np.minimum(self.groups, n)
        short, longer = n // np.maximum(groups, 1), n % np.maximum(groups, 1)
        in_short = (groups - longer) * short  # sessions of the groups of least length
        later = place >= in_short
        size_of = short + later
        after = np.where(later, place - in_short, place)
        group = np.where(later, groups - longer, 0) + after // np.maximum(size_of, 1)
        from_end = size_of - 1 - after % np.maximum(size_of, 1)
        weights = self.within_decay**from_end * self.group_decay ** (groups - 1 - group)
        weights = weights / (size_of * groups)
        vectors = scipy.sparse.csr_array((weights, (row, item)), (count, size))
        vectors.sum_duplicates()
        return vectors

    def _arrays(self) -> Arrays:
        return {
            "values": self._users.data,
            "items": self._users.indices,
            "offsets": self._users.indptr,
        }

    def _restore(self, arrays: Arrays) -> None:
        shape = (len(arrays["offsets"]) - 1, len(self._fitted()))
        self._users = scipy.sparse.csr_array(
            (arrays["values"], arrays["items"], arrays["offsets"]), shape
        )
