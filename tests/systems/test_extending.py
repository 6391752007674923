"""A model grows by the items of a later log; what it has learned stays, bit by bit."""

import dataclasses
import itertools
import json
import pathlib
from collections.abc import Callable, Iterator

import numpy as np
import polars as pl
import pytest
import tensorflow as tf

import tfsessionrec as sr
from tfsessionrec.cli.main import main
from tfsessionrec.data import Vocabulary
from tfsessionrec.optimizers import Cooldown
from tfsessionrec.systems import extending, training
from tfsessionrec.systems.checkpoints import Checkpoints
from tfsessionrec.systems.learned_log import LearnedLog
from tfsessionrec.systems.log_parts import LogParts
from tfsessionrec.systems.model_directory import ModelDirectory
from tfsessionrec.systems.neural_model import build_model
from tfsessionrec.systems.settings import ItemColumns, Settings
from tfsessionrec.systems.training_callback import TrainingCallback

COLUMNS = {"user": "user_id", "session": "session_id", "label": "label"}
SMALL = {"embedding_dim": 8, "num_layers": 1, "num_heads": 1, "batch_positions": 300}
WORDS = (
    "--user user_id --session session_id --label label --model sessionrec-sasrec --embedding-dim 8 "
    "--set num_layers=1 --set num_heads=1 --batch-positions 300"
)
FIRST = 2  # index of the first item


@pytest.fixture(scope="module")
def days() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Two logs. In the second one, half of the events of two items are of new ones."""
    events = sr.data.simulate(num_users=40, num_items=20, seed=4).events
    middle = events["timestamp"].median()
    one = events.filter(pl.col("timestamp") < middle)
    two = events.filter(pl.col("timestamp") >= middle).with_row_index("row")
    renamed = pl.col("item_id").is_in(one["item_id"].unique().sort().head(2).to_list())
    two = two.with_columns(
        item_id=pl.when(renamed & (pl.col("row") % 2 == 0))
        .then(pl.lit("new-") + pl.col("item_id"))
        .otherwise("item_id")
    ).drop("row")
    # A session of new items alone.
    late = two.filter(pl.col("label") == 1).head(2)
    late = late.with_columns(
        user_id=pl.lit("stranger"),
        session_id=pl.lit(late["session_id"][0]),
        item_id=pl.Series(["alone-1", "alone-2"]),
        timestamp=pl.Series([two["timestamp"].max()] * 2).cast(two["timestamp"].dtype),
    )
    return one, pl.concat([two, late.select(two.columns).cast(two.schema)])


@pytest.fixture(scope="module")
def logs(
    days: tuple[pl.DataFrame, pl.DataFrame], tmp_path_factory: pytest.TempPathFactory
) -> tuple[pathlib.Path, pathlib.Path]:
    folder = tmp_path_factory.mktemp("logs")
    days[0].write_csv(folder / "one.csv")
    days[1].write_parquet(folder / "two.parquet")
    return folder / "one.csv", folder / "two.parquet"


def fitted(path: pathlib.Path, log: pl.DataFrame, **options: object) -> sr.systems.NeuralSystem:
    """A model directory of a training on a log, as its system."""
    given = {**COLUMNS, **SMALL, "epochs": 1, **options}
    system = sr.systems.fit("sessionrec-sasrec", log, **given)  # type: ignore[arg-type]
    assert isinstance(system, sr.systems.NeuralSystem)
    system.save(path)
    return system


@pytest.fixture
def only_grown(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leaves out the training after the growth, but not what is written before it."""

    def untrained(
        model: object,
        settings: Settings,
        vocabulary: Vocabulary,
        sessions: sr.data.Sessions,
        directory: ModelDirectory,
        create: Callable[[], None],
        **more: object,
    ) -> list[dict[str, float]]:
        training.compile_model(model, settings, 1)  # type: ignore[arg-type]
        create()
        directory.save(model, [])
        directory.publish()
        return []

    with monkeypatch.context() as patch:
        patch.setattr(extending, "training", _Replaced(untrained))
        yield


