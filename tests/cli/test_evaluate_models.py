"""`evaluate --models`: every system answers the questions of the log, whatever it knows."""

import json
import pathlib
import shutil

import numpy as np
import polars as pl
import pytest

import tfsessionrec as sr
from tfsessionrec.cli.main import main

COLUMNS = "--user user_id --session session_id"
SMALL = "--embedding-dim 8 --epochs 1 --set num_layers=1 --set num_heads=1"
# Histories that are cut, a vocabulary that is smaller, sessions of several items.
MODELS = {
    "short": f"--model sasrec {SMALL} --max-sessions 3",
    "rare": f"--model sasrec {SMALL} --min-count 12",
    "sessions": f"--model sessionrec-sasrec {SMALL} --max-sessions 2 --max-items 2",
    "knn": "--model vsknn --min-count 8",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A log of clicks in `log.csv`, and a model directory of each name."""
    path = tmp_path_factory.mktemp("models")
    log = sr.data.simulate(num_users=50, num_items=40, seed=6).events
    log = log.filter(pl.col("label") == 1).drop("label")
    log.write_csv(path / "log.csv")
    for name, words in MODELS.items():
        train = f"train --events {path / 'log.csv'} {COLUMNS} {words} --holdout last-session"
        assert main([*train.split(), "--output", str(path / name)]) == 0
    shutil.copytree(path / "short", path / "again")
    return path


def run(folder: pathlib.Path, *words: str) -> dict:
    file = folder / "report.json"
    events = ["--events", str(folder / "log.csv"), "--k", "5,10", "--json", str(file)]
    assert main(["evaluate", *events, *words]) == 0
    return json.loads(file.read_text())


def questions(log: pathlib.Path, protocol: str, no_repeats: bool) -> list[int]:
    """The number of targets of each question, from the rows of the log."""
    rows = pl.read_csv(log).sort("user_id", "session_id", "timestamp", maintain_order=True)
    sizes = []
    for _, own in rows.group_by("user_id", maintain_order=True):
        items, sessions = own["item_id"].to_list(), own["session_id"].to_list()
        begin = sessions.index(sessions[-1])
        if begin == 0:
            continue
        places = range(begin + 1, len(items)) if protocol != "next_session" else [begin]
        for place in places:
            end = place + 1 if protocol == "next_item" else len(items)
            targets = set(items[place:end]) - (set(items[:place]) if no_repeats else set())
            sizes += [len(targets)] * bool(targets)
    return sizes


@pytest.mark.parametrize("no_repeats", [False, True])
@pytest.mark.parametrize("protocol", ["next_item", "rest_of_session", "next_session"])
def test_the_questions_are_those_of_the_log(
    protocol: str, no_repeats: bool, folder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [str(folder / name) for name in MODELS]
    words = ["--protocol", protocol, *["--no-repeats"] * no_repeats]
    report = run(folder, "--models", *names, "popularity", *words)
    sizes = questions(folder / "log.csv", protocol, no_repeats)
    known = []
    for name in (*names, "popularity"):
        one = report["systems"][name]
        assert one["num_queries"] == len(sizes)
        assert one["targets"]["known"] + one["targets"]["unknown"] == sum(sizes)
        assert one["num_candidates"] > 5
        known.append(one["targets"]["known"])
    assert known[1] < known[0]  # `rare` does not know as many
    out = capsys.readouterr().out
    assert f"{len(sizes):,} queries of every system" in out
    assert f"{names[0]} (a) against {names[3]} (b)" in out
    for name in names:  # each alone, with the unknown as misses, has the same figures
        alone = run(folder, "--model", name, "--unknown-targets", "miss", *words)
        assert alone["num_queries"] == len(sizes)
        assert alone["metrics"] == pytest.approx(report["systems"][name]["metrics"], abs=1e-6)


def test_repetition_is_that_of_the_log(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What users took before is counted from the log alone, however little of it a model reads."""
    names = [str(folder / name) for name in MODELS]
    report = run(
        folder, "--models", *names, "popularity", "--protocol", "next_session", "--repetition"
    )
    rows = pl.read_csv(folder / "log.csv").sort("user_id", "session_id", maintain_order=True)
    repeated, new = [], []
    for _, own in rows.group_by("user_id", maintain_order=True):
        last = own["session_id"] == own["session_id"][-1]
        before, targets = set(own.filter(~last)["item_id"]), set(own.filter(last)["item_id"])
        if before:
            repeated.append(len(targets & before))
            new.append(len(targets - before))
    expected = {
        "repeated": sum(repeated),
        "new": sum(new),
        "queries_with_repeated": sum(number > 0 for number in repeated),
        "queries_with_new": sum(number > 0 for number in new),
        "repetition_ratio": np.mean([a / (a + b) for a, b in zip(repeated, new)]),
    }
    assert 0 < expected["queries_with_repeated"] < len(repeated)
    for name in (*names, "popularity"):
        found = report["systems"][name]
        assert found["targets"]["repetition"] == pytest.approx(expected)
        means = found["metrics"]
        assert 0 < means["recall_rep@10"] < 1
        assert 0 <= means["repetition_ratio@10"] < 1
    out = capsys.readouterr().out
    assert f"{sum(repeated)} targets that the history holds" in out
    pair = report["comparisons"][names[3]]["metrics"]["recall_rep@5"]
    assert pair["a"] == pytest.approx(report["systems"][names[0]]["metrics"]["recall_rep@5"])
    assert pair["b"] == pytest.approx(report["systems"][names[3]]["metrics"]["recall_rep@5"])
    alone = run(
        folder, "--model", names[1], "--unknown-targets", "miss", "--protocol", "next_session",
        "--repetition",
    )  # fmt: skip
    assert alone["metrics"] == pytest.approx(report["systems"][names[1]]["metrics"], abs=1e-6)


def test_a_paired_test_against_the_first(folder: pathlib.Path) -> None:
    names = [str(folder / name) for name in ("short", "again", "knn")]
    report = run(folder, "--models", *names, "--protocol", "next_item", "--filter-seen")
    same, other = (report["comparisons"][name]["metrics"]["ndcg@10"] for name in names[1:])
    assert (same["difference"], same["p_value"]) == (0.0, 1.0)
    means = [report["systems"][name]["metrics"]["ndcg@10"] for name in names]
    assert [other["a"], other["b"]] == pytest.approx([means[0], means[2]])
    assert other["low"] < means[2] - means[0] < other["high"]
    assert 0 < other["p_value"] < 1
    users = pl.read_csv(folder / "log.csv")["user_id"].n_unique()
    assert report["comparisons"][names[1]]["num_clusters"] <= users


def test_in_the_order_of_time(folder: pathlib.Path) -> None:
    """A baseline that learns between requests is asked in another order, but paired alike."""
    names = [str(folder / name) for name in ("knn", "short")]
    words = ["--protocol", "next_item", "--streaming"]
    report = run(folder, "--models", *names, *words)
    assert report["systems"][names[0]]["num_queries"] == report["systems"][names[1]]["num_queries"]
    system = sr.systems.load(folder / "short")
    log = system.read(folder / "log.csv")
    how = {"targets": "last-session", "k": (5, 10), "protocol": "next_item"}
    two = {name: sr.systems.load(folder / name) for name in ("short", "again")}
    streaming = sr.systems.Streaming()
    joint = sr.systems.evaluate_together(two, log, streaming=streaming, **how)
    assert joint.comparisons["again"]["mrr@5"]["p_value"] == 1.0
    found = joint["short"].queries
    assert found.details.questions.tolist() == sorted(found.details.questions)
    assert np.isclose(joint["short"]["mrr@5"], report["systems"][names[1]]["metrics"]["mrr@5"])


@pytest.mark.slow
def test_wrong_arguments(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["evaluate", "--events", str(folder / "log.csv"), "--models"]
    short = str(folder / "short")
    for words, message in (
        ([short], "`--models` should be two or more different names"),
        ([short, "nothing"], "should be model directories or baselines (popularity"),
        ([short, "ar", "--slices"], "`--models` should come without --slices"),
        ([short, "ar", "--unknown-targets", "leave_out"], "--unknown-targets leave_out"),
    ):
        assert main([*command, *words]) == 2
        assert message in capsys.readouterr().err.splitlines()[-1]
