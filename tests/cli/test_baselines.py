"""Baselines through the commands."""

import json
import pathlib

import numpy as np
import polars as pl
import pytest

from tfsessionrec import data, systems
from tfsessionrec.baselines import VSKNN, RecentPopularity
from tfsessionrec.cli.main import main
from tfsessionrec.evaluation import evaluate
from tfsessionrec.systems import BASELINES

LOG = ["--user", "user_id", "--session", "session_id", "--label", "label"]


def fit(log: pathlib.Path, path: pathlib.Path, name: str, *more: str) -> int:
    command = ["train", "--events", str(log), *LOG, "--model", name, "--output", str(path)]
    return main([*command, *more])


def report(path: pathlib.Path, log: pathlib.Path, *more: str) -> dict:
    file = path.with_suffix(".json")
    command = ["evaluate", "--model", str(path), "--events", str(log), "--json", str(file)]
    assert main([*command, *more]) == 0
    return json.loads(file.read_text())


def examples(log: pathlib.Path) -> tuple[data.Sessions, data.Sessions]:
    sessions = data.sessionize(
        data.read_events(log),
        user="user_id",
        session="session_id",
        label="label",
    )
    return data.leave_last_session_out(sessions)


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_train_and_every_protocol(name: str, log: pathlib.Path, tmp_path: pathlib.Path) -> None:
    if name == "als":
        pytest.importorskip("implicit")
    path = tmp_path / "model"
    written = tmp_path / "train.json"
    assert fit(log, path, name, "--holdout", "last-session", "--json", str(written)) == 0
    assert json.loads(written.read_text())["model"] == name
    for protocol in ("next_item", "rest_of_session", "next_session"):
        found = report(path, log, "--protocol", protocol, "--k", "5")
        assert 0 < found["metrics"]["recall@5"] < 1
        assert found["num_queries"] > 20
    shown = report(path, log, "--protocol", "ranking")
    assert 0 < shown["metrics"]["mrr"] <= shown["baselines"]["model, then as displayed"]["mrr"] < 1


def test_the_same_as_in_python(log: pathlib.Path, tmp_path: pathlib.Path) -> None:
    options = ["--set", "k=7", "--set", "idf_weighting=1.5", "--min-count", "3"]
    assert fit(log, tmp_path / "model", "vsknn", "--holdout", "last-session", *options) == 0
    found = report(tmp_path / "model", log, "--protocol", "next_session", "--k", "3,5", "--slices")
    train, test = examples(log)
    vocabulary = data.Vocabulary.from_sessions(train, 3)
    model = VSKNN(k=7, idf_weighting=1.5).fit(train, vocabulary)
    dataset = data.session_dataset(
        data.expand_targets(test, 50), vocabulary, targets="last", max_items=200, batch_size=8
    )
    expected = evaluate(model, dataset, (3, 5), vocabulary=vocabulary)
    assert found["metrics"] == pytest.approx(expected.metrics)
    assert found["baselines"]["popularity"] == pytest.approx(expected.baselines["popularity"])
    assert "session_length" in found["slices"]


