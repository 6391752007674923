"""From a log to a trained system, by name."""

import contextlib
import dataclasses
import logging
import pathlib
from collections.abc import Mapping

import polars as pl

from tfsessionrec import checks, models
from tfsessionrec.data import Sessions, Vocabulary
from tfsessionrec.data.ids import clean_ids
from tfsessionrec.data.log_format import LogColumns, LogFormat
from tfsessionrec.data.reading import EventSource, check_column, check_source
from tfsessionrec.data.target_weights import row_weights
from tfsessionrec.history_spec import HistorySpec
from tfsessionrec.recipe import Training
from tfsessionrec.systems import training
from tfsessionrec.systems.baseline_system import BaselineSystem
from tfsessionrec.systems.choices import LOGGER, choices
from tfsessionrec.systems.known_events import Known, KnownEvents
from tfsessionrec.systems.model_directory import ModelDirectory
from tfsessionrec.systems.neural_model import (
    build_model,
    columns_read,
    history_read,
    set_repeat_rates,
    set_trend,
)
from tfsessionrec.systems.neural_system import NeuralSystem
from tfsessionrec.systems.registry import BASELINES, build_baseline, check_name
from tfsessionrec.systems.settings import Settings
from tfsessionrec.systems.trained_system import TrainedSystem
from tfsessionrec.systems.validation import Validation

# The trend of `--trend`: half-lives of minutes to a day, and what followed the last two items.
TREND = {
    "half_lives": [120, 300, 900, 3600, 14400, 86400],
    "follow_half_lives": [900, 7200, 86400],
    "follow_items": 2,
}
DEFAULT_GAP = "30m"


def default_settings(name: str) -> Settings:
    """The settings of a system by name, before a log is known.

    Raises:
        ValueError: If the name is unknown.
    """
    check_name(name)
    if name in BASELINES:
        history = HistorySpec(max_sessions=50, max_items=200, request_times=True)
        return Settings(name, {}, LogFormat(), history, Training("next_item"))
    recipe = models.recipe(name)
    return Settings(name, {}, LogFormat(), recipe.history, recipe.training)


def build(name: str, log: LogFormat | None = None, **options: object) -> "Untrained":
    """A system that is not trained yet.

    Args:
        name: One of `systems.names()`.
        log: How logs are read. Defaults to `LogFormat()`.
        **options: Options of the model; fields of `Training`, `max_sessions`, `max_items`,
            `min_count`, `holdout`, `seed`; `validation` (`"last-day"`, `"last-session"` or the path
            of another log) and `early_stopping` (`"ndcg@20"` or `"ndcg@20,patience=3"`), see
            `Validation`.

    Returns:
        `Untrained`, whose `fit(log)` gives a `TrainedSystem`.

    Raises:
        ValueError: If the name is unknown.
    """
    if log is not None:
        checks.instance("log", log, LogFormat)
    return Untrained(with_options(default_settings(name), log or LogFormat(), options))


@dataclasses.dataclass(frozen=True)
class Untrained:
    """A system that is not trained yet.

    Args:
        settings: Everything that decides what training makes of a log.
    """

    settings: Settings

    def fit(
        self, log: EventSource | Sessions, item_table: pl.DataFrame | None = None
    ) -> TrainedSystem:
        """Trains the system on a log.

        Args:
            log: The log, or its sessions.
            item_table: The features of the items. Defaults to None: there are none.
        """
        if isinstance(log, Sessions):
            sessions = log
        else:
            check_source("log", log)
            sessions = self.settings.log.read(log, self.settings.training.columns)
        return train(self.settings, sessions, item_table=item_table)


