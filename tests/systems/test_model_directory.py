"""Nothing is lost: whatever ends a training, an earlier model or the last whole epoch is left."""

import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import polars as pl
import pytest
import tensorflow as tf

import tfsessionrec as sr
from tfsessionrec.cli.main import main
from tfsessionrec.systems import staging
from tfsessionrec.systems.checkpoints import Checkpoints
from tfsessionrec.systems.epochs import best_epoch
from tfsessionrec.systems.model_directory import ModelDirectory
from tfsessionrec.systems.training_callback import TrainingCallback

SMALL = "--user user_id --session session_id --label label --model sessionrec-sasrec "
SMALL += "--embedding-dim 8 --set num_layers=1 --set num_heads=1 --batch-positions 200"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("log") / "log.csv"
    sr.data.simulate(num_users=60, num_items=30, seed=2).events.write_csv(path)
    return path


@pytest.fixture(scope="module")
def train(log: pathlib.Path) -> Callable[..., int]:
    def run(path: pathlib.Path, *more: str, events: pathlib.Path = log) -> int:
        first = [] if "--resume" in more else SMALL.split()
        return main(["train", "--events", str(events), *first, "--output", str(path), *more])

    return run


@pytest.fixture(scope="module")
def model(train: Callable[..., int], tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A directory of 4 epochs that no one interrupted."""
    path = tmp_path_factory.mktemp("model") / "m"
    assert train(path, "--epochs", "4") == 0
    return path


def content(path: pathlib.Path) -> dict[str, bytes]:
    return {str(f.relative_to(path)): f.read_bytes() for f in path.rglob("*") if f.is_file()}


def state(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Every tensor of the last checkpoint: weights and slots of the optimizer."""
    folder = path / "checkpoint"
    reader = tf.train.load_checkpoint(str(folder / f"ckpt-{Checkpoints(folder).kept()[-1]}"))
    names = [name for name in reader.get_variable_to_shape_map() if "OBJECT_GRAPH" not in name]
    return {name: np.asarray(reader.get_tensor(name)) for name in names}


def assert_same_state(one: pathlib.Path, other: pathlib.Path) -> None:
    first, second = state(one), state(other)
    assert first.keys() == second.keys()
    assert sum("optimizer" in name for name in first) > 5
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


class KilledError(BaseException):
    """As sudden as a kill: no code of the package catches it."""


@pytest.fixture
def kill_in(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes a function raise at one of its calls, before or after its work."""

    def arm(owner: object, name: str, call: int, after: bool = False) -> None:
        original, seen = getattr(owner, name), [0]

        def armed(*arguments: object, **options: object) -> object:
            seen[0] += 1
            if seen[0] != call:
                return original(*arguments, **options)
            if after:
                original(*arguments, **options)
            raise KilledError

        monkeypatch.setattr(owner, name, armed)

    return arm


@pytest.mark.parametrize(
    "wrong",
    ["--batch-positions 0", "--epochs 0", "--cooldown 2", "--learning-rate nan",
     "--learning-rate -1", "--recency-half-life 0", "--set colour=red", "--min-count 999999"],
)  # fmt: skip
def test_a_mistake_costs_nothing(
    wrong: str, train: Callable[..., int], model: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    shutil.copytree(model, tmp_path / "m")
    before = content(tmp_path / "m")
    assert train(tmp_path / "m", "--overwrite", *wrong.split()) == 2
    assert content(tmp_path / "m") == before
    assert train(tmp_path / "new", *wrong.split()) == 2
    assert [entry.name for entry in tmp_path.iterdir()] == ["m"]


def test_an_overwritten_model_stays_until_the_first_epoch_is_whole(
    train: Callable[..., int],
    model: pathlib.Path,
    tmp_path: pathlib.Path,
    kill_in: Callable[..., None],
) -> None:
    shutil.copytree(model, tmp_path / "m")
    before = content(tmp_path / "m")
    kill_in(TrainingCallback, "on_epoch_end", 1)
    with pytest.raises(KilledError):
        train(tmp_path / "m", "--overwrite", "--epochs", "1", "--seed", "9")
    assert content(tmp_path / "m") == before
    assert train(tmp_path / "m", "--overwrite", "--epochs", "1", "--seed", "9") == 0
    assert len(ModelDirectory(tmp_path / "m").history()) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["m"]


def test_a_replacement_that_was_cut_is_completed(
    model: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    shutil.copytree(model, tmp_path / ".m.old")
    assert sr.systems.load(tmp_path / "m").vocabulary.num_items > 0
    assert not (tmp_path / ".m.old").exists()
    shutil.copytree(model, tmp_path / ".m.old")
    with ModelDirectory(tmp_path / "m").locked():
        assert not (tmp_path / ".m.old").exists()


def test_only_what_training_wrote_is_removed(
    train: Callable[..., int],
    model: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "config.json").write_text("{}")
    (mine / "thesis.tex").write_text("years")
    assert train(mine, "--overwrite", "--epochs", "1") == 2
    assert "is no model directory" in capsys.readouterr().err
    for name in ("thesis.tex", "checkpoint/notes.txt"):
        path = tmp_path / name.replace("/", "-")
        shutil.copytree(model, path)
        (path / name).write_text("years")
        before = content(path)
        assert train(path, "--overwrite", "--epochs", "1") == 2
        assert f"did not write: {name}" in capsys.readouterr().err
        assert content(path) == before
    assert (mine / "thesis.tex").read_text() == "years"


# The n-th batch end of 4 epochs; the n-th write of a history and of a checkpoint (1: epoch 0).
MOMENTS = [
    (TrainingCallback, "on_train_batch_end", 1, True),
    (TrainingCallback, "on_train_batch_end", 4, False),
    (TrainingCallback, "on_epoch_end", 3, False),
    (Checkpoints, "write", 1, True),
    (Checkpoints, "write", 3, False),
    (Checkpoints, "write", 3, True),
    (Checkpoints, "_remove_but", 3, False),
]


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: f"{moment[1]}-{moment[2]}")
def test_a_resumed_training_equals_one_that_was_not_interrupted(
    moment: tuple,
    train: Callable[..., int],
    model: pathlib.Path,
    tmp_path: pathlib.Path,
    kill_in: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context():
        kill_in(*moment)
        with pytest.raises(KilledError):
            train(tmp_path / "m", "--epochs", "4")
    monkeypatch.undo()
    tf.random.set_seed(99)  # what ran before in the process has no effect
    if (tmp_path / "m").exists():
        assert train(tmp_path / "m", "--resume", "--epochs", "4") == 0
    else:  # killed before the directory had its name: the same command, with --resume, starts it
        assert train(tmp_path / "m", *SMALL.split(), "--resume", "--epochs", "4") == 0
    assert len(ModelDirectory(tmp_path / "m").history()) == 4
    assert_same_state(tmp_path / "m", model)


@pytest.mark.slow
def test_negatives_of_every_kind_resume(log: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Dropout of ids, draws from the batch and a schedule continue as well."""
    catalog = pl.DataFrame({"item_id": [f"i{n:05d}" for n in range(30)], "size": list(range(30))})
    catalog.write_csv(tmp_path / "items.csv")
    words = "--user user_id --session session_id --model gru4rec --embedding-dim 4 "
    words += "--batch-positions 300 --cooldown 0.5 --set negatives=mixed --dense size"
    words += f" --item-features {tmp_path / 'items.csv'}"
    command = ["train", "--events", str(log), *words.split(), "--epochs", "3", "--output"]
    assert main([*command, str(tmp_path / "whole")]) == 0
    end = TrainingCallback.on_train_batch_end

    def stop(self: TrainingCallback, batch: int, logs: object = None) -> None:
        end(self, batch, logs)  # type: ignore[arg-type]
        if len(self._epochs) == 1:
            raise KilledError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingCallback, "on_train_batch_end", stop)
        with pytest.raises(KilledError):
            main([*command, str(tmp_path / "cut")])
    resume = ["train", "--events", str(log), "--resume", "--output", str(tmp_path / "cut")]
    assert main(resume) == 0
    assert_same_state(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.slow
def test_epochs_differ_from_each_other(log: pathlib.Path) -> None:
    sessions = sr.data.sessionize(pl.read_csv(log), user="user_id", session="session_id")
    vocabulary = sr.data.Vocabulary.from_sessions(sessions)

    def orders(first: int, passes: int) -> list[list[int]]:
        dataset = sr.data.session_dataset(
            sessions, vocabulary, batch_size=8, seed=3, first_epoch=first
        )
        return [
            [int(number) for batch in dataset for number in tf.reshape(batch["item_ids"], [-1])]
            for _ in range(passes)
        ]

    whole = orders(0, 4)
    assert len({tuple(order) for order in whole}) == 4
    assert orders(2, 2) == whole[2:]


def test_a_history_of_the_earlier_release_is_cut_or_filled(
    model: pathlib.Path, tmp_path: pathlib.Path, train: Callable[..., int]
) -> None:
    """A kill between checkpoint and history trained an epoch too many."""
    shutil.copytree(model, tmp_path / "m")
    path = tmp_path / "m" / "history.json"
    epochs = json.loads(path.read_text())["epochs"]
    path.write_text(json.dumps({"epochs": epochs[:3]}))
    assert train(tmp_path / "m", "--resume") == 0
    assert len(ModelDirectory(tmp_path / "m").history()) == 4
    steps = {int(value) for name, value in state(tmp_path / "m").items() if "iter" in name.lower()}
    assert steps == {int(v) for name, v in state(model).items() if "iter" in name.lower()}
    path.unlink()
    assert train(tmp_path / "m", "--resume") == 0


def test_best_and_last_are_kept(tmp_path: pathlib.Path) -> None:
    class Small(tf.Module):
        def __init__(self) -> None:
            self.weight = tf.Variable(0.0)

    checkpoints = Checkpoints(tmp_path / "checkpoint")
    small, losses = Small(), [3.0, 1.0, 2.0, 4.0]
    epochs: list[dict[str, float]] = []
    for number, loss in enumerate(losses, 1):
        epochs.append({"loss": loss})
        small.weight.assign(loss)
        checkpoints.write(tf.train.Checkpoint(model=small), number, [best_epoch(epochs)])
    assert checkpoints.kept() == [2, 4]
    found = {file.name.partition(".")[0] for file in checkpoints.path.glob("ckpt-*")}
    assert found == {"ckpt-2", "ckpt-4"}
    for number in (2, 4):
        checkpoints.restore(tf.train.Checkpoint(model=small), number)
        assert float(small.weight) == losses[number - 1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrong", ["--learning-rate 1e30", "--set temperature=1e-30 --set normalize=true"]
)
def test_a_training_that_diverges_stops(
    wrong: str,
    train: Callable[..., int],
    model: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert train(tmp_path / "new", "--epochs", "3", *wrong.split()) == 2
    assert "Training diverged in epoch 1" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    shutil.copytree(model, tmp_path / "m")
    before = content(tmp_path / "m")
    assert train(tmp_path / "m", "--overwrite", "--epochs", "3", *wrong.split()) == 2
    assert "holds the earlier model" in capsys.readouterr().err
    assert content(tmp_path / "m") == before


def test_the_last_finite_epoch_is_left(
    train: Callable[..., int],
    model: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    begin = TrainingCallback.on_epoch_begin

    def spoil(self: TrainingCallback, epoch: int, logs: object = None) -> None:
        begin(self, epoch, logs)  # type: ignore[arg-type]
        if epoch == 2:
            weight = self.model.trainable_variables[0]
            weight.assign(tf.fill(weight.shape, np.nan))

    monkeypatch.setattr(TrainingCallback, "on_epoch_begin", spoil)
    assert train(tmp_path / "m", "--epochs", "4") == 2
    assert "holds the model after epoch 2" in capsys.readouterr().err
    monkeypatch.undo()
    assert train(tmp_path / "m", "--resume") == 0
    assert_same_state(tmp_path / "m", model)


@pytest.mark.parametrize("name", ["a[1]b", "back\\slash", "star*", "what?"])
def test_names_that_are_patterns(
    name: str, model: pathlib.Path, train: Callable[..., int], tmp_path: pathlib.Path
) -> None:
    assert train(tmp_path / name / name, "--epochs", "4") == 0
    loaded = sr.systems.load(tmp_path / name / name)
    expected = sr.systems.load(model)
    for one, other in zip(loaded.model.weights, expected.model.weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture
def holder(tmp_path: pathlib.Path) -> Iterator[subprocess.Popen]:
    code = "import sys, time, pathlib; from tfsessionrec.systems import staging\n"
    code += "with staging.locked(pathlib.Path(sys.argv[1])):\n    print('held', flush=True)\n"
    code += "    time.sleep(600)"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "m")], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.mark.slow
def test_one_process_writes_at_a_time(
    holder: subprocess.Popen,
    train: Callable[..., int],
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert train(tmp_path / "m", "--epochs", "1") == 2
    assert f"is being written by process {holder.pid} on" in capsys.readouterr().err
    assert not (tmp_path / "m").exists()
    holder.kill()
    holder.wait()
    assert (tmp_path / ".m.lock").exists()
    assert train(tmp_path / "m", "--epochs", "1") == 0
    assert not (tmp_path / ".m.lock").exists()


def test_an_edited_vocabulary_is_noticed(model: pathlib.Path, tmp_path: pathlib.Path) -> None:
    for number, edit in enumerate((_swap_ids, _change_count)):
        path = tmp_path / str(number)
        shutil.copytree(model, path)
        words = json.loads((path / "vocabulary.json").read_text())
        edit(words)
        (path / "vocabulary.json").write_text(json.dumps(words))
        with pytest.raises(ValueError, match="is not the file that training wrote"):
            sr.systems.load(path)


def _swap_ids(words: dict) -> None:
    words["ids"][3], words["ids"][7] = words["ids"][7], words["ids"][3]


def _change_count(words: dict) -> None:
    words["counts"][-1] = 0 if words["counts"][-1] else 1


def test_directories_of_the_earlier_release_load(
    model: pathlib.Path, tmp_path: pathlib.Path, train: Callable[..., int]
) -> None:
    """They have no fingerprints, and checkpoints with a counter of saves, named by full paths."""
    path = tmp_path / "m"
    shutil.copytree(model, path)
    config = json.loads((path / "config.json").read_text())
    del config["fingerprints"]
    (path / "config.json").write_text(json.dumps(config))
    expected = sr.systems.load(model).model
    expected.compile()
    shutil.rmtree(path / "checkpoint")
    checkpoint = tf.train.Checkpoint(
        model=expected, optimizer=expected.optimizer, finished_epochs=tf.Variable(4, dtype=tf.int64)
    )
    manager = tf.train.CheckpointManager(checkpoint, str(path / "checkpoint"), max_to_keep=1)
    manager.save(checkpoint_number=4)
    with pytest.warns(UserWarning, match="written by an earlier release"):
        loaded = sr.systems.load(path)
    for one, other in zip(loaded.model.weights, expected.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sr.systems.load(model)


def test_an_edited_configuration_warns(model: pathlib.Path, tmp_path: pathlib.Path) -> None:
    shutil.copytree(model, tmp_path / "m")
    path = tmp_path / "m" / "config.json"
    config = json.loads(path.read_text())
    config["history"]["max_items"] = 3
    path.write_text(json.dumps(config))
    with pytest.warns(UserWarning, match="was edited after training"):
        sr.systems.load(tmp_path / "m")


@pytest.mark.slow
def test_a_full_disk_is_one_line(
    train: Callable[..., int],
    model: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A limit of the size of a file, below that of a checkpoint and above those of the others."""
    shutil.copytree(model, tmp_path / "m")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    data = next((model / "checkpoint").glob("ckpt-4.data*"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (data.stat().st_size // 2, limits[1]))
    try:
        status = train(tmp_path / "m", "--resume", "--epochs", "5")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert status == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("tfsessionrec: error: ")
    assert "ckpt-5" in error
    assert "holds the model after epoch 4" in error
    assert_same_state(tmp_path / "m", model)
    assert train(tmp_path / "m", "--resume") == 0
    assert len(ModelDirectory(tmp_path / "m").history()) == 5


def test_a_place_that_cannot_be_written_is_named(
    train: Callable[..., int], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert train(tmp_path / "file" / "m", "--epochs", "1") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("tfsessionrec: error: ")
    assert str(tmp_path / "file") in error


def test_unknown_events_are_counted(
    log: pathlib.Path,
    train: Callable[..., int],
    model: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(model, tmp_path / "m")
    before = content(tmp_path / "m")
    events = pl.read_csv(log)
    other = events.with_columns(pl.col("item_id") + "x")
    other.write_csv(tmp_path / "other.csv")
    more = ["--resume", "--epochs", "5"]
    assert train(tmp_path / "m", *more, events=tmp_path / "other.csv") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "No item of the log is in the vocabulary" in error
    assert "--extend" in error
    assert content(tmp_path / "m") == before
    late = events.with_columns(
        pl.when(pl.col("timestamp") > events["timestamp"].median())
        .then(pl.col("item_id") + "x")
        .otherwise("item_id")
        .alias("item_id")
    )
    late.write_csv(tmp_path / "half.csv")
    unknown = late["item_id"].str.ends_with("x").sum()
    assert train(tmp_path / "m", *more, events=tmp_path / "half.csv") == 0
    assert f"{unknown:,} of {events.height:,} events" in capsys.readouterr().err


def test_the_lock_file_of_a_dead_process_is_taken(tmp_path: pathlib.Path) -> None:
    staging.sibling(tmp_path / "m", "lock").write_text("process 1 on nowhere")
    with staging.locked(tmp_path / "m"):
        text = staging.sibling(tmp_path / "m", "lock").read_text()
        assert text.startswith(f"process {os.getpid()} on ")
        owner = pytest.raises(staging.DirectoryInUseError, match=f"process {os.getpid()}")
        with owner, staging.locked(tmp_path / "m"):
            pass


@pytest.mark.slow
def test_a_training_without_holdout_says_so(
    train: Callable[..., int], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path / "all", "--epochs", "1") == 0
    assert "Nothing is held out" in capsys.readouterr().err
    assert train(tmp_path / "some", "--epochs", "1", "--holdout", "last-session") == 0
    assert "Nothing is held out" not in capsys.readouterr().err
