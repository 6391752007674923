"""The training loop of neural models: batches, optimizer, checkpoints, Ctrl-C."""

from collections.abc import Callable

import tensorflow as tf

from tfsessionrec.backend import keras
from tfsessionrec.data import Sessions, Vocabulary, session_dataset, training_examples
from tfsessionrec.models import SessionRec
from tfsessionrec.optimizers import Cooldown, LazyAdam
from tfsessionrec.systems.interrupt import Interrupt
from tfsessionrec.systems.model_directory import Epoch, ModelDirectory
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
        rate = Cooldown(training.learning_rate, training.epochs * steps, training.cooldown)
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
) -> list[Epoch]:
    """Trains a model and keeps its directory up to date.

    The order of batches, dropout and negatives follow from the seed and the epoch alone: a training
    that was interrupted and resumed gives the weights of one that was not.

    Args:
        model: A new model.
        settings: Its settings.
        vocabulary: The items.
        sessions: The training sessions.
        directory: Where the state of training goes after each epoch. Defaults to None: nowhere.
        create: Starts the directory, once everything is checked. Defaults to None: training goes on
            from the checkpoint of the directory, if there is one.
        progress: Whether to show a progress bar. Defaults to True.

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
    epochs: list[Epoch] = []
    if directory is not None:
        if create is None:
            epochs = list(directory.restore(model))
        else:
            create()
            directory.save(model, epochs)
            if directory.check_free(overwrite=True):
                directory.publish()
    if len(epochs) >= settings.training.epochs:
        return epochs
    keras.utils.set_random_seed(settings.seed + len(epochs))
    with Interrupt.deferred() as interrupt:
        try:
            model.fit(
                dataset,
                initial_epoch=len(epochs),
                epochs=settings.training.epochs,
                callbacks=[
                    FiniteLoss(None if directory is None else directory.held),
                    TrainingCallback(directory, interrupt, epochs, steps, progress),
                ],
                verbose=0,
            )
        except Exception:
            # The corrected command should find the path free.
            if create is not None and directory is not None and not epochs:
                directory.withdraw()
            raise
    if interrupt.requested:
        held = "" if directory is None else f"; {directory.held()}"
        raise Interrupted(f"Interrupted in epoch {len(epochs) + 1}{held}; --resume goes on")
    return epochs
