"""Each epoch is validated on sessions that are not trained on; the best one is the model."""

import json
import pathlib
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
import pytest
import tensorflow as tf

import tfsessionrec as sr
from tfsessionrec.cli.main import main
from tfsessionrec.evaluation import CatalogueMetrics
from tfsessionrec.optimizers import Cooldown
from tfsessionrec.systems.checkpoints import Checkpoints
from tfsessionrec.systems.epochs import best_epoch, chosen_epoch
from tfsessionrec.systems.model_directory import ModelDirectory
from tfsessionrec.systems.settings import Settings
from tfsessionrec.systems.training_callback import TrainingCallback

COLUMNS = {"user": "user_id", "session": "session_id", "label": "label"}
SMALL = {"embedding_dim": 8, "num_layers": 1, "num_heads": 1, "batch_positions": 300}
WORDS = (
    "--user user_id --session session_id --label label --model sessionrec-sasrec --embedding-dim 8 "
    "--set num_layers=1 --set num_heads=1 --batch-positions 300 --validation last-session"
)


@pytest.fixture(scope="module")
def events() -> pl.DataFrame:
    return sr.data.simulate(num_users=40, num_items=30, seed=4).events


@pytest.fixture(scope="module")
def log(events: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("log") / "log.csv"
    events.write_csv(path)
    return path


@pytest.fixture
def train(log: pathlib.Path) -> Callable[..., int]:
    def run(path: pathlib.Path, *more: str) -> int:
        first = [] if "--resume" in more else WORDS.split()
        return main(["train", "--events", str(log), *first, "--output", str(path), *more])

    return run


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[float]], None]:
    """Replaces the metric of each epoch by a given one."""

    def replace(values: Sequence[float]) -> None:
        def scripted(
            self: CatalogueMetrics, epoch: int, logs: dict[str, float] | None = None
        ) -> None:
            if logs is not None:
                logs["val_ndcg@20"] = values[epoch]

        monkeypatch.setattr(CatalogueMetrics, "on_epoch_end", scripted)

    return replace


def tensors(path: pathlib.Path, number: int) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(str(path / "checkpoint" / f"ckpt-{number}"))
    names = [name for name in reader.get_variable_to_shape_map() if "OBJECT_GRAPH" not in name]
    return {name: np.asarray(reader.get_tensor(name)) for name in names}


def kept(path: pathlib.Path) -> list[int]:
    return Checkpoints(path / "checkpoint").kept()


def table(path: pathlib.Path, number: int) -> np.ndarray:
    """The item table of a checkpoint."""
    found = [
        value
        for name, value in tensors(path, number).items()
        if name.startswith("model") and "item_table" in name and "optimizer" not in name.lower()
    ]
    assert len(found) == 1
    return found[0]


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["next_session", "next_item"])
def test_the_metric_is_that_of_evaluate(events: pl.DataFrame, objective: str) -> None:
    system = sr.systems.fit(
        "sessionrec-sasrec",
        events,
        **COLUMNS,
        **SMALL,
        objective=objective,
        epochs=3,
        holdout="last-session",
        validation="last-session",
        early_stopping="recall@10,patience=3",
    )
    found = [epoch["val_recall@10"] for epoch in system.epochs]
    assert len(found) == 3
    rest, _ = sr.data.leave_last_session_out(system.read(events))
    training, validation = sr.data.leave_last_session_out(rest)
    # The system is the model of its best epoch, which `evaluate` measures by itself.
    report = system.evaluate(validation, objective, k=[10], targets="all")
    assert max(found) == pytest.approx(report["recall@10"], abs=1e-6)
    positive = training.events.filter(pl.col("label") == 1)
    counts = dict(positive["item_id"].value_counts().iter_rows())
    for item, count in zip(
        system.vocabulary.ids,
        system.vocabulary.counts[system.vocabulary.first_item_index :],
        strict=True,
    ):
        assert counts.get(item, 0) == count


