"""Small logs, and the one module that knows how the package is built inside."""

import importlib.util
import pathlib
import types

import pytest

from tfsessionrec.cli.main import main


@pytest.fixture(scope="session")
def capture() -> types.ModuleType:
    """`capture.py`, which test files cannot import."""
    path = pathlib.Path(__file__).with_name("capture.py")
    spec = importlib.util.spec_from_file_location("seams_capture", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def shown_log(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """60 users, 40 items; each row is an item that was shown, `label` is 1 where it was clicked."""
    path = tmp_path_factory.mktemp("shown") / "log.csv"
    words = ["--users", "60", "--items", "40", "--seed", "5", "--output", str(path)]
    assert main(["simulate", *words]) == 0
    return path
