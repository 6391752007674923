"""Each kind of system goes the whole path from the command line."""

import json
import pathlib

import pytest

from tfsessionrec.cli.main import main

LOG = ["--user", "user_id", "--session", "session_id", "--label", "label"]


@pytest.mark.parametrize("model", ["sessionrec-hstu", "gru4rec", "stamp", "srgnn"])
def test_train_evaluate_export_recommend(
    model: str, log: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory, report, export = tmp_path / "model", tmp_path / "report.json", tmp_path / "export/1"
    command = ["train", "--events", str(log), *LOG, "--model", model, "--embedding-dim", "8"]
    assert main([*command, "--epochs", "1", "--output", str(directory)]) == 0
    command = ["evaluate", "--model", str(directory), "--events", str(log), "--k", "5"]
    assert main([*command, "--protocol", "next_item", "--json", str(report)]) == 0
    result = json.loads(report.read_text())
    assert result["num_queries"] > 100
    assert 0 < result["metrics"]["recall@5"] < 1
    assert main(["export", "--model", str(directory), "--output", str(export)]) == 0
    capsys.readouterr()
    command = ["recommend", "--saved-model", str(export), "--items", "i00001,i00002", "--k", "3"]
    assert main(command) == 0
    assert len([line for line in capsys.readouterr().out.splitlines() if " i0" in line]) == 3