def test_the_last_day_is_of_what_the_holdout_leaves(events: pl.DataFrame) -> None:
    last = int(events["timestamp"].max())  # type: ignore[arg-type]
    day = 86400
    held_out = last - 2 * day
    rest = events.filter(pl.col("timestamp") < held_out)
    starts = rest.group_by("session_id").agg(pl.col("timestamp").min())["timestamp"]
    cut = int(starts.max()) - day  # type: ignore[arg-type]
    settings = sr.systems.build(
        "sasrec", holdout=f"after={held_out}", validation="last-day"
    ).settings
    sessions = sr.data.sessionize(events, user="user_id", session="session_id", label="label")
    training, validation = settings.parts.training(sessions), settings.parts.validated(sessions)
    assert int(training.events["timestamp"].max()) < cut  # type: ignore[arg-type]
    assert validation is not None
    asked = validation.events.filter("is_target")
    assert len(asked) == len(rest.filter(pl.col("timestamp") >= cut)) > 0
    assert len(training.events) == len(rest) - len(asked)


@pytest.mark.slow
def test_another_log_validates(events: pl.DataFrame, tmp_path: pathlib.Path) -> None:
    """It is read as the log of training, and nothing of the latter is left out."""
    half = int(events["timestamp"].median())  # type: ignore[arg-type]
    later = events.filter(pl.col("timestamp") >= half)
    later.write_csv(tmp_path / "later.csv")
    earlier = events.filter(pl.col("timestamp") < half)
    system = sr.systems.fit(
        "sessionrec-sasrec",
        earlier,
        **COLUMNS,
        **SMALL,
        epochs=1,
        validation=str(tmp_path / "later.csv"),
    )
    report = system.evaluate(later, k=[20])
    assert system.epochs[0]["val_ndcg@20"] == pytest.approx(report["ndcg@20"], abs=1e-6)
    assert system.vocabulary.counts.sum() == (earlier["label"] == 1).sum()


@pytest.mark.slow
def test_a_trend_does_not_count_the_validation_part(events: pl.DataFrame) -> None:
    system = sr.systems.fit(
        "sasrec",
        events,
        **COLUMNS,
        **SMALL,
        epochs=1,
        validation="last-session",
        trend={"half_lives": [3600]},
    )
    training, _ = sr.data.leave_last_session_out(system.read(events))
    assert system.model.trend is not None
    table = system.model.trend.table(int(events["timestamp"].max()) + 60)  # type: ignore[arg-type]
    model = sr.layers.TrendFeatures(
        len(system.vocabulary), [3600], first_item_index=system.vocabulary.first_item_index
    )
    model.set_events(**sr.data.interaction_log(training, system.vocabulary))
    expected = model.table(int(events["timestamp"].max()) + 60)  # type: ignore[arg-type]
    np.testing.assert_allclose(table.values, expected.values, rtol=1e-5)


