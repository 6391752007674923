"""Intervals and the paired test, against plain loops and every possible outcome."""

import itertools
import json
import statistics

import numpy as np
import pytest

from tfsessionrec.baselines import Popularity
from tfsessionrec.evaluation import Report, compare, evaluate
from tfsessionrec.evaluation.compare import (
    bootstrap_means,
    cluster_sums,
    randomization_p_values,
)

SIZE = 12


class Fixed(Popularity):
    """Ranks the items by a random order."""

    def __init__(self, seed):
        super().__init__(np.random.default_rng(seed).permutation(SIZE))


def batch(rows=30, seed=0):
    rng = np.random.default_rng(seed)
    items = (
        rng.integers(2, SIZE, (rows, 4, 2))
        * (np.arange(4) < rng.integers(2, 5, (rows, 1)))[:, :, None]
    )
    return {"item_ids": items}


def test_cluster_sums():
    values = np.array([[1.0, 10.0], [2.0, np.nan], [4.0, 40.0], [8.0, 80.0]])
    sums, counts = cluster_sums(values, np.array([7, 7, -1, 7]))
    assert sums.tolist() == [[4.0, 40.0], [11.0, 90.0]]
    assert counts.tolist() == [[1.0, 1.0], [3.0, 2.0]]


def test_bootstrap_has_the_spread_of_all_resamples():
    """Three clusters have 27 resamples: the drawn means are theirs, about as often."""
    sums, counts = np.array([[1.0], [5.0], [3.0]]), np.array([[1.0], [2.0], [1.0]])
    every = [
        sum(sums[i, 0] for i in drawn) / sum(counts[i, 0] for i in drawn)
        for drawn in itertools.product(range(3), repeat=3)
    ]
    found = bootstrap_means(sums, counts, 4000, seed=0)[:, 0]
    assert set(found.round(9)) == set(np.round(every, 9))
    assert found.mean() == pytest.approx(statistics.mean(every), abs=0.02)
    assert found.std() == pytest.approx(statistics.pstdev(every), rel=0.05)
    assert np.array_equal(bootstrap_means(sums, counts, 4000, seed=0)[:, 0], found)
    assert not np.array_equal(bootstrap_means(sums, counts, 4000, seed=1)[:, 0], found)


def test_p_value_of_all_signs():
    """Of the 64 signs of six differences, the share that is as extreme."""
    differences = np.array([3.0, -1.0, 2.0, 2.0, 0.0, 1.0])
    extreme = [
        abs(sum(sign * one for sign, one in zip(signs, differences))) >= abs(differences.sum())
        for signs in itertools.product([-1, 1], repeat=6)
    ]
    found = randomization_p_values(differences[:, None], 20_000, seed=0)
    assert found == pytest.approx([sum(extreme) / 64], abs=0.01)
    assert randomization_p_values(np.zeros((6, 1)), 100, seed=0) == [1.0]


def test_intervals_are_of_whole_rows():
    given = batch()
    report = evaluate(
        Fixed(0), [given], k=3, popularity=np.arange(SIZE), bootstrap=400, keep_queries=True
    )
    by_row = [  # Recall of each query of each row, from a plain reading.
        [
            statistics.mean(
                float(np.sum(Fixed(0).counts[2:] > Fixed(0).counts[item]) < 3)
                for item in set(after)
            )
            for after in row[1:]
            if any(after)
        ]
        for row in given["item_ids"].tolist()
    ]
    rng = np.random.default_rng(5)
    means = []
    for _ in range(4000):
        drawn = [value for row in rng.integers(30, size=30) for value in by_row[row]]
        means.append(statistics.fmean(drawn))
    low, high = report.intervals["model"]["recall@3"]
    assert (low, high) == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])), abs=0.02)
    assert set(report.intervals) == {"model", "popularity"}
    assert set(report.intervals["model"]) == set(report.metrics)
    assert report.options["intervals"].startswith("95 %, 400 resamples of 30 rows")
    assert f"[{low:.4f}, {high:.4f}]" in str(report)


