"""Common to all baselines: the session of a query, recommendations, files."""

import numpy as np
import polars as pl
import pytest

from tfsessionrec import baselines, data
from tfsessionrec.baselines import VSKNN, AssociationRules, SessionBaseline


@pytest.fixture
def fitted():
    """After `a` comes `b` twice and `c` once; `d` is not in the vocabulary."""
    log = pl.DataFrame(
        {
            "s": [1, 1, 2, 2, 3, 3, 4, 4],
            "item_id": ["a", "b", "a", "b", "c", "a", "d", "a"],
            "timestamp": range(8),
        }
    )
    sessions = data.sessionize(log, session="s")
    return AssociationRules().fit(sessions, data.Vocabulary(["a", "b", "c"], [4, 3, 2]))


def rows_of(scores):
    return [dict(zip(row.indices.tolist(), row.data.tolist())) for row in scores]


A, B, C = 2, 3, 4
AFTER = {A: {B: 2.0, C: 1.0}, B: {A: 2.0}, C: {A: 1.0}}


def test_the_last_session_runs(fitted):
    features = {
        "item_ids": [[[A, B], [C, 0]], [[C, B], [0, 0]], [[0, 0], [0, 0]], [[A, 1], [1, 0]]]
    }
    assert rows_of(fitted.sparse_scores(features)) == [AFTER[C], AFTER[B], {}, {}]
    dense = fitted.score(features)
    assert dense.shape == (4, 5)
    np.testing.assert_array_equal(dense[1], [0, 0, 2, 0, 0])


def test_a_position_knows_the_sessions_up_to_it(fitted):
    features = {"item_ids": np.array([[[A, B], [C, 0]], [[C, 1], [B, 0]]])}
    scores = fitted.sparse_scores(features, rows=[1, 0, 0, 1], positions=[0, 1, 0, -1])
    assert rows_of(scores) == [AFTER[C], AFTER[C], AFTER[B], {}]


def test_only_positive_items_count(fitted):
    features = {"item_ids": [[[A, B, C]]], "labels": [[[1, 1, 0]]]}
    assert rows_of(fitted.sparse_scores(features)) == [AFTER[B]]


def test_request_times(fitted):
    items = {"item_ids": np.array([[[A, B], [C, 0]], [[0, 0], [0, 0]]])}
    start = {**items, "session_times": np.array([[10, 20], [0, 0]])}
    each = {**start, "item_times": np.array([[[11, 12], [21, 0]], [[0, 0], [0, 0]]])}
    asked = {**each, "request_times": np.array([[13, 22], [5, 6]])}
    for features, last, first in ((items, np.nan, np.nan), (start, 20, 10), (each, 21, 12)):
        np.testing.assert_array_equal(fitted.running_sessions(features).times, [last, np.nan])
        assert fitted.running_sessions(features, [0], [0]).times == pytest.approx(
            [first], nan_ok=True
        )
    assert fitted.running_sessions(asked).times[0] == 22
    assert fitted.running_sessions(asked, [0], [0]).times.tolist() == [13]
    asked["request_times"] = np.array([30, 31])
    assert fitted.running_sessions(asked).times[0] == 30


def test_recommend(fitted):
    assert fitted.recommend(["c", "a"]) == [("b", 2.0), ("c", 1.0)]
    assert fitted.recommend([["a", "b"], ["c", "a"]], k=1) == [("b", 2.0)]
    assert fitted.recommend(["c", "a"], filter_seen=True) == [("b", 2.0)]
    assert fitted.recommend(["a", "d"]) == [("b", 2.0), ("c", 1.0)]  # d is unknown
    assert fitted.recommend(["d"]) == []
    assert fitted.recommend([]) == []
    with pytest.raises(ValueError, match="`k` should be a positive integer"):
        fitted.recommend(["a"], k=0)