@dataclasses.dataclass
class _Replaced:
    """The module `training` with another `fit`."""

    fit: Callable[..., list[dict[str, float]]]
    compile_model: Callable[..., None] = training.compile_model


def restored(path: pathlib.Path) -> tuple[sr.models.SessionRec, Vocabulary]:
    """The model of a directory with its optimizer."""
    directory = ModelDirectory(path)
    settings, vocabulary = directory.settings(), directory.vocabulary()
    model = build_model(settings, vocabulary, directory.item_table())
    training.compile_model(model, settings, 1)
    directory.restore(model)
    return model, vocabulary


def scores(system: sr.systems.TrainedSystem, history: list) -> dict[object, float]:
    return dict(system.recommend(history, k=system.vocabulary.num_items))


@pytest.mark.usefixtures("only_grown")
def test_what_was_trained_stays_bit_by_bit(
    days: tuple[pl.DataFrame, pl.DataFrame], tmp_path: pathlib.Path
) -> None:
    one, two = days
    system = fitted(tmp_path / "m", one)
    history = [system.vocabulary.ids[:3].tolist(), system.vocabulary.ids[5:7].tolist()]
    before = scores(sr.systems.load(tmp_path / "m"), history)
    old, words = restored(tmp_path / "m")
    extended = sr.systems.extend(tmp_path / "m", two)
    new, grown = restored(tmp_path / "m")
    names = ["alone-1", "alone-2", *(n for n in two["item_id"].unique() if n.startswith("new-"))]
    assert grown.ids[: words.num_items].tolist() == words.ids.tolist()
    assert sorted(grown.ids[words.num_items :]) == sorted(names)
    counts = pl.concat(days).filter(pl.col("label") == 1)["item_id"].value_counts()
    expected = dict(counts.iter_rows())
    assert grown.counts[FIRST:].tolist() == [expected[item] for item in grown.ids]
    size = len(words)
    pairs = list(zip(old.trainable_variables, new.trainable_variables, strict=True))
    assert [a.shape == b.shape for a, b in pairs].count(False) == 1
    for a, b in pairs:
        np.testing.assert_array_equal(a, b[:size] if a is old.backbone.items.item_table else b)
        moments = zip(old.optimizer.moments(a), new.optimizer.moments(b), strict=True)
        for first, second in moments:
            assert np.any(first.numpy())
            if a is old.backbone.items.item_table:
                np.testing.assert_array_equal(second[size:], 0)
                second = second[:size]
            np.testing.assert_array_equal(first, second)
    assert int(new.optimizer.iterations) == int(old.optimizer.iterations) > 0
    rates = new.habit.repeat_rates.numpy()
    np.testing.assert_array_equal(rates[:size], old.habit.repeat_rates)
    np.testing.assert_allclose(rates[size:], rates[FIRST:size].mean(), rtol=1e-6)
    assert rates[FIRST:size].std() > 0
    after = scores(extended, history)
    assert len(after) == len(before) + len(names)
    for item, score in before.items():
        assert after[item] == pytest.approx(score, abs=1e-6)
    assert scores(sr.systems.load(tmp_path / "m"), history) == after


@pytest.mark.slow
@pytest.mark.usefixtures("only_grown")
def test_new_items_start_from_the_mean_of_their_neighbors(
    days: tuple[pl.DataFrame, pl.DataFrame], tmp_path: pathlib.Path
) -> None:
    one, two = days
    fitted(tmp_path / "m", one)
    sr.systems.extend(tmp_path / "m", two)
    model, vocabulary = restored(tmp_path / "m")
    table = model.backbone.items.item_table.numpy()
    known = set(one["item_id"])
    near: dict[str, list[str]] = {}
    for _, session in two.filter(pl.col("label") == 1).group_by("user_id", "session_id"):
        items = session.sort("timestamp", maintain_order=True)["item_id"].to_list()
        for left, right in itertools.pairwise(items):
            for item, other in ((left, right), (right, left)):
                if item not in known and other in known:
                    near.setdefault(item, []).append(other)
    assert len(near) == 2
    for item, neighbors in near.items():
        assert len(neighbors) > 2
        mean = np.mean([table[vocabulary.lookup([name])[0]] for name in neighbors], axis=0)
        np.testing.assert_allclose(table[vocabulary.lookup([item])[0]], mean, atol=1e-6)
    fresh = build_model(ModelDirectory(tmp_path / "m").settings(), vocabulary)
    for item in ("alone-1", "alone-2"):
        row = vocabulary.lookup([item])[0]
        np.testing.assert_array_equal(table[row], fresh.backbone.items.item_table[row])


