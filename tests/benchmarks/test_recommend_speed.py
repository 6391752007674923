"""The benchmark of recommendations for every user, on a small log."""

import importlib.util
import json
import pathlib
import sys

import pytest

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "benchmarks"


def test_it_prints_the_rate_of_each_step(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location("speed", FOLDER / "recommend_speed.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "speed", module)
    spec.loader.exec_module(module)
    small = "--models two-tower --users 50 --items 300 --dim 8 --rounds 1"
    file = tmp_path / "speed.json"
    assert module.main([*small.split(), "--json", str(file)]) == 0
    rates = json.loads(file.read_text())["rates"]["two-tower"]
    assert set(rates) == {"batches", "encoder", "lists", "whole"}
    assert all(rate["wall"] > 0 and rate["cpu"] > 0 for rate in rates.values())
    assert "Exact lists of 20 of 300 items, dimension 8" in capsys.readouterr().out
