"""Several interests go the whole path from the command line."""

import json
import pathlib
from collections.abc import Callable

import pytest

from tfsessionrec.cli.main import main


def test_train_evaluate_export_recommend(
    train: Callable[..., int],
    log: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    directory, report, export = tmp_path / "model", tmp_path / "report.json", tmp_path / "export/1"
    more = ["--set", "num_interests=4", "--epochs", "1", "--holdout", "last-session"]
    assert train(directory, *more) == 0
    assert json.loads((directory / "config.json").read_text())["options"]["num_interests"] == 4
    command = ["evaluate", "--model", str(directory), "--events", str(log), "--k", "5"]
    assert main([*command, "--protocol", "next_session", "--json", str(report)]) == 0
    assert 0 < json.loads(report.read_text())["metrics"]["recall@5"] < 1
    command = ["export", "--model", str(directory), "--output", str(export)]
    assert main([*command, "--warm-up-batch-sizes", "2"]) == 0
    assert json.loads((export / "signature.json").read_text())["dimensions"]["M"] == 4
    capsys.readouterr()
    command = ["recommend", "--saved-model", str(export), "--items", "i00001,i00002", "--k", "3"]
    assert main(command) == 0
    assert len([line for line in capsys.readouterr().out.splitlines() if " i0" in line]) == 3
