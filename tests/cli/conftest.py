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


@pytest.fixture(scope="session", params=["sessionrec-sasrec", "sasrec"])
def trained(
    request: pytest.FixtureRequest,
    log: pathlib.Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> pathlib.Path:
    """A session model and a next-item model, trained without each user's last session."""
    path = tmp_path_factory.mktemp("trained") / request.param
    command = ["train", "--events", str(log), *LOG, "--model", request.param, *SMALL]
    command += ["--epochs", "3", "--holdout", "last-session", "--output", str(path)]
    assert main(command) == 0
    return path
