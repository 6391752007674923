"""Several systems as one."""

from collections.abc import Sequence

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike, NDArray

from tfsessionrec import checks
from tfsessionrec.checks import positive_integer
from tfsessionrec.evaluation.arguments import check_systems
from tfsessionrec.evaluation.system import EmbeddingSystem, HasVocabulary, read_systems
from tfsessionrec.evaluation.top_lists import best_of_rows, top_lists
from tfsessionrec.types import Features

FUSIONS = ("rrf", "score")
_ROWS = 1024  # Queries of a model that are scored at a time.


class Ensemble:
    """Several systems as one, such as a neural model and a neighbor method.

    Each system s lists its best `top` items of a query. With `rank_s(i)` the number of listed items
    that do not score below i, and the lowest and highest score of the list,

    - `fusion="rrf"`: `score(i) = sum over s that list i: weight_s / (60 + rank_s(i))`,
    - `fusion="score"`: `score(i) = sum over s that list i: weight_s
      (1 + (score_s(i) - lowest) / (highest - lowest)) / 2`, the fraction 1 where all are equal,

    so that a listed item always ranks above one that no system lists. It is a system itself:
    `evaluate` takes it. Memory holds `top` items for each query and system.

    Args:
        systems: Two or more, of the kinds that `evaluate` takes as its model.
        weights: One positive number for each system. All 1 by default.
        fusion: `"rrf"`, reciprocal rank fusion (by default), or `"score"`.
        top: Number of items that each system lists, 200 by default.
        vocabulary_size: Entries of the vocabulary, if no system has embeddings or a vocabulary.
        first_item_index: First index that is an item. 2 by default.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> import numpy as np
    >>> from tfsessionrec.baselines import Popularity
    >>> systems = [Popularity([0, 0, 5, 1, 9]), Popularity([0, 0, 8, 7, 6])]
    >>> ensemble = Ensemble(systems, fusion="score", weights=[1, 2])
    >>> ensemble.sparse_scores({"item_ids": np.array([[[3]]])}).toarray()
    array([[0.  , 0.  , 2.75, 2.  , 2.  ]], dtype=float32)

    References:
        Cormack, Clarke, Büttcher, "Reciprocal rank fusion outperforms Condorcet and individual
        rank learning methods", SIGIR 2009.
    """

    def __init__(
        self,
        systems: Sequence[object],
        weights: Sequence[float] | None = None,
        fusion: str = "rrf",
        top: int = 200,
        vocabulary_size: int | None = None,
        first_item_index: int = 2,
    ) -> None:
        checks.sequence("systems", systems, "systems")
        if len(systems) < 2:
            raise ValueError(f"`systems` should be two or more. Received: {len(systems)} of them")
        check_systems("systems", systems)
        if weights is not None:
            checks.sequence("weights", weights, "numbers")
        self.weights = [1.0] * len(systems) if weights is None else list(weights)
        if len(self.weights) != len(systems) or not all(
            checks.is_number(weight) and 0 < weight < np.inf for weight in self.weights
        ):
            raise ValueError(
                f"`weights` should be {len(systems)} positive numbers, one a system. "
                f"Received: `weights`={weights!r}"
            )
        if fusion not in FUSIONS:
            raise ValueError(
                f"`fusion` should be one of {', '.join(FUSIONS)}. Received: `fusion`={fusion!r}"
            )
        self.systems = list(systems)
        self.fusion = fusion
        self.top = positive_integer("top", top)
        self.first_item_index = positive_integer("first_item_index", first_item_index)
        if vocabulary_size is not None:
            vocabulary_size = positive_integer("vocabulary_size", vocabulary_size)
        known = (one.vocabulary for one in systems if isinstance(one, HasVocabulary))
        self.vocabulary = next((one for one in known if one is not None), None)
        sizes = [] if vocabulary_size is None else [vocabulary_size]
        sizes += [] if self.vocabulary is None else [len(self.vocabulary)]
        self._views = read_systems(systems, first_item_index, sizes)
        self.vocabulary_size = self._views[0].vocabulary_size

    def sparse_scores(
        self,
        features: Features,
        rows: ArrayLike | None = None,
        positions: ArrayLike | None = None,
    ) -> scipy.sparse.csr_array:
        """The fused scores [Q, vocabulary_size] of the items that a system lists."""
        checks.mapping("features", features, "tensors")
        if rows is not None:
            checks.tensors(("rows", rows, "integer", "Q"))
        if positions is not None:
            checks.tensors(("positions", positions, "integer", "Q"))
        whole = positions is None
        row = np.arange(len(features["item_ids"])) if rows is None else np.asarray(rows)
        position = None if whole else np.asarray(positions)
        size = self.vocabulary_size - self.first_item_index
        total = scipy.sparse.csr_array((len(row), size), dtype=np.float32)
        for view, weight in zip(self._views, self.weights):
            if isinstance(view, EmbeddingSystem):
                listed = self._best(view, features, row, position)
            else:
                listed = best_of_rows(view.scores(features, row, position), self.top)
            listed.data = (weight * self._values(listed)).astype(np.float32)
            total = total + listed
        columns = total.indices + self.first_item_index
        return scipy.sparse.csr_array(
            (total.data, columns, total.indptr), shape=(len(row), self.vocabulary_size)
        )

    def _best(
        self,
        view: EmbeddingSystem,
        features: Features,
        rows: NDArray[np.int64],
        positions: NDArray[np.int64] | None,
    ) -> scipy.sparse.csr_array:
        """The scores of the items that a model with embeddings lists."""
        queries = view.queries(features, rows, positions)
        lists, scores = [], []
        for first in range(0, len(rows), _ROWS):
            some = np.arange(first, min(first + _ROWS, len(rows)))
            found = top_lists(queries.gather(some), view.candidates, self.top)
            lists.append(found[0])
            scores.append(found[1])
        width = min(self.top, view.candidates.size)
        items = np.concatenate(lists) if lists else np.zeros((0, width), np.int64)
        values = np.concatenate(scores) if scores else np.zeros((0, width), np.float32)
        order = np.argsort(items, axis=1)
        return scipy.sparse.csr_array(
            (
                np.take_along_axis(values, order, axis=1).ravel(),
                np.take_along_axis(items, order, axis=1).ravel(),
                np.arange(len(rows) + 1) * width,
            ),
            shape=(len(rows), view.candidates.size),
        )

    def _values(self, listed: scipy.sparse.csr_array) -> NDArray[np.float64]:
        """The fused score of each place in a list, before the weight."""
        held = np.diff(listed.indptr)
        row = np.repeat(np.arange(len(held)), held)
        values = listed.data.astype(np.float64)
        if self.fusion == "rrf":
            order = np.lexsort([-values, row])
            # Equals share the rank of the last of them.
            last = np.append(
                (np.diff(values[order]) != 0) | (np.diff(row) != 0), [True] * bool(len(row))
            )
            ends = np.flatnonzero(last)
            place = ends[np.searchsorted(ends, np.arange(len(row)))] + 1 - listed.indptr[row]
            ranks = np.empty(len(row))
            ranks[order] = place
            return 1 / (60 + ranks)
        low, high = np.full(len(held), np.inf), np.full(len(held), -np.inf)
        np.minimum.at(low, row, values)
        np.maximum.at(high, row, values)
        span = (high - low)[row] if len(row) else values
        share = np.divide(values - low[row], span, out=np.ones(len(row)), where=span > 0)
        return (1 + share) / 2
