"""The latency of serving: what is timed answers right, and a limit that is passed is seen."""

import importlib
import pathlib
import types

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))  # it imports its neighbours
    monkeypatch.syspath_prepend(str(ROOT / "serving"))
    return importlib.import_module("serving_latency")


def test_calls_take_turns_and_two_rounds_do_not_count(script: types.ModuleType) -> None:
    order: list[str] = []

    def call(name: str) -> tuple[float, float]:
        order.append(name)
        return float(len(order)), 0.5

    seconds = script.take_turns({"a": lambda: call("a"), "b": lambda: call("b")}, rounds=2)
    assert order == ["a", "b"] * 4
    assert seconds["a"] == {"wall": [5.0, 7.0], "cpu": [0.5, 0.5]}
    assert script.milliseconds(seconds["b"]) == {"ms": 7e3, "fastest_ms": 6e3, "cpu_ms": 500.0}


@pytest.mark.slow
def test_tables_are_measured_and_found_to_answer_right(
    script: types.ModuleType, tmp_path: pathlib.Path
) -> None:
    arguments = script.parse_arguments(
        ["--items", "300", "--k", "7", "--rounds", "1", "--queries", "2"]
    )
    script.make_tables(tmp_path, arguments)
    tables = script.measure_tables(tmp_path, arguments)
    for kind in ("float32", "bfloat16", "int8"):
        assert tables[kind]["ms"] > 0
        assert tables[kind]["ratio"] == tables[kind]["ms"] / tables[kind]["reading_ms"]
    # Of "bfloat16" the rounded embeddings are ranked.
    assert tables["float32"]["recall"] == tables["int8"]["recall"] == 1

    import c_api

    model = c_api.SavedModel(tmp_path)
    queries = np.ones((1, script.DIM), np.float32)
    rows = model.run("int8", {"queries": queries, "k": np.array([7], np.int32)})["rows"]
    best = np.argsort(-(script.random_embeddings(300) @ queries[0]))[:7]
    np.testing.assert_array_equal(rows, best[np.newaxis])


def measured(**changed: float) -> tuple[dict, dict]:
    """Tables and an export that keep every limit but those that are changed."""
    seen = {"float32": 2.0, "int8": 1.9, "recall": 0.999, "encode": 2.0, "recommend": 16.0}
    seen |= {"load": 1.0, **changed}
    tables = {kind: {"ratio": seen[kind], "recall": seen["recall"]} for kind in ("float32", "int8")}
    export = {name: {"ms": seen[name], "cpu_ms": 1.0} for name in ("encode", "recommend")}
    return tables, {**export, "load": {"wall": seen["load"], "cpu": 1.0}}


@pytest.mark.parametrize(
    ("changed", "failed"),
    [
        ({}, []),
        ({"float32": 2.1}, ["top k of float32, times reading"]),
        ({"int8": 2.1}, ["top k of int8, times reading"]),
        ({"recall": 0.9989}, ["recall of int8"]),
        ({"encode": 2.1}, ["encode"]),
        ({"recommend": 17.0, "load": 2.1}, ["recommend", "loading"]),
    ],
)
def test_limits(script: types.ModuleType, changed: dict[str, float], failed: list[str]) -> None:
    limits = script.limits(*measured(**changed))
    assert [limit["what"] for limit in limits if not limit["met"]] == failed
