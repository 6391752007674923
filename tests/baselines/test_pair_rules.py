"""Rules of pairs of items, against counting in plain Python."""

import collections
import math

import numpy as np
import polars as pl
import pytest

from tfsessionrec import data
from tfsessionrec.baselines import AssociationRules, ItemKNN, SequentialRules

WEIGHTS = {
    "same": lambda d: 1,
    "linear": lambda d: max(1 - d / 10, 0),
    "div": lambda d: 1 / d,
    "quadratic": lambda d: 1 / d**2,
    "log": lambda d: 1 / math.log10(d + 1.7),
}


def count_pairs(model, learned):
    """{a: {b: score of b after a}}, each by its definition."""
    counts = collections.defaultdict(collections.Counter)
    if isinstance(model, ItemKNN):
        held = [set(items) for _, _, items in learned]
        support = collections.Counter(item for items in held for item in items)
        for a in support:
            for b in support:
                together = sum(a in items and b in items for items in held)
                if a != b and together:
                    counts[a][b] = together / (
                        (support[a] + model.shrinkage) ** model.alpha
                        * (support[b] + model.shrinkage) ** (1 - model.alpha)
                    )
        return counts
    for _, _, items in learned:
        for p, a in enumerate(items):
            for q, b in enumerate(items):
                if isinstance(model, AssociationRules):
                    counts[a][b] += p != q
                elif 0 < q - p <= model.steps:
                    counts[a][b] += WEIGHTS[model.weighting](q - p)
    return counts


def expected(model, learned, queries, size):
    scores = np.zeros((len(queries), size))
    counts = count_pairs(model, learned)
    longest = model.k if isinstance(model, ItemKNN) else model.pruning
    for row, items in enumerate(queries):
        if items:
            pairs = sorted(counts[items[-1]].items(), key=lambda pair: (-pair[1], pair[0]))
            for item, score in pairs[:longest]:
                scores[row, item] = score
    return scores


MODELS = [
    lambda: AssociationRules(),
    lambda: AssociationRules(pruning=3),
    lambda: SequentialRules(),
    lambda: SequentialRules(steps=2, weighting="same", pruning=4),
    *(lambda weighting=name: SequentialRules(20, weighting) for name in WEIGHTS),
    lambda: ItemKNN(),
    lambda: ItemKNN(k=2, shrinkage=0, alpha=0.75),
]


@pytest.mark.parametrize("make", MODELS)
def test_like_counting(make, random_sessions, random_queries, by_session, running):
    sessions = random_sessions(1)
    vocabulary = data.Vocabulary.from_sessions(sessions, min_count=14, num_oov_indices=2)
    assert vocabulary.num_items < 12  # some are unknown
    features = random_queries(2, vocabulary)
    model = make().fit(sessions, vocabulary)
    learned, queries = by_session(sessions, vocabulary), running(features, vocabulary)
    assert [] in queries
    scores = model.sparse_scores(features)
    assert scores.dtype == np.float32
    assert scores.has_sorted_indices
    np.testing.assert_allclose(
        scores.toarray(), expected(model, learned, queries, len(vocabulary)), rtol=1e-6
    )


@pytest.mark.parametrize("make", MODELS)
def test_learning_more_is_learning_everything(
    make, random_sessions, random_queries, split_log, tmp_path
):
    sessions = random_sessions(3, num_users=60)
    vocabulary = data.Vocabulary.from_sessions(sessions)
    features = random_queries(4, vocabulary)
    start, rest = split_log(sessions)
    model = make().fit(start, vocabulary)
    for first in range(0, len(rest), 7):
        model.update(rest[first : first + 7])
    whole = make().fit(sessions, vocabulary).sparse_scores(features)
    np.testing.assert_array_equal(model.sparse_scores(features).toarray(), whole.toarray())
    model.save(tmp_path / "model.npz")
    again = type(model).load(tmp_path / "model.npz")
    np.testing.assert_array_equal(again.sparse_scores(features).toarray(), whole.toarray())


def test_many_pairs_fit():
    """The table of pairs grows on the way through a session."""
    items = np.arange(300)
    log = pl.DataFrame({"s": 1, "item_id": items, "timestamp": items})
    sessions = data.sessionize(log, session="s")
    vocabulary = data.Vocabulary(items)
    scores = AssociationRules().fit(sessions, vocabulary).score({"item_ids": np.array([[[2]]])})
    assert scores.sum() == 299
    assert scores[0, 2] == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AssociationRules(pruning=0), "`pruning` should be a positive integer"),
        (lambda: SequentialRules(steps=-1), "`steps` should be a positive integer"),
        (lambda: SequentialRules(weighting="cubic"), "`weighting` should be one of same"),
        (lambda: ItemKNN(k=0), "`k` should be a positive integer"),
        (lambda: ItemKNN(shrinkage=-1), "`shrinkage` should be finite and not negative"),
        (lambda: ItemKNN(alpha=2), "`alpha` should be from 0 to 1"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
