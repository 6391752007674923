"""Matrix factorisation by alternating least squares, from the library `implicit`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import scipy.sparse
from numpy.typing import ArrayLike, NDArray

from tfsessionrec.baselines.running_sessions import RunningSessions
from tfsessionrec.baselines.session_baseline import SessionBaseline
from tfsessionrec.checks import positive_integer

_TOGETHER = 2**22  # Scores held at a time.


class MatrixFactorization(SessionBaseline):
    """Matrix factorisation of who took what, by the alternating least squares of `implicit`.

    With r_ui how often the user u took the item i, and c_ui = alpha r_ui (1 where r_ui is 0), it
    finds vectors of users and items that minimise

    `sum over u, i: c_ui ([r_ui > 0] - x_u . y_i)² + regularization (sum |x_u|² + sum |y_i|²)`.

    A query is scored by folding in: x is the vector that minimises this for the items of its
    whole history, all sessions of it, and `score(i) = x . y_i`. A history of no known item has no
    scores.

    Args:
        factors: Length of the vectors, 64 by default.
        regularization: 0.01 by default.
        alpha: 1.0 by default.
        iterations: 15 by default.
        top: How many of the best items get a score, 1,000 by default; None for all.
        seed: Seed of the first vectors.

    Raises:
        ValueError: If an argument is out of its range.
        ImportError: In `fit`, if `implicit` is missing (`pip install "tfsessionrec[baselines]"`).

    References:
        Hu, Koren, Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008.
    """

    _vectors: NDArray[np.float32]

    def __init__(
        self,
        factors: int = 64,
        regularization: float = 0.01,
        alpha: float = 1.0,
        iterations: int = 15,
        top: int | None = 1000,
        seed: int = 0,
    ) -> None:
        self.factors = positive_integer("factors", factors)
        self.iterations = positive_integer("iterations", iterations)
        self.top = top if top is None else positive_integer("top", top)
        self.seed = int(seed)
        for name, value in (("regularization", regularization), ("alpha", alpha)):
            if not (np.isfinite(value) and value > 0):
                raise ValueError(
                    f"`{name}` should be a positive number. Received: `{name}`={value!r}"
                )
        self.regularization = regularization
        self.alpha = alpha

    def get_config(self) -> dict[str, Any]:
        names = ("factors", "regularization", "alpha", "iterations", "top", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def running_sessions(
        self,
        features: Mapping[str, Any],
        rows: ArrayLike | None = None,
        positions: ArrayLike | None = None,
    ) -> RunningSessions:
        """The taken items of whole histories, as if they were one session."""
        one = super().running_sessions(features, rows, positions)  # checks, and knows the times
        items = np.asarray(features["item_ids"])
        taken = items >= self._fitted().first_item_index
        if "labels" in features:
            taken &= np.asarray(features["labels"]) > 0
        row = np.arange(len(items)) if rows is None else np.asarray(rows)
        last = np.full(len(row), items.shape[1]) if positions is None else np.asarray(positions)
        known = taken[row] & (np.arange(items.shape[1]) <= last[:, None])[:, :, None]
        offsets = np.concatenate([[0], np.cumsum(known.sum(axis=(1, 2)))])
        return RunningSessions(
            items[row][known].astype(np.int32), offsets.astype(np.int64), one.times
        )

    def _features(self, history: Sequence[Any], time: float | None) -> dict[str, Any]:
        sessions = [one if isinstance(one, list | tuple | np.ndarray) else [one] for one in history]
        return super()._features([item for session in sessions for item in session], time)

    def _learn_all(self, events: pl.DataFrame) -> None:
        first, size = self._fitted().first_item_index, len(self._fitted())
        user = events["user_id"].rank("dense").to_numpy().astype(np.int64) - 1
        items = events["item_ids"].to_numpy() - first
        self._vectors = np.zeros((size, self.factors), np.float32)
        if not len(user):
            return
        taken = scipy.sparse.csr_matrix(
            (np.ones(len(user), np.float32), (user, items)), (user.max() + 1, size - first)
        )
        library, threadpoolctl = _libraries()
        with threadpoolctl.threadpool_limits(1, "blas"):  # the library has threads of its own
            model = library.AlternatingLeastSquares(
                factors=self.factors,
                regularization=self.regularization,
                alpha=self.alpha,
                iterations=self.iterations,
                random_state=self.seed,
            )
            model.fit(taken, show_progress=False)
        self._vectors[first:] = model.item_factors

    def _score(self, queries: RunningSessions) -> scipy.sparse.csr_array:
        first, size = self._fitted().first_item_index, len(self._fitted())
        vectors = self._vectors[first:]
        row = np.repeat(np.arange(len(queries.times)), np.diff(queries.offsets))
        taken = scipy.sparse.csr_array(
            (np.ones(len(row)), (row, queries.items - first)),
            (len(queries.times), size - first),
        )
        taken.sum_duplicates()
        gram = vectors.T.astype(np.float64) @ vectors + self.regularization * np.eye(self.factors)
        top = min(self.top or size, size - first)
        asked = np.flatnonzero(np.diff(taken.indptr))
        parts = [scipy.sparse.csr_array((0, size), dtype=np.float32)]
        step = max(_TOGETHER // max(size, self.factors**2), 1)
        for begin in range(0, len(asked), step):
            some = asked[begin : begin + step]
            folded = np.stack([self._fold_in(taken, query, gram, vectors) for query in some])
            scores = folded @ vectors.T.astype(np.float64)
            best = np.argpartition(-scores, top - 1, axis=1)[:, :top]
            parts.append(
                scipy.sparse.csr_array(
                    (
                        np.take_along_axis(scores, best, axis=1).ravel().astype(np.float32),
                        best.ravel() + first,
                        np.arange(len(some) + 1) * top,
                    ),
                    shape=(len(some), size),
                )
            )
        found = scipy.sparse.vstack(parts, format="csr")
        held = np.zeros(len(queries.times) + 1, np.int64)
        held[asked + 1] = top
        return scipy.sparse.csr_array(
            (found.data, found.indices, np.cumsum(held)), shape=(len(queries.times), size)
        )

    def _fold_in(
        self,
        taken: scipy.sparse.csr_array,
        query: int,
        gram: NDArray[np.float64],
        vectors: NDArray[np.float32],
    ) -> NDArray[np.float64]:
        """The vector of one query: `(Y'Y + Y'(C - 1)Y + regularization) x = Y'C [r > 0]`."""
        own = slice(taken.indptr[query], taken.indptr[query + 1])
        known = vectors[taken.indices[own]].astype(np.float64)
        weight = self.alpha * taken.data[own]
        return np.linalg.solve(gram + known.T @ ((weight - 1)[:, None] * known), known.T @ weight)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {"vectors": self._vectors}

    def _restore(self, arrays: dict[str, NDArray[Any]]) -> None:
        self._vectors = arrays["vectors"]


def _libraries() -> tuple[Any, Any]:
    try:
        import threadpoolctl
        from implicit.cpu import als
    except ImportError as error:
        raise ImportError(
            'Matrix factorisation needs the library implicit: pip install "tfsessionrec[baselines]"'
        ) from error
    return als, threadpoolctl
