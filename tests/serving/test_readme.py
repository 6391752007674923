"""The commands and examples of serving/README.md are valid."""

import pathlib
import re
import shlex
from typing import Any

import pytest

from tfsessionrec.cli.main import make_parser

SERVING = pathlib.Path(__file__).resolve().parents[2] / "serving"
TEXT = (SERVING / "README.md").read_text()
BLOCKS = re.findall(r"^```(?:bash|console)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
COMMANDS = [
    line.removeprefix("$ ") for block in BLOCKS for line in block.replace("\\\n", " ").splitlines()
]


def commands(beginning: str) -> list[list[str]]:
    return [shlex.split(one, comments=True) for one in COMMANDS if one.startswith(beginning)]


def test_tfsessionrec() -> None:
    found = commands("tfsessionrec ")
    assert len(found) >= 6
    for command in found:
        make_parser().parse_args(command[1:])


@pytest.mark.parametrize(("name", "least"), [("rollout", 4), ("load_test", 1)])
def test_scripts(serving: Any, name: str, least: int) -> None:
    found = commands(f"python serving/{name}.py")
    assert len(found) >= least
    parser = serving.script(name).make_parser()
    for command in found:
        parser.parse_args(command[2:])


def test_compose_profiles_and_images() -> None:
    yaml = pytest.importorskip("yaml")
    services = yaml.safe_load((SERVING / "compose.yaml").read_text())["services"]
    profiles = {profile for one in services.values() for profile in one["profiles"]}
    used = set(re.findall(r"--profile (\w+)", TEXT))
    assert used == profiles
    images = {one["image"] for one in services.values()}
    assert set(re.findall(r"tensorflow/serving:\S+", TEXT)) <= images


def test_files_and_links_exist() -> None:
    for name in re.findall(r"`([\w]+\.(?:config|yaml|yml|py))`", TEXT):
        assert (SERVING / name).exists(), name
    headings = {
        line[3:].lower().replace(" ", "-") for line in TEXT.splitlines() if line.startswith("## ")
    }
    for link in re.findall(r"\]\(#([^)]+)\)", TEXT):
        assert link in headings


def test_python_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call of the examples is valid for the client; requests are recorded, not sent."""
    import tfsessionrec.client as client_room

    calls: list[str] = []
    for name in ("recommend", "recommend_filtered", "rank", "encode", "similar_items"):
        method = getattr(client_room.Client, name)

        def record(self: Any, *args: Any, _name: str = name, _method: Any = method, **more: Any):
            import inspect

            inspect.signature(_method).bind(self, *args, **more)
            calls.append(_name)
            return []

        monkeypatch.setattr(client_room.Client, name, record)
    found = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    assert len(found) == 2
    exec(found[0], {})
    assert calls == ["recommend", "recommend_filtered", "rank", "encode", "similar_items"]
    pytest.importorskip("tensorflow_serving")
    exec(found[1], {"Client": client_room.Client})