def test_the_ranking_of_shown_items(log: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """The best rank of a taken item among those shown, from the log by a loop."""
    assert fit(log, tmp_path / "model", "popularity", "--holdout", "last-session") == 0
    found = report(tmp_path / "model", log, "--protocol", "ranking")
    train, test = examples(log)
    clicks = train.events.filter(pl.col("label") == 1)
    best = []
    for _, rows in test.events.group_by("user_id", maintain_order=True):
        visit = rows.filter(pl.col("session_index") == rows["session_index"].max())
        taken = visit.filter(pl.col("label") == 1)["item_id"].to_list()
        if not taken or rows["session_index"].max() == 0:
            continue
        # What is popular is what was taken before the session began.
        past = clicks.filter(pl.col("timestamp") < np.floor(visit["timestamp"][0]))["item_id"]
        counts = dict(past.value_counts().iter_rows())
        score = {item: counts.get(item, -1) for item in visit["item_id"]}
        top = max(score[item] for item in taken)
        others = visit.filter(pl.col("label") == 0)["item_id"].to_list()
        best.append(1 / (1 + sum(score[item] >= top for item in others)))
    assert found["num_queries"] == len(best)
    assert found["metrics"]["mrr"] == pytest.approx(np.mean(best))


def test_streaming(log: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Popularity of all that came before each request, by a loop over the log."""
    assert fit(log, tmp_path / "model", "popularity", "--holdout", "last-session") == 0
    more = ["--protocol", "next_session", "--k", "5", "--streaming"]
    found = report(tmp_path / "model", log, *more)
    assert found["options"]["streaming"] == "every event before the request is known"
    train, test = examples(log)
    vocabulary = data.Vocabulary.from_sessions(train)
    items = vocabulary.ids.tolist()
    taken = test.events.filter(pl.col("label") == 1)
    recalls = []
    for _, rows in test.events.group_by("user_id", maintain_order=True):
        visit = rows.filter(pl.col("session_index") == rows["session_index"].max())
        targets = set(visit.filter(pl.col("label") == 1)["item_id"]) & set(items)
        if not targets or rows["session_index"].max() == 0:
            continue
        past = taken.filter(pl.col("timestamp") < np.floor(visit["timestamp"][0]))["item_id"]
        counts = dict.fromkeys(items, 0) | dict(past.value_counts().iter_rows())
        others = [counts[item] for item in items if item not in targets]
        own = sorted((counts[item] for item in targets), reverse=True)
        ranks = [1 + place + sum(one >= mine for one in others) for place, mine in enumerate(own)]
        recalls.append(np.mean(np.array(ranks) <= 5))
    assert found["num_queries"] == len(recalls)
    assert found["metrics"]["recall@5"] == pytest.approx(np.mean(recalls))

    assert fit(log, tmp_path / "knn", "vsknn", "--holdout", "last-session") == 0
    exact = report(tmp_path / "knn", log, *more, "--stream-events", str(log))
    assert exact["options"]["events known to model"] == "events, learned one step after another"
    ticked = report(tmp_path / "knn", log, *more, "--tick", "86400")
    assert "last multiple of 86400 s" in ticked["options"]["streaming"]
    assert ticked["num_queries"] == exact["num_queries"]
    early = pl.read_csv(log).sort("timestamp").head(100)
    early.write_csv(tmp_path / "early.csv")
    less = report(tmp_path / "knn", log, *more, "--stream-events", str(tmp_path / "early.csv"))
    assert less["metrics"]["recall@5"] < exact["metrics"]["recall@5"]


def test_recommend(
    log: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(log, tmp_path / "model", "vsknn") == 0
    model = systems.load(tmp_path / "model").model
    history = model.vocabulary.ids[[3, 5, 3]].tolist()
    expected = model.recommend([history[:1], history[1:]], 4)
    command = ["recommend", "--saved-model", str(tmp_path / "model"), "--items"]
    command += [",".join(map(str, history)), "--sessions", "0,1,1", "--json"]
    file = tmp_path / "found.json"
    assert main([*command, str(file), "--k", "4"]) == 0
    found = [tuple(row.values()) for row in json.loads(file.read_text())["recommended"]]
    assert found == expected
    assert str(expected[0][0]) in capsys.readouterr().out
    rules = ["--exclude", str(expected[0][0]), "--exclude-seen", "--k", "1000"]
    assert main([*command, str(file), *rules]) == 0
    kept = {row["item"] for row in json.loads(file.read_text())["recommended"]}
    assert kept
    assert not kept & {expected[0][0], *history}
    assert main([*command, str(file), "--allow", str(expected[1][0])]) == 0
    assert [row["item"] for row in json.loads(file.read_text())["recommended"]] == [expected[1][0]]
    assert main([*command, str(file), "--diversity", "0.5"]) == 2
    assert "--diversity should be given with an export" in capsys.readouterr().err


def test_names_stand_for_options(log: pathlib.Path, tmp_path: pathlib.Path) -> None:
    assert fit(log, tmp_path / "one", "recent-popularity") == 0
    assert systems.load(tmp_path / "one").model.half_life == 86_400
    assert fit(log, tmp_path / "two", "recent-popularity", "--set", "window=60") == 0
    model = systems.load(tmp_path / "two").model
    assert isinstance(model, RecentPopularity)
    assert (model.half_life, model.window) == (None, 60)


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("vsknnn", [], "`name` (--model) should be one of sessionrec-sasrec"),
        ("vsknnn", [], "vsknn, stan"),
        ("vsknn", ["--set", "neighbours=3"], "should name an option of vsknn: k, sample_size"),
        ("vsknn", ["--set", "k=0"], "`k` should be a positive integer"),
        ("ar", ["--epochs", "3"], "ar has no epochs and no embeddings. Received: --epochs"),
        ("ar", ["--trend"], "Received: --trend"),
    ],
)
def test_what_is_not_known(
    name: str,
    more: list[str],
    message: str,
    log: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert fit(log, tmp_path / "model", name, *more) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


def test_what_a_baseline_cannot(
    log: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model"
    assert fit(log, path, "ar") == 0
    assert main(["export", "--model", str(path), "--output", str(tmp_path / "shop" / "1")]) == 2
    assert "ar has no graph to export" in capsys.readouterr().err
    resume = ["train", "--events", str(log), "--resume", "--output", str(path)]
    assert main(resume) == 2
    assert "ar is fitted at once" in capsys.readouterr().err
    assert fit(log, path, "ar") == 2
    assert "exists already" in capsys.readouterr().err
    assert fit(log, path, "sr", "--overwrite") == 0
    assert systems.load(path).settings.model == "sr"
    ask = ["evaluate", "--model", str(path), "--events", str(log), "--protocol", "ranking"]
    assert main([*ask, "--streaming"]) == 2
    assert "`--streaming` and `--ensemble` are of the whole catalogue" in capsys.readouterr().err
    assert main([*ask, "--tick", "5"]) == 2
    assert "need `--streaming`" in capsys.readouterr().err
