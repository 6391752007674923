"""A small simulated log, and the commands called in this process."""

import pathlib
from collections.abc import Callable

import pytest

from tfsessionrec.cli.main import main

LOG = ["--user", "user_id", "--session", "session_id", "--label", "label"]
SMALL = ["--embedding-dim", "8", "--set", "num_layers=1", "--set", "num_heads=1"]


@pytest.fixture(scope="session")
def log(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("log") / "log.csv"
    assert main(["simulate", "--users", "60", "--items", "30", "--output", str(path)]) == 0
    return path


@pytest.fixture
def train(log: pathlib.Path) -> Callable[..., int]:
    """Trains a small model on the log; further arguments are appended."""

    def run(directory: pathlib.Path, *more: str, model: str = "sessionrec-sasrec") -> int:
        command = ["train", "--events", str(log), *LOG, "--model", model, *SMALL]
        return main([*command, "--output", str(directory), *more])

    return run


@pytest.fixture(scope="session")
def train_once(
    log: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], pathlib.Path]:
    """The directory of a small model of that name, trained without each user's last session."""
    done: dict[str, pathlib.Path] = {}

    def train(name: str) -> pathlib.Path:
        if name not in done:
            path = tmp_path_factory.mktemp("trained") / name
            command = ["train", "--events", str(log), *LOG, "--model", name, *SMALL]
            command += ["--epochs", "3", "--holdout", "last-session", "--output", str(path)]
            assert main(command) == 0
            done[name] = path
        return done[name]

    return train


@pytest.fixture(scope="session", params=["sessionrec-sasrec", "sasrec"])
def trained(
    request: pytest.FixtureRequest, train_once: Callable[[str], pathlib.Path]
) -> pathlib.Path:
    """A session model and a next-item model: what a test of either should hold for."""
    return train_once(request.param)


@pytest.fixture(scope="session")
def session_model(train_once: Callable[[str], pathlib.Path]) -> pathlib.Path:
    """The session model alone: for what does not depend on the model."""
    return train_once("sessionrec-sasrec")
