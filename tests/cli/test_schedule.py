"""The fall of the learning rate from the command line."""

import pathlib
from collections.abc import Callable

import pytest
import tensorflow as tf


def learning_rate(directory: pathlib.Path) -> float:
    """Of the last step."""
    checkpoint = tf.train.load_checkpoint(tf.train.latest_checkpoint(directory / "checkpoint"))
    (name,) = (n for n in checkpoint.get_variable_to_shape_map() if "learning_rate" in n)
    return float(checkpoint.get_tensor(name))


def steps(directory: pathlib.Path) -> int:
    checkpoint = tf.train.load_checkpoint(tf.train.latest_checkpoint(directory / "checkpoint"))
    (name,) = (n for n in checkpoint.get_variable_to_shape_map() if "iterations" in n)
    return int(checkpoint.get_tensor(name))


@pytest.mark.slow
def test_the_rate_falls_over_all_epochs_of_the_training(
    train: Callable[..., int], tmp_path: pathlib.Path
) -> None:
    options = ["--learning-rate", "0.01", "--batch-positions", "64"]
    assert train(tmp_path / "plain", *options, "--epochs", "2", "--cooldown", "0") == 0
    assert learning_rate(tmp_path / "plain") == pytest.approx(0.01)
    options += ["--cooldown", "0.5", "--epochs", "2"]
    assert train(tmp_path / "falling", *options) == 0
    # one step before the end: 1 / (half of all steps) of the rate
    expected = 0.01 / (0.5 * steps(tmp_path / "falling"))
    assert learning_rate(tmp_path / "falling") == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_newer_sessions_are_learned_from_more_often(
    train: Callable[..., int], log: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """With a tiny half-life every draw is the newest of its length."""
    from tfsessionrec.systems.model_directory import ModelDirectory
    from tfsessionrec.systems.training import training_dataset

    assert train(tmp_path / "m", "--epochs", "1", "--recency-half-life", "0.01") == 0
    directory = ModelDirectory(tmp_path / "m")
    settings = directory.settings()
    sessions = settings.log.read(log)
    batches = training_dataset(settings, sessions, directory.vocabulary(), seed=0)
    newest: dict[int, set[int]] = {}
    for batch in batches:
        lengths = (batch["item_ids"].numpy() > 0).any(axis=2).sum(axis=1)
        for length, times in zip(lengths, batch["session_times"].numpy(), strict=True):
            newest.setdefault(length, set()).add(times[length - 1])
    assert len(newest) > 3
    assert all(len(times) == 1 for times in newest.values())
