"""During training: a progress bar, a checkpoint an epoch, and the end after Ctrl-C."""

import math
import time
from collections.abc import Mapping

import tensorflow as tf
import tqdm

from tfsessionrec.backend import keras
from tfsessionrec.systems.interrupt import Interrupt
from tfsessionrec.systems.model_directory import Epoch, ModelDirectory

Logs = Mapping[str, float] | None


class DivergedError(ValueError):
    """A loss or a weight is not finite; the model directory holds the last epoch that is."""


class TrainingCallback(keras.callbacks.Callback):
    """Shows progress, writes the directory after every epoch, and stops after the running batch.

    Args:
        directory: Where the state of training goes; None: nowhere.
        interrupt: Stops training once it is requested.
        epochs: Losses and metrics of each finished epoch; new ones are appended.
        num_batches: Batches an epoch.
        progress: Whether to show a bar.
    """

    def __init__(
        self,
        directory: ModelDirectory | None,
        interrupt: Interrupt,
        epochs: list[Epoch],
        num_batches: int,
        progress: bool = True,
    ) -> None:
        super().__init__()
        self._directory = directory
        self._interrupt = interrupt
        self._epochs = epochs
        self._num_batches = num_batches
        self._progress = progress
        self._bar: tqdm.tqdm | None = None
        self._started = 0.0

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._started = time.perf_counter()
        self._bar = tqdm.tqdm(
            total=self._num_batches,
            desc=f"Epoch {epoch + 1}/{self.params['epochs']}",
            unit="batch",
            dynamic_ncols=True,
            mininterval=0.5,
            disable=not self._progress,
        )

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        assert self._bar is not None
        self._bar.update(batch + 1 - self._bar.n)  # several steps may pass between two calls
        if self._interrupt.requested:
            self.model.stop_training = True
            self._bar.close()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if self._interrupt.requested:
            return
        assert self._bar is not None
        ended = {name: float(value) for name, value in (logs or {}).items()}
        self._bar.set_postfix({name: f"{value:.4f}" for name, value in ended.items()})
        self._bar.close()
        self._check_finite(epoch, ended)
        self._epochs.append({**ended, "seconds": time.perf_counter() - self._started})
        if self._directory is not None:
            self._directory.save(self.model, self._epochs)
            self._directory.publish()

    def _check_finite(self, epoch: int, ended: Mapping[str, float]) -> None:
        wrong = [f"{name} is {value}" for name, value in ended.items() if not math.isfinite(value)]
        if not wrong:
            wrong = [
                f"{weight.name} has values that are not finite"
                for weight in self.model.trainable_variables
                if not bool(tf.reduce_all(tf.math.is_finite(weight)))
            ]
        if wrong:
            held = "" if self._directory is None else f" {self._directory.held()}."
            rate = float(self.model.optimizer.learning_rate)
            raise DivergedError(
                f"Training diverged in epoch {epoch + 1}: {wrong[0]}.{held} The cause is the "
                f"learning rate (now {rate:g}), an option such as `temperature`, or a feature with "
                "numbers that are too large: lower `--learning-rate`, or correct them"
            )
