"""The training loop of neural models: batches, optimizer, checkpoints, Ctrl-C."""

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
    settings: Settings, sessions: Sessions, vocabulary: Vocabulary, seed: int
) -> tf.data.Dataset:
    """The shuffled batches that a model of these settings trains on."""
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
    resume: bool = False,
    progress: bool = True,
) -> list[Epoch]:
    """Trains a model and keeps its directory up to date.

    Args:
        model: A new model.
        settings: Its settings.
        vocabulary: The items.
        sessions: The training sessions.
        directory: Where the state of training goes after each epoch. Defaults to None: nowhere.
        resume: Whether to continue from the checkpoint of the directory. Defaults to False.
        progress: Whether to show a progress bar. Defaults to True.

    Returns:
        Losses and metrics of each epoch.

    Raises:
        Interrupted: If Ctrl-C was pressed; the directory is whole then.
        TrainingDiverged: If the loss is not finite.
    """
    training = settings.training
    dataset = training_dataset(settings, sessions, vocabulary, settings.seed)
    steps = int(dataset.cardinality())
    compile_model(model, settings, steps)
    epochs: list[Epoch] = []
    if resume and directory is not None:
        epochs = list(directory.restore(model))
    if len(epochs) >= training.epochs:
        return epochs
    # Another order and other negatives than in the epochs already done.
    seed = settings.seed + len(epochs)
    keras.utils.set_random_seed(seed)
    if epochs:
        dataset = training_dataset(settings, sessions, vocabulary, seed)
    with Interrupt.deferred() as interrupt:
        model.fit(
            dataset,
            initial_epoch=len(epochs),
            epochs=training.epochs,
            callbacks=[
                FiniteLoss(),
                TrainingCallback(directory, interrupt, epochs, steps, progress),
            ],
            verbose=0,
        )
        if interrupt.requested and not epochs and directory is not None:
            directory.save(model, epochs)
    if interrupt.requested:
        held = f"after epoch {len(epochs)}" if epochs else "as it was then"
        where = "" if directory is None else f"; {directory.path} holds the model {held}"
        raise Interrupted(f"Interrupted in epoch {len(epochs) + 1}{where}; --resume goes on")
    return epochs
