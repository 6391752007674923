"""The training loop of neural models: batches, optimizer, checkpoints, Ctrl-C."""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from tfsessionrec.backend import keras
from tfsessionrec.data import Sessions, Vocabulary, session_dataset, training_examples
from tfsessionrec.evaluation import CatalogueMetrics
from tfsessionrec.models import SessionRec
from tfsessionrec.optimizers import Cooldown, LazyAdam
from tfsessionrec.systems.early_stopping import (
    EarlyStopping,
    Schedule,
    has_ended,
    validation_metrics,
)
from tfsessionrec.systems.epochs import Epoch, chosen_epoch
from tfsessionrec.systems.interrupt import Interrupt
from tfsessionrec.systems.model_directory import ModelDirectory
from tfsessionrec.systems.settings import Settings
from tfsessionrec.systems.training_callback import FiniteLoss, TrainingCallback

# Seconds within which the rows of a batch lie where candidates know the time: they share terms.
TREND_WINDOW = 600.0


class Interrupted(KeyboardInterrupt):
    """Ctrl-C ended a training; the message says what the model directory holds."""


def training_dataset(
    settings: Settings, sessions: Sessions, vocabulary: Vocabulary, seed: int, first_epoch: int = 0
) -> tf.data.Dataset:
    """The shuffled batches that a model of these settings trains on, from an epoch on."""
    training, history = settings.training, settings.history
    return session_dataset(
        training_examples(sessions, training.objective, history),
        vocabulary,
        history,
        batch_positions=training.batch_positions,
        # A relation ranks what first sessions showed, too.
        min_sessions=2 if history.relation is None else 1,
        shuffle_window=TREND_WINDOW if history.request_times else None,
        weights=training.weights,
        recency_half_life=training.recency_half_life,
        seed=seed,
        first_epoch=first_epoch,
    )


def compile_model(model: SessionRec, settings: Settings, steps: int) -> None:
    """Compiles a model with the optimizer of its settings.

    Args:
        model: The model.
        settings: The settings.
        steps: Steps of an epoch.
    """
    training = settings.training
    rate: object = training.learning_rate
    if training.cooldown:
        total = training.epochs * steps
        rate = Cooldown(training.learning_rate, total, training.cooldown, settings.first_step)
    # Adam whose step does not slow down as the catalogue grows, where negatives are sampled.
    model.compile(optimizer=LazyAdam(rate, beta_2=training.beta_2))


def fit(
    model: SessionRec,
    settings: Settings,
    vocabulary: Vocabulary,
    sessions: Sessions,
    directory: ModelDirectory | None = None,
    create: Callable[[], None] | None = None,
    progress: bool = True,
    validation: Sessions | None = None,
) -> list[Epoch]:
    """Trains a model and keeps its directory up to date.

    The order of batches, dropout and negatives follow from the seed and the epoch alone: a training
    that was interrupted and resumed gives the weights of one that was not.

    Args:
        model: A new model. After the training it has the weights of the last epoch or, with
            validation, of the best one.
        settings: Its settings.
        vocabulary: The items.
        sessions: The training sessions.
        directory: Where the state of training goes after each epoch. Defaults to None: nowhere.
        create: Starts the directory, once everything is checked and the model is compiled. Defaults
            to None: training goes on from the checkpoint of the directory, if there is one.
        progress: Whether to show a progress bar. Defaults to True.
        validation: The validation sessions. Defaults to None: there are none.

    Returns:
        Losses and metrics of each epoch.

    Raises:
        Interrupted: If Ctrl-C was pressed; the directory is whole then.
        TrainingDiverged: If a loss or a weight is not finite; the directory has the last epoch
            before it.
    """
    resumed = directory is not None and create is None
    finished = len(directory.history()) if resumed and directory is not None else 0
    dataset = training_dataset(settings, sessions, vocabulary, settings.seed, finished)
    steps = int(dataset.cardinality())
    compile_model(model, settings, steps)
    model.draw_seed = settings.seed
    metrics = None
    if validation is not None:
        metrics = validation_metrics(model, settings, validation, vocabulary)
    epochs: list[Epoch] = []
    if create is not None:
        create()
    if directory is not None:
        if create is None:
            epochs = list(directory.restore(model))
        else:
            directory.save(model, epochs)
            if directory.check_free(overwrite=True):
                directory.publish()
    run = _Run(model, settings, directory, epochs, steps, progress)
    if not run.has_ended:
        run.train(dataset, metrics, is_new=create is not None)
    elif directory is not None and run.chosen != len(epochs):
        directory.restore(model, directory.chosen_epoch())
    return epochs


@dataclasses.dataclass(frozen=True)
class _Run:
    """The epochs of a training that are left.

    Args:
        model: The compiled model, in the state after the finished epochs.
        settings: Its settings.
        directory: Where the state goes after each epoch.
        epochs: Losses and metrics of the finished epochs; new ones are appended.
        steps: Steps an epoch.
        progress: Whether to show a progress bar.
    """

    model: SessionRec
    settings: Settings
    directory: ModelDirectory | None
    epochs: list[Epoch]
    steps: int
    progress: bool

    @property
    def schedule(self) -> Schedule:
        """The steps of the training."""
        return Schedule.of(self.settings, self.steps)

    @property
    def chosen(self) -> int:
        """Number of the epoch that is the model."""
        return chosen_epoch(self.epochs)

    @property
    def has_ended(self) -> bool:
        """Whether no epoch is left."""
        made = int(self.model.optimizer.iterations)
        ended = has_ended(self.epochs, self.settings.validation, self.schedule, made)
        return ended or len(self.epochs) >= self.settings.training.epochs

    def train(
        self, dataset: tf.data.Dataset, metrics: CatalogueMetrics | None, is_new: bool
    ) -> None:
        """Trains the epochs that are left, and gives the model the chosen state."""
        directory, epochs = self.directory, self.epochs
        keras.utils.set_random_seed(self.settings.seed + len(epochs))
        with Interrupt.deferred() as interrupt:
            callbacks = [FiniteLoss(None if directory is None else directory.held)]
            stopping = None
            if metrics is not None:
                patience = self.settings.validation.patience
                stopping = EarlyStopping(
                    metrics, patience, self.schedule, epochs, interrupt, keep=directory is None
                )
                callbacks.append(stopping)
            callbacks.append(
                TrainingCallback(directory, interrupt, epochs, self.steps, self.progress)
            )
            try:
                self.model.fit(
                    dataset,
                    initial_epoch=len(epochs),
                    epochs=self.settings.training.epochs,
                    callbacks=callbacks,
                    verbose=0,
                )
            except Exception:
                # The corrected command should find the path free.
                if is_new and directory is not None and not epochs:
                    directory.withdraw()
                raise
        if interrupt.requested:
            held = "" if directory is None else f"; {directory.held()}"
            again = "--resume goes on"
            if directory is not None and directory.holds_earlier_model:
                again = "the same command starts again"
            raise Interrupted(f"Interrupted in epoch {len(epochs) + 1}{held}; {again}")
        if self.chosen != len(epochs):
            if directory is not None:
                directory.restore(self.model, directory.chosen_epoch())
            elif stopping is not None:
                stopping.restore()
