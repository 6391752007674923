import errno
import os
import pathlib
import subprocess
import sys
import threading
from typing import Any

import pytest
import tensorflow as tf

from tfsessionrec.data import Vocabulary
from tfsessionrec.export import (
    export_saved_model,
    next_version,
    reserved_next_version,
    version_directory,
)


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
    assert [entry for entry in base.iterdir() if entry.name.startswith(".2.new-")]
    with version_directory.atomic_directory(base / "2"):
        left = [entry.name for entry in base.iterdir()]
        assert len(left) == 2  # "1", and the one at work
    assert sorted(entry.name for entry in base.iterdir()) == ["1", "2"]


# The process is killed at the n-th call that renames or removes something.
KILLED_AT = """
import importlib.util, os, pathlib, shutil, signal, sys
spec = importlib.util.spec_from_file_location("version_directory", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
left = int(sys.argv[3])
steps = sys.argv[4] == "steps"

def watched(call):
    def run(*arguments, **options):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **options)
    return run

with module.atomic_directory(sys.argv[2], overwrite=True) as directory:
    (directory / "saved_model.pb").write_text("new")
    if steps:
        module._rename = module._rename_in_steps
    for owner, name in (
        (module, "_rename"), (pathlib.Path, "rename"), (shutil, "rmtree"), (os, "unlink"),
        (os, "rmdir"), (os, "close"),
    ):
        setattr(owner, name, watched(getattr(owner, name)))
"""


@pytest.mark.parametrize("how", ["one step", "steps"])
def test_killed_while_an_export_is_replaced(tmp_path: pathlib.Path, how: str) -> None:
    """After a kill at any moment the version is there, or the next export brings it back."""
    base = tmp_path / "shop"
    path = base / "1"
    with version_directory.atomic_directory(path) as directory:
        (directory / "saved_model.pb").write_text("old")
    contents = []
    for step in range(20):
        command = [sys.executable, "-c", KILLED_AT, version_directory.__file__, str(path)]
        code = subprocess.run([*command, str(step), how], check=False, timeout=60).returncode
        assert code in (0, -9)
        if how == "one step":  # A server never misses it.
            assert (path / "saved_model.pb").is_file()
        with version_directory.atomic_directory(base / "9"):
            pass
        (base / "9").rmdir()
        assert [entry.name for entry in base.iterdir()] == ["1"]
        contents.append((path / "saved_model.pb").read_text())
        (path / "saved_model.pb").write_text("old")
        if code == 0:
            break
    assert code == 0
    assert {"old", "new"} == set(contents)


def test_exporters_at_the_same_time_take_numbers_of_their_own(tmp_path: pathlib.Path) -> None:
    base = tmp_path / "shop"
    with reserved_next_version(base) as first, reserved_next_version(base) as second:
        assert (first, second) == (base / "1", base / "2")
        with version_directory.atomic_directory(second):
            pass
        with reserved_next_version(base) as third:
            assert third == base / "3"
    with reserved_next_version(base) as later:  # 1 was not used; a server takes the highest.
        assert later == base / "3"
    assert sorted(entry.name for entry in base.iterdir()) == ["2"]
    with pytest.raises(ZeroDivisionError), reserved_next_version(base):
        raise ZeroDivisionError
    (base / ".3.reserved").touch()  # as a killed process leaves it
    with reserved_next_version(base) as later:
        assert later == base / "3"


def test_many_exporters(tmp_path: pathlib.Path) -> None:
    base, taken, barrier = tmp_path / "shop", [], threading.Barrier(8)

    def export() -> None:
        barrier.wait()
        for _ in range(10):
            with (
                reserved_next_version(base) as path,
                version_directory.atomic_directory(path) as directory,
            ):
                (directory / "saved_model.pb").write_text("")
                taken.append(path.name)

    threads = [threading.Thread(target=export) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken, key=int) == sorted((p.name for p in base.iterdir()), key=int)
    assert len(set(taken)) == 80


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


@pytest.mark.slow
@pytest.mark.parametrize("by", ["tensorflow", "python"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EACCES])
def test_a_full_disk_is_one_line(
    by: str, number: int, tmp_path: pathlib.Path, toy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    vocabulary = Vocabulary(["a", "b"])
    path = export_saved_model(toy.Model(vocabulary), tmp_path / "1", vocabulary)
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}

    def save(module: object, directory: str, **options: object) -> None:
        if by == "python":
            raise OSError(number, os.strerror(number))
        text = f"{directory}/saved_model.pb.tmp; {os.strerror(number)}"
        raise tf.errors.UnknownError(None, None, text)

    monkeypatch.setattr(tf.saved_model, "save", save)
    held = f"cannot be written: .*{os.strerror(number)}; {path} holds the earlier export"
    with pytest.raises(OSError, match=held) as raised:
        export_saved_model(toy.Model(vocabulary), path, vocabulary, overwrite=True)
    assert "\n" not in str(raised.value)
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before
    with pytest.raises(OSError, match=f"{tmp_path / '2'} is not there"):
        export_saved_model(toy.Model(vocabulary), tmp_path / "2", vocabulary)
    assert [entry.name for entry in tmp_path.iterdir()] == ["1"]
