import dataclasses
import json
import pathlib
import shutil
import signal
import threading
from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from tfsessionrec import data, systems
from tfsessionrec.cli.main import main
from tfsessionrec.data import LogColumns, LogFormat, split_by_rule
from tfsessionrec.optimizers import Cooldown, LazyAdam
from tfsessionrec.systems.choices import repeat_share
from tfsessionrec.systems.model_directory import ModelDirectory
from tfsessionrec.systems.neural_model import build_model
from tfsessionrec.systems.train import default_settings
from tfsessionrec.systems.training import training_dataset

Train = Callable[..., int]


def weights(path: pathlib.Path) -> list[np.ndarray]:
    return [weight.numpy() for weight in systems.load(path).model.trainable_variables]


def last_error(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.splitlines()[-1]


def test_a_model_directory(train: Train, tmp_path: pathlib.Path) -> None:
    assert train(tmp_path / "m", "--epochs", "3", "--json", str(tmp_path / "m.json")) == 0
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert config["model"] == "sessionrec-sasrec"
    given = {"embedding_dim": 8, "num_layers": 1, "num_heads": 1}
    # What was not given stands there, too: a later release may have other defaults.
    defaults = {"habit": {}, "negatives": "full", "temperature": 0.15}
    assert config["options"] == {**config["options"], **given, **defaults}
    assert config["log"]["user"] == "user_id"
    assert config["training"]["epochs"] == 3
    history = ModelDirectory(tmp_path / "m").history()
    assert len(history) == 3
    assert history[-1]["loss"] < history[0]["loss"]
    result = json.loads((tmp_path / "m.json").read_text())
    assert result["epochs"] == history
    assert result["users"] == 60


def test_what_is_chosen_is_printed(
    train: Train, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path / "m", "--epochs", "1") == 0
    said = capsys.readouterr().err
    assert "sessionrec-sasrec predicts the next session: 1 epochs, 256 positions a batch" in said
    assert "learning rate 0.002, falling in the last 30% of the steps" in said
    assert "  softmax over all " in said
    assert "% of the items of later sessions were taken before by the same user" in said
    assert "items shown but not clicked are ranked, weight 0.05" in said
    more = ["--set", "num_negatives=64", "--set", "habit=null", "--set", "ranking_loss=null"]
    assert train(tmp_path / "other", "--epochs", "1", "--cooldown", "0", *more) == 0
    said = capsys.readouterr().err
    assert "  64 negatives a batch (uniform) of " in said
    for word in ("habit", "ranked", "falling", "softmax"):
        assert word not in said


def test_repeats_are_counted_by_hand() -> None:
    """Later sessions hold tea (before), cup (new), jam and tea (before): 2 of 4."""
    log = {
        "visit": [1, 2, 2, 3, 3, 4],
        "user": [1, 1, 1, 1, 1, 2],
        "item_id": ["tea", "tea", "cup", "jam", "tea", "tea"],
        "timestamp": [1, 2, 3, 4, 5, 6],
    }
    sessions = data.sessionize(pl.DataFrame(log), user="user", session="visit")
    assert repeat_share(sessions) == 0.5


def test_equal_seeds_give_equal_models(train: Train, tmp_path: pathlib.Path) -> None:
    for name, seed in (("one", "1"), ("same", "1"), ("other", "2")):
        assert train(tmp_path / name, "--epochs", "1", "--seed", seed) == 0
    one, same, other = (weights(tmp_path / name) for name in ("one", "same", "other"))
    for a, b in zip(one, same, strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(one, other, strict=True))


@pytest.mark.slow
def test_a_directory_is_not_overwritten_unasked(
    train: Train, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path / "m", "--epochs", "1") == 0
    assert train(tmp_path / "m", "--epochs", "2") == 2
    assert "exists already" in last_error(capsys)
    assert len(ModelDirectory(tmp_path / "m").history()) == 1
    assert train(tmp_path / "m", "--epochs", "2", "--overwrite") == 0
    assert len(ModelDirectory(tmp_path / "m").history()) == 2

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    assert train(tmp_path / "mine", "--epochs", "1", "--overwrite") == 2
    assert "no model directory" in last_error(capsys)
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_resume_takes_up_weights_and_optimizer(trained: pathlib.Path) -> None:
    directory = ModelDirectory(trained)
    model = build_model(directory.settings(), directory.vocabulary())
    cooldown = directory.settings().training.cooldown
    rate = Cooldown(0.5, 10, cooldown) if cooldown else 0.5
    model.compile(optimizer=LazyAdam(rate, beta_2=0.98))
    assert len(directory.restore(model)) == 3
    for restored, loaded in zip(model.trainable_variables, weights(trained), strict=True):
        np.testing.assert_array_equal(restored, loaded)
    iterations, *state = model.optimizer.variables
    assert int(iterations) > 0
    assert int(iterations) % 3 == 0
    assert all(np.any(slot.numpy()) for slot in state)


@pytest.mark.slow
def test_resume_remembers_the_settings(
    train: Train,
    log: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert train(tmp_path / "m", "--epochs", "1") == 0
    command = ["train", "--events", str(log), "--output", str(tmp_path / "m"), "--resume"]
    assert main([*command, "--epochs", "2"]) == 0
    assert len(ModelDirectory(tmp_path / "m").history()) == 2
    assert main([*command, "--embedding-dim", "16"]) == 2
    assert "should keep the settings" in last_error(capsys)
    assert main(command) == 0
    assert "All 2 epochs are finished" in capsys.readouterr().err


def press_ctrl_c(finished: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sends SIGINT to this process once, in the first batch after so many finished epochs."""
    from tfsessionrec.systems.training_callback import TrainingCallback

    begin = TrainingCallback.on_train_batch_begin
    sent = threading.Event()

    def with_signal(self: TrainingCallback, batch: int, logs: dict | None = None) -> None:
        begin(self, batch, logs)
        if len(self._epochs) == finished and not sent.is_set():
            sent.set()
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(TrainingCallback, "on_train_batch_begin", with_signal)


@pytest.mark.slow
@pytest.mark.parametrize("finished", [0, 2])
def test_ctrl_c_leaves_a_usable_model(
    finished: int,
    train: Train,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    press_ctrl_c(finished, monkeypatch)
    # A process that a shell started in the background ignores it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    assert train(tmp_path / "m", "--epochs", "4") == 130
    assert f"Interrupted in epoch {finished + 1}" in capsys.readouterr().err
    assert len(ModelDirectory(tmp_path / "m").history()) == finished
    assert weights(tmp_path / "m")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert train(tmp_path / "m", "--epochs", "4", "--resume") == 0
    assert f"Resuming at epoch {finished + 1} of 4" in capsys.readouterr().err
    assert len(ModelDirectory(tmp_path / "m").history()) == 4


@pytest.mark.parametrize("piece", ["config.json", "vocabulary.json", "checkpoint"])
def test_a_missing_piece_is_named(
    piece: str, trained: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained, tmp_path / "m")
    (tmp_path / "m" / piece).rename(tmp_path / "gone")
    model = str(tmp_path / "m")
    for command in (
        ["export", "--model", model, "--output", str(tmp_path / "1")],
        ["recommend", "--model", model, "--items", "i00001"],
    ):
        assert main(command) == 2
        assert f"{piece} is missing" in last_error(capsys)
    assert main(["export", "--model", str(tmp_path / "none"), "--output", "1"]) == 2
    assert "no model directory" in last_error(capsys)


@pytest.mark.parametrize("piece", ["config.json", "vocabulary.json", "data", "index", "checkpoint"])
def test_a_truncated_piece_is_named(
    piece: str, trained: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained, tmp_path / "m")
    (path,) = [
        path
        for path in (tmp_path / "m").rglob("*")
        if path.is_file() and (path.name == piece or f".{piece}" in path.name)
    ]
    path.write_bytes(path.read_bytes()[:50])
    command = ["export", "--model", str(tmp_path / "m"), "--output", str(tmp_path / "1")]
    assert main(command) == 2
    assert str(tmp_path / "m") in last_error(capsys)
    assert not (tmp_path / "1").exists()


def test_next_item_models_see_one_item_a_session(log: pathlib.Path) -> None:
    from tfsessionrec.data import Vocabulary

    log_format = LogFormat(LogColumns("user_id", "session_id", label="label"))
    sessions = log_format.read(log)
    vocabulary = Vocabulary.from_sessions(sessions)
    shapes = {}
    for model in ("sasrec", "sessionrec-sasrec"):
        settings = default_settings(model)
        history = dataclasses.replace(settings.history, max_sessions=4)
        settings = dataclasses.replace(settings, history=history)
        batches = list(training_dataset(settings, sessions, vocabulary, seed=0))
        shapes[model] = {batch["item_ids"].shape[1] for batch in batches}
        items = {batch["item_ids"].shape[2] for batch in batches}
        assert (items == {1}) == (model == "sasrec")
    # four sessions of history, and the one to predict
    assert max(shapes["sasrec"]) == max(shapes["sessionrec-sasrec"]) == 5


@pytest.mark.slow
@pytest.mark.parametrize("model_name", ["sessionrec-sasrec", "sasrec"])
def test_interaction_types_reach_the_model(
    model_name: str, log: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    events = pl.read_csv(log).filter(pl.col("label") == 1)
    kinds = pl.when(pl.col("item_id") < "i00010").then(pl.lit("view")).otherwise(pl.lit("buy"))
    events.with_columns(kind=kinds).write_csv(tmp_path / "log.csv")
    command = ["train", "--events", str(tmp_path / "log.csv"), "--user", "user_id", "--gap", "1h"]
    command += ["--interaction-type", "kind", "--model", model_name, "--embedding-dim", "8"]
    assert main([*command, "--epochs", "1", "--output", str(tmp_path / "m")]) == 0
    directory = ModelDirectory(tmp_path / "m")
    settings = directory.settings()
    assert settings.history.interaction_types == ("buy", "view")
    sessions = settings.log.read(tmp_path / "log.csv")
    batch = next(iter(training_dataset(settings, sessions, directory.vocabulary(), seed=0)))
    assert set(np.unique(batch["interaction_types"])) == {0, 1, 2}
    model = systems.load(tmp_path / "m").model
    query = model.encode(batch)
    other = model.encode({**batch, "interaction_types": 0 * batch["interaction_types"]})
    assert np.abs(query - other).max() > 1e-4
    command = ["evaluate", "--model", str(tmp_path / "m"), "--events", str(tmp_path / "log.csv")]
    assert main([*command, "--protocol", "next_item", "--k", "3"]) == 0


def test_filter_and_gap(log: pathlib.Path) -> None:
    user = LogColumns("user_id")
    everything = LogFormat(LogColumns("user_id", "session_id", label="label")).read(log)
    taken = LogFormat(user, gap="1h", filter=("label=1",)).read(log)
    assert taken.num_events == (everything.events["label"] == 1).sum()
    assert not taken.has_negatives
    two = LogFormat(user, gap="1h", filter=("user_id=u00000", "user_id=u00001", "label=1"))
    assert two.read(log).num_users == 2
    for wrong in ("label", "colour=red"):
        with pytest.raises(ValueError, match="should be COLUMN=VALUE"):
            LogFormat(user, gap="1h", filter=(wrong,)).read(log)
    with pytest.raises(ValueError, match="should match at least one row"):
        LogFormat(user, gap="1h", filter=("label=7",)).read(log)
    with pytest.raises(ValueError, match="Exactly one of"):
        LogFormat(user).read(log)


def test_split_rules(log: pathlib.Path) -> None:
    from tfsessionrec import data

    sessions = LogFormat(LogColumns("user_id", "session_id", label="label")).read(log)
    start = sessions.events.group_by("session_id").agg(pl.col("timestamp").min())["timestamp"]
    for rule, expected in (
        ("none", sessions.num_sessions),
        ("last-session", sessions.num_sessions - sessions.num_users),
        (f"after={start.median()}", int((start < start.median()).sum())),
        ("last-days=3", int((start < sessions.events["timestamp"].max() - 3 * 86400).sum())),
    ):
        train, test = split_by_rule(sessions, rule)
        assert train.num_sessions == expected, rule
        if rule != "none":
            # targets are exactly what training did not see
            targets = test.events.filter("is_target")["session_id"].unique()
            assert len(targets) == sessions.num_sessions - expected
    windows = data.sliding_windows(sessions, 3, 4, 2, 3)
    train, test = split_by_rule(sessions, "window=1/3,4,2,3")
    assert train.events.equals(windows[1][0].events)
    assert test.events.filter("is_target").height == windows[1][1].num_events
    train, test = split_by_rule(sessions, "window=1/2,4,2")
    assert train.events.equals(data.sliding_windows(sessions, 2, 4, 2)[1][0].events)
    with pytest.raises(ValueError, match="should have I from 0 to 2"):
        split_by_rule(sessions, "window=3/3,4,2")
    for wrong in ("some", "after", "after=", "last-days=x", "window=1,4,2", "window=1/3,4"):
        with pytest.raises(ValueError, match="should be none, last-session"):
            split_by_rule(sessions, wrong)


def test_bad_arguments(
    train: Train, log: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for more, message in (
        (["--set", "colour=red"], "Unknown options"),
        (["--set", "colour"], "OPTION=VALUE"),
        (["--item", "article"], "article"),
        (["--holdout", "some"], "should be none"),
        (["--min-count", "1000000"], "min_count"),
    ):
        assert train(tmp_path / "m", *more) == 2
        assert message in last_error(capsys)
        assert not (tmp_path / "m").exists()
    assert train(tmp_path / "m", model="bert") == 2
    assert "sasrec" in last_error(capsys)
    command = ["train", "--events", str(log), "--session", "session_id", "--output", "m"]
    assert main(command) == 2
    assert "--model" in last_error(capsys)