def test_origin_groups_rows():
    given = batch()
    origin = np.repeat(np.arange(30) // 10, 8).reshape(30, 4, 2)
    report = evaluate(Fixed(0), [{**given, "origin": origin}], k=3, bootstrap=10)
    assert "of 3 rows" in report.options["intervals"]


def test_compare():
    given = batch(200)
    a, b, c = (evaluate(Fixed(s), [given], k=(1, 3), keep_queries=True) for s in (0, 1, 0))
    found = compare(a, b, samples=500)
    assert list(found.metrics) == list(a.metrics)
    row = found["recall@3"]
    assert (row["a"], row["b"]) == pytest.approx((a["recall@3"], b["recall@3"]))
    assert row["difference"] == pytest.approx(b["recall@3"] - a["recall@3"])
    assert row["low"] < row["difference"] < row["high"]
    differences = b.queries.metrics("model")["recall@3"] - a.queries.metrics("model")["recall@3"]
    rows = a.queries.details.origins
    spread = np.std([differences[rows == row].sum() for row in range(200)])
    expected = 2 * 1.96 * spread * np.sqrt(200) / len(differences)
    assert row["high"] - row["low"] == pytest.approx(expected, rel=0.15)
    # The same both times: nothing differs, and chance would do as much every time.
    same = compare(a, c, ["ndcg@3"], samples=50)
    assert dict(same["ndcg@3"], a=0, b=0) == {
        "a": 0, "b": 0, "difference": 0.0, "low": 0.0, "high": 0.0, "p_value": 1.0
    }  # fmt: skip
    assert "ndcg@3" in str(same)
    assert json.loads(json.dumps(same.to_dict()))["num_queries"] == len(a.queries)


def test_two_systems_of_one_report():
    report = evaluate(Fixed(0), [batch(100)], k=3, baselines={"other": Fixed(1)}, keep_queries=True)
    row = compare(report, report, ["mrr@3"], systems=("other", "model"))["mrr@3"]
    assert (row["a"], row["b"]) == pytest.approx(
        (report.baselines["other"]["mrr@3"], report["mrr@3"])
    )


def test_order_of_batches_is_kept():
    """Ranks are in the order of the dataset, whatever the order of ranking."""
    whole = batch(50)
    parts = [{"item_ids": whole["item_ids"][rows : rows + 7]} for rows in range(0, 50, 7)]
    a, b = (evaluate(Fixed(0), given, k=3, keep_queries=True) for given in ([whole], parts))
    assert compare(a, b, ["mrr@3"])["mrr@3"]["difference"] == 0.0
    assert a.queries.ranks["model"].tolist() == b.queries.ranks["model"].tolist()


def test_what_cannot_be_compared():
    a = evaluate(Fixed(0), [batch()], k=3, keep_queries=True)
    with pytest.raises(ValueError, match="`report_b` should hold the ranks of every query"):
        compare(a, Report({}))
    with pytest.raises(ValueError, match=r"same queries. Received: \d+ and \d+ queries"):
        compare(a, evaluate(Fixed(0), [batch(20)], k=3, keep_queries=True))
    other = batch()
    target = other["item_ids"][4, 1, 0]
    other["item_ids"][4, 1, 0] = 2 if target > 2 else 3
    with pytest.raises(ValueError, match="Received: other targets, or another row, in 1 of"):
        compare(a, evaluate(Fixed(0), [other], k=3, keep_queries=True))
    with pytest.raises(ValueError, match=r"`systems` should be among \['model'\] of `report_b`"):
        compare(a, a, systems=("model", "popularity"))
    with pytest.raises(ValueError, match="`metrics` should be among those of both reports"):
        compare(a, a, ["recall@5"])


def test_wrong_arguments():
    a = evaluate(Fixed(0), [batch()], k=3, keep_queries=True)
    with pytest.raises(ValueError, match=r"`metrics` should hold at least one .*recall@3.*=\[\]"):
        compare(a, a, metrics=[])
    with pytest.raises(ValueError, match=r"`metrics` should be a list of names. .*='recall@3'"):
        compare(a, a, metrics="recall@3")
    with pytest.raises(ValueError, match="`systems` should be two names"):
        compare(a, a, systems="model")
    with pytest.raises(TypeError, match=r"`report_b` should be a `Report` .* Received: dict"):
        compare(a, {})
