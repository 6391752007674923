import json
import pathlib

import numpy as np
import pytest

from tfsessionrec.cli.demo import best_reachable
from tfsessionrec.cli.main import main
from tfsessionrec.data import Vocabulary, leave_last_session_out, sessionize, simulate


def test_demo(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    for earlier in ("log.csv", "export/1/saved_model.pb"):
        (tmp_path / "demo" / earlier).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "demo" / earlier).write_text("of an earlier demo")
    command = ["demo", "--users", "150", "--items", "40", "--epochs", "2"]
    command += ["--output", str(tmp_path / "demo"), "--json", str(tmp_path / "demo.json")]
    assert main(command) == 0
    out = capsys.readouterr().out
    result = json.loads((tmp_path / "demo.json").read_text())
    systems = result["systems"]
    best = systems["best reachable"]["ndcg@20"]
    assert best > max(systems[name]["ndcg@20"] for name in ("popularity", "sessionrec-sasrec"))
    assert result["share_of_best"] == systems["sessionrec-sasrec"]["ndcg@20"] / best
    assert f"{result['share_of_best']:.0%}" in out
    recommendation = result["recommendation"]
    assert len(recommendation["recommended"]) == 10
    assert recommendation["recommended"][0][0] in out
    log = (tmp_path / "demo" / "log.csv").read_text()
    assert log.startswith("user_id,session_id,item_id,timestamp,label")
    assert (tmp_path / "demo" / "export" / "1" / "assets").is_dir()


@pytest.mark.slow
def test_best_reachable_against_sorting() -> None:
    simulation = simulate(60, 50, seed=3)
    sessions = sessionize(simulation.events, user="user_id", session="session_id", label="label")
    train, held_out = leave_last_session_out(sessions)
    vocabulary = Vocabulary.from_sessions(train)
    assert vocabulary.num_items == 50
    values = []
    for (user,), rows in held_out.events.group_by("user_id", maintain_order=True):
        last = rows.filter(rows["is_target"] & (rows["label"] == 1))["item_id"].unique()
        if not len(last):
            continue
        order = np.argsort(-simulation.true_probabilities([user])[0])
        hits = np.isin(simulation.item_ids[order], last.to_numpy())[:20]
        gains = 1 / np.log2(np.arange(2, 22))
        values.append((gains @ hits / gains[: len(last)].sum(), hits.sum() / len(last)))
    found = best_reachable(simulation, held_out, vocabulary)
    np.testing.assert_allclose(
        [found["ndcg@20"], found["recall@20"]], np.mean(values, axis=0), rtol=1e-6
    )
