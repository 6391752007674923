"""What a kill leaves in a model directory does not stop the next command."""

import pathlib
from collections.abc import Callable

import pytest

import tfsessionrec as sr
from tfsessionrec.cli.main import main
from tfsessionrec.systems import staging

LEFT = (".config.json.3608bb1f.part", ".vocabulary.json.4711.part", ".history.json.0a0a0a0a.part")


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., int]:
    log = tmp_path_factory.mktemp("log") / "log.csv"
    sr.data.simulate(num_users=30, num_items=20, seed=2).events.write_csv(log)

    def run(path: pathlib.Path, *more: str) -> int:
        words = ["--user", "user_id", "--session", "session_id", "--model", "vsknn", "--output"]
        return main(["train", "--events", str(log), *words, str(path), *more])

    return run


def test_half_written_files_are_removed(train: Callable[..., int], tmp_path: pathlib.Path) -> None:
    """`write_file` names them by eight digits, earlier releases by the number of a process."""
    path = tmp_path / "m"
    assert train(path) == 0
    new = staging.sibling(path, "new")
    new.mkdir()
    (path / "checkpoint").mkdir()
    (path / "checkpoint" / ".checkpoint.c9e8d133.part").write_text("half")
    for folder in (path, new):
        for name in LEFT:
            (folder / name).write_text("half")
    with staging.locked(path):
        staging.recover(path)
    assert not list(path.rglob(".*"))
    (path / "checkpoint").rmdir()
    (path / LEFT[0]).write_text("half")
    assert train(path, "--overwrite") == 0
    assert [entry.name for entry in tmp_path.iterdir()] == ["m"]
    assert not list(path.rglob(".*"))


def test_a_file_of_such_a_name_is_not_ours(
    train: Callable[..., int], tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "m"
    assert train(path) == 0
    (path / ".thesis.tex.3608bb1f.part").write_text("years")
    assert train(path, "--overwrite") == 2
    assert (path / ".thesis.tex.3608bb1f.part").read_text() == "years"
