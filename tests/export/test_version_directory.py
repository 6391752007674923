import pathlib
import subprocess
import sys

import pytest

from tfsessionrec.export import next_version, version_directory


def test_the_number_above_all_others(tmp_path: pathlib.Path) -> None:
    base = tmp_path / "shop"
    assert next_version(base) == base / "1"
    assert not base.exists()
    for name in ("2", "10", "007", ".11.new-abc", "v12", "12.old", "¹³", "-20"):
        (base / name).mkdir(parents=True)
    assert next_version(str(base)) == base / "11"
    (base / "30").write_text("a file is in the way, too")
    assert next_version(base) == base / "31"


@pytest.mark.parametrize("name", ["a file", "1"])
def test_no_directory_of_versions(tmp_path: pathlib.Path, name: str) -> None:
    (tmp_path / "a file").write_text("")
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_text("")
    with pytest.raises(ValueError, match="`base` should be a directory of numbered versions"):
        next_version(tmp_path / name)


KILLED = """
import importlib.util, os, signal, sys
spec = importlib.util.spec_from_file_location("version_directory", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
with module.atomic_directory(sys.argv[2], overwrite=True) as directory:
    (directory / "saved_model.pb").write_text("half a")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_in_the_middle(tmp_path: pathlib.Path) -> None:
    base = tmp_path / "shop"
    (base / "1").mkdir(parents=True)
    (base / "1" / "saved_model.pb").write_text("whole")
    for version in ("1", "2"):
        command = [sys.executable, "-c", KILLED, version_directory.__file__, str(base / version)]
        assert subprocess.run(command, check=False, timeout=60).returncode == -9
    assert [entry.name for entry in base.iterdir() if entry.name.isdigit()] == ["1"]
    assert (base / "1" / "saved_model.pb").read_text() == "whole"
    assert next_version(base) == base / "2"


def test_two_exports_to_the_same_version(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "2"
    with (
        pytest.raises(FileExistsError, match="`path` should stay free while it is being written"),
        version_directory.atomic_directory(path),
        version_directory.atomic_directory(path) as other,
    ):
        (other / "saved_model.pb").write_text("the first to be done")
    assert [file.name for file in path.iterdir()] == ["saved_model.pb"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["2"]
