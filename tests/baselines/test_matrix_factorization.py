"""Matrix factorization: folding in, against the library itself."""

import builtins

import numpy as np
import polars as pl
import pytest
import scipy.sparse

from tfsessionrec import data
from tfsessionrec.baselines import MatrixFactorization

implicit_als = pytest.importorskip("implicit.cpu.als")


@pytest.mark.parametrize("alpha", [1.0, 7.0])
def test_folding_in_is_the_library_s(random_sessions, random_queries, alpha):
    sessions = random_sessions(0)
    vocabulary = data.Vocabulary.from_sessions(sessions)
    model = MatrixFactorization(factors=5, alpha=alpha, regularization=0.3, top=None)
    model.fit(sessions, vocabulary)
    queries = random_queries(0, vocabulary)
    clicked = np.zeros((30, len(vocabulary)), np.float32)
    for row in range(30):
        for item, label in zip(queries["item_ids"][row].ravel(), queries["labels"][row].ravel()):
            clicked[row, item] += label and item >= vocabulary.first_item_index
    library = implicit_als.AlternatingLeastSquares(factors=5, alpha=alpha, regularization=0.3)
    library.item_factors = model._vectors
    vectors = library.recalculate_user(np.arange(30), scipy.sparse.csr_matrix(clicked))
    expected = vectors @ model._vectors.T
    expected[:, : vocabulary.first_item_index] = 0
    np.testing.assert_allclose(model.score(queries), expected, atol=1e-4)
    # A position knows only the sessions up to it.
    rows, positions = np.arange(30), np.zeros(30, np.int64)
    first = {key: value[:, :1] for key, value in queries.items() if key != "request_times"}
    np.testing.assert_allclose(
        model.sparse_scores(queries, rows, positions).toarray(), model.score(first), atol=1e-6
    )


def test_two_kinds_of_visitors(tmp_path):
    """Visitors who clicked items of one half get recommendations from it."""
    generator = np.random.default_rng(0)
    rows = [
        (user, item, 0.0)
        for user in range(60)
        for item in generator.choice(8, 5, replace=False) + 8 * (user % 2)
    ]
    log = pl.DataFrame(rows, ["u", "item_id", "timestamp"], orient="row")
    sessions = data.sessionize(log, user="u", gap="1h")
    vocabulary = data.Vocabulary.from_sessions(sessions)
    model = MatrixFactorization(factors=4).fit(sessions, vocabulary)
    assert {item for item, _ in model.recommend([9, 12], 8)} == set(range(8, 16))
    assert model.recommend([[9], [12]], 8) == model.recommend([9, 12], 8)
    best = model.recommend([9, 12], 3)
    few = MatrixFactorization(factors=4, top=3).fit(sessions, vocabulary)
    assert dict(few.recommend([9, 12], 8)) == pytest.approx(dict(best))
    assert model.recommend([]) == []
    model.save(tmp_path / "model.npz")
    assert MatrixFactorization.load(tmp_path / "model.npz").recommend([9, 12], 3) == best
    with pytest.raises(NotImplementedError, match="cannot learn more"):
        model.update(sessions.events)


def test_errors(random_sessions, monkeypatch):
    with pytest.raises(ValueError, match="`alpha` should be a positive number"):
        MatrixFactorization(alpha=0)
    with pytest.raises(ValueError, match="`factors` should be a positive integer"):
        MatrixFactorization(factors=0)
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("implicit"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    sessions = random_sessions(1)
    with pytest.raises(ImportError, match=r"pip install \"tfsessionrec\[baselines\]\""):
        MatrixFactorization().fit(sessions, data.Vocabulary.from_sessions(sessions))
