"""Measures of the lists of an evaluation, from lists sorted and counted by hand."""

import itertools
import math
import statistics

import numpy as np
import pytest
import scipy.sparse

from tfsessionrec.baselines import Popularity
from tfsessionrec.evaluation import evaluate

SIZE, FIRST = 14, 2
COUNTS = np.array([0, 0, 30, 20, 15, 15, 9, 6, 4, 3, 2, 1, 0, 0])


class Toy:
    """The sum of the history's embeddings: whole numbers."""

    def __init__(self):
        self.table = np.random.default_rng(0).integers(-2, 3, (SIZE, 3)).astype("float32")

    def __call__(self, features, training=False):
        return self.table[np.asarray(features["item_ids"])].sum(axis=2).cumsum(axis=1)

    def candidate_embeddings(self):
        return self.table


class Next:
    """Scores the items next to the last session's."""

    def sparse_scores(self, features, rows, positions):
        scores = np.zeros((len(rows), SIZE), np.float32)
        for query, (row, position) in enumerate(zip(rows, positions)):
            for item in features["item_ids"][row, position]:
                if item >= FIRST:
                    scores[query, min(item + 1, SIZE - 1)] += 1
        return scipy.sparse.csr_array(scores)


def queries():
    """(batch, [(history, targets)])"""
    items = np.random.default_rng(1).integers(FIRST, SIZE, (25, 3, 2))
    asked = [(row[: t + 1], sorted(set(row[t + 1]))) for row in items.tolist() for t in range(2)]
    return {"item_ids": items}, asked


def expected(lists, asked, ranks, k, distance):
    """Every measure of the lists (those of two items and more for diversity)."""
    lists = [row[:k] for row in lists]
    shown = [item for row in lists for item in row]
    exposure = [shown.count(item) for item in range(FIRST, SIZE)]
    total = COUNTS.sum() + SIZE - FIRST
    popular = set(range(FIRST, FIRST + k))  # The counts fall with the index.
    pairs = [abs(a - b) for a in exposure for b in exposure]

    def mean(value):
        return statistics.mean(statistics.mean(map(value, row)) for row in lists if row)

    found = {
        "coverage": len(set(shown)) / (SIZE - FIRST),
        "gini": statistics.mean(pairs) / (2 * statistics.mean(exposure)),
        "novelty": mean(lambda item: -math.log2((COUNTS[item] + 1) / total)),
        "mean_popularity": mean(lambda item: float(COUNTS[item])),
        "serendipity": statistics.mean(
            sum(ranks[query][t] <= k and t not in popular for t in targets) / len(targets)
            for query, (_, targets) in enumerate(asked)
        ),
    }
    if distance is not None:
        found["diversity"] = statistics.mean(
            statistics.mean(itertools.starmap(distance, itertools.combinations(row, 2)))
            for row in lists
            if len(row) > 1
        )
    return {f"{name}@{k}": value for name, value in found.items()}


def ranked(scores, targets):
    """The list (equal scores by index) and the targets' ranks (ties against them)."""
    items = range(FIRST, SIZE)
    against = sorted(items, key=lambda item: (-scores[item], item in targets))
    return (
        sorted(items, key=lambda item: (-scores[item], item)),
        {item: against.index(item) + 1 for item in targets},
    )


@pytest.mark.parametrize("by", ["embeddings", "vectors", "categories"])
def test_of_a_model(by):
    toy = Toy()
    batch, asked = queries()
    found = [
        ranked(toy.table @ sum(toy.table[i] for s in history for i in s), targets)
        for history, targets in asked
    ]
    vectors = toy.table if by == "embeddings" else np.random.default_rng(2).random((SIZE, 2))
    categories = np.array(["tea", "cup"])[np.arange(SIZE) % 3 // 2]

    def distance(a, b):
        if by == "categories":
            return float(categories[a] != categories[b])
        norms = math.sqrt(sum(vectors[a] ** 2) * sum(vectors[b] ** 2))
        return 1 - float(vectors[a] @ vectors[b]) / norms if norms else 1.0

    given = {"embeddings": None, "vectors": vectors, "categories": categories}[by]
    report = evaluate(
        toy,
        [batch],
        k=(2, 5),
        popularity=COUNTS,
        beyond_accuracy=True,
        item_features=given,
        block_size=1,
    )
    lists, ranks = [row for row, _ in found], [rank for _, rank in found]
    for k in (2, 5):
        for name, value in expected(lists, asked, ranks, k, distance).items():
            assert report[name] == pytest.approx(value, rel=1e-5), name
    assert report.baselines["popularity"]["coverage@5"] == 5 / (SIZE - FIRST)
    assert report.baselines["popularity"]["serendipity@5"] == 0.0
    assert report["recall@5"] == evaluate(toy, [batch], k=5)["recall@5"]


def test_of_a_sparse_system():
    """It recommends only the items that it scores."""
    batch, asked = queries()
    found, lists = [], []
    for history, targets in asked:
        scores = np.zeros(SIZE)
        for item in history[-1]:
            scores[min(item + 1, SIZE - 1)] += 1
        found.append(ranked(scores, targets)[1])
        lists.append([item for item in ranked(scores, targets)[0] if scores[item] > 0])
    report = evaluate(Next(), [batch], k=3, popularity=COUNTS, beyond_accuracy=True)
    for name, value in expected(lists, asked, found, 3, None).items():
        assert report[name] == pytest.approx(value, rel=1e-5), name
    assert "diversity@3" not in report.metrics
    assert report.options["diversity"] == "not measured: the model has no item embeddings"


def test_seen_items_are_not_listed():
    batch, asked = queries()
    report = evaluate(
        Popularity(COUNTS),
        [batch],
        k=2,
        popularity=COUNTS,
        beyond_accuracy=True,
        filter_seen=True,
    )
    lists = [
        [item for item in range(FIRST, SIZE) if item not in np.ravel(history)][:2]
        for history, _ in asked
    ]
    mean = statistics.mean(float(COUNTS[item]) for row in lists for item in row)
    assert report["mean_popularity@2"] == pytest.approx(mean)


def test_exposure_by_popularity():
    batch, asked = queries()
    report = evaluate(
        Popularity(COUNTS), [batch], k=(3, 5), popularity=COUNTS, beyond_accuracy=True
    )
    at = report.exposure["most popular items"]
    shares = report.exposure["shares"]
    assert (report.exposure["k"], at[0], at[-1]) == (3, 1, SIZE - FIRST)
    targets = [item for _, row in asked for item in row]
    for place, n in enumerate(at):
        first = range(FIRST, FIRST + n)
        assert shares["model"][place] == pytest.approx(min(n, 3) / 3)
        assert shares["training clicks"][place] == COUNTS[first].sum() / COUNTS.sum()
        wanted = sum(item in first for item in targets) / len(targets)
        assert shares["targets"][place] == pytest.approx(wanted)


def test_bad_arguments():
    batch, _ = queries()
    with pytest.raises(ValueError, match="`beyond_accuracy` needs the items' counts"):
        evaluate(Toy(), [batch], beyond_accuracy=True)
    with pytest.raises(ValueError, match=r"`item_features` should be categories of shape \(14,\)"):
        evaluate(Toy(), [batch], popularity=COUNTS, beyond_accuracy=True, item_features=["tea"] * 9)
