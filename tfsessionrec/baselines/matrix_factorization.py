"""Matrix factorization by alternating least squares, from the library `implicit`."""

import types

import numpy as np
import polars as pl
import scipy.sparse
from numpy.typing import NDArray

from tfsessionrec.baselines.arguments import integer_or_none, positive
from tfsessionrec.baselines.running_sessions import RunningSessions
from tfsessionrec.baselines.session_log import Arrays
from tfsessionrec.baselines.whole_history import WholeHistoryBaseline
from tfsessionrec.checks import integer, positive_integer
from tfsessionrec.types import Config

_TOGETHER = 2**22  # Scores in memory at a time.


class MatrixFactorization(WholeHistoryBaseline):
    """Matrix factorization of users and items, by the alternating least squares of `implicit`.

    With r_ui the number of positive interactions of user u with item i, and c_ui = alpha r_ui (1
    where r_ui is 0), it finds vectors of users and items that minimize

    `sum over u, i: c_ui ([r_ui > 0] - x_u . y_i)² + regularization (sum |x_u|² + sum |y_i|²)`.

    A query is scored by folding in: x is the vector that minimizes this for the items of its
    whole history, all sessions of it, and `score(i) = x . y_i`. A history without known items has
    no scores.

    Args:
        factors: Length of the vectors, 64 by default.
        regularization: 0.01 by default.
        alpha: 1.0 by default.
        iterations: 15 by default.
        top: Number of best items with a score, 1,000 by default; None for all.
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
        self.top = integer_or_none("top", top)
        self.seed = integer("seed", seed)
        self.regularization = positive("regularization", regularization)
        self.alpha = positive("alpha", alpha)

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "factors": self.factors,
            "regularization": self.regularization,
            "alpha": self.alpha,
            "iterations": self.iterations,
            "top": self.top,
            "seed": self.seed,
        }

    def _learn_all(self, events: pl.DataFrame) -> None:
        first, size = self._fitted().first_item_index, len(self._fitted())
        user = events["user_id"].rank("dense").to_numpy().astype(np.int64) - 1
        items = events["item_ids"].to_numpy() - first
        self._vectors = np.zeros((size, self.factors), np.float32)
        if not len(user):
            return
        clicked = scipy.sparse.csr_matrix(
            (np.ones(len(user), np.float32), (user, items)), (user.max() + 1, size - first)
        )
        library, threadpoolctl = _libraries()
        with threadpoolctl.threadpool_limits(1, "blas"):  # the library starts its own threads
            model = library.AlternatingLeastSquares(
                factors=self.factors,
                regularization=self.regularization,
                alpha=self.alpha,
                iterations=self.iterations,
                random_state=self.seed,
            )
            model.fit(clicked, show_progress=False)
        self._vectors[first:] = model.item_factors

    def _score(self, queries: RunningSessions) -> scipy.sparse.csr_array:
        first, size = self._fitted().first_item_index, len(self._fitted())
        vectors = self._vectors[first:]
        row = queries.queries
        clicked = scipy.sparse.csr_array(
            (np.ones(len(row)), (row, queries.items - first)),
            (len(queries.times), size - first),
        )
        clicked.sum_duplicates()
        gram = vectors.T.astype(np.float64) @ vectors + self.regularization * np.eye(self.factors)
        top = min(self.top or size, size - first)
        asked = np.flatnonzero(np.diff(clicked.indptr))
        parts = [scipy.sparse.csr_array((0, size), dtype=np.float32)]
        step = max(_TOGETHER // max(size, self.factors**2), 1)
        for begin in range(0, len(asked), step):
            some = asked[begin : begin + step]
            folded = np.stack([self._fold_in(clicked, query, gram, vectors) for query in some])
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
        clicked: scipy.sparse.csr_array,
        query: int,
        gram: NDArray[np.float64],
        vectors: NDArray[np.float32],
    ) -> NDArray[np.float64]:
        """The vector of one query: `(Y'Y + Y'(C - 1)Y + regularization) x = Y'C [r > 0]`."""
        own = slice(clicked.indptr[query], clicked.indptr[query + 1])
        known = vectors[clicked.indices[own]].astype(np.float64)
        weight = self.alpha * clicked.data[own]
        return np.linalg.solve(gram + known.T @ ((weight - 1)[:, None] * known), known.T @ weight)

    def _arrays(self) -> Arrays:
        return {"vectors": self._vectors}

    def _restore(self, arrays: Arrays) -> None:
        self._vectors = arrays["vectors"]


def _libraries() -> tuple[types.ModuleType, types.ModuleType]:
    try:
        import threadpoolctl
        from implicit.cpu import als
    except ImportError as error:
        raise ImportError(
            'Matrix factorization needs the library implicit: pip install "tfsessionrec[baselines]"'
        ) from error
    return als, threadpoolctl
