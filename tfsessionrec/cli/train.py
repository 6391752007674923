"""Train a model on a log.

    tfsessionrec train --events log.csv --user user_id --session session_id --item item_id
        --time timestamp --model sessionrec-sasrec --output model

Ctrl-C stops after the running batch and leaves the model of the last finished epoch;
--resume goes on from there with the settings of the directory.
"""

import argparse
import dataclasses
import json
import pathlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import tfsessionrec
from tfsessionrec.cli import output
from tfsessionrec.cli.log import LogFormat, split
from tfsessionrec.cli.settings import Settings
from tfsessionrec.cli.tensorflow_import import import_tensorflow

if TYPE_CHECKING:
    from tfsessionrec.cli.model_directory import ModelDirectory
    from tfsessionrec.data import Sessions, Vocabulary
    from tfsessionrec.models import SessionRec

# Between two looks at Ctrl-C: Python is left out of all but one of so many steps.
STEPS_PER_EXECUTION = 8
RECIPE_ARGUMENTS = ("epochs", "batch_positions", "learning_rate", "max_sessions", "max_items")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    LogFormat.add_arguments(parser)
    parser.add_argument(
        "--holdout",
        metavar="RULE",
        help="keep sessions from training: none (default), last-session, after=TIME, last-days=N",
    )
    parser.add_argument(
        "--min-count",
        metavar="N",
        type=int,
        help="items with fewer events are not learned nor recommended (default 1)",
    )
    model = parser.add_argument_group("the model", "defaults are the model's recipe")
    model.add_argument("--model", metavar="NAME", help="such as sasrec or sessionrec-sasrec")
    model.add_argument("--embedding-dim", metavar="N", type=int, help="size of the embeddings")
    model.add_argument(
        "--set",
        metavar="OPTION=VALUE",
        action="append",
        help="any option of the model, such as num_layers=3; may be given several times",
    )
    model.add_argument("--max-sessions", metavar="N", type=int, help="longest history")
    model.add_argument("--max-items", metavar="N", type=int, help="longest session")
    model.add_argument("--epochs", metavar="N", type=int, help="passes over the log, in all")
    model.add_argument("--batch-positions", metavar="N", type=int, help="sessions a batch")
    model.add_argument("--learning-rate", metavar="X", type=float, help="of Adam")
    model.add_argument(
        "--seed", metavar="N", type=int, help="equal seeds, equal models (default 0)"
    )
    parser.add_argument(
        "--output", metavar="DIR", type=pathlib.Path, required=True, help="the model directory"
    )
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument(
        "--resume", action="store_true", help="go on training what is in the model directory"
    )
    existing.add_argument(
        "--overwrite", action="store_true", help="replace an earlier model directory"
    )
    output.add_json_argument(parser)


def run(arguments: argparse.Namespace) -> None:
    """Trains and writes the model directory."""
    if not arguments.resume and arguments.model is None:
        raise ValueError("`--model` should name a model, such as sasrec or sessionrec-sasrec")
    import_tensorflow()
    from tfsessionrec.cli.model_directory import ModelDirectory, build_model
    from tfsessionrec.data import Vocabulary

    directory = ModelDirectory(arguments.output)
    if arguments.resume:
        before = directory.settings()
        settings = _settings(arguments, before)
        _check_same(before, settings)
    else:
        settings = _settings(arguments, None)
        directory.check_free(arguments.overwrite)

    sessions, _ = split(settings.log.read(arguments.events), settings.holdout)
    if arguments.resume:
        vocabulary = directory.vocabulary()
    else:
        vocabulary = Vocabulary.from_sessions(sessions, settings.min_count)
        settings = _with_interaction_types(settings, sessions)
    model = build_model(settings, vocabulary)
    if arguments.resume:
        directory.write_settings(settings)
    else:
        directory.create(settings, vocabulary, arguments.overwrite)
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
            "seconds": time.perf_counter() - started,
            "epochs": epochs,
        },
    )
    print(f"{directory.path}: {settings.model}, {len(epochs)} epochs, {_ended(epochs[-1])}")


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
    from tfsessionrec.optimizers import LazyAdam

    settings = directory.settings()
    training = settings.training
    # Adam, at a cost that does not grow with the catalogue where the negatives are sampled.
    model.compile(optimizer=LazyAdam(training["learning_rate"], beta_2=training["beta_2"]))
    epochs = directory.restore(model) if resume else []
    if len(epochs) >= training["epochs"]:
        output.say(f"All {len(epochs)} epochs are finished: more with --epochs N")
        return epochs
    # Another order and other negatives than in the epochs already done.
    seed = settings.seed + len(epochs)
    keras.utils.set_random_seed(seed)
    dataset = training_dataset(settings, sessions, directory.vocabulary(), seed)
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

    training = settings.training
    if training["next_item"]:
        sessions = data.flatten_sessions(sessions)
    elif training.get("prefixes"):
        sessions = data.expand_prefixes(sessions)
    return data.session_dataset(
        sessions,
        vocabulary,
        # The newest session is only a target, so that the history before it has max_sessions.
        max_sessions=training["max_sessions"] + 1,
        max_items=training["max_items"],
        batch_positions=training["batch_positions"],
        interaction_types=training.get("interaction_types"),
        min_sessions=2,
        seed=seed,
    )


def _settings(arguments: argparse.Namespace, before: Settings | None) -> Settings:
    """What the arguments say, and what the directory's settings or the recipe say otherwise."""
    from tfsessionrec import models

    name = arguments.model or (before.model if before else "")
    recipe = dict(before.training) if before else models.recipe(name)._asdict()
    given = {
        key: value for key in RECIPE_ARGUMENTS if (value := getattr(arguments, key)) is not None
    }
    options = dict(before.options) if before else {}
    options.update(_options(arguments.set or ()))
    if arguments.embedding_dim is not None:
        options["embedding_dim"] = arguments.embedding_dim
    return Settings(
        model=name,
        options=options,
        log=LogFormat.from_arguments(arguments, before.log if before else None),
        holdout=_first(arguments.holdout, before and before.holdout, "none"),
        min_count=_first(arguments.min_count, before and before.min_count, 1),
        training={**recipe, **given},
        seed=_first(arguments.seed, before and before.seed, 0),
        version=before.version if before else tfsessionrec.__version__,
    )


def _with_interaction_types(settings: Settings, sessions: "Sessions") -> Settings:
    """Fixes the order of the interaction types, in which the model numbers them."""
    if settings.log.interaction_type is None:
        return settings
    types = sessions.events["interaction_type"].drop_nulls().unique().sort().to_list()
    return dataclasses.replace(settings, training={**settings.training, "interaction_types": types})


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
