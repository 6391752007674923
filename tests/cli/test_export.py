import json
import os
import pathlib
import shutil
from typing import Any

import numpy as np
import pytest

from tfsessionrec import systems
from tfsessionrec.cli.main import main
from tfsessionrec.export import check, load_saved_model, replay


@pytest.fixture(scope="module")
def exported(trained: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("export") / "1"
    assert main(["export", "--model", str(trained), "--output", str(path), "--k", "7"]) == 0
    return path


@pytest.fixture(scope="module")
def session_export(
    session_model: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    path = tmp_path_factory.mktemp("session") / "1"
    command = ["export", "--model", str(session_model), "--output", str(path)]
    assert main([*command, "--warm-up-batch-sizes", "2"]) == 0
    return path


@pytest.mark.slow
def test_recommend_asks_the_trained_model(
    trained: pathlib.Path,
    exported: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    system = systems.load(trained)
    model, vocabulary = system.model, system.vocabulary
    history = vocabulary.ids[[3, 1, 4]].tolist()
    path = tmp_path / "recommended.json"
    command = ["recommend", "--saved-model", str(exported), "--items", ",".join(history)]
    capsys.readouterr()
    assert main([*command, "--sessions", "0,0,1", "--k", "5", "--json", str(path)]) == 0

    a, b, c = vocabulary.lookup(history)
    items = [[[a], [b], [c]]] if system.history.session == "item" else [[[a, b], [c, 0]]]
    queries = model.queries({"item_ids": np.array(items)})
    scores = queries.score(model.candidate_embeddings(), np.arange(len(vocabulary))).numpy()[0]
    best = 2 + np.argsort(-scores[2:])[:5]
    recommended = json.loads(path.read_text())["recommended"]
    assert [row["item"] for row in recommended] == vocabulary.raw(best).tolist()
    np.testing.assert_allclose([row["score"] for row in recommended], scores[best], rtol=1e-5)
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 6
    assert recommended[0]["item"] in out[1]


@pytest.mark.slow
def test_a_visitor_without_history(
    trained: pathlib.Path, exported: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "recommended.json"
    command = ["recommend", "--saved-model", str(exported), "--items", "", "--json", str(path)]
    assert main([*command, "--k", "3"]) == 0
    items = [row["item"] for row in json.loads(path.read_text())["recommended"]]
    assert items == systems.load(trained).vocabulary.ids[:3].tolist()


@pytest.mark.slow
def test_rules_of_a_request(
    session_model: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = systems.load(session_model).vocabulary.ids.tolist()
    table, path, sold_out = tmp_path / "items.csv", tmp_path / "1", tmp_path / "sold_out.txt"
    # Of ten items each: even ones are tagged 1, odd ones 2; two categories; the last is new.
    rows = [f"{item},{1 + n % 2},{'ab'[n % 2]},{n}" for n, item in enumerate(ids[:10])]
    table.write_text("\n".join(["item_id,tags,kind,since", *rows]) + "\n")
    command = ["export", "--model", str(session_model), "--output", str(path), "--availability"]
    command += ["--warm-up-batch-sizes", ""]
    columns = ["--item-tags", "tags", "--item-category", "kind", "--item-time", "since"]
    assert main([*command, "--item-table", str(table), *columns]) == 0

    def ask(*more: str, k: int = 30) -> list[str]:
        result = tmp_path / "recommended.json"
        recommend = ["recommend", "--saved-model", str(path), "--items", f"{ids[0]},{ids[1]}"]
        assert main([*recommend, "--k", str(k), "--json", str(result), *more]) == 0
        return [row["item"] for row in json.loads(result.read_text())["recommended"]]

    everything = ask()
    assert set(everything) == set(ids)
    assert ask("--exclude-seen") == [item for item in everything if item not in ids[:2]]
    assert ask("--exclude", f"{ids[3]}, {ids[2]}") == [
        item for item in everything if item not in ids[2:4]
    ]
    assert set(ask("--allow", ids[5], "--diversity", "0.5")) == {ids[5]}
    assert set(ask("--tag-mask", "2")) == set(ids[1:10:2])
    assert len(set(ask("--max-per-category", "1")) & set(ids[:10])) == 2
    # In a second a million fades by 1.1.
    assert ask("--freshness", "1e6", "--request-time", "9", k=1) == [ids[9]]
    assert ask("--freshness", "1e6", "--tag-mask", "1", "--request-time", "9", k=1) == [ids[8]]

    sold_out.write_text(f"{ids[9]}\nnever seen\n")
    capsys.readouterr()
    tell = ["availability", "--export", str(path), "--unavailable", str(sold_out)]
    assert main(tell) == 0
    out = capsys.readouterr().out
    assert "unavailable items: 1" in out
    assert "ids that are not in the export: 1" in out
    assert ask() == [item for item in everything if item != ids[9]]
    assert main([*command, "--item-tags", "tags", "--overwrite"]) == 2
    assert "`--item-table` should come with" in capsys.readouterr().err


@pytest.fixture
def replay_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replays in this process: a fresh one takes seconds to start."""

    def run(directory: pathlib.Path, requests: pathlib.Path, answers: pathlib.Path) -> None:
        lines = replay.replay(os.fspath(directory), requests.read_text().splitlines())
        answers.write_text("".join(f"{line}\n" for line in lines))

    monkeypatch.setattr(check, "_run_replay", run)


@pytest.mark.usefixtures("replay_here")
def test_check(
    trained: pathlib.Path,
    exported: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    result = tmp_path / "check.json"
    command = ["export", "--check", str(exported), "--json", str(result)]
    capsys.readouterr()
    assert main([*command, "--model", str(trained)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in out[:3]] == ["files", "vocabulary", "signatures"]
    assert out[-1].startswith("live model        ok  66 the same")
    content = json.loads(result.read_text())
    assert (content["export"], content["ok"], len(content["steps"])) == (str(exported), True, 6)

    damaged = pathlib.Path(shutil.copytree(exported, tmp_path / "2"))
    (damaged / "assets" / "vocabulary.txt").unlink()
    command = ["export", "--check", str(damaged), "--json", str(result)]
    assert main(command) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[1] == "  - `assets/vocabulary.txt` is missing"
    assert json.loads(result.read_text())["ok"] is False


@pytest.mark.slow
@pytest.mark.usefixtures("replay_here")
def test_check_against_another_model(
    train: Any,
    session_export: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert train(tmp_path / "other", "--epochs", "1", "--seed", "5") == 0
    assert main(["export", "--check", str(session_export), "--model", str(tmp_path / "other")]) == 1
    assert "live model        FAILED" in capsys.readouterr().out


@pytest.mark.slow
def test_what_made_the_model_travels_along(
    session_model: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"metrics": {"recall@20": 0.25}}))
    base = tmp_path / "shop"
    command = ["export", "--model", str(session_model), "--output", str(base), "--next-version"]
    command += ["--warm-up-batch-sizes", "2"]
    assert main([*command, "--report", str(report)]) == 0
    assert main([*command]) == 0
    assert sorted(path.name for path in base.iterdir()) == ["1", "2"]
    metadata = json.loads((base / "1" / "metadata.json").read_text())
    config = json.loads((session_model / "config.json").read_text())
    assert len(config.pop("fingerprints")["vocabulary.json"]) == 64
    assert metadata["settings"] == config
    assert metadata["epochs"] == json.loads((session_model / "history.json").read_text())
    assert metadata["evaluation"] == {"metrics": {"recall@20": 0.25}}
    assert "evaluation" not in json.loads((base / "2" / "metadata.json").read_text())
    assert json.loads((base / "2" / "signature.json").read_text())["warm_up"]["records"] == 12

    report.write_text("recall@20: 0.25")
    for more, message in (
        (["--report", str(report)], "`--report` should be a file that `evaluate --json` wrote"),
        (["--warm-up-batch-sizes", "1;2"], "`--warm-up-batch-sizes` should be whole numbers"),
        (["--warm-up-batch-sizes", "0"], "`warm_up_batch_sizes` should be positive integers"),
        (["--check", str(base / "1")], "`--check` should come without `--output`"),
    ):
        assert main([*command, *more]) == 2
        assert message in capsys.readouterr().err.splitlines()[-1]
    assert main(["export", "--model", str(session_model)]) == 2
    assert "`--model` and `--output`, or with `--check`" in capsys.readouterr().err
    assert sorted(path.name for path in base.iterdir()) == ["1", "2"]


@pytest.mark.slow
def test_bad_arguments(
    session_model: pathlib.Path,
    session_export: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    export = ["export", "--model", str(session_model), "--output", str(session_export)]
    recommend = ["recommend", "--saved-model", str(session_export), "--items", "a,b"]
    for command, message in (
        (export, "exists"),
        ([*recommend, "--sessions", "0,x"], "whole numbers"),
        ([*recommend, "--sessions", "0"], "session_index"),
        ([*recommend, "--k", "0"], "`k` should be a positive integer"),
        (["recommend", "--saved-model", str(tmp_path), "--items", "a"], "should be an export"),
        ([*recommend, "--tag-mask", "1"], "made without `item_tags`"),
        (
            ["availability", "--export", str(session_export), "--unavailable", "x"],
            "should be an export with availability",
        ),
    ):
        assert main(command) == 2
        assert message in capsys.readouterr().err.splitlines()[-1]
    assert main([*export, "--overwrite", "--warm-up-batch-sizes", ""]) == 0


@pytest.mark.slow
def test_times_of_items(
    session_model: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Dates are read; milliseconds and dates as digits are refused."""
    ids = systems.load(session_model).vocabulary.ids[:3].tolist()
    command = ["export", "--model", str(session_model), "--output", str(tmp_path / "1")]
    command += ["--item-table", str(tmp_path / "items.csv"), "--item-time", "since"]
    command += ["--warm-up-batch-sizes", "", "--overwrite"]
    for times in (["1700000000000", "1700000000000", ""], ["20240131", "20240131", ""]):
        rows = [f"{item},{time}" for item, time in zip(ids, times, strict=True)]
        (tmp_path / "items.csv").write_text("\n".join(["item_id,since", *rows, ""]))
        assert main(command) == 2
        assert f"{times[0]}" in capsys.readouterr().err
        assert not (tmp_path / "1").exists()
    (tmp_path / "items.csv").write_text(f"item_id,since\n{ids[0]},1970-01-02\n{ids[1]},\n")
    assert main(command) == 0
    recommender = load_saved_model(tmp_path / "1")
    half_life = 7 * 86_400
    plain = dict(recommender.recommend([ids[2]], k=30))
    later = 86_400 + half_life
    fresh = dict(recommender.recommend([ids[2]], k=30, freshness=8.0, request_time=later))
    assert fresh[ids[0]] == pytest.approx(plain[ids[0]] + 4, abs=1e-4)
    assert fresh[ids[1]] == pytest.approx(plain[ids[1]], abs=1e-4)
