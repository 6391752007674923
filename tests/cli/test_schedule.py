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


def test_the_rate_falls_over_all_epochs_of_the_training(
    train: Callable[..., int], tmp_path: pathlib.Path
) -> None:
    options = ["--learning-rate", "0.01", "--batch-positions", "64"]
    assert train(tmp_path / "plain", *options, "--epochs", "2") == 0
    assert learning_rate(tmp_path / "plain") == pytest.approx(0.01)
    options += ["--cooldown", "0.5", "--epochs", "2"]
    assert train(tmp_path / "falling", *options) == 0
    # one step before the end: 1 / (half of all steps) of the rate
    expected = 0.01 / (0.5 * steps(tmp_path / "falling"))
    assert learning_rate(tmp_path / "falling") == pytest.approx(expected, rel=1e-5)