def test_update_reads_the_events_that_fit_reads(fitted):
    log = pl.DataFrame({"s": [9, 9, 9], "item_id": ["c", "d", "b"], "timestamp": [20, 21, 22]})
    sessions = data.sessionize(log, session="s")
    shown = sessions.events.with_columns(label=pl.Series([1, 1, 0], dtype=pl.Float32))
    fitted.update(shown)
    assert rows_of(fitted.sparse_scores({"item_ids": [[[C]]]})) == [AFTER[C]]
    fitted.update(sessions.events[:0])
    late = sessions.events.with_columns(session_index=pl.lit(1, pl.Int32))
    fitted.update(late)
    assert rows_of(fitted.sparse_scores({"item_ids": [[[C]]]})) == [{**AFTER[C], B: 1.0}]
    with pytest.raises(ValueError, match="an interaction older than one before it"):
        fitted.update(late.with_columns(timestamp=pl.lit(3.0)))
    with pytest.raises(ValueError, match="an interaction older than one before it"):
        fitted.update(late.with_columns(timestamp=100 - pl.col("timestamp")))


def test_update_without_one():
    class Fixed(AssociationRules):
        update = SessionBaseline.update

    with pytest.raises(NotImplementedError, match="Fixed cannot learn more"):
        Fixed().update(pl.DataFrame())


def test_learns():
    learns = {
        name: kind.learns
        for name, kind in vars(baselines).items()
        if isinstance(kind, type) and issubclass(kind, SessionBaseline)
    }
    assert {name for name, how in learns.items() if how == "by_time"} == {
        "RecentPopularity",
        "SessionPopularity",
    }
    assert {name for name, how in learns.items() if how == "nothing"} == {
        "MatrixFactorization",
        "PersonalPopularity",
        "SessionBaseline",
        "TIFUKNN",
    }
    assert baselines.RecentPopularity.causal


def test_save_is_atomic_and_load_checks_the_class(fitted, tmp_path):
    path = tmp_path / "rules.npz"
    fitted.save(path)
    assert [file.name for file in tmp_path.iterdir()] == ["rules.npz"]
    with np.load(path, allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file.files)
    again = AssociationRules.load(path)
    assert again.recommend(["a"]) == fitted.recommend(["a"])
    assert again.vocabulary.ids.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(again.vocabulary.counts, fitted.vocabulary.counts)
    with pytest.raises(ValueError, match=r"a file that `VSKNN.save` wrote.*AssociationRules"):
        VSKNN.load(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="a file that `AssociationRules"):
        AssociationRules.load(path)
    with pytest.raises(FileNotFoundError):
        AssociationRules.load(tmp_path / "none.npz")


def test_a_loaded_baseline_continues_to_learn(random_sessions, random_queries, split_log, tmp_path):
    sessions = random_sessions(31)
    vocabulary = data.Vocabulary.from_sessions(sessions)
    features = random_queries(32, vocabulary)
    start, rest = split_log(sessions)
    for make in (AssociationRules, VSKNN):
        make().fit(start, vocabulary).save(tmp_path / "model.npz")
        model = make.load(tmp_path / "model.npz")
        model.update(rest)
        np.testing.assert_array_equal(
            model.score(features), make().fit(sessions, vocabulary).score(features)
        )


def test_wrong_arguments(fitted, tmp_path):
    with pytest.raises(ValueError, match="AssociationRules should be fitted first"):
        AssociationRules().recommend(["a"])
    with pytest.raises(ValueError, match="VSKNN should be fitted first"):
        VSKNN().save(tmp_path / "model.npz")
    with pytest.raises(ValueError, match=r"`item_ids` should have the shape \[B, S, I\]"):
        fitted.sparse_scores({"item_ids": [[A]]})
    with pytest.raises(
        ValueError, match=r"`labels` should have the shape of `item_ids`, \(1, 1, 1\)"
    ):
        fitted.sparse_scores({"item_ids": [[[A]]], "labels": [[1]]})
    with pytest.raises(ValueError, match="`item_ids` should be vocabulary indices below 5"):
        fitted.sparse_scores({"item_ids": [[[5]]]})
    with pytest.raises(ValueError, match="`rows` and `positions` should be given together"):
        fitted.sparse_scores({"item_ids": [[[A]]]}, rows=[0])
