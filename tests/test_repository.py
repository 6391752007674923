"""What a visitor of the repository relies on."""

import ast
import configparser
import pathlib
import re
import shlex
import shutil
import subprocess

import pytest

import tfsessionrec
from tfsessionrec.cli.main import make_parser

ROOT = pathlib.Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def test_version_can_be_read_without_importing() -> None:
    tree = ast.parse((ROOT / "tfsessionrec" / "__init__.py").read_text())
    (version,) = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__"
    ]
    assert version == tfsessionrec.__version__


def test_dependencies_have_bounds() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    groups = [config["options"]["install_requires"], *config["options.extras_require"].values()]
    lines = [line for group in groups for line in group.splitlines() if line]
    assert len(lines) > 10
    for line in lines:
        assert line.startswith("#") or ">=" in line, line


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_make_makes_the_environment_only_when_needed(tmp_path: pathlib.Path) -> None:
    for name in ("Makefile", "setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)

    def plan(target: str) -> str:
        done = subprocess.run(
            ["make", "--dry-run", target], cwd=tmp_path, check=True, capture_output=True, text=True
        )
        return done.stdout

    for target, command in (
        ("demo", "tfsessionrec demo"),
        ("test", "pytest"),
        ("lint", "ruff check"),
        ("notebooks", "--nbmake"),
    ):
        assert "-m venv .venv" in plan(target)
        assert "pip install" in plan(target)
        assert command in plan(target)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").touch()
    (tmp_path / ".venv" / "installed").touch()
    assert "venv .venv" not in plan("demo")
    assert "pip install" not in plan("demo")
    assert "pip install" in plan("test")
    (tmp_path / "setup.cfg").touch()
    assert "pip install" in plan("demo")


def test_readme_commands_parse() -> None:
    commands = re.findall(r"^\$ (tfsessionrec .*)$", README, flags=re.MULTILINE)
    assert len(commands) >= 5
    for command in commands:
        make_parser().parse_args(shlex.split(command)[1:])


def test_readme_links_exist() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link


@pytest.mark.slow
def test_readme_python_runs(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asking, *steps = re.findall(r"^```python\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    compile(asking, "README.md", "exec")  # it wants a server
    monkeypatch.chdir(tmp_path)
    for code in steps:
        exec(code.replace("epochs=5", "epochs=1"), {})
    for export in ("shop", "sessionrec"):
        assert (tmp_path / "exported" / export / "1" / "saved_model.pb").exists()
