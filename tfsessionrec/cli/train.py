"""Train a model on a log.

    tfsessionrec train --events log.csv --user user_id --session session_id --item item_id
        --time timestamp --model sessionrec-sasrec --output model

Ctrl-C stops after the running batch and leaves the model of the last finished epoch; --resume
continues from there with the settings of the directory. --extend adds the new items of a later
log to a trained model.
"""

import argparse
import dataclasses
import json
import math
import pathlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from tfsessionrec.cli import (
    continuing,
    item_arguments,
    log_arguments,
    output,
    validation_arguments,
    weight_arguments,
)
from tfsessionrec.cli.tensorflow_import import import_tensorflow
from tfsessionrec.systems.registry import BASELINES

if TYPE_CHECKING:
    from tfsessionrec.data import Sessions
    from tfsessionrec.data.log_format import LogFormat
    from tfsessionrec.systems import Settings, TrainedSystem
    from tfsessionrec.systems.epochs import Epoch

TRAINING_ARGUMENTS = (
    "objective",
    "epochs",
    "batch_positions",
    "learning_rate",
    "cooldown",
    "recency_half_life",
    "since",
)
LIMITS = ("max_sessions", "max_items")
# Arguments that a baseline does not have.
_NEURAL = (
    "embedding_dim",
    "objective",
    "relation",
    "trend",
    "trend_events",
    "epochs",
    "batch_positions",
    "learning_rate",
    "cooldown",
    "recency_half_life",
    *weight_arguments.NAMES,
    *validation_arguments.NAMES,
    "item_features",
    *item_arguments.COLUMNS,
    "resume",
    "extend",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    log_arguments.add_arguments(parser)
    parser.add_argument(
        "--holdout",
        metavar="RULE",
        help="keep from training: nothing (none, default), the last-session of each user, what "
        "happens after=TIME or in the last-days=N, or all but window I of N, from 0: "
        "window=I/N,TRAIN,TEST[,SHIFT], in days. A session that runs across the cut is trained on "
        "up to it; ,straddling=drop at the end leaves such sessions out of training and test",
    )
    parser.add_argument(
        "--min-count",
        metavar="N",
        type=int,
        help="leave items with fewer events out of the vocabulary (default 1)",
    )
    parser.add_argument(
        "--output", metavar="DIR", type=pathlib.Path, required=True, help="the model directory"
    )
    _add_model_arguments(parser)
    _add_training_arguments(parser)
    item_arguments.add_arguments(parser)
    continuing.add_arguments(parser)
    output.add_json_argument(parser)


def _add_model_arguments(parser: argparse.ArgumentParser) -> None:
    model = parser.add_argument_group("the model", "defaults are the model's recipe")
    model.add_argument(
        "--model",
        metavar="NAME",
        help=f"such as sasrec or sessionrec-sasrec; or a baseline: {', '.join(BASELINES)}",
    )
    model.add_argument("--embedding-dim", metavar="N", type=int, help="size of the embeddings")
    model.add_argument(
        "--set",
        metavar="OPTION=VALUE",
        action="append",
        help="any option of the model, such as num_layers=3; may be given several times",
    )
    model.add_argument(
        "--relation",
        action="store_const",
        const=True,
        help="rank shown items by their relation to the sessions before, their place in the list "
        "and every --impression-feature; needs --impressions",
    )
    model.add_argument(
        "--trend",
        action="store_true",
        help="candidates know the time: the clicks on each item, and on items after the last one, "
        "before each request; for logs where time decides, such as news. Details by "
        """--set 'trend={"half_lives": [300, 3600]}'""",
    )
    add_trend_events(model)
    model.add_argument(
        "--max-sessions",
        metavar="N",
        type=int,
        help="newest sessions of a history that the model reads (next-item models: items)",
    )
    model.add_argument(
        "--max-items", metavar="N", type=int, help="newest items of a session that it reads"
    )


def _add_training_arguments(parser: argparse.ArgumentParser) -> None:
    trained = parser.add_argument_group("the training", "defaults are the model's recipe")
    trained.add_argument(
        "--objective",
        choices=("next_session", "next_item", "rest_of_session"),
        help="what each example predicts: the set of items of the next session, the next item, or "
        "the set of items that remain of the running session",
    )
    trained.add_argument("--epochs", metavar="N", type=int, help="passes over the log, in all")
    trained.add_argument("--batch-positions", metavar="N", type=int, help="sessions a batch")
    trained.add_argument("--learning-rate", metavar="X", type=float, help="of Adam")
    trained.add_argument(
        "--cooldown",
        metavar="X",
        type=float,
        help="last share of the training, in which the learning rate falls to 0 (0: none)",
    )
    trained.add_argument(
        "--recency-half-life",
        metavar="SECONDS",
        type=float,
        help="draw sessions with replacement, half as often for each of these spans of age "
        "(default: each session once an epoch)",
    )
    trained.add_argument(
        "--since",
        metavar="TIME",
        help="train on what happens at this time or later; earlier events are history of networks "
        "and count for the vocabulary and the trend (default: all)",
    )
    weight_arguments.add_arguments(trained)
    validation_arguments.add_arguments(trained)
    trained.add_argument(
        "--seed", metavar="N", type=int, help="equal seeds give equal models (default 0)"
    )


def add_trend_events(parser: argparse._ActionsContainer) -> None:
    """Adds the argument that says which events a trend counts."""
    parser.add_argument(
        "--trend-events",
        metavar="EVENTS",
        help="with --trend: the events before each request that it counts: training (default), "
        "those of --events that are not held out; all, those held out of other users too; or the "
        "file of another log",
    )


def read_trend_events(
    arguments: argparse.Namespace, log: "LogFormat"
) -> "Sessions | Literal['training', 'all']":
    """The events that a trend counts."""
    given = arguments.trend_events
    if given in (None, "training"):
        return "training"
    return "all" if given == "all" else log_arguments.read(log, pathlib.Path(given))


def run(arguments: argparse.Namespace) -> None:
    """Trains and writes the model directory."""
    if arguments.model is None and not (arguments.resume or arguments.extend):
        raise ValueError("`--model` should name a model, such as sasrec or sessionrec-sasrec")
    import_tensorflow()
    from tfsessionrec.systems.training import Interrupted

    started = time.perf_counter()
    try:
        system, sessions = _train(arguments)
    except Interrupted as interrupted:
        output.say(str(interrupted))
        raise
    seconds = time.perf_counter() - started
    summary = {
        **system.settings.to_json(),
        "events": arguments.events,
        "output": arguments.output,
        "users": sessions.num_users,
        "sessions": sessions.num_sessions,
        "vocabulary_size": len(system.vocabulary),
        "seconds": seconds,
    }
    from tfsessionrec.systems import NeuralSystem
    from tfsessionrec.systems.epochs import chosen_epoch

    if isinstance(system, NeuralSystem):
        weights = system.model.trainable_weights
        summary["parameters"] = sum(math.prod(weight.shape) for weight in weights)
        summary["epochs"] = system.epochs
        summary["epoch"] = chosen_epoch(system.epochs)
        ended = _ended(system.epochs, system.settings.training.epochs)
    else:
        ended = f"{sessions.num_sessions:,} sessions in {seconds:.1f} s"
    output.write_json(arguments.json, summary)
    print(f"{arguments.output}: {system.settings.model}, {ended}")


def _train(arguments: argparse.Namespace) -> "tuple[TrainedSystem, Sessions]":
    """The trained system, and the sessions that it was trained on."""
    from tfsessionrec.systems import train
    from tfsessionrec.systems.log_parts import LogParts
    from tfsessionrec.systems.model_directory import ModelDirectory

    directory = ModelDirectory(arguments.output)
    with directory.locked():
        pass  # fails at once where another process trains; completes a replacement that was cut
    before = continuing.settings_before(arguments, directory)
    settings = _settings(arguments, before)
    if before is None:
        directory.check_free(arguments.overwrite)
    elif arguments.extend:
        continuing.check_extended(before, settings)
    else:
        continuing.check_same(before, settings)
    log = log_arguments.read(settings.log, arguments.events, settings.training.columns)
    if before is None and settings.holdout == "none":
        trained = "all sessions" if settings.parts == LogParts() else "all but validation sessions"
        output.say(
            f"  Nothing is held out for a test: {trained} are trained on. To evaluate the model, "
            "train with --holdout last-session or --holdout last-days=1"
        )
    events_before = read_trend_events(arguments, settings.log)
    if before is None:
        with log_arguments.counts():
            system = train.train(
                settings,
                log,
                directory,
                overwrite=arguments.overwrite,
                item_table=item_arguments.table(arguments, settings),
                events_before=events_before,
                progress=True,
            )
    elif arguments.extend:
        items = item_arguments.table(arguments, settings)
        system = continuing.extend(settings, log, directory, items, events_before)
    else:
        system = continuing.resume(settings, log, directory, events_before)
    return system, system.sessions_since(settings.parts.training(log))


def _settings(arguments: argparse.Namespace, before: "Settings | None") -> "Settings":
    """The settings that the arguments, then the directory or the model's recipe, say."""
    from tfsessionrec.systems.train import TREND, default_settings

    settings = before or default_settings(arguments.model)
    if settings.model in BASELINES:
        _check_baseline(arguments, settings.model)
    options = {**settings.options, **_options(arguments.set or ())}
    if arguments.embedding_dim is not None:
        options["embedding_dim"] = arguments.embedding_dim
    if arguments.trend:
        options.setdefault("trend", TREND)
    log = log_arguments.log_format(arguments, before.log if before else None)
    history = _given(arguments, LIMITS)
    if arguments.relation:
        if log.columns.impressions is None:
            raise ValueError("`--relation` ranks what was shown: it needs `--impressions`")
        history["relation"] = tuple(log.columns.impression_features)
    model = settings.model if arguments.model is None else arguments.model
    trained = _given(arguments, TRAINING_ARGUMENTS)
    trained["weights"] = dataclasses.replace(
        settings.training.weights, **weight_arguments.fields(arguments)
    )
    return dataclasses.replace(
        settings,
        model=model,
        options=options,
        log=log,
        history=dataclasses.replace(settings.history, **history),
        training=dataclasses.replace(settings.training, **trained),
        validation=validation_arguments.validation(arguments, settings.validation),
        item_features=item_arguments.columns(arguments, settings),
        **_given(arguments, ("holdout", "min_count", "seed")),
    )


def _given(arguments: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(arguments, name)) is not None}


def _check_baseline(arguments: argparse.Namespace, name: str) -> None:
    if arguments.resume or arguments.extend:
        raise ValueError(f"{name} is fitted at once: train it again with --overwrite")
    given = [name for name in _NEURAL if getattr(arguments, name) not in (None, False)]
    if given:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ValueError(f"{arguments.model} has no epochs and no embeddings. Received: {flags}")


def _options(given: Sequence[str]) -> dict[str, object]:
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


def _ended(epochs: "Sequence[Epoch]", planned: int) -> str:
    """Words for the end of a training and the epoch that is the model."""
    from tfsessionrec.systems.epochs import chosen_epoch, validation_metric

    number = chosen_epoch(epochs)
    epoch = epochs[number - 1].items()
    metrics = ", ".join(f"{name} {value:.4f}" for name, value in epoch if name != "seconds")
    of = f" of {planned}" if len(epochs) < planned else ""
    best = "" if validation_metric(epochs) is None else f"the best is epoch {number}: "
    return f"{len(epochs)}{of} epochs, {best}{metrics}"