def fit(
    name: str,
    log: EventSource | Sessions,
    *,
    user: str | None = None,
    item: str = "item_id",
    time: str = "timestamp",
    session: str | None = None,
    gap: str | None = None,
    label: str | None = None,
    **options: object,
) -> TrainedSystem:
    """Trains a system on a log, in one step.

    Args:
        name: One of `systems.names()`, such as `"sessionrec-sasrec"` or `"vsknn"`.
        log: The log: anything that `data.read_events` takes; or its sessions.
        user: Column of the user. Defaults to None: every session is an anonymous visitor.
        item: Column of the item. Defaults to `"item_id"`.
        time: Column of the time. Defaults to `"timestamp"`.
        session: Column of the session. Defaults to None: 30 minutes without an event of the user
            end a session.
        gap: Inactivity that ends a session, such as `"1h"`, instead of `session`.
        label: Column of labels: 1 for a positive interaction, 0 for an item that was shown but not
            clicked. Defaults to None: every event is positive.
        **options: Further columns and formats (`interaction_type`, `impressions`,
            `session_context`, `time_unit`, `filter` ...: fields of `LogColumns` and `LogFormat`);
            `epochs`, `learning_rate`, `weights` ...: fields of `Training`; `max_sessions`,
            `max_items`, `min_count`, `holdout`, `validation`, `early_stopping`, `seed` as for
            `build`; and options of the model, such as `embedding_dim`.

    Returns:
        A `TrainedSystem`.

    Raises:
        ValueError: If an argument is unknown or out of its range, or the log cannot be read.

    Example:

    >>> import tfsessionrec as sr
    >>> events = sr.data.simulate(num_users=30, num_items=20).events
    >>> columns = {"user": "user_id", "session": "session_id", "label": "label"}
    >>> system = sr.systems.fit("vsknn", events, **columns)
    >>> len(system.recommend([["i00001", "i00002"]], k=3))
    3
    """
    if session is None and gap is None and not isinstance(log, Sessions):
        gap = DEFAULT_GAP
    columns: dict[str, object] = {
        "user": user,
        "item": item,
        "time": time,
        "session": session,
        "label": label,
    }
    formats: dict[str, object] = {"gap": gap}
    for field in dataclasses.fields(LogColumns):
        if field.name in options:
            columns[field.name] = options.pop(field.name)
    for field in dataclasses.fields(LogFormat):
        if field.name in options:
            formats[field.name] = options.pop(field.name)
    log_format = LogFormat(LogColumns(**columns), **formats)  # type: ignore[arg-type]
    return build(name, log_format, **options).fit(log)


def with_options(settings: Settings, log: LogFormat, options: Mapping[str, object]) -> Settings:
    """The settings with options by name: of training, of the history, of itself, of the model."""
    given = dict(options)

    def take(names: tuple[str, ...]) -> dict[str, object]:
        return {name: given.pop(name) for name in names if name in given}

    trained = take(tuple(field.name for field in dataclasses.fields(Training)))
    limits = take(("max_sessions", "max_items"))
    own = take(("min_count", "holdout", "seed"))
    validated = take(("validation", "early_stopping"))
    if validated:
        part = validated.pop("validation", "none")
        own["validation"] = Validation.of(part, **validated)  # type: ignore[arg-type]
    return dataclasses.replace(
        settings,
        log=log,
        history=dataclasses.replace(settings.history, **limits),  # type: ignore[arg-type]
        training=dataclasses.replace(settings.training, **trained),  # type: ignore[arg-type]
        options={**settings.options, **given},
        **own,  # type: ignore[arg-type]
    )


def train(
    settings: Settings,
    log: Sessions,
    directory: ModelDirectory | None = None,
    *,
    overwrite: bool = False,
    item_table: pl.DataFrame | None = None,
    events_before: KnownEvents | None = None,
    progress: bool = False,
) -> TrainedSystem:
    """Trains a system on the sessions of a log.

    Args:
        settings: The settings; the columns that the log has are added to them.
        log: All sessions; `settings.holdout` says which are kept from training.
        directory: Where the system is written, after each epoch. Defaults to None: nowhere.
        overwrite: Whether an earlier model directory may be replaced. Defaults to False.
        item_table: The features of the items. Defaults to None: there are none.
        events_before: The events that a trend counts before each request: `"training"` (default),
            those that are trained on; `"all"`, every event of `log`; or those of another log.
        progress: Whether to show progress bars. Defaults to False.

    Returns:
        The trained system.

    Raises:
        ValueError: If an option is unknown or out of its range.
        TrainingDiverged: If a loss or a weight is not finite.
        training.Interrupted: If Ctrl-C was pressed; the directory is whole then.
    """
    with contextlib.nullcontext() if directory is None else directory.locked():
        if directory is not None:
            directory.check_free(overwrite)
        if settings.model in BASELINES:
            return _train_baseline(settings, log, directory, overwrite)
        return _train_neural(
            settings, log, directory, overwrite, item_table, events_before, progress
        )


