"""What the commands hand to training: regularisation, the order of batches, moments together."""

import pathlib
import types

import numpy as np
import polars as pl
import pytest
import tensorflow as tf

import tfsessionrec as sr
from tfsessionrec.cli.main import main


def test_losses_of_layers_are_trained() -> None:
    """One step of SGD with `0.5 |w|^2` added to the task takes `rate * w` more off w."""
    rate = 0.1
    items = np.random.default_rng(0).integers(2, 20, (8, 4, 3)).astype(np.int32)

    def step(regularised: bool) -> tuple[np.ndarray, np.ndarray]:
        tf.keras.utils.set_random_seed(0)
        model = sr.models.build(
            "sessionrec-sasrec", vocabulary_size=20, embedding_dim=8, negatives="full", dropout=0.0
        )
        model({"item_ids": items})
        weight = max(model.trainable_variables, key=lambda variable: float(tf.norm(variable)))
        if regularised:
            model.add_loss(lambda: 0.5 * tf.reduce_sum(weight**2))
        model.compile(tf.keras.optimizers.SGD(rate))
        before = weight.numpy()
        model.fit(tf.data.Dataset.from_tensors({"item_ids": items}), verbose=0)
        return before, weight.numpy()

    before, plain = step(False)
    _, smaller = step(True)
    assert np.abs(before).max() > 0.01
    np.testing.assert_allclose(plain - smaller, rate * before, atol=1e-6)


@pytest.mark.slow
def test_a_resumed_training_draws_again(
    shown_log: pathlib.Path, tmp_path: pathlib.Path, capture: types.ModuleType
) -> None:
    """Its first epoch has another order of batches and other negatives than the first of all."""
    words = "--user user_id --session session_id --label label --model sessionrec-sasrec --seed 3"
    small = "--embedding-dim 8 --batch-positions 64 --epochs 1"
    train = ["train", "--events", str(shown_log), "--output", str(tmp_path / "model")]

    def fitted(*more: str) -> dict:
        with capture.fits() as seen:
            assert main([*train, *more]) == 0
        (one,) = seen
        return one

    first = fitted(*words.split(), *small.split())
    again = fitted(*words.split(), *small.split(), "--overwrite")
    resumed = fitted("--resume", "--epochs", "2")

    def order(run: dict) -> list[list[int]]:
        return [batch["item_ids"].ravel().tolist() for batch in run["batches"]]

    assert order(first) == order(again)
    np.testing.assert_array_equal(first["draw"], again["draw"])
    assert len(order(resumed)) > 3
    assert order(resumed) != order(first)
    assert not np.allclose(resumed["draw"], first["draw"])


@pytest.mark.parametrize("trend", [False, True])
def test_batches_of_a_trend_are_of_one_moment(
    trend: bool, tmp_path: pathlib.Path, capture: types.ModuleType
) -> None:
    """Sessions 5 minutes apart, 64 a batch: with a trend a batch spans 64 of them, not 1,000."""
    visits = np.repeat(np.arange(1000), 2)
    pl.DataFrame(
        {
            "visit": visits,
            "item_id": np.random.default_rng(0).integers(0, 20, 2000),
            "timestamp": visits * 300 + np.tile([0, 10], 1000),
        }
    ).write_csv(tmp_path / "news.csv")
    words = "--session visit --model gru4rec --embedding-dim 4 --epochs 1 --batch-positions 128"
    more = ["--set", 'trend={"half_lives": [600], "refresh": 600}'] if trend else []
    train = ["train", "--events", str(tmp_path / "news.csv"), *words.split(), *more]
    with capture.fits() as seen:
        assert main([*train, "--output", str(tmp_path / "model")]) == 0
    times = [batch["session_times"].max(axis=1) for batch in seen[0]["batches"]]
    sizes = np.array([len(batch) for batch in times])
    spans = np.array([np.ptp(batch) for batch in times])
    assert sizes.max() == 64
    if trend:
        assert (spans <= (sizes + 1) * 300 + 1200).all()
    else:
        assert np.median(spans) > 200_000
