import json
import pathlib
import subprocess
import sys

import polars as pl
import pytest

from tfsessionrec.cli.main import COMMANDS, main

NAMES = [module.__name__.rpartition(".")[2] for module in COMMANDS]


@pytest.mark.parametrize("arguments", [[], *([name] for name in NAMES)])
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([*arguments, "--help"])
    assert exit_.value.code == 0
    out = capsys.readouterr().out
    assert f"usage: {' '.join(['tfsessionrec', *arguments])}" in out
    for name in NAMES if not arguments else ():
        assert name in out


def test_help_does_not_load_tensorflow() -> None:
    code = """
import sys
from tfsessionrec.cli.main import main
try:
    main(["train", "--help"])
except SystemExit:
    pass
sys.exit("tensorflow" in sys.modules or "polars" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.slow
def test_tensorflow_is_imported_without_messages() -> None:
    code = """
import sys
from tfsessionrec.cli.tensorflow_import import import_tensorflow
import_tensorflow()
assert "tensorflow" in sys.modules
print("after", file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stderr == "after\n"


def test_a_failing_import_shows_its_messages(tmp_path: pathlib.Path) -> None:
    (tmp_path / "tensorflow.py").write_text(
        "import os\nos.write(2, b'the reason')\nraise ImportError('broken')\n"
    )
    code = """
from tfsessionrec.cli.tensorflow_import import import_tensorflow
import_tensorflow()
"""
    environment = {"PYTHONPATH": f"{tmp_path}:{pathlib.Path(__file__).parents[2]}"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert done.stderr.startswith("the reason")


def test_errors_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", "--events", "none.csv", "--session", "s", "--model", "sasrec"]
    assert main([*command, "--output", "never"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("tfsessionrec: error: ")] == lines[-1:]
    assert "none.csv" in lines[-1]
    assert not pathlib.Path("never").exists()
    with pytest.raises(FileNotFoundError):
        main([*command, "--output", "never", "--debug"])


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_simulate(ending: str, tmp_path: pathlib.Path) -> None:
    read = {"csv": pl.read_csv, "parquet": pl.read_parquet}[ending]
    for name, seed in (("one", "5"), ("same", "5"), ("other", "6")):
        path = tmp_path / f"{name}.{ending}"
        command = ["simulate", "--users", "20", "--items", "10", "--seed", seed]
        json_path = tmp_path / f"{name}.json"
        assert main([*command, "--output", str(path), "--json", str(json_path)]) == 0
    one, same, other = (read(tmp_path / f"{name}.{ending}") for name in ("one", "same", "other"))
    assert one.equals(same)
    assert not one.equals(other)
    assert one.columns == ["user_id", "session_id", "item_id", "timestamp", "label"]
    summary = json.loads((tmp_path / "one.json").read_text())
    assert summary["users"] == one["user_id"].n_unique()
    assert summary["taken"] == one["label"].sum()
    assert summary["rows"] == one.height


def test_simulate_does_not_overwrite(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log.csv"
    path.write_text("mine")
    assert main(["simulate", "--output", str(path)]) == 2
    assert "`--output` should not exist yet" in capsys.readouterr().err
    assert path.read_text() == "mine"
    assert main(["simulate", "--output", str(tmp_path / "log.xml")]) == 2
    assert "should end in .csv or .parquet" in capsys.readouterr().err
