"""Extending a model by the items of a later log, and training it on that log."""

import dataclasses
import os
import pathlib

import polars as pl

from tfsessionrec.data import Sessions, Vocabulary
from tfsessionrec.data.ids import clean_ids
from tfsessionrec.data.reading import EventSource, check_column
from tfsessionrec.data.target_weights import row_weights
from tfsessionrec.systems import training
from tfsessionrec.systems.growth import Growth
from tfsessionrec.systems.known_events import Known, KnownEvents
from tfsessionrec.systems.learned_log import LearnedLog
from tfsessionrec.systems.model_directory import ModelDirectory
from tfsessionrec.systems.neural_model import build_model, set_trend
from tfsessionrec.systems.neural_system import NeuralSystem
from tfsessionrec.systems.registry import BASELINES
from tfsessionrec.systems.settings import Settings
from tfsessionrec.systems.train import known_events, validation_sessions


def extend(
    path: str | os.PathLike[str],
    log: EventSource | Sessions,
    epochs: int = 1,
    *,
    item_table: pl.DataFrame | None = None,
    events_before: KnownEvents | None = None,
    progress: bool = False,
) -> NeuralSystem:
    """Extends the model of a directory by the items of a later log, and trains it on that log.

    - Items that are new in the log, at least `min_count` times as in training, join the vocabulary.
      Weights and state of the optimizer of the other items stay, bit by bit.
    - The embedding of a new item starts from the mean of its neighbors: the known items directly
      before and after it among the positive interactions of the log's sessions. Without a known
      neighbor it starts as in a new model. Where the model reads features of items, those of the
      new item join it.
    - The counts of the log are added to those of the vocabulary: popularity, in evaluation and
      export, and `negatives="popularity"` follow both logs. A trend counts the log alone.
    - Training goes on for `epochs` epochs of the log, with the learning rate of training, whose
      cooldown is the last share of these epochs.

    The model on disk stays until the first epoch is whole; then the extended one takes its place.
    `train.resume` continues it with the same log.

    Args:
        path: The model directory.
        log: The later log, or its sessions; read as in training.
        epochs: Passes over the log. Defaults to 1.
        item_table: The features of new items; known items keep theirs. Defaults to None: none.
        events_before: As for `train`.
        progress: Whether to show a progress bar. Defaults to False.

    Returns:
        The extended system.

    Raises:
        FileNotFoundError: If there is no model directory.
        ValueError: If the model is a baseline, or the log has no item that is known or can be
            added.

    Example:

    ```python
    system = sr.systems.fit("sasrec", "monday.csv", user="user_id", session="visit")
    system.save("model")
    system = sr.systems.extend("model", "tuesday.csv")
    ```
    """
    directory = ModelDirectory(pathlib.Path(path))
    settings = directory.settings().for_another_log(epochs)
    sessions = (
        log if isinstance(log, Sessions) else settings.log.read(log, settings.training.columns)
    )
    return extend_directory(
        settings,
        sessions,
        directory,
        item_table=item_table,
        events_before=events_before,
        progress=progress,
    )


