"""The metrics of ranks against an independent library, on random runs with several targets."""

import ir_measures
import numpy as np
import pytest
from ir_measures import AP, RR, P, R, Success, nDCG

from tfsessionrec import metrics

QUERIES, ITEMS, MOST = 200, 60, 9


def random_run(seed: int) -> tuple[np.ndarray, list, list]:
    """Ranks [Q, T] of 1 to 9 targets, and the same as judgements and as a scored list."""
    rng = np.random.default_rng(seed)
    ranks = np.zeros((QUERIES, MOST), np.int64)
    judged, run = [], []
    for query in range(QUERIES):
        scores = rng.permutation(ITEMS).astype(float)
        targets = rng.choice(ITEMS, rng.integers(1, MOST + 1), replace=False)
        ranks[query, : len(targets)] = [1 + int((scores > scores[item]).sum()) for item in targets]
        judged += [ir_measures.Qrel(str(query), str(item), 1) for item in targets]
        run += [ir_measures.ScoredDoc(str(query), str(item), scores[item]) for item in range(ITEMS)]
    return ranks, judged, run


@pytest.mark.parametrize("k", [1, 5, 20])
def test_each_query(k: int) -> None:
    ranks, judged, run = random_run(seed=k)
    theirs = {
        metrics.recall: R @ k,
        metrics.precision: P @ k,
        metrics.hit_rate: Success @ k,
        metrics.ndcg: nDCG @ k,
        metrics.mrr: RR @ k,
        metrics.average_precision: AP @ k,
    }
    sizes = (ranks > 0).sum(axis=1)
    for ours, measure in theirs.items():
        expected = np.full(QUERIES, np.nan)
        for found in ir_measures.iter_calc([measure], judged, run):
            expected[int(found.query_id)] = found.value
        if ours is metrics.average_precision:  # The library divides by all targets.
            expected *= sizes / np.minimum(sizes, k)
        np.testing.assert_allclose(ours(ranks, k), expected, rtol=1e-6, err_msg=str(measure))