def catalog(items: list[str], shift: int) -> pl.DataFrame:
    """Features of items; another shift has categories that sort before the others."""
    numbers = np.arange(len(items))
    return pl.DataFrame(
        {
            "item_id": items,
            "kind": [f"kind-{9 - shift - n % 3}" for n in numbers],
            "tags": [f"tag-{9 - shift - n % 2}|tag-{9 - shift - n % 4}" for n in numbers],
            "price": (numbers * 10.0 + 100 * shift).tolist(),
        }
    )


@pytest.mark.slow
@pytest.mark.usefixtures("only_grown")
def test_features_of_items_grow(
    days: tuple[pl.DataFrame, pl.DataFrame], tmp_path: pathlib.Path
) -> None:
    """New categories, numbers of another scale, an item of the catalogue that gets events."""
    one, two = days
    new = sorted(name for name in two["item_id"].unique() if name.startswith("new-"))
    features = ItemColumns("item_id", ("kind",), ("tags",), ("price",))
    untrained = sr.systems.build(
        "sessionrec-sasrec",
        sr.data.LogFormat(sr.data.LogColumns(**COLUMNS)),
        epochs=1,
        **SMALL,  # type: ignore[arg-type]
    )
    settings = dataclasses.replace(untrained.settings, item_features=features)
    # The second new item is in the first catalogue, and so is one that has no event at all.
    table = catalog([*sorted(one["item_id"].unique()), new[1], "never"], 0)
    system = dataclasses.replace(untrained, settings=settings).fit(one, item_table=table)
    system.save(tmp_path / "m")
    assert system.vocabulary.num_new_items == 2
    history = [system.vocabulary.ids[:3].tolist(), system.vocabulary.ids[5:7].tolist()]
    before = scores(sr.systems.load(tmp_path / "m"), history)
    old, words = restored(tmp_path / "m")
    added = catalog([new[0], "later"], 5)
    extended = sr.systems.extend(tmp_path / "m", two, item_table=added)
    grown = extended.vocabulary
    assert grown.ids[-2:].tolist() == ["never", "later"]
    assert grown.num_new_items == 2
    trained = grown.ids[: len(words) - FIRST - 2]
    assert trained.tolist() == words.ids[:-2].tolist()
    after = scores(extended, history)
    # new[1] was scored by its features alone; now it has a row, the mean of its neighbors.
    for item in before.keys() - {new[1]}:
        assert after[item] == pytest.approx(before[item], abs=1e-5), item
    assert abs(after[new[1]] - before[new[1]]) > 1e-5
    model, _ = restored(tmp_path / "m")
    for name, number in (("kind", 3), ("tags", 4)):
        old_table = old.backbone.items.category_tables[name]
        new_table = model.backbone.items.category_tables[name]
        # The categories of training follow the new ones, of which two items have two.
        shift = new_table.shape[0] - old_table.shape[0]
        assert (old_table.shape[0], shift) == (number + 1, 2)
        np.testing.assert_array_equal(old_table[1:], new_table[1 + shift :])
        for first, second in zip(
            old.optimizer.moments(old_table), model.optimizer.moments(new_table), strict=True
        ):
            np.testing.assert_array_equal(first[1:], second[1 + shift :])
            np.testing.assert_array_equal(second[1 : 1 + shift], 0)
    # Twice extended, the numbers still have the scale of the first training.
    prices = model.backbone.items.feature_tables["price"].numpy()
    sr.systems.extend(tmp_path / "m", two, item_table=catalog(["last"], 50))
    again, more = restored(tmp_path / "m")
    same = again.backbone.items.feature_tables["price"].numpy()
    np.testing.assert_array_equal(same[more.lookup(grown.ids)], prices[FIRST:])


