"""Model directories with damaged JSON files: they load and answer, or an error names the file or
the argument."""

import json
import pathlib
import random
import re
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(pathlib.Path(__file__).parent))  # as pytest does without importlib

from damage import cases, mutate, mutate_json

from tfsessionrec import data, systems
from tfsessionrec.systems.model_directory import ModelDirectory

TRIED: Counter[str] = Counter()
FILES = ("config.json", "vocabulary.json", "history.json")
COLUMNS = {"user": "user_id", "session": "session_id", "label": "label"}
SMALL = {"embedding_dim": 4, "num_layers": 1, "num_heads": 1, "epochs": 1}


@pytest.fixture(scope="module")
def log() -> data.Sessions:
    return data.simulate(num_users=20, num_items=12)


@pytest.fixture(scope="module")
def directories(
    log: data.Sessions, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, pathlib.Path]:
    folder = tmp_path_factory.mktemp("models")
    found = {}
    for name, options in (("popularity", {}), ("sessionrec-sasrec", SMALL)):
        found[name] = folder / name
        systems.fit(name, log.events, **COLUMNS, **options).save(found[name])  # type: ignore[arg-type]
    return found


def outcome(call: Callable[[], object], path: pathlib.Path) -> object:
    """The result of a call, or None after an error that names the file, or an argument."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = call()
            TRIED["result"] += 1
            return result
    except (ValueError, OSError) as error:
        message = str(error)
    named = r"`[\w.-]+(\[.*?\])?`|Unknown options of"
    assert str(path) in message or re.search(named, message), message
    TRIED["named error"] += 1
    return None


def damaged(whole: pathlib.Path, copy: pathlib.Path, numbers: random.Random) -> None:
    """A copy of a directory, one file of which has odd values or bytes; fingerprints may fit."""
    shutil.copytree(whole, copy)
    name = numbers.choice([name for name in FILES if (copy / name).exists()])
    text = (copy / name).read_bytes()
    kind = numbers.randrange(10)
    if kind == 0:
        (copy / name).write_bytes(mutate(text, numbers))
    elif kind == 1:
        (copy / name).write_bytes(numbers.choice((b"", b"[" * 100_000, b"\xff\xfe{}", b"null")))
    else:
        content = mutate_json(json.loads(text), numbers)
        (copy / name).write_text(json.dumps(content))
    if name != "config.json" and numbers.random() < 0.8:
        # As an earlier release wrote it: without fingerprints of the other files.
        config = json.loads((copy / "config.json").read_text())
        del config["fingerprints"]
        (copy / "config.json").write_text(json.dumps(config))


def use(path: pathlib.Path, log: data.Sessions) -> None:
    """Reads every file, loads the model and asks it."""
    directory = ModelDirectory(path)
    for read in (directory.settings, directory.vocabulary, directory.item_table):
        outcome(read, path)
    if (path / "history.json").exists():
        outcome(directory.history, path)
    system = outcome(lambda: systems.load(path), path)
    if isinstance(system, systems.TrainedSystem):
        outcome(lambda: system.recommend(log.events["item_id"][:3].to_list(), 3), path)
        outcome(lambda: system.read(log.events), path)


@cases(150)
@given(number=st.integers(0, 2**32))
def test_a_baseline(directories: dict[str, pathlib.Path], log: data.Sessions, number: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model"
        damaged(directories["popularity"], path, random.Random(number))
        use(path, log)


@cases(25, more=15)
@given(number=st.integers(0, 2**32))
def test_a_network(directories: dict[str, pathlib.Path], log: data.Sessions, number: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model"
        damaged(directories["sessionrec-sasrec"], path, random.Random(number))
        use(path, log)


def test_enough_was_tried() -> None:
    """The counts of this file."""
    print(", ".join(f"{number:,} of directories: {end}" for end, number in sorted(TRIED.items())))
    assert TRIED["result"] > 100
    assert TRIED["named error"] > 100