def test_the_best_epoch_is_read_and_training_ends(
    train: Callable[..., int],
    figures: Callable[[Sequence[float]], None],
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """0.5 in epoch 2 is not reached in the two epochs after it."""
    figures([0.1, 0.5, 0.4, 0.5, 0.9, 0.9])
    stop = ["--early-stopping", "ndcg@20,patience=2", "--epochs", "6", "--cooldown", "0"]
    assert train(tmp_path / "m", *stop) == 0
    out = capsys.readouterr()
    assert "4 of 6 epochs, the best is epoch 2: " in out.out
    assert "val_ndcg@20 0.5000" in out.out
    assert "val_ndcg@20=0.4000" in out.err
    directory = ModelDirectory(tmp_path / "m")
    assert [epoch["val_ndcg@20"] for epoch in directory.history()] == [0.1, 0.5, 0.4, 0.5]
    assert kept(tmp_path / "m") == [2, 4]
    system = sr.systems.load(tmp_path / "m")
    np.testing.assert_array_equal(system.model.backbone.items.item_table, table(tmp_path / "m", 2))
    assert (table(tmp_path / "m", 2) != table(tmp_path / "m", 4)).any()
    assert directory.settings().validation == sr.systems.Validation("last-session", "ndcg@20", 2)
    # With more patience it goes on from the last epoch; the fifth is the best then.
    more = ["--resume", "--early-stopping", "ndcg@20,patience=3"]
    assert train(tmp_path / "m", "--resume") == 0
    assert "ended early after epoch 4" in capsys.readouterr().err
    assert train(tmp_path / "m", *more) == 0
    assert len(directory.history()) == 6
    assert kept(tmp_path / "m") == [5, 6]


@pytest.mark.slow
def test_without_early_stopping_all_epochs_are_trained(
    train: Callable[..., int],
    figures: Callable[[Sequence[float]], None],
    tmp_path: pathlib.Path,
) -> None:
    figures([0.5, 0.4, 0.3, 0.2, 0.1])
    assert train(tmp_path / "m", "--epochs", "5", "--json", str(tmp_path / "m.json")) == 0
    assert kept(tmp_path / "m") == [1, 5]
    result = json.loads((tmp_path / "m.json").read_text())
    assert (len(result["epochs"]), result["epoch"]) == (5, 1)
    system = sr.systems.load(tmp_path / "m")
    np.testing.assert_array_equal(system.model.backbone.items.item_table, table(tmp_path / "m", 1))


@pytest.mark.slow
def test_without_a_directory_the_system_is_the_best_epoch(
    events: pl.DataFrame, figures: Callable[[Sequence[float]], None], tmp_path: pathlib.Path
) -> None:
    """It equals a training of that many epochs, and so do the files that it saves."""
    figures([0.1, 0.5, 0.4])

    def fitted(epochs: int) -> sr.systems.NeuralSystem:
        options = {
            **COLUMNS,
            **SMALL,
            "epochs": epochs,
            "validation": "last-session",
            "cooldown": 0,
        }
        system = sr.systems.fit("sessionrec-sasrec", events, **options)
        assert isinstance(system, sr.systems.NeuralSystem)
        return system

    three, two = fitted(3), fitted(2)
    for one, other in zip(three.model.variables, two.model.variables, strict=True):
        np.testing.assert_array_equal(one, other)
    three.save(tmp_path / "m")
    assert kept(tmp_path / "m") == [2]
    two.save(tmp_path / "two")
    saved, expected = tensors(tmp_path / "m", 2), tensors(tmp_path / "two", 2)
    assert saved.keys() == expected.keys()
    for name in expected:
        if "loss_mean" not in name and "auc" not in name:  # sums of the running epoch
            np.testing.assert_array_equal(saved[name], expected[name], err_msg=name)


COOLED = ["--epochs", "10", "--cooldown", "0.3", "--early-stopping", "ndcg@20,patience=2"]


@pytest.mark.slow
def test_the_cooldown_begins_where_the_metric_does_not_rise(
    train: Callable[..., int],
    figures: Callable[[Sequence[float]], None],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Epochs 3 and 4 of 10 do not rise: the last 3 epochs of the schedule follow at once."""
    figures([0.1, 0.5, 0.4, 0.4, 0.45, 0.6, 0.7])
    rates: list[float] = []
    end = TrainingCallback.on_epoch_end

    def noted(self: TrainingCallback, epoch: int, logs: dict[str, float] | None = None) -> None:
        end(self, epoch, logs)
        optimizer = self.model.optimizer
        assert isinstance(optimizer._learning_rate, Cooldown)
        rates.append(float(optimizer._learning_rate(optimizer.iterations)))

    monkeypatch.setattr(TrainingCallback, "on_epoch_end", noted)
    assert train(tmp_path / "m", *COOLED, "--learning-rate", "0.001") == 0
    np.testing.assert_allclose(rates, np.array([3, 3, 3, 3, 2, 1, 0]) * 1e-3 / 3, atol=1e-9)
    assert len(ModelDirectory(tmp_path / "m").history()) == 7
    assert kept(tmp_path / "m") == [7]


class KilledError(BaseException):
    """As sudden as a kill."""


@pytest.mark.parametrize(("epoch", "more"), [(3, COOLED), (5, COOLED), (2, COOLED[:2])])
def test_a_resumed_training_equals_one_that_was_not_interrupted(
    epoch: int,
    more: list[str],
    train: Callable[..., int],
    figures: Callable[[Sequence[float]], None],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed before and within the cooldown, and without early stopping."""
    figures([0.1, 0.5, 0.4, 0.4, 0.45, 0.44, 0.43, 0.4, 0.4, 0.4])
    assert train(tmp_path / "whole", *more) == 0
    end = TrainingCallback.on_epoch_end

    def killed(self: TrainingCallback, number: int, logs: dict[str, float] | None = None) -> None:
        end(self, number, logs)
        if number + 1 == epoch:
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(TrainingCallback, "on_epoch_end", killed)
        with pytest.raises(KilledError):
            train(tmp_path / "cut", *more)
    tf.random.set_seed(99)
    assert train(tmp_path / "cut", "--resume") == 0
    numbers = kept(tmp_path / "whole")
    assert numbers == kept(tmp_path / "cut") == [2, 7 if "--cooldown" in more else 10]
    for number in numbers:
        whole, cut = tensors(tmp_path / "whole", number), tensors(tmp_path / "cut", number)
        assert whole.keys() == cut.keys()
        for name in whole:
            np.testing.assert_array_equal(whole[name], cut[name], err_msg=name)


@pytest.mark.slow
def test_validation_changes_no_step_of_training(
    train: Callable[..., int], log: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """The same training log without validation: the same weights after the last epoch."""
    assert train(tmp_path / "m", "--epochs", "2") == 0
    words = WORDS.replace("--validation last-session", "--holdout last-session").split()
    out = str(tmp_path / "plain")
    assert main(["train", "--events", str(log), *words, "--epochs", "2", "--output", out]) == 0
    one, other = tensors(tmp_path / "m", 2), tensors(tmp_path / "plain", 2)
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_the_best_epoch() -> None:
    assert best_epoch([]) == chosen_epoch([]) == 0
    assert best_epoch([{"loss": 2.0}, {"loss": 1.0}, {"loss": 3.0}]) == 2
    assert chosen_epoch([{"loss": 2.0}, {"loss": 1.0}, {"loss": 3.0}]) == 3
    # An epoch that was not noted before a kill has no metric.
    validated = [{}, {"loss": 1.0, "val_ndcg@20": 0.1}, {"loss": 2.0, "val_ndcg@20": 0.2}]
    assert best_epoch(validated) == chosen_epoch(validated) == 3


def test_settings_of_an_earlier_release() -> None:
    options = {"validation": "last-day", "early_stopping": "mrr@5"}
    settings = sr.systems.build("sasrec", **options).settings
    assert settings.validation == sr.systems.Validation("last-day", "mrr@5", 3)
    given = sr.systems.build("sasrec", validation=settings.validation).settings
    assert given.validation == settings.validation
    content = json.loads(json.dumps(settings.to_json()))
    assert Settings.from_json(content) == settings
    del content["validation"]
    assert Settings.from_json(content).validation == sr.systems.Validation()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ("--early-stopping ndcg@20 --validation none", "needs `validation`"),
        ("--early-stopping accuracy", "such as ndcg@20"),
        ("--early-stopping ndcg@20,for=3", "patience=N"),
        ("--early-stopping ndcg@20,patience=0", "`patience` should be a positive integer"),
        ("--validation nothing.csv", "nothing.csv"),
    ],
)
def test_wrong_arguments_are_named(
    wrong: str,
    named: str,
    train: Callable[..., int],
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert train(tmp_path / "m", "--epochs", "1", *wrong.split()) == 2
    assert named in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "m").exists()


@pytest.mark.slow
def test_a_part_of_few_questions_is_said() -> None:
    log = sr.data.simulate(num_users=130, num_items=12, seed=1).events
    options = {"user": "user_id", "session": "session_id", "epochs": 1, **SMALL}
    with pytest.warns(UserWarning, match=r"last-day has \d queries: .*chance below 100"):
        sr.systems.fit("sessionrec-sasrec", log, validation="last-day", **options)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*chance below")
        sr.systems.fit("sessionrec-sasrec", log, validation="last-session", **options)


def test_a_part_without_questions_is_refused_before_training(tmp_path: pathlib.Path) -> None:
    """The only session of the last day is the first of its user."""
    user, visit, late = [1, 1, 1, 1, 2, 2], [1, 1, 2, 2, 3, 3], 200_000
    rows = {"user": user, "visit": visit, "item_id": [1, 2, 1, 2, 1, 2]}
    rows["timestamp"] = [0, 1, 5000, 5001, late, late + 1]
    log = pl.DataFrame(rows)
    options = {"user": "user", "session": "visit", "epochs": 1, "validation": "last-day", **SMALL}
    with pytest.raises(ValueError, match="`validation` should have sessions to ask for"):
        sr.systems.fit("sessionrec-sasrec", log, **options)
    with pytest.raises(ValueError, match="should leave sessions to train on and to validate on"):
        sr.systems.fit("sasrec", log[:4], **options)
    with pytest.raises(ValueError, match="the baseline vsknn does not have"):
        sr.systems.fit("vsknn", log, session="visit", validation="last-day")
