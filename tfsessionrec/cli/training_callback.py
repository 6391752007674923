"""What goes on beside training: a bar, a checkpoint an epoch, an ear for Ctrl-C."""

import time
from collections.abc import Mapping
from typing import Any

import tqdm

from tfsessionrec.backend import keras
from tfsessionrec.cli.interrupt import Interrupt
from tfsessionrec.cli.model_directory import ModelDirectory


class TrainingCallback(keras.callbacks.Callback):
    """Shows progress, writes the directory after every epoch, and stops after the running batch.

    Args:
        directory: Where the state of training goes.
        interrupt: Stops training once it is requested.
        epochs: What each epoch finished earlier ended with; those to come are appended.
        num_batches: Batches an epoch, or None if that is unknown.
    """

    def __init__(
        self,
        directory: ModelDirectory,
        interrupt: Interrupt,
        epochs: list[dict[str, float]],
        num_batches: int | None,
    ) -> None:
        super().__init__()
        self._directory = directory
        self._interrupt = interrupt
        self._epochs = epochs
        self._num_batches = num_batches
        self._bar: tqdm.tqdm | None = None
        self._started = 0.0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._started = time.perf_counter()
        self._bar = tqdm.tqdm(
            total=self._num_batches,
            desc=f"Epoch {epoch + 1}/{self.params['epochs']}",
            unit="batch",
            dynamic_ncols=True,
            mininterval=0.5,
        )

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        assert self._bar is not None
        self._bar.update(batch + 1 - self._bar.n)  # several steps may lie between two calls
        if self._interrupt.requested:
            self.model.stop_training = True
            self._bar.close()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self._interrupt.requested:
            return
        assert self._bar is not None
        ended = {name: float(value) for name, value in (logs or {}).items()}
        self._bar.set_postfix({name: f"{value:.4f}" for name, value in ended.items()})
        self._bar.close()
        self._epochs.append({**ended, "seconds": time.perf_counter() - self._started})
        self._directory.save(self.model, self._epochs)
