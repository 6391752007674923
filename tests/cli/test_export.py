import json
import pathlib

import numpy as np
import pytest

from tfsessionrec.cli.main import main
from tfsessionrec.cli.model_directory import ModelDirectory


@pytest.fixture(scope="module")
def exported(trained: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("export") / "1"
    assert main(["export", "--model", str(trained), "--output", str(path), "--k", "7"]) == 0
    return path


def test_recommend_asks_the_trained_model(
    trained: pathlib.Path,
    exported: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    directory = ModelDirectory(trained)
    model, vocabulary = directory.load_model(), directory.vocabulary()
    history = vocabulary.ids[[3, 1, 4]].tolist()
    path = tmp_path / "recommended.json"
    command = ["recommend", "--saved-model", str(exported), "--items", ",".join(history)]
    capsys.readouterr()
    assert main([*command, "--sessions", "0,0,1", "--k", "5", "--json", str(path)]) == 0

    next_item = directory.settings().training["next_item"]
    a, b, c = vocabulary.lookup(history)
    items = [[[a], [b], [c]]] if next_item else [[[a, b], [c, 0]]]
    query = model.encode({"item_ids": np.array(items)}).numpy()[0]
    scores = model.candidate_embeddings().numpy() @ query
    best = 2 + np.argsort(-scores[2:])[:5]
    recommended = json.loads(path.read_text())["recommended"]
    assert [row["item"] for row in recommended] == vocabulary.raw(best).tolist()
    np.testing.assert_allclose([row["score"] for row in recommended], scores[best], rtol=1e-5)
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 6
    assert recommended[0]["item"] in out[1]


def test_a_visitor_without_history(
    trained: pathlib.Path, exported: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "recommended.json"
    command = ["recommend", "--saved-model", str(exported), "--items", "", "--json", str(path)]
    assert main([*command, "--k", "3"]) == 0
    items = [row["item"] for row in json.loads(path.read_text())["recommended"]]
    assert items == ModelDirectory(trained).vocabulary().ids[:3].tolist()


def test_bad_arguments(
    trained: pathlib.Path,
    exported: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    export = ["export", "--model", str(trained), "--output", str(exported)]
    recommend = ["recommend", "--saved-model", str(exported), "--items", "a,b"]
    for command, message in (
        (export, "exists"),
        ([*recommend, "--sessions", "0,x"], "whole numbers"),
        ([*recommend, "--sessions", "0"], "session_index"),
        ([*recommend, "--k", "0"], "`k` should be a positive integer"),
        (["recommend", "--saved-model", str(tmp_path), "--items", "a"], "should be an export"),
    ):
        assert main(command) == 2
        assert message in capsys.readouterr().err.splitlines()[-1]
    assert main([*export, "--overwrite"]) == 0