@pytest.mark.parametrize(
    "more",
    [
        [],
        ["--set", "negatives=popularity", "--cooldown", "0.5"],
        ["--model", "sasrec", "--trend", "--set", "num_interests=2"],
    ],
)
def test_the_command(
    more: list[str],
    logs: tuple[pathlib.Path, pathlib.Path],
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Trained on one day, extended by the next: new items are ranked, and served."""
    model = str(tmp_path / "m")
    command = ["train", "--events", str(logs[0]), *WORDS.split(), "--epochs", "1", *more]
    assert main([*command, "--output", model]) == 0
    extend = ["train", "--extend", "--events", str(logs[1]), "--output", model]
    capsys.readouterr()
    assert main([*extend, "--epochs", "2", "--json", str(tmp_path / "e.json")]) == 0
    assert "4 new items, " in capsys.readouterr().err
    assert len(json.loads((tmp_path / "e.json").read_text())["epochs"]) == 2
    evaluate = ["evaluate", "--model", model, "--protocol", "next_item"]
    for log, unknown in zip(logs, (0, 0), strict=True):
        report = tmp_path / "r.json"
        assert main([*evaluate, "--events", str(log), "--json", str(report)]) == 0
        # The model knows both logs of its training.
        assert "Not a test: " in capsys.readouterr().out
        content = json.loads(report.read_text())
        assert content["targets"]["unknown"] == unknown
        assert content["num_candidates"] == 24
    export = ["export", "--model", model, "--output", str(tmp_path / "1"), "--k", "24"]
    assert main(export) == 0
    words = ["recommend", "--items", "alone-1", "--k", "24", "--json", str(tmp_path / "a.json")]
    assert main([*words, "--saved-model", str(tmp_path / "1")]) == 0
    assert "alone-2" in (tmp_path / "a.json").read_text()
    # Once more: every item is known, and the second log is not counted as the first one.
    assert main(extend) == 0
    assert "0 new items, 24 in all" in capsys.readouterr().err
    assert len(ModelDirectory(tmp_path / "m").settings().learned) == 3


class KilledError(BaseException):
    """As sudden as a kill."""


def content(path: pathlib.Path) -> dict[str, bytes]:
    return {str(f.relative_to(path)): f.read_bytes() for f in path.rglob("*") if f.is_file()}


@pytest.mark.slow
def test_a_killed_extension(
    logs: tuple[pathlib.Path, pathlib.Path],
    days: tuple[pl.DataFrame, pl.DataFrame],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In its first epoch the earlier model is left; after it the extension can be resumed."""
    for name in ("whole", "cut"):
        fitted(tmp_path / name, days[0], cooldown=0.5)
    extend = ["train", "--events", str(logs[1]), "--extend", "--epochs", "2", "--output"]
    assert main([*extend, str(tmp_path / "whole")]) == 0
    before = content(tmp_path / "cut")
    end = TrainingCallback.on_epoch_end

    def kill(after: int) -> None:
        def killed(
            self: TrainingCallback, epoch: int, logs: dict[str, float] | None = None
        ) -> None:
            if epoch == 0 and after == 0:
                raise KilledError
            end(self, epoch, logs)
            raise KilledError

        with monkeypatch.context() as patch:
            patch.setattr(TrainingCallback, "on_epoch_end", killed)
            with pytest.raises(KilledError):
                main([*extend, str(tmp_path / "cut")])

    kill(0)
    assert content(tmp_path / "cut") == before
    assert {path.name for path in tmp_path.iterdir()} == {"whole", "cut"}
    kill(1)
    assert len(ModelDirectory(tmp_path / "cut").history()) == 1
    resume = ["train", "--events", str(logs[1]), "--resume", "--output", str(tmp_path / "cut")]
    assert main(resume) == 0
    folders = [tmp_path / name / "checkpoint" for name in ("whole", "cut")]
    one, other = (
        tf.train.load_checkpoint(str(folder / f"ckpt-{Checkpoints(folder).kept()[-1]}"))
        for folder in folders
    )
    for name in one.get_variable_to_shape_map():
        if "OBJECT_GRAPH" not in name:
            np.testing.assert_array_equal(one.get_tensor(name), other.get_tensor(name), name)


@pytest.mark.slow
def test_the_learning_rate_of_an_extension(
    days: tuple[pl.DataFrame, pl.DataFrame],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It begins as in training, and falls over the last half of the two epochs of the new log."""
    fitted(tmp_path / "m", days[0], cooldown=0.5, epochs=2, learning_rate=0.01)
    rates: list[float] = []
    end = TrainingCallback.on_epoch_end

    def noted(self: TrainingCallback, epoch: int, logs: dict[str, float] | None = None) -> None:
        end(self, epoch, logs)
        optimizer = self.model.optimizer
        assert isinstance(optimizer._learning_rate, Cooldown)
        rates.append(float(optimizer._learning_rate(optimizer.iterations)))

    monkeypatch.setattr(TrainingCallback, "on_epoch_end", noted)
    sr.systems.extend(tmp_path / "m", days[1], epochs=2)
    np.testing.assert_allclose(rates, [0.01, 0.0], atol=1e-9)


@pytest.mark.slow
def test_a_validated_model_is_extended_from_its_best_epoch(
    days: tuple[pl.DataFrame, pl.DataFrame],
    logs: tuple[pathlib.Path, pathlib.Path],
    tmp_path: pathlib.Path,
) -> None:
    """Holdout and validation are of the new log, and of the earlier one no more."""
    fitted(tmp_path / "m", days[0], holdout="last-session", validation="last-session")
    extend = ["train", "--events", str(logs[1]), "--extend", "--output", str(tmp_path / "m")]
    assert main(extend) == 0
    settings = ModelDirectory(tmp_path / "m").settings()
    assert (settings.holdout, settings.validation.part) == ("none", "none")
    assert settings.learned[0].parts == LogParts("last-session", "last-session")
    assert main([*extend, "--validation", "last-session", "--epochs", "2"]) == 0
    directory = ModelDirectory(tmp_path / "m")
    assert [sorted(epoch)[-1] for epoch in directory.history()] == ["val_ndcg@20"] * 2
    assert Settings.from_json(json.loads(json.dumps(directory.settings().to_json()))) == (
        directory.settings()
    )


def test_logs_are_recognized() -> None:
    log = pl.DataFrame({"s": [1, 1, 2], "item_id": ["a", "b", "a"], "timestamp": [0, 1, 50]})
    other = pl.DataFrame({"s": [1, 1, 2], "item_id": ["c", "b", "a"], "timestamp": [60, 61, 90]})
    first, second = (sr.data.sessionize(rows, session="s") for rows in (log, other))
    before = Vocabulary.from_sessions(first)
    after = before.grow(second)
    one = LearnedLog.first(LogParts(), before)
    two = LearnedLog.later(second, after, LogParts(), None, 5)
    part = LearnedLog.later(second, after, LogParts("after=80"), None, 5)
    late = LearnedLog.later(second, after, LogParts(), "80", 5)
    assert [one.is_log(log, after) for log in (first, second)] == [True, False]
    assert [two.is_log(log, after) for log in (first, second)] == [False, True]
    assert part.counts != two.counts != late.counts
    assert not part.is_log(first, after)  # which has nothing after 80


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ("--embedding-dim 4", "`--extend` should keep the settings of the model"),
        ("--objective next_item", "objective"),
        ("--min-count 99999", "`min_count`=99999"),
        ("--item-features items.csv", "item_features was None"),
    ],
)
def test_wrong_arguments_are_named(
    wrong: str,
    named: str,
    days: tuple[pl.DataFrame, pl.DataFrame],
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, _ = days
    fitted(tmp_path / "m", one)
    before = content(tmp_path / "m")
    catalog(["x"], 0).write_csv(tmp_path / "items.csv")
    one.with_columns(pl.col("item_id") + "x").write_csv(tmp_path / "other.csv")
    monkeypatch.chdir(tmp_path)
    extend = ["train", "--extend", "--events", "other.csv", "--output", "m", *wrong.split()]
    extra = ["--categorical", "kind"] if "items.csv" in wrong else []
    assert main([*extend, *extra]) == 2
    assert named in capsys.readouterr().err.splitlines()[-1]
    assert content(tmp_path / "m") == before


@pytest.mark.slow
def test_what_cannot_be_extended(
    days: tuple[pl.DataFrame, pl.DataFrame],
    logs: tuple[pathlib.Path, pathlib.Path],
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    extend = ["train", "--extend", "--events", str(logs[1]), "--output", str(tmp_path / "m")]
    assert main(extend) == 2
    assert "nothing to extend" in capsys.readouterr().err
    sr.systems.fit("popularity", days[0], **COLUMNS).save(tmp_path / "m")  # type: ignore[arg-type]
    assert main(extend) == 2
    assert "train it again" in capsys.readouterr().err
    with pytest.raises(ValueError, match="cannot be extended"):
        sr.systems.extend(tmp_path / "m", days[1])
    fitted(tmp_path / "other", days[0])
    with pytest.raises(ValueError, match="trained without features"):
        sr.systems.extend(tmp_path / "other", days[1], item_table=catalog(["x"], 0))


@pytest.mark.slow
def test_features_by_the_command(
    days: tuple[pl.DataFrame, pl.DataFrame],
    logs: tuple[pathlib.Path, pathlib.Path],
    tmp_path: pathlib.Path,
) -> None:
    items = [sorted(log["item_id"].unique()) for log in days]
    catalog(items[0], 0).write_csv(tmp_path / "one.csv")
    catalog(items[1], 5).write_csv(tmp_path / "two.csv")
    model, kinds = str(tmp_path / "m"), ["--categorical", "kind", "--dense", "price"]
    command = ["train", "--events", str(logs[0]), *WORDS.split(), "--epochs", "1", *kinds]
    features = ["--item-features", str(tmp_path / "one.csv")]
    assert main([*command, *features, "--output", model]) == 0
    extend = ["train", "--extend", "--events", str(logs[1]), "--output", model]
    assert main([*extend, "--item-features", str(tmp_path / "two.csv")]) == 0
    table = ModelDirectory(tmp_path / "m").item_table()
    assert table is not None
    known = pl.read_csv(tmp_path / "one.csv")
    assert table[: len(known)].equals(known)  # known items keep their features
    assert set(table["item_id"]) == {*items[0], *items[1]}


@pytest.mark.slow
def test_unknown_categories_are_counted(
    days: tuple[pl.DataFrame, pl.DataFrame],
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kind = pl.when(pl.col("label") == 1).then(pl.lit("click")).otherwise(pl.lit("view"))
    one, two = (log.with_columns(kind=kind, device=pl.lit("phone")) for log in days)
    first = {"kind": pl.lit("order"), "device": pl.lit("tablet")}
    two = pl.concat([two[:7].with_columns(**first), two[7:]])
    fitted(tmp_path / "m", one, interaction_type="kind", session_context=("device",))
    two.write_csv(tmp_path / "two.csv")
    command = ["train", "--events", str(tmp_path / "two.csv"), "--output", str(tmp_path / "m")]
    for more in ("--extend", "--resume"):
        assert main([*command, more]) == 0
        said = capsys.readouterr().err
        assert "7 of " in said
        assert "have a value of interaction_type that training did not have: order" in said
        assert "have a value of device that training did not have: tablet" in said
