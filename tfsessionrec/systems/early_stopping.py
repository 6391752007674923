"""The validation of each epoch, and the early end of training."""

import dataclasses
import math
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tfsessionrec.backend import keras
from tfsessionrec.data import Sessions, Vocabulary, protocol_batches
from tfsessionrec.evaluation import CatalogueMetrics
from tfsessionrec.models import SessionRec
from tfsessionrec.systems.epochs import Epoch, best_epoch
from tfsessionrec.systems.interrupt import Interrupt
from tfsessionrec.systems.settings import Settings
from tfsessionrec.systems.validation import Validation

FEW_QUERIES = 100


@dataclasses.dataclass(frozen=True)
class Schedule:
    """The steps of a training, counted by its optimizer.

    Args:
        first_step: Steps that the optimizer had made before.
        num_steps: Steps of all epochs.
        cooldown_steps: The last of them, of whole epochs, in which the learning rate falls.
    """

    first_step: int
    num_steps: int
    cooldown_steps: int

    @classmethod
    def of(cls, settings: Settings, steps: int) -> "Schedule":
        """The schedule of some settings with this many steps an epoch."""
        training = settings.training
        cooldown = math.ceil(round(training.cooldown * training.epochs, 6))
        return cls(settings.first_step, training.epochs * steps, cooldown * steps)

    @property
    def end(self) -> int:
        """Steps of the optimizer after which training has ended."""
        return self.first_step + self.num_steps

    @property
    def cooldown(self) -> int:
        """Steps of the optimizer after which the epochs of the cooldown begin."""
        return self.end - self.cooldown_steps


class EarlyStopping(keras.callbacks.Callback):
    """Validates after each epoch, and ends training once the metric does not rise.

    Where the learning rate has a cooldown, the cooldown begins instead, and training ends with it:
    the counter of the optimizer, which the schedule reads, goes to the first step of the cooldown.
    A model before its cooldown is worse than the same model after it, whatever the epoch. Because
    the counter is part of each checkpoint, a resumed training does the same.

    Place it before callbacks that save the model, and after those that check it.

    Args:
        metrics: The metrics of the validation part.
        patience: Epochs without a rise. None: training does not end early.
        schedule: The steps of the training.
        epochs: Losses and metrics of each finished epoch, without the one that ends.
        interrupt: Once it is requested, the epoch that ends is not a whole one.
        keep: Whether to keep the state of the best epoch, for `restore`. Defaults to False.
    """

    def __init__(
        self,
        metrics: CatalogueMetrics,
        patience: int | None,
        schedule: Schedule,
        epochs: Sequence[Epoch],
        interrupt: Interrupt,
        keep: bool = False,
    ) -> None:
        super().__init__()
        self._metrics = metrics
        self._patience = patience
        self._schedule = schedule
        self._epochs = epochs
        self._interrupt = interrupt
        self._keep = keep
        self._best: list[NDArray[np.generic]] = []

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        self._metrics.set_model(model)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if self._interrupt.requested:
            return
        logs = {} if logs is None else logs
        self._metrics.on_epoch_end(epoch, logs)
        epochs = [*self._epochs, logs]
        if self._keep and best_epoch(epochs) == len(epochs):
            self._best = [variable.numpy() for variable in self._state()]
        counter = self.model.optimizer.iterations
        if is_exhausted(epochs, self._patience):
            if not self._schedule.cooldown_steps:
                self.model.stop_training = True
            elif int(counter) < self._schedule.cooldown:
                counter.assign(self._schedule.cooldown)
        if int(counter) >= self._schedule.end:
            self.model.stop_training = True

    def restore(self) -> None:
        """Sets model and optimizer back to the best epoch."""
        for variable, value in zip(self._state(), self._best, strict=bool(self._best)):
            variable.assign(value)

    def _state(self) -> list:
        return [*self.model.variables, *self.model.optimizer.variables]


def has_ended(
    epochs: Sequence[Epoch], validation: Validation, schedule: Schedule, steps_made: int
) -> bool:
    """Whether a training with these epochs and steps of its optimizer has ended."""
    early = not schedule.cooldown_steps and is_exhausted(epochs, validation.patience)
    return early or steps_made >= schedule.end


def is_exhausted(epochs: Sequence[Epoch], patience: int | None) -> bool:
    """Whether the last `patience` epochs have not risen above the best one."""
    return patience is not None and len(epochs) - best_epoch(epochs) >= patience


def validation_metrics(
    model: SessionRec, settings: Settings, sessions: Sessions, vocabulary: Vocabulary
) -> CatalogueMetrics:
    """The metrics of validation sessions, for the logs of each epoch.

    Args:
        model: The model, which is asked once, so that a mistake shows before training.
        settings: The settings of the system.
        sessions: The validation sessions; those with `is_target` are asked for.
        vocabulary: The items.

    Raises:
        ValueError: If the sessions give no query.
    """
    validation, objective = settings.validation, settings.training.objective
    try:
        metrics = CatalogueMetrics(
            protocol_batches(objective, sessions, vocabulary, settings.history),
            validation.k,
            metrics=[validation.measure],
            max_queries=None,
            first_item_index=vocabulary.first_item_index,
        )
        metrics.set_model(model)
        metrics.on_epoch_end(0, {})
    except ValueError as error:
        raise ValueError(
            f"`validation` should have sessions to ask for with the objective {objective}. "
            f"Received: `validation`={validation.part!r}: {error}"
        ) from error
    if metrics.num_queries < FEW_QUERIES:
        warnings.warn(
            f"`validation` (--validation) {validation.part} has {metrics.num_queries} queries: "
            f"which epoch is the best is left to chance below {FEW_QUERIES} or so. `last-session` "
            "or a log of its own may have more",
            stacklevel=2,
        )
    return metrics
