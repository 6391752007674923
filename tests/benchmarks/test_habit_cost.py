"""The benchmark of what habit costs, on small catalogues."""

import importlib.util
import json
import pathlib
import sys

import pytest

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.mark.slow
def test_steps_and_requests_are_timed(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location("cost", FOLDER / "habit_cost.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "cost", module)
    spec.loader.exec_module(module)
    file = tmp_path / "cost.json"
    module.main(["--steps", "300", "--items", "200", "--rounds", "2", "--json", str(file)])
    report = json.loads(file.read_text())
    for times in (report["steps"]["300"], report["request"]):
        assert set(times) == {"without", "with habit"}
        assert all(one["ms"] > 0 and one["cpu_ms"] > 0 for one in times.values())
    assert "step, 300 items" in capsys.readouterr().out
