"""Candidates that know the time, from the command line."""

import json
import pathlib
from typing import Any

import numpy as np
import polars as pl
import pytest

from tfsessionrec.cli.main import main


@pytest.fixture(scope="module")
def news(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Sessions of two clicks, both on one of the two items of their ten minutes."""
    random = np.random.default_rng(0)
    visits = np.repeat(np.arange(1000), 2)
    times = visits * 30 + np.tile([0, 10], 1000)
    items = visits * 30 // 600 * 7 % 40 + random.integers(0, 2, 2000)
    path = tmp_path_factory.mktemp("news") / "news.csv"
    pl.DataFrame({"visit": visits, "item_id": items, "timestamp": times}).write_csv(path)
    return path


def report(
    model: pathlib.Path, log: pathlib.Path, *more: str, asked: str = "after=24000"
) -> dict[str, Any]:
    file = model.parent / "report.json"
    arguments = ["--protocol", "next_item", "--k", "2", "--targets", asked]
    words = ["--model", f"{model}", "--events", f"{log}", *arguments, "--json", f"{file}", *more]
    assert not main(["evaluate", *words])
    return json.loads(file.read_text())


@pytest.fixture(scope="module")
def trained(news: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("trained") / "model"
    options = ["--session", "visit", "--holdout", "after=24000", "--embedding-dim", "8"]
    trend = json.dumps({"half_lives": [120], "follow_half_lives": [300], "refresh": 10})
    more = ["--set", f"trend={trend}", "--epochs", "10", "--learning-rate", "0.01"]
    words = ["--events", f"{news}", "--model", "gru4rec", "--output", f"{path}", *options, *more]
    assert not main(["train", *words])
    return path


def test_what_happens_until_a_request_is_known(
    news: pathlib.Path, trained: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """With the log up to each request the model follows it; with yesterday's alone it does not."""
    known = report(trained, news, "--trend-events", "all")
    assert known["metrics"]["hit_rate@2"] > 0.7
    assert "every event before each request" in known["options"]["trend"]
    given = report(trained, news, "--trend-events", f"{news}")
    assert given["metrics"] == known["metrics"]
    assert "the given events" in given["options"]["trend"]
    old = tmp_path / "old.csv"
    pl.read_csv(news).filter(pl.col("timestamp") < 24000).write_csv(old)
    yesterday = report(trained, news, "--trend-events", f"{old}")
    assert yesterday["metrics"]["hit_rate@2"] < known["metrics"]["hit_rate@2"] - 0.2
    # By default it counts what it was trained on.
    default = report(trained, news)
    assert default["metrics"] == yesterday["metrics"]
    assert default["options"]["trend"].startswith("counts training events before each request")
    live = report(trained, news, "--streaming")
    assert live["metrics"]["hit_rate@2"] == pytest.approx(known["metrics"]["hit_rate@2"], abs=0.05)
    assert "trend" not in live["options"]  # which says how each system learned


@pytest.mark.slow
def test_a_trend_follows_the_log_in_an_ensemble_too(
    news: pathlib.Path, trained: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """An ensemble in which the model with the trend decides ranks as this model alone."""
    words = ["--events", f"{news}", "--session", "visit", "--holdout", "after=24000"]
    assert not main(["train", *words, "--model", "vsknn", "--output", f"{tmp_path / 'vsknn'}"])
    alone = report(trained, news, "--streaming")
    both = ["--ensemble", f"{trained}", "--weight", "1e9", "--streaming"]
    joined = report(tmp_path / "vsknn", news, *both)
    assert joined["metrics"]["hit_rate@2"] == pytest.approx(alone["metrics"]["hit_rate@2"])
    known = "events, learned one step after another; events, as its trend"
    assert joined["options"]["events known to model"] == known


def test_a_log_without_training_events_needs_a_choice(
    news: pathlib.Path,
    trained: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    new = tmp_path / "new.csv"
    pl.read_csv(news).filter(pl.col("timestamp") >= 24000).write_csv(new)
    words = ["--model", f"{trained}", "--events", f"{new}", "--protocol", "next_item"]
    assert main(["evaluate", *words, "--targets", "all"]) == 2
    assert "(--trend-events) should give those that its trend counts" in capsys.readouterr().err
    assert report(trained, new, "--trend-events", "all", asked="all")["metrics"]["hit_rate@2"] > 0.7


@pytest.mark.slow
def test_trend_alone_takes_its_defaults(
    news: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model"
    words = f"--session visit --model sessionrec-gru --objective rest_of_session --output {path}"
    more = "--embedding-dim 4 --epochs 1 --trend"
    assert not main(["train", "--events", f"{news}", *words.split(), *more.split()])
    options = json.loads((path / "config.json").read_text())["options"]
    assert options["trend"]["follow_items"] == 2
    assert not main(
        ["evaluate", "--model", f"{path}", "--events", f"{news}", "--protocol", "rest_of_session"]
    )


@pytest.mark.slow
def test_an_export_reads_what_is_clicked_now(
    news: pathlib.Path,
    trained: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    export, early = tmp_path / "1", tmp_path / "early.csv"
    pl.read_csv(news).filter(pl.col("timestamp") < 9000).write_csv(early)
    words = ["--model", f"{trained}", "--output", f"{export}", "--trend-events", f"{early}"]
    assert not main(["export", *words])
    first = (export / "assets" / "trend.pb").read_bytes()
    file = tmp_path / "report.json"
    words = ["--model", f"{trained}", "--export", f"{export}", "--events", f"{news}"]
    assert not main(["trend", *words, "--json", f"{file}"])
    counted = json.loads(file.read_text())
    assert counted["time"] == 29990
    assert counted["items"] > 0
    assert counted["pairs"] > 0
    second = (export / "assets" / "trend.pb").read_bytes()
    assert second != first
    assert main(["trend", *words, "--time", "1700000000000"]) == 2
    assert "`--time` should be unix seconds, before the year 10000" in capsys.readouterr().err
    assert (export / "assets" / "trend.pb").read_bytes() == second


def test_a_model_without_a_trend_reads_no_counts(
    news: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model"
    words = f"--session visit --model gru4rec --embedding-dim 4 --epochs 1 --output {path}"
    assert not main(["train", "--events", f"{news}", *words.split()])
    words = f"--model {path} --export {tmp_path} --events {news}"
    assert main(["trend", *words.split()]) == 2
    assert "trained without --trend" in capsys.readouterr().err


@pytest.mark.slow
def test_learning_starts_at_a_time(news: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Earlier sessions are not read, but their items stay in the catalogue."""
    sizes = []
    for since in ([], ["--since", "15000"]):
        path, file = tmp_path / f"model{len(since)}", tmp_path / "report.json"
        words = f"--session visit --model gru4rec --embedding-dim 4 --epochs 1 --output {path}"
        given = ["--events", f"{news}", *words.split(), "--json", f"{file}", *since]
        assert not main(["train", *given])
        report = json.loads(file.read_text())
        sizes.append((report["sessions"], report["vocabulary_size"]))
    assert sizes == [(1000, sizes[0][1]), (500, sizes[0][1])]
