import json
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec import systems
from tfsessionrec.cli.main import main


def run(trained: pathlib.Path, log: pathlib.Path, tmp_path: pathlib.Path, *more: str) -> dict:
    path = tmp_path / "report.json"
    command = ["evaluate", "--model", str(trained), "--events", str(log), "--json", str(path)]
    assert main([*command, *more]) == 0
    return json.loads(path.read_text())


def test_next_session_against_numpy(
    trained: pathlib.Path,
    log: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Recall@5 computed from the log alone, the model's embeddings given."""
    report = run(trained, log, tmp_path, "--protocol", "next_session", "--k", "5")
    out = capsys.readouterr().out
    assert "recall@5" in out
    assert "popularity" in out
    assert "filter_seen: no" in out
    assert "sessions asked for: last-session" in out
    assert report["sessions"] == "last-session"

    system = systems.load(trained)
    model, vocabulary = system.model, system.vocabulary
    table = model.candidate_embeddings().numpy()
    next_item = system.history.session == "item"
    events = system.read(log).events
    recalls, unknown = [], 0
    for (_user,), rows in events.group_by("user_id", maintain_order=True):
        visits = [visit for _, visit in rows.group_by("session_index", maintain_order=True)]
        taken = [visit.filter(visit["label"] == 1)["item_id"].to_list() for visit in visits]
        targets = (
            {index for index in vocabulary.lookup(taken[-1]) if index >= 2} if taken[-1] else set()
        )
        if len(visits) < 2 or not targets:
            continue
        if next_item:
            history = [[item] for visit in taken[:-1] for item in visit][-50:]
            labels = [[1.0] for _ in history]
        else:
            history = [visit["item_id"].to_list() for visit in visits[:-1]]
            labels = [visit["label"].to_list() for visit in visits[:-1]]
        width = max(map(len, history), default=1)
        padded = [visit + [""] * (width - len(visit)) for visit in history] or [[""]]
        labels = [visit + [0.0] * (width - len(visit)) for visit in labels] or [[0.0]]
        features = {
            "item_ids": vocabulary.lookup([padded]),
            "labels": np.array([labels], np.float32),
        }
        query = model.encode(features)
        scores = table @ query.numpy()[0]
        if model.habit is not None:
            end = [[features["item_ids"].shape[1] - 1]]
            every = tf.range(len(scores))
            scores += model.habit(
                query, features["item_ids"], end, every, labels=features["labels"]
            ).numpy()[0]
        if not (features["item_ids"] >= 2).any():  # popularity answers
            scores = vocabulary.counts.astype(float)
            unknown += 1
        # Ties count against the targets; a model trained a little has none.
        scores = scores - 1e-9 * np.isin(np.arange(len(scores)), list(targets))
        scores[:2] = -np.inf
        top = np.argsort(-scores, kind="stable")[:5]
        recalls.append(len(targets & set(top)) / len(targets))
    assert f"histories without a known item: {unknown}, ranked by popularity" in out
    assert report["num_queries"] == len(recalls)
    assert report["metrics"]["recall@5"] == pytest.approx(np.mean(recalls), abs=1e-6)


@pytest.mark.slow
def test_the_other_protocols(
    trained: pathlib.Path, log: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    next_item = run(trained, log, tmp_path, "--protocol", "next_item", "--k", "3,5")
    assert next_item["num_queries"] > 0
    assert 0 < next_item["metrics"]["mrr@3"] <= next_item["metrics"]["hit_rate@5"] < 1
    everything = run(trained, log, tmp_path, "--protocol", "next_item", "--targets", "all")
    assert everything["num_queries"] > next_item["num_queries"]
    filtered = run(trained, log, tmp_path, "--protocol", "next_item", "--filter-seen")
    assert filtered["options"]["filter_seen"] is True
    assert filtered["metrics"] != everything["metrics"]
    new = run(trained, log, tmp_path, "--protocol", "next_item", "--filter-seen", "--no-repeats")
    assert new["num_queries"] < filtered["num_queries"]
    assert new["metrics"]["recall@20"] > filtered["metrics"]["recall@20"]
    assert "unknown targets left out" in new["options"]
    ranking = run(trained, log, tmp_path, "--protocol", "ranking")
    assert 0 < ranking["metrics"]["mrr"] <= 1
    assert set(ranking["baselines"]) >= {"as displayed"}


def test_cut_histories_are_asked_too(
    trained: pathlib.Path, log: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    whole = run(trained, log, tmp_path, "--protocol", "next_item")
    shutil.copytree(trained, tmp_path / "m")
    config = json.loads((trained / "config.json").read_text())
    config["history"]["max_sessions"] = 3
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    cut = run(tmp_path / "m", log, tmp_path, "--protocol", "next_item")
    assert cut["num_queries"] == whole["num_queries"]
    assert cut["metrics"] != whole["metrics"]


@pytest.mark.slow
def test_slices_intervals_and_lists(
    trained: pathlib.Path, log: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """The slices are counted from the log alone: they are the same for every layout."""
    folder = tmp_path / "report"
    more = ["--slices", "--bootstrap", "20", "--beyond-accuracy", "--report", str(folder)]
    report = run(trained, log, tmp_path, "--protocol", "next_item", "--k", "5", *more)
    system = systems.load(trained)
    vocabulary, events = system.vocabulary, system.read(log).events
    lengths, sessions, users = [], [], set()
    for (user,), rows in events.group_by("user_id", maintain_order=True):
        visits = [visit for _, visit in rows.group_by("session_index", maintain_order=True)]
        taken: list[int] = []  # the session of each item taken so far
        for index, visit in enumerate(visits):
            for place, (item, label) in enumerate(visit.select("item_id", "label").rows()):
                known = vocabulary.lookup([item])[0] >= 2
                if label == 1 and taken and index == len(visits) - 1 and place > 0 and known:
                    lengths.append(taken.count(taken[-1]))
                    sessions.append(taken[-1])
                    users.add(user)
                if label == 1:
                    taken.append(index)
    for kind, numbers, bounds in (
        ("session_length", lengths, {"0": (0, 0), "1": (1, 1), "2": (2, 2), "3-5": (3, 5)}),
        ("earlier_sessions", sessions, {"0": (0, 0), "2-4": (2, 4), "5-9": (5, 9)}),
    ):
        for name, (low, high) in bounds.items():
            found = report["slices"][kind].get(name, {"queries": 0})["queries"]
            assert found == sum(low <= number <= high for number in numbers), (kind, name)
    assert f"resamples of {len(users)} rows" in report["options"]["intervals"]
    low, high = report["intervals"]["model"]["ndcg@5"]
    assert low < report["metrics"]["ndcg@5"] < high
    assert 0 < report["metrics"]["coverage@5"] <= 1
    assert sorted(path.name for path in folder.iterdir()) == [
        "report.json",
        "report.md",
        "report.png",
    ]
    assert json.loads((folder / "report.json").read_text())["metrics"] == report["metrics"]
    assert "on log.csv: next item" in (folder / "report.md").read_text()


@pytest.mark.slow
def test_bad_arguments(
    trained: pathlib.Path, log: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", "--model", str(trained), "--events", str(log)]
    for more, message in (
        (["--protocol", "next_item", "--k", "five"], "`--k` should be numbers"),
        (["--protocol", "next_item", "--k", "0"], "`k` should be a positive integer"),
        (["--protocol", "next_item", "--targets", "some"], "should be none, last-session"),
        (["--protocol", "next_item", "--item", "article"], "article"),
        (["--protocol", "next_item", "--bootstrap", "-1"], "`bootstrap` should be a non-negative"),
        (["--protocol", "ranking", "--slices"], "are of lists from the whole catalogue"),
        (["--protocol", "ranking", "--repetition"], "are of lists from the whole catalogue"),
    ):
        assert main([*command, *more]) == 2
        assert message in capsys.readouterr().err.splitlines()[-1]
