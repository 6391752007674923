"""Each kind of system goes the whole path from the command line."""

import json
import pathlib

import pytest

from tfsessionrec import models
from tfsessionrec.cli.main import main

LOG = ["--user", "user_id", "--session", "session_id", "--label", "label"]


# (system, objective or its default, protocol)
PATHS = [
    ("sessionrec-hstu", None, "next_session"),
    ("sessionrec-gru", "rest_of_session", "rest_of_session"),
    ("gru4rec", None, "next_item"),
    ("gru4rec", "next_session", "next_session"),
    ("stamp", "rest_of_session", "rest_of_session"),
    ("srgnn", None, "next_item"),
    ("two-tower", None, "next_item"),
    ("mf", None, "next_session"),
]


@pytest.mark.parametrize(("model", "objective", "protocol"), PATHS)
def test_train_evaluate_export_recommend(
    model: str,
    objective: str | None,
    protocol: str,
    log: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    directory, report, export = tmp_path / "model", tmp_path / "report.json", tmp_path / "export/1"
    command = ["train", "--events", str(log), *LOG, "--model", model, "--embedding-dim", "8"]
    if objective is not None:
        command += ["--objective", objective]
    assert main([*command, "--epochs", "1", "--output", str(directory)]) == 0
    training = json.loads((directory / "config.json").read_text())["training"]
    assert training["objective"] == (objective or models.recipe(model).objective)
    command = ["evaluate", "--model", str(directory), "--events", str(log), "--k", "5"]
    assert main([*command, "--protocol", protocol, "--json", str(report)]) == 0
    result = json.loads(report.read_text())
    assert result["num_queries"] > 100
    assert 0 < result["metrics"]["recall@5"] < 1
    command = ["export", "--model", str(directory), "--output", str(export)]
    assert main([*command, "--warm-up-batch-sizes", "2"]) == 0
    capsys.readouterr()
    command = ["recommend", "--saved-model", str(export), "--items", "i00001,i00002", "--k", "3"]
    if model == "sessionrec-hstu":  # reads times
        command += ["--input", "timestamps=1700000000,1700000060"]
    assert main(command) == 0
    assert "gradients" not in caplog.text
    answer = capsys.readouterr().out
    assert len([line for line in answer.splitlines() if " i0" in line]) == 3
    if models.recipe(model).whole_history:
        # wherever a session ends, the history is one
        assert main([*command, "--sessions", "0,1"]) == 0
        assert capsys.readouterr().out == answer
