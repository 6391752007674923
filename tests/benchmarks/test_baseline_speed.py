"""The timed lists of `benchmarks/baseline_speed.py`."""

import importlib
import pathlib
import sys
import types

import numpy as np
import pytest
import scipy.sparse

BENCHMARKS = pathlib.Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def baseline_speed(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in ("baseline_speed", "section", "train_throughput"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("baseline_speed")


def test_lists_contain_the_best_items_in_order(baseline_speed: types.ModuleType) -> None:
    class Fixed:
        def sparse_scores(self, features):
            scores = np.array([[0, 0, 3, 7, 1e-9, 5], [0] * 6, [0, 0, 0, 2, 0, 2]], np.float32)
            return scipy.sparse.csr_array(scores)

    lists = baseline_speed.best(Fixed(), {}, 3)
    assert lists.tolist() == [[3, 5, 2], [0, 0, 0], [3, 5, 0]]
