"""The load test itself: what it sends, when, and what it says of it."""

import importlib.util
import json
import pathlib
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
LAWS = {"popularity_exponent": 1.0, "length_exponent": 2.0, "max_length": 20, "max_sessions": 5}


@pytest.fixture(scope="module")
def load_test() -> Any:
    spec = importlib.util.spec_from_file_location("load_test", ROOT / "serving" / "load_test.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["load_test"] = module
    spec.loader.exec_module(module)
    return module


def test_traffic_follows_its_laws(load_test: Any) -> None:
    traffic = load_test.Traffic(100, seed=3, **LAWS)
    requests = [traffic.request() for _ in range(20_000)]
    assert load_test.Traffic(100, seed=3, **LAWS).request() == requests[0]
    counts = np.zeros(100)
    lengths, sessions = np.zeros(21), np.zeros(6)
    for items, index in requests:
        assert len(items) == len(index)
        for item in items:
            counts[int(item[1:])] += 1
        assert index == sorted(index)
        sizes = np.bincount(index)
        assert sizes.min() > 0
        np.add.at(lengths, sizes, 1)
        sessions[len(sizes)] += 1
    for seen, exponent in ((counts, 1.0), (lengths[1:], 2.0), (sessions[1:], 2.0)):
        law = np.arange(1, len(seen) + 1) ** -exponent
        np.testing.assert_allclose(seen / seen.sum(), law / law.sum(), atol=0.01)


def test_arrivals_do_not_wait_for_answers(load_test: Any) -> None:
    due = load_test.Traffic(10, seed=0, **LAWS).arrivals(50.0, 20_000)
    gaps = np.diff(due, prepend=0.0)
    assert gaps.mean() == pytest.approx(1 / 50, rel=0.03)
    assert gaps.std() == pytest.approx(1 / 50, rel=0.05)  # exponential: as wide as its mean


def test_latency_counts_from_when_a_request_was_due(load_test: Any) -> None:
    """One worker and 20 ms a request: the n-th of five due at once waits n times 20 ms."""
    step = load_test.run_step(
        lambda _: time.sleep(0.02), [([], [])] * 5, [0.0] * 5, rate=5, workers=1, drain=10
    )
    assert (step.answered, step.errors, step.unanswered) == (5, 0, 0)
    assert step.p50 >= 60
    assert step.maximum >= 100
    assert step.late_p99 >= 75


def test_errors_and_what_stays_open(load_test: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_test, "ABANDON", 0.01)
    release = threading.Event()

    def send(request: Any) -> None:
        if request[0] == ["bad"]:
            raise ValueError("no such item")
        if request[0] == ["slow"]:
            release.wait(10)

    requests = [([one], [0]) for one in ("good", "bad", "slow", "good")]
    try:
        step = load_test.run_step(
            send, requests, [0.0, 0.01, 0.02, 0.03], rate=100, workers=4, drain=0.3
        )
    finally:
        release.set()
    assert (step.requests, step.answered, step.errors, step.unanswered) == (4, 2, 1, 1)
    assert not step.keeps_up
    assert step.error == "ValueError: no such item"


def test_nothing_is_answered(load_test: Any) -> None:
    def send(_: Any) -> None:
        raise OSError("down")

    step = load_test.run_step(send, [([], [])] * 3, [0.0] * 3, rate=3, workers=2, drain=1)
    assert (step.answered, step.errors, step.p50, step.keeps_up) == (0, 3, None, False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Exports that both routes use."""
    return tmp_path_factory.mktemp("load")


ARGUMENTS = ["--catalogues", "30", "--rates", "20", "1000000", "--seconds", "0.5", "--dim", "8"]
ARGUMENTS += ["--max-requests", "10", "--warm-up", "1", "--model", "gru4rec"]
ARGUMENTS += ["--candidate-dtypes", "int8"]


def run(load_test: Any, folder: pathlib.Path, name: str) -> Any:
    output = folder / name
    assert load_test.main([*ARGUMENTS, "--exports", str(folder), "--output", str(output)]) == 0
    report = json.loads(output.with_suffix(".json").read_text())
    (catalogue,) = report["catalogues"]
    assert (catalogue["items"], catalogue["candidate_dtype"]) == (30, "int8")
    assert (folder / "30-int8" / "1" / "saved_model.pb").exists()
    first, fast = catalogue["steps"]
    assert (first["answered"], first["errors"]) == (10, 0)
    assert 0 < first["p50"] <= first["p90"] <= first["p99"] <= first["maximum"]
    # A million a second is more than anybody answers.
    assert not fast["keeps_up"]
    table = output.with_suffix(".md").read_text()
    assert f"Route: {report['route']}." in table
    assert "| 30 | int8 | 20 |" in table
    return report


@pytest.mark.slow
def test_in_process(load_test: Any, folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TENSORFLOW_MODEL_SERVER", raising=False)
    report = run(load_test, folder, "in_process")
    assert report["route"].startswith("in process through TensorFlow's C API")
    with pytest.raises(SystemExit):
        load_test.main([*ARGUMENTS, "--batching"])


@pytest.mark.parametrize("kind", ["stand-in", "tensorflow_model_server"])
@pytest.mark.slow
def test_with_a_server(
    load_test: Any,
    serving: Any,
    folder: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    command = serving.command_of(kind)
    binary = pathlib.Path(command[0])
    if kind == "stand-in":
        binary = folder / "stand_in"
        binary.write_text(f'#!/bin/sh\nexec {command[0]} {command[1]} "$@"\n')
        binary.chmod(0o755)
    monkeypatch.setenv("TENSORFLOW_MODEL_SERVER", str(binary))
    report = run(load_test, folder, kind)
    assert report["route"] == f"TensorFlow Serving ({binary.name}) over grpc"
