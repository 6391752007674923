import hashlib
import json
import os
import pathlib
import shutil
import subprocess

import pytest

from tfsessionrec.export.checksum import (
    damaged_files,
    misplaced_files,
    replaced_files,
    write_checksums,
)

FILES = {"saved_model.pb": b"graph", "assets/vocabulary.txt": b"a\nb\n", "assets/trend.pb": b"now"}


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    write_checksums(tmp_path, ["assets/trend.pb"])
    return tmp_path


def test_sizes_and_hashes(folder: pathlib.Path) -> None:
    def entry(name: str) -> dict[str, int | str]:
        return {"bytes": len(FILES[name]), "sha256": hashlib.sha256(FILES[name]).hexdigest()}

    assert json.loads((folder / "checksums.json").read_text()) == {
        "format": 1,
        "files": {name: entry(name) for name in ("assets/vocabulary.txt", "saved_model.pb")},
        "replaceable": {"assets/trend.pb": entry("assets/trend.pb")},
    }
    assert damaged_files(folder) == replaced_files(folder) == []


def test_sha256sum_reads_it(folder: pathlib.Path) -> None:
    program = shutil.which("sha256sum")
    if program is None:
        pytest.skip("no sha256sum is here")

    def run() -> subprocess.CompletedProcess[str]:
        command = [program, "--check", "--strict", "SHA256SUMS"]
        environment = {**os.environ, "LC_ALL": "C"}
        return subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, env=environment
        )

    names = ("assets/vocabulary.txt", "saved_model.pb", "checksums.json")
    result = run()
    assert result.stdout.splitlines() == [f"{name}: OK" for name in names]
    assert result.returncode == 0
    (folder / "assets" / "trend.pb").write_bytes(b"later")
    assert run().returncode == 0
    (folder / "assets" / "vocabulary.txt").write_bytes(b"b\na\n")
    assert "assets/vocabulary.txt: FAILED" in run().stdout


def test_damage_is_named(folder: pathlib.Path) -> None:
    vocabulary = folder / "assets" / "vocabulary.txt"
    vocabulary.write_bytes(b"b\na\n")
    assert damaged_files(folder, hashes=False) == []
    assert damaged_files(folder) == [
        "`assets/vocabulary.txt` has another SHA-256 than when it was written"
    ]
    vocabulary.write_bytes(b"a\n")
    (folder / "saved_model.pb").unlink()
    for hashes in (False, True):
        assert damaged_files(folder, hashes=hashes) == [
            "`assets/vocabulary.txt` has 2 bytes instead of 4",
            "`saved_model.pb` is missing",
        ]


def test_what_may_be_replaced_is_no_damage(folder: pathlib.Path) -> None:
    trend = folder / "assets" / "trend.pb"
    trend.write_bytes(b"then")
    assert (damaged_files(folder), replaced_files(folder)) == ([], ["assets/trend.pb"])
    trend.unlink()
    assert (damaged_files(folder), replaced_files(folder)) == ([], ["assets/trend.pb"])


@pytest.mark.parametrize("content", ["", "[]", '{"files": {"a": 3}}', '{"files": {"a": {}}}'])
def test_checksums_that_are_damaged(folder: pathlib.Path, content: str) -> None:
    (folder / "checksums.json").write_text(content)
    with pytest.raises(ValueError, match=r"`checksums.json` is damaged"):
        damaged_files(folder)


def test_what_no_server_notices(folder: pathlib.Path) -> None:
    assert misplaced_files(folder) == []
    (folder / "assets" / ".trend.pb.0a1b2c3d.part").write_bytes(b"a writer is at work")
    (folder / "assets" / "trend.pb").write_bytes(b"later")
    assert misplaced_files(folder) == []
    (folder / "assets" / "trend.pb").unlink()
    (folder / "assets" / "more.txt").write_text("")
    sums = folder / "SHA256SUMS"
    sums.write_text(sums.read_text().replace("a", "b", 1))
    assert misplaced_files(folder) == [
        "`assets/trend.pb` is missing",
        "`SHA256SUMS` does not match `checksums.json`",
        "`assets/more.txt` was added after the export",
    ]
    sums.unlink()
    assert "`SHA256SUMS` is missing" in misplaced_files(folder)
    assert damaged_files(folder) == []  # A server loads it as it is.
