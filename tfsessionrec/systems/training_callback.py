"""During training: a progress bar, a checkpoint an epoch, and the end after Ctrl-C."""

import math
import time
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf
import tqdm

from tfsessionrec.backend import keras
from tfsessionrec.systems.epochs import Epoch
from tfsessionrec.systems.interrupt import Interrupt
from tfsessionrec.systems.model_directory import ModelDirectory

Logs = Mapping[str, float] | None


class TrainingDiverged(ValueError):  # noqa: N818
    """Training ended as its loss, or a weight of the model, was no longer a finite number.

    Args:
        epoch: The epoch, from 1.
        step: The step of the epoch, from 1; after it the number was found.
        part: Name of the loss or of the weight that was not finite first.
        advice: The cause, as far as it is plain, and what is left of the training.
    """

    def __init__(self, epoch: int, step: int, part: str, advice: str) -> None:
        super().__init__(
            f"Training diverged in epoch {epoch}: `{part}` is not finite after step {step}. "
            + advice
        )
        self.epoch = epoch
        self.step = step
        self.part = part


class FiniteLoss(keras.callbacks.Callback):
    """Ends training with `TrainingDiverged` as soon as the loss is not finite.

    It reads the logs that Keras has computed anyway, and after each epoch also the weights, which
    may have become infinite in its last step. Place it before callbacks that save the model.

    Args:
        held: Says what is left of the training, for the message. Defaults to None: nothing.
    """

    def __init__(self, held: Callable[[], str] | None = None) -> None:
        super().__init__()
        self._held = held
        self._epoch = 0
        self._first = True

    def on_train_begin(self, logs: Logs = None) -> None:
        self._first = True

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        losses = {n: v for n, v in (logs or {}).items() if n.endswith("loss") and np.ndim(v) == 0}
        # The parts first: the loss is their sum.
        for name in sorted(losses, key="loss".__eq__):
            if not math.isfinite(losses[name]):
                raise TrainingDiverged(self._epoch + 1, batch + 1, name, self._cause())
        self._first = False
        self._step = batch + 1

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        for weight in self.model.trainable_weights:
            if not bool(tf.reduce_all(tf.math.is_finite(weight))):
                raise TrainingDiverged(epoch + 1, self._step, weight.name, self._cause())

    def _cause(self) -> str:
        held = "" if self._held is None else f"; {self._held()}"
        if self._first:
            return (
                "It is the first step: a feature or a weight of the batch, or the model at its "
                f"start, holds a number that is not finite or too large{held}"
            )
        rate = float(tf.convert_to_tensor(self.model.optimizer.learning_rate))
        return (
            f"The steps before it were finite, with learning rate {rate:g}: lower the learning "
            "rate, or look for an option such as `temperature` and for features that are too "
            f"small or too large{held}"
        )


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
        self._epochs.append({**ended, "seconds": time.perf_counter() - self._started})
        if self._directory is not None:
            self._directory.save(self.model, self._epochs)
            self._directory.publish()
