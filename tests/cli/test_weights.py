"""`train --weight --weight-by --target-types`."""

import json
import pathlib

import numpy as np
import polars as pl
import pytest

from tfsessionrec import data, systems
from tfsessionrec.cli.main import main
from tfsessionrec.recipe import TargetWeights
from tfsessionrec.systems.training import training_dataset


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Views and purchases; no item was shown without a click."""
    path = tmp_path_factory.mktemp("weights") / "log.csv"
    events = data.simulate(num_users=60, num_items=20, seed=1).events.filter(pl.col("label") > 0)
    rng = np.random.default_rng(0)
    events.select(
        "user_id",
        "session_id",
        "item_id",
        "timestamp",
        kind=pl.Series(rng.choice(["view", "buy"], len(events), p=[0.7, 0.3])),
        price=pl.Series(rng.integers(0, 9, len(events))),
    ).write_csv(path)
    return path


def train(log: pathlib.Path, directory: pathlib.Path, *more: str, model: str = "gru4rec") -> int:
    command = ["train", "--events", str(log), "--user", "user_id", "--session", "session_id"]
    command += ["--interaction-type", "kind", "--model", model, "--output", str(directory)]
    return main([*command, "--epochs", "1", "--embedding-dim", "8", *more])


@pytest.mark.slow
def test_weights_are_trained_on_kept_and_resumed(log: pathlib.Path, tmp_path: pathlib.Path) -> None:
    weighed = ("--weight", "price", "--weight-by", "buy=5,view=0.5")
    assert train(log, tmp_path / "plain") == 0
    assert train(log, tmp_path / "weighed", *weighed) == 0
    config = json.loads((tmp_path / "weighed" / "config.json").read_text())
    by_type = {"buy": 5.0, "view": 0.5}
    assert config["training"]["weights"] == {"column": "price", "by_type": by_type, "types": []}
    losses = []
    for name in ("plain", "weighed"):
        (epoch,) = json.loads((tmp_path / name / "history.json").read_text())["epochs"]
        losses.append(epoch["loss"])
    assert abs(losses[0] - losses[1]) > 1e-3
    again = systems.load(tmp_path / "weighed")
    assert again.settings.training.weights == TargetWeights("price", by_type)
    events = ["--events", str(log), "--output", str(tmp_path / "weighed"), "--resume"]
    assert main(["train", *events, "--epochs", "2", *weighed]) == 0
    assert main(["train", *events, "--epochs", "3", "--weight-by", "buy=1"]) == 2


@pytest.mark.parametrize("model", ["gru4rec", "sessionrec-gru", "narm", "two-tower"])
def test_only_targets_of_a_type_are_trained_on(
    log: pathlib.Path, tmp_path: pathlib.Path, model: str
) -> None:
    assert train(log, tmp_path / "m", "--target-types", "buy", model=model) == 0
    settings = systems.load(tmp_path / "m").settings
    sessions = settings.log.read(log)
    vocabulary = data.Vocabulary.from_sessions(sessions)
    buy = settings.history.interaction_types.index("buy") + 1
    pairs = 0
    for batch in training_dataset(settings, sessions, vocabulary, seed=0):
        types, weights = batch["interaction_types"].numpy(), batch["sample_weight"].numpy()
        np.testing.assert_array_equal(weights > 0, types == buy)
        assert np.any(types[weights == 0] > 0)  # the others are history
        pairs += int(weights[:, 1:].sum())
    assert pairs > 20


def test_names_of_what_is_not_ranked_are_not_printed(
    log: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.warns(UserWarning, match="Nothing is ranked"):
        assert train(log, tmp_path / "m", model="sessionrec-gru") == 0
    printed = capsys.readouterr().out
    assert "retrieval_loss" in printed
    assert "ranking" not in printed
    assert "ranking" not in (tmp_path / "m" / "history.json").read_text()


@pytest.mark.parametrize(
    ("arguments", "model", "message"),
    [
        (("--weight", "cost"), "gru4rec", "cost"),
        (("--weight-by", "buy=much"), "gru4rec", "`--weight-by` should be TYPE=NUMBER"),
        (("--weight-by", "bought=2"), "gru4rec", "those of the log: buy, view. Received: bought"),
        (("--target-types", "sold"), "gru4rec", "those of the log: buy, view. Received: sold"),
        (("--weight", "price", "--target-types", "buy"), "vsknn", "--weight, --target-types"),
    ],
)
def test_wrong_weights_leave_no_directory(
    log: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    model: str,
    message: str,
) -> None:
    command = ["train", "--events", str(log), "--user", "user_id", "--session", "session_id"]
    command += ["--interaction-type", "kind", "--model", model, "--output", str(tmp_path / "m")]
    assert main([*command, *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


@pytest.mark.slow
def test_a_baseline_has_no_weights(log: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="`weights` weigh the loss of a model"):
        systems.fit(
            "vsknn",
            log,
            user="user_id",
            session="session_id",
            interaction_type="kind",
            weights="price",
        )
    system = systems.fit("mf", log, user="user_id", session="session_id", weights="price", epochs=1)
    assert system.settings.training.weights.column == "price"
