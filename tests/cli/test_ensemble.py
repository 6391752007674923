"""`evaluate --ensemble`: two model directories as one system."""

import json
import pathlib

import numpy as np
import pytest

from tfsessionrec import evaluation
from tfsessionrec.cli.ensemble import ensemble
from tfsessionrec.cli.log import split
from tfsessionrec.cli.main import main
from tfsessionrec.cli.model_directory import ModelDirectory
from tfsessionrec.cli.protocols import queries

LOG = ["--user", "user_id", "--session", "session_id", "--label", "label"]


@pytest.fixture(scope="module")
def neighbours(log: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("baseline") / "sknn"
    command = ["train", "--events", str(log), *LOG, "--model", "sknn", "--output", str(path)]
    assert main([*command, "--holdout", "last-session"]) == 0
    return path


@pytest.mark.parametrize("protocol", ["next_item", "next_session"])
def test_a_model_in_an_ensemble_is_asked_as_alone(
    protocol: str, trained: pathlib.Path, neighbours: pathlib.Path, log: pathlib.Path
) -> None:
    """Ranks of a session model and of a next-item model, from batches of either layout."""
    directory = ModelDirectory(trained)
    both, recipe = ensemble(directory, ModelDirectory(neighbours), "rrf", 1.0)
    settings, vocabulary = directory.settings(), directory.vocabulary()
    sessions = settings.log.read(log)
    _, held_out = split(sessions, "last-session")
    reports = [
        evaluation.evaluate(
            model, queries(protocol, held_out, vocabulary, training), 5, vocabulary=vocabulary
        )
        for model, training in (
            (directory.load_model(), settings.training),
            (both.systems[0], recipe),
        )
    ]
    assert reports[0].num_queries == reports[1].num_queries
    assert reports[0].metrics == pytest.approx(reports[1].metrics, abs=1e-6)


def test_evaluate(
    trained: pathlib.Path,
    neighbours: pathlib.Path,
    log: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def report(model: pathlib.Path, *more: str) -> dict:
        file = tmp_path / "report.json"
        command = ["evaluate", "--model", str(model), "--events", str(log), "--json", str(file)]
        assert main([*command, "--protocol", "next_session", "--k", "5", *more]) == 0
        return json.loads(file.read_text())

    other = ["--ensemble", str(neighbours), "--fusion"]
    alone = report(neighbours)
    # A weight that leaves nothing to the first gives the other's order.
    heavy = report(trained, *other, "score", "--weight", "1e6")
    assert heavy["num_queries"] == alone["num_queries"]
    assert heavy["metrics"]["mrr@5"] == pytest.approx(alone["metrics"]["mrr@5"], abs=0.03)
    even = report(trained, *other, "rrf")
    assert even["ensemble"] == str(neighbours)
    assert even["metrics"] != heavy["metrics"]
    live = report(trained, *other, "rrf", "--streaming", "--tick", "86400")
    assert live["options"]["told to model"] == "nothing; events, learned one step after another"
    assert np.isfinite(list(live["metrics"].values())).all()

    less = tmp_path / "less"
    command = ["train", "--events", str(log), *LOG, "--model", "ar", "--output", str(less)]
    assert main([*command, "--min-count", "80"]) == 0
    command = ["evaluate", "--model", str(trained), "--events", str(log)]
    assert main([*command, "--protocol", "next_item", "--ensemble", str(less)]) == 2
    assert "a model of the same items" in capsys.readouterr().err