def extend_directory(
    settings: Settings,
    log: Sessions,
    directory: ModelDirectory,
    *,
    item_table: pl.DataFrame | None = None,
    events_before: KnownEvents | None = None,
    progress: bool = False,
) -> NeuralSystem:
    """Extends the model of a directory, see `extend`.

    Args:
        settings: `Settings.for_another_log` of the directory's; holdout, validation and training
            may differ.
        log: All sessions of the later log.
        directory: The directory.
        item_table: The features of new items.
        events_before: As for `train`.
        progress: Whether to show a progress bar.
    """
    if settings.model in BASELINES:
        raise ValueError(
            f"{settings.model} is fitted at once and cannot be extended: train it again on both "
            "logs"
        )
    with directory.locked():
        before, old_vocabulary = directory.settings(), directory.vocabulary()
        old_table = directory.item_table()
        old = build_model(before, old_vocabulary, old_table)
        training.compile_model(old, before, steps=1)
        directory.restore(old, directory.chosen_epoch())
        table = joined_table(settings, old_vocabulary, old_table, item_table)
        settings, vocabulary = grown(
            settings, before, old_vocabulary, log, table, int(old.optimizer.iterations)
        )
        sessions = settings.parts.training(log)
        row_weights(sessions.events, settings.training.weights)
        if not known_events(settings.trained_on(sessions), vocabulary):
            raise ValueError(
                f"The log should have an item that {directory.path} knows, or one with "
                f"`min_count`={settings.min_count} interactions. Received: {log.num_events} events "
                "of others"
            )
        validation = validation_sessions(settings, log, vocabulary)
        growth = Growth(old, old_vocabulary, build_model(settings, vocabulary, table), vocabulary)
        growth.copy_weights(sessions)
        if growth.new.trend is not None:
            known = Known.of(events_before, log, settings.parts)
            set_trend(growth.new, known.sessions, vocabulary)
        system = NeuralSystem(settings, vocabulary, growth.new, table)

        def create() -> None:
            growth.copy_moments()
            directory.create(settings, vocabulary, overwrite=True, item_table=table)

        system.epochs = training.fit(
            growth.new,
            settings,
            vocabulary,
            system.sessions_since(sessions),
            directory,
            create,
            progress=progress,
            validation=validation,
        )
    return system


def grown(
    settings: Settings,
    before: Settings,
    old_vocabulary: Vocabulary,
    log: Sessions,
    table: pl.DataFrame | None,
    steps: int,
) -> tuple[Settings, Vocabulary]:
    """The settings and the vocabulary after a later log.

    Args:
        settings: The settings for the log.
        before: Those of the earlier training.
        old_vocabulary: Its items.
        log: All sessions of the log.
        table: The features of all items.
        steps: Steps that the optimizer has made.
    """
    vocabulary = old_vocabulary.grow(counted_sessions(settings, log), settings.min_count)
    if table is not None:
        vocabulary = vocabulary.extend(_ids(table, settings, vocabulary))
    learned = before.learned or (LearnedLog.first(before.parts, old_vocabulary),)
    later = LearnedLog.later(log, vocabulary, settings.parts, settings.training.since, steps)
    return dataclasses.replace(settings, learned=(*learned, later)), vocabulary


def counted_sessions(settings: Settings, log: Sessions) -> Sessions:
    """The sessions of a later log whose items and interactions join the vocabulary."""
    return LearnedLog(0, "", settings.parts, settings.training.since).sessions(log)


def joined_table(
    settings: Settings,
    vocabulary: Vocabulary,
    known: pl.DataFrame | None,
    others: pl.DataFrame | None,
) -> pl.DataFrame | None:
    """The features of the known items, then those of other items.

    Raises:
        ValueError: If the model reads no features, or a column is missing or of another type.
    """
    if others is None or others.is_empty():
        return known
    if known is None or settings.item_features is None:
        raise ValueError(
            "`item_table` (--item-features) should be None: the model was trained without features "
            f"of items. Received: columns {', '.join(others.columns)}"
        )
    for name in known.columns:
        check_column(others.columns, name, "--item-features")
    new = ~_ids(others, settings, vocabulary).is_in(_ids(known, settings, vocabulary).implode())
    try:
        cast = others.filter(new).select(known.columns).cast(known.schema)
    except pl.exceptions.PolarsError as error:
        raise ValueError(
            f"`item_table` (--item-features) should have columns of the types {known.schema}. "
            f"Received: {others.schema}: {error}"
        ) from error
    return pl.concat([known, cast])


def _ids(table: pl.DataFrame, settings: Settings, vocabulary: Vocabulary) -> pl.Series:
    column = settings.log.columns.item
    check_column(table.columns, column, "--item")
    return clean_ids(table[column], "--item", id_type=vocabulary.dtype)
