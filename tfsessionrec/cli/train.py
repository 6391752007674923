"""Train a model on a log.

    tfsessionrec train --events log.csv --user user_id --session session_id --item item_id
        --time timestamp --model sessionrec-sasrec --output model

Ctrl-C stops after the running batch and leaves the model of the last finished epoch;
--resume goes on from there with the settings of the directory.
"""

import argparse
import dataclasses
import json
import math
import pathlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import tfsessionrec
from tfsessionrec.cli import baselines, output
from tfsessionrec.cli.log import LogFormat, split
from tfsessionrec.cli.settings import Settings
from tfsessionrec.cli.tensorflow_import import import_tensorflow

if TYPE_CHECKING:
    from tfsessionrec.cli.model_directory import ModelDirectory
    from tfsessionrec.data import Sessions, Vocabulary
    from tfsessionrec.models import SessionRec

# Between two looks at Ctrl-C: Python is left out of all but one of so many steps.
STEPS_PER_EXECUTION = 8
# What `--trend` makes: minutes to a day, and where visitors of the last item went.
TREND = {
    "half_lives": [120, 300, 900, 3600, 14400, 86400],
    "follow_half_lives": [900, 7200, 86400],
    "follow_items": 2,
}
# Seconds within which the rows of a batch lie, if there are so many: they share their tables.
TREND_WINDOW = 600.0
RECIPE_ARGUMENTS = (
    "objective",
    "epochs",
    "batch_positions",
    "learning_rate",
    "cooldown",
    "recency_half_life",
    "since",
    "max_sessions",
    "max_items",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    LogFormat.add_arguments(parser)
    parser.add_argument(
        "--holdout",
        metavar="RULE",
        help="keep sessions from training: none (default), last-session, after=TIME, last-days=N, "
        "or all but window I of N, from 0: window=I/N,TRAIN,TEST[,SHIFT], in days",
    )
    parser.add_argument(
        "--min-count",
        metavar="N",
        type=int,
        help="items with fewer events are not learned nor recommended (default 1)",
    )
    model = parser.add_argument_group("the model", "defaults are the model's recipe")
    model.add_argument(
        "--model",
        metavar="NAME",
        help="such as sasrec or sessionrec-sasrec; or "
        f"a baseline: {', '.join(baselines.BASELINES)}",
    )
    model.add_argument("--embedding-dim", metavar="N", type=int, help="size of the embeddings")
    model.add_argument(
        "--set",
        metavar="OPTION=VALUE",
        action="append",
        help="any option of the model, such as num_layers=3; may be given several times",
    )
    model.add_argument(
        "--objective",
        choices=("next_session", "next_item", "rest_of_session"),
        help="what each example predicts: the set of items of the next session, the next item, or "
        "the set of items that remain of the running session",
    )
    model.add_argument(
        "--relation",
        action="store_const",
        const=True,
        help="rank what is shown by its relation to the sessions before, its place in the list and "
        "every --impression-feature; needs --impressions",
    )
    model.add_argument(
        "--trend",
        action="store_true",
        help="candidates know the time: what was clicked, and what followed the last item, before "
        "each request; for logs where time decides, such as news. Details by "
        """--set 'trend={"half_lives": [300, 3600]}'""",
    )
    add_trend_events(model)
    model.add_argument("--max-sessions", metavar="N", type=int, help="longest history")
    model.add_argument("--max-items", metavar="N", type=int, help="longest session")
    model.add_argument("--epochs", metavar="N", type=int, help="passes over the log, in all")
    model.add_argument("--batch-positions", metavar="N", type=int, help="sessions a batch")
    model.add_argument("--learning-rate", metavar="X", type=float, help="of Adam")
    model.add_argument(
        "--cooldown",
        metavar="X",
        type=float,
        help="share of the training, the last, in which the learning rate falls to 0 (0: none)",
    )
    model.add_argument(
        "--recency-half-life",
        metavar="SECONDS",
        type=float,
        help="draw sessions with replacement, half as often for every so many seconds of age "
        "(default: each once an epoch)",
    )
    model.add_argument(
        "--since",
        metavar="TIME",
        help="learn from sessions that start then or later; earlier ones give items to the "
        "catalogue, and what a trend counts (default: all)",
    )
    model.add_argument(
        "--seed", metavar="N", type=int, help="equal seeds, equal models (default 0)"
    )
    parser.add_argument(
        "--output", metavar="DIR", type=pathlib.Path, required=True, help="the model directory"
    )
    items = parser.add_argument_group(
        "the items", "known by features too, so that items without any event can be recommended"
    )
    items.add_argument(
        "--item-features",
        metavar="FILE",
        type=pathlib.Path,
        help="one row an item, with the --item column; sets id_dropout=0.2 unless --set says "
        "otherwise",
    )
    items.add_argument(
        "--categorical", metavar="COLUMN", action="append", help="one category an item"
    )
    items.add_argument(
        "--multi-hot", metavar="COLUMN", action="append", help="several, with | between them"
    )
    items.add_argument("--dense", metavar="COLUMN", action="append", help="a number an item")
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument(
        "--resume", action="store_true", help="go on training what is in the model directory"
    )
    existing.add_argument(
        "--overwrite", action="store_true", help="replace an earlier model directory"
    )
    output.add_json_argument(parser)


def add_trend_events(parser: Any) -> None:
    """Adds the argument that names the log a model with a trend looks into."""
    parser.add_argument(
        "--trend-events",
        metavar="FILE",
        type=pathlib.Path,
        help="with --trend: the log whose interactions before each request are known (default: "
        "that of --events)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Trains and writes the model directory."""
    if not arguments.resume and arguments.model is None:
        raise ValueError("`--model` should name a model, such as sasrec or sessionrec-sasrec")
    import_tensorflow()
    if arguments.model in baselines.BASELINES:
        baselines.train(arguments, _options(arguments.set or ()))
        return
    from tfsessionrec import data
    from tfsessionrec.cli.model_directory import ModelDirectory, build_model
    from tfsessionrec.data import Vocabulary
    from tfsessionrec.data.reading import check_column

    directory = ModelDirectory(arguments.output)
    if arguments.resume:
        before = directory.settings()
        if before.model in baselines.BASELINES:
            raise ValueError(f"{before.model} is fitted at once: train it again with --overwrite")
        settings = _settings(arguments, before)
        _check_same(before, settings)
    else:
        settings = _settings(arguments, None)
        directory.check_free(arguments.overwrite)

    log = settings.log.read(arguments.events)
    sessions, _ = split(log, settings.holdout)
    catalogue = None
    if arguments.resume:
        vocabulary, catalogue = directory.vocabulary(), directory.catalogue()
    else:
        vocabulary = Vocabulary.from_sessions(sessions, settings.min_count)
        settings = _with_side_columns(settings, sessions)
        if arguments.item_features is not None:
            catalogue = data.read_events(arguments.item_features)
            settings = _with_item_features(settings, arguments)
            check_column(catalogue.columns, settings.log.item, "--item")
            vocabulary = vocabulary.extend(catalogue[settings.log.item])
    model = build_model(settings, vocabulary, catalogue)
    if arguments.resume:
        directory.write_settings(settings)
    else:
        directory.create(settings, vocabulary, arguments.overwrite, catalogue)
    if model.trend is not None:
        set_trend(model, directory, log, arguments.trend_events)
    if settings.training.get("since"):
        _, sessions = split(sessions, f"after={settings.training['since']}")
    started = time.perf_counter()
    epochs = fit(model, directory, sessions, resume=arguments.resume)
    output.write_json(
        arguments.json,
        {
            **settings.to_json(),
            "events": arguments.events,
            "output": directory.path,
            "users": sessions.num_users,
            "sessions": sessions.num_sessions,
            "vocabulary_size": len(vocabulary),
            "parameters": sum(math.prod(weight.shape) for weight in model.trainable_weights),
            "seconds": time.perf_counter() - started,
            "epochs": epochs,
        },
    )
    print(f"{directory.path}: {settings.model}, {len(epochs)} epochs, {_ended(epochs[-1])}")


def set_trend(
    model: "SessionRec",
    directory: "ModelDirectory",
    sessions: "Sessions",
    file: pathlib.Path | None = None,
) -> None:
    """Tells the trend of a model what happened.

    Args:
        model: The model.
        directory: Its directory.
        sessions: The sessions at hand.
        file: Another log to be taken instead of them.
    """
    from tfsessionrec import data

    if file is not None:
        sessions = directory.settings().log.read(file)
    assert model.trend is not None
    model.trend.set_events(**data.interaction_log(sessions, directory.vocabulary()))


def fit(
    model: "SessionRec", directory: "ModelDirectory", sessions: "Sessions", resume: bool = False
) -> list[dict[str, float]]:
    """Trains a model and keeps its directory up to date.

    Args:
        model: A new model.
        directory: Its directory, made.
        sessions: What to train on.
        resume: Whether to go on from the checkpoint of the directory.

    Returns:
        What each epoch ended with.

    Raises:
        KeyboardInterrupt: If Ctrl-C was pressed; the directory is whole then.
    """
    from tfsessionrec.backend import keras
    from tfsessionrec.cli.interrupt import Interrupt
    from tfsessionrec.cli.training_callback import TrainingCallback
    from tfsessionrec.optimizers import Cooldown, LazyAdam

    settings = directory.settings()
    training, vocabulary = settings.training, directory.vocabulary()
    dataset = training_dataset(settings, sessions, vocabulary, settings.seed)
    rate = training["learning_rate"]
    if training.get("cooldown"):
        rate = Cooldown(rate, training["epochs"] * int(dataset.cardinality()), training["cooldown"])
    # Adam, at a cost that does not grow with the catalogue where the negatives are sampled.
    model.compile(optimizer=LazyAdam(rate, beta_2=training["beta_2"]))
    epochs = directory.restore(model) if resume else []
    if len(epochs) >= training["epochs"]:
        output.say(f"All {len(epochs)} epochs are finished: more with --epochs N")
        return epochs
    # Another order and other negatives than in the epochs already done.
    seed = settings.seed + len(epochs)
    keras.utils.set_random_seed(seed)
    if epochs:
        dataset = training_dataset(settings, sessions, vocabulary, seed)
    if resume:
        output.say(f"Resuming at epoch {len(epochs) + 1} of {training['epochs']}")
    with Interrupt.deferred() as interrupt:
        model.fit(
            dataset,
            initial_epoch=len(epochs),
            epochs=training["epochs"],
            callbacks=[TrainingCallback(directory, interrupt, epochs, int(dataset.cardinality()))],
            verbose=0,
        )
        if interrupt.requested and not epochs:
            directory.save(model, epochs)
    if interrupt.requested:
        output.say(
            f"Interrupted in epoch {len(epochs) + 1}; {directory.path} holds the model "
            + (f"after epoch {len(epochs)}" if epochs else "as it was then")
            + "; --resume goes on"
        )
        raise KeyboardInterrupt
    return epochs


def training_dataset(
    settings: Settings, sessions: "Sessions", vocabulary: "Vocabulary", seed: int
) -> Any:
    """The shuffled batches that a model of these settings trains on."""
    from tfsessionrec import data
    from tfsessionrec.cli.examples import (
        relation_columns,
        request_columns,
        side_columns,
        training_examples,
    )
    from tfsessionrec.models import Recipe

    training = settings.training
    max_items = training["max_items"]
    if training["next_item"] and training["objective"] != "next_item":
        # The history is of single items, the target is a session.
        max_items = max(max_items, Recipe().max_items)
    return data.session_dataset(
        training_examples(sessions, training),
        vocabulary,
        # The newest session is only a target, so that the history before it has max_sessions.
        max_sessions=training["max_sessions"] + 1,
        max_items=max_items,
        batch_positions=training["batch_positions"],
        **side_columns(training),
        # A relation ranks what first sessions showed, too.
        min_sessions=2 if training.get("relation") is None else 1,
        **request_columns(training, training["objective"]),
        shuffle_window=TREND_WINDOW if training.get("trend") else None,
        recency_half_life=training.get("recency_half_life"),
        seed=seed,
        **relation_columns(training),
    )


def _settings(arguments: argparse.Namespace, before: Settings | None) -> Settings:
    """What the arguments say, and what the directory's settings or the recipe say otherwise."""
    from tfsessionrec import models

    name = arguments.model or (before.model if before else "")
    if before is None and name not in models.names():
        known = (*models.names(), *baselines.BASELINES)
        raise ValueError(f"`--model` should be one of {', '.join(known)}. Received: {name}")
    recipe = dict(before.training) if before else models.recipe(name)._asdict()
    given = {
        key: value for key in RECIPE_ARGUMENTS if (value := getattr(arguments, key)) is not None
    }
    options = dict(before.options) if before else {}
    options.update(_options(arguments.set or ()))
    if arguments.embedding_dim is not None:
        options["embedding_dim"] = arguments.embedding_dim
    log = LogFormat.from_arguments(arguments, before.log if before else None)
    if arguments.relation:
        if log.impressions is None:
            raise ValueError("`--relation` ranks what was shown: it needs `--impressions`")
        given["relation"] = list(log.impression_features())
    if arguments.trend:
        options.setdefault("trend", TREND)
    if options.get("trend") is not None:
        given["trend"] = True
    return Settings(
        model=name,
        options=options,
        log=log,
        holdout=_first(arguments.holdout, before and before.holdout, "none"),
        min_count=_first(arguments.min_count, before and before.min_count, 1),
        training={**recipe, **given},
        seed=_first(arguments.seed, before and before.seed, 0),
        version=before.version if before else tfsessionrec.__version__,
    )


def _with_side_columns(settings: Settings, sessions: "Sessions") -> Settings:
    """Fixes what comes with the items, and the order in which the model numbers categories."""

    def values(column: str) -> list[Any]:
        return sessions.events[column].drop_nulls().unique().sort().to_list()

    columns: dict[str, Any] = {}
    if settings.log.interaction_type is not None:
        columns["interaction_types"] = values("interaction_type")
    if settings.log.session_context:
        columns["session_context"] = {name: values(name) for name in settings.log.session_context}
    if settings.options.get("num_item_time_buckets"):
        columns["item_times"] = True
    return dataclasses.replace(settings, training={**settings.training, **columns})


def _with_item_features(settings: Settings, arguments: argparse.Namespace) -> Settings:
    """Keeps which columns of the catalogue are features, and drops ids so that they are read."""
    columns: dict[str, Any] = {
        kind: getattr(arguments, kind) or [] for kind in ("categorical", "multi_hot", "dense")
    }
    if not any(columns.values()):
        raise ValueError(
            "`--item-features` needs at least one of `--categorical`, `--multi-hot`, `--dense`"
        )
    return dataclasses.replace(
        settings,
        options={"id_dropout": 0.2, **settings.options},
        training={**settings.training, "item_features": {"item": settings.log.item, **columns}},
    )


def _check_same(before: Settings, now: Settings) -> None:
    """Raises if resuming with other settings; more epochs are welcome."""
    old, new = before.to_json(), now.to_json()
    new["training"]["epochs"] = old["training"]["epochs"]
    changed = [
        f"{name} was {old[name]!r}, is {new[name]!r}" for name in old if old[name] != new[name]
    ]
    if changed:
        raise ValueError(f"`--resume` should keep the settings of training: {'; '.join(changed)}")


def _options(given: Sequence[str]) -> dict[str, Any]:
    options = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"`--set` should be OPTION=VALUE. Received: {text!r}")
        try:
            options[name] = json.loads(value)
        except ValueError:
            options[name] = value
    return options


def _first(*values: Any) -> Any:
    return next(value for value in values if value is not None)


def _ended(epoch: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in epoch.items() if name != "seconds")