def _train_neural(
    settings: Settings,
    log: Sessions,
    directory: ModelDirectory | None,
    overwrite: bool,
    item_table: pl.DataFrame | None,
    events_before: KnownEvents | None,
    progress: bool,
) -> NeuralSystem:
    sessions = settings.parts.training(log)
    vocabulary = Vocabulary.from_sessions(sessions, settings.min_count)
    validation = validation_sessions(settings, log, vocabulary)
    if item_table is not None:
        column = settings.log.columns.item
        check_column(item_table.columns, column, "--item")
        ids = clean_ids(item_table[column], "--item", id_type=vocabulary.dtype)
        vocabulary = vocabulary.extend(ids)
        # Without dropped ids a model would not learn to read the features.
        settings = dataclasses.replace(settings, options={"id_dropout": 0.2, **settings.options})
    row_weights(sessions.events, settings.training.weights)  # raises before anything is written
    settings = columns_read(settings, sessions, vocabulary)
    # A later release may have other defaults: the directory holds those that were trained with.
    defaults = models.defaults(settings.model, len(vocabulary), settings.options)
    settings = dataclasses.replace(settings, options={**defaults, **settings.options})
    model = build_model(settings, vocabulary, item_table)
    if LOGGER.isEnabledFor(logging.INFO):  # the share of repeats takes a pass over the log
        for line in choices(settings, sessions, vocabulary):
            LOGGER.info("%s", line)
    history = history_read(model, settings.history)
    settings = dataclasses.replace(settings, history=history)
    set_repeat_rates(model, sessions, vocabulary)
    if model.trend is not None:
        known = Known.of(events_before, log, settings.parts)
        set_trend(model, known.sessions, vocabulary)
    system = NeuralSystem(settings, vocabulary, model, item_table)

    def create() -> None:
        if directory is not None:
            directory.create(settings, vocabulary, overwrite, item_table)

    system.epochs = training.fit(
        model,
        settings,
        vocabulary,
        system.sessions_since(sessions),
        directory,
        create,
        progress=progress,
        validation=validation,
    )
    return system


def resume(
    settings: Settings,
    log: Sessions,
    directory: ModelDirectory,
    *,
    events_before: KnownEvents | None = None,
) -> NeuralSystem:
    """Continues the training of a model directory.

    Args:
        settings: The settings of the directory; `training.epochs` and `validation.patience` may
            differ.
        log: All sessions.
        directory: The directory.
        events_before: As for `train`.

    Raises:
        ValueError: If no item of the log is in the vocabulary.
    """
    with directory.locked():
        vocabulary, item_table = directory.vocabulary(), directory.item_table()
        model = build_model(settings, vocabulary, item_table)
        if model.trend is not None:
            known = Known.of(events_before, log, settings.parts)
            set_trend(model, known.sessions, vocabulary)
        system = NeuralSystem(settings, vocabulary, model, item_table)
        sessions = system.sessions_since(settings.parts.training(log))
        if not known_events(sessions, vocabulary):
            raise ValueError(
                f"No item of the log is in the vocabulary of {directory.path}: nothing could be "
                "trained. Give a log with its items, or add the new items to the model with "
                "--extend (systems.extend)"
            )
        validation = validation_sessions(settings, log, vocabulary)
        directory.write_settings(settings)
        system.epochs = training.fit(
            model, settings, vocabulary, sessions, directory, validation=validation
        )
    return system


def validation_sessions(
    settings: Settings, log: Sessions, vocabulary: Vocabulary
) -> Sessions | None:
    """The sessions to validate on: a part of the log, or another log; None without any."""
    path = settings.parts.validation_file
    if path is None:
        return settings.parts.validated(log)
    return settings.with_item_type(vocabulary.dtype).log.read(path)


def known_events(sessions: Sessions, vocabulary: Vocabulary) -> int:
    """The number of events whose item is in a vocabulary."""
    index = vocabulary.lookup(sessions.events["item_id"])
    return int((index >= vocabulary.first_item_index).sum())


def load(path: str | pathlib.Path) -> TrainedSystem:
    """Reads a model directory that `tfsessionrec train` or `TrainedSystem.save` wrote.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file cannot be read or does not fit the others.
    """
    checks.path("path", path)
    directory = ModelDirectory(pathlib.Path(path))
    settings = directory.settings()
    kind = BaselineSystem if settings.model in BASELINES else NeuralSystem
    return kind.load(directory, settings)


def _train_baseline(
    settings: Settings, log: Sessions, directory: ModelDirectory | None, overwrite: bool
) -> BaselineSystem:
    if settings.training.weights:
        raise ValueError(
            f"`weights` weigh the loss of a model, which the baseline {settings.model} does not "
            f"have. Received: {settings.training.weights}"
        )
    if settings.validation.part != "none":
        raise ValueError(
            f"`validation` is of epochs, which the baseline {settings.model} does not have. "
            f"Received: `validation`={settings.validation.part!r}"
        )
    sessions = settings.parts.training(log)
    vocabulary = Vocabulary.from_sessions(sessions, settings.min_count)
    model = build_baseline(settings.model, settings.options, settings.seed)
    history = dataclasses.replace(
        settings.history,
        labels=sessions.has_negatives,
        first_item_index=vocabulary.first_item_index,
        padding_id="" if vocabulary.dtype == "string" else -1,
    )
    settings = dataclasses.replace(settings, history=history)
    # A baseline would learn history as it learns targets.
    model.fit(settings.trained_on(sessions, history=False), vocabulary)
    if directory is not None:
        directory.create(settings, vocabulary, overwrite, save_baseline=model.save)
        directory.publish()
    return BaselineSystem(settings, model)
