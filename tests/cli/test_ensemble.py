"""`evaluate --ensemble`: two model directories as one system."""

import json
import pathlib

import numpy as np
import pytest

from tfsessionrec import evaluation, systems
from tfsessionrec.cli.main import main
from tfsessionrec.data import protocol_batches, split_by_rule
from tfsessionrec.systems.ensemble import EnsembleSystem

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
    system = systems.load(trained)
    both = EnsembleSystem(system, systems.load(neighbours))
    _, held_out = split_by_rule(system.read(log), "last-session")
    reports = [
        evaluation.evaluate(
            model,
            protocol_batches(protocol, held_out, system.vocabulary, history),
            5,
            vocabulary=system.vocabulary,
        )
        for model, history in (
            (system.model, system.history),
            (both.scorer.systems[0], both.history),
        )
    ]
    assert reports[0].num_queries == reports[1].num_queries
    assert reports[0].metrics == pytest.approx(reports[1].metrics, abs=1e-6)


@pytest.mark.slow
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
    assert heavy["metrics"]["mrr@5"] == pytest.approx(alone["metrics"]["mrr@5"], abs=0.05)
    even = report(trained, *other, "rrf")
    assert even["ensemble"] == str(neighbours)
    assert even["metrics"] != heavy["metrics"]
    live = report(trained, *other, "rrf", "--streaming", "--tick", "86400")
    known = live["options"]["events known to model"]
    assert known == "nothing; events, learned one step after another"
    assert np.isfinite(list(live["metrics"].values())).all()

    less = tmp_path / "less"
    command = ["train", "--events", str(log), *LOG, "--model", "ar", "--output", str(less)]
    assert main([*command, "--min-count", "80"]) == 0
    command = ["evaluate", "--model", str(trained), "--events", str(log)]
    assert main([*command, "--protocol", "next_item", "--ensemble", str(less)]) == 2
    assert "a model of the same items" in capsys.readouterr().err
