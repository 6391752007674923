"""Going on with the training of an existing model directory."""

import argparse
import dataclasses
from typing import TYPE_CHECKING

from tfsessionrec.cli import output

if TYPE_CHECKING:
    import polars as pl

    from tfsessionrec.data import Sessions, Vocabulary
    from tfsessionrec.history_spec import HistorySpec
    from tfsessionrec.systems import NeuralSystem, Settings
    from tfsessionrec.systems.known_events import KnownEvents
    from tfsessionrec.systems.model_directory import ModelDirectory


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that say what happens to an existing model directory."""
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument(
        "--resume", action="store_true", help="continue the training of the model directory"
    )
    existing.add_argument(
        "--extend",
        action="store_true",
        help="add the new items of --events to the model of --output, and train it on this log for "
        "--epochs (default 1). Known items keep their weights and their state of the optimizer; "
        "new ones start from the mean of the items next to them. --min-count is that of training; "
        "--holdout, --since and --validation are of this log (default: none)",
    )
    existing.add_argument(
        "--overwrite", action="store_true", help="replace an earlier model directory"
    )


def settings_before(
    arguments: argparse.Namespace, directory: "ModelDirectory"
) -> "Settings | None":
    """The settings that training goes on with; None if it starts."""
    if arguments.extend:
        if directory.is_free:
            raise FileNotFoundError(
                f"There is no model directory {directory.path}: nothing to extend"
            )
        return directory.settings().for_another_log()
    if not arguments.resume:
        return None
    if directory.is_free and arguments.model is not None:
        output.say(f"There is nothing to resume at {directory.path}: starting at epoch 1")
        return None
    if directory.is_free:
        raise FileNotFoundError(
            f"There is no model directory {directory.path}: nothing to resume. With `--model` and "
            "the other arguments of the first command, `--resume` starts it"
        )
    return directory.settings()


def check_same(before: "Settings", now: "Settings") -> None:
    """Raises if a resumed training has other settings; epochs and patience may differ."""
    same = dataclasses.replace(
        now,
        training=dataclasses.replace(now.training, epochs=before.training.epochs),
        validation=dataclasses.replace(now.validation, patience=before.validation.patience),
    )
    changed = before.differences(same)
    if changed:
        raise ValueError(f"`--resume` should keep the settings of training: {'; '.join(changed)}")


def check_extended(before: "Settings", now: "Settings") -> None:
    """Raises if an extended model has another architecture, log format or objective."""
    same = dataclasses.replace(
        now,
        holdout=before.holdout,
        validation=before.validation,
        min_count=before.min_count,
        seed=before.seed,
        training=dataclasses.replace(before.training, objective=now.training.objective),
    )
    changed = before.differences(same)
    if changed:
        raise ValueError(f"`--extend` should keep the settings of the model: {'; '.join(changed)}")


def extend(
    settings: "Settings",
    log: "Sessions",
    directory: "ModelDirectory",
    item_table: "pl.DataFrame | None",
    events_before: "KnownEvents",
) -> "NeuralSystem":
    """Extends a model, and prints by how much."""
    from tfsessionrec.systems.extending import counted_sessions, extend_directory
    from tfsessionrec.systems.train import known_events

    before = directory.vocabulary()
    vocabulary = before.grow(counted_sessions(settings, log), settings.min_count)
    trained = [words.num_items - words.num_new_items for words in (before, vocabulary)]
    output.say(f"  {trained[1] - trained[0]:,} new items, {trained[1]:,} in all")
    unknown = log.num_events - known_events(log, vocabulary)
    if unknown:
        output.say(
            f"  {unknown:,} of {log.num_events:,} events ({unknown / log.num_events:.1%}) are of "
            f"items with fewer than {settings.min_count} events to train on (--min-count); nothing "
            "is learned of them"
        )
    _say_unknown_categories(log, settings.history)
    return extend_directory(
        settings,
        log,
        directory,
        item_table=item_table,
        events_before=events_before,
        progress=True,
    )


def resume(
    settings: "Settings",
    log: "Sessions",
    directory: "ModelDirectory",
    events_before: "KnownEvents",
) -> "NeuralSystem":
    """Resumes a training, and prints where."""
    from tfsessionrec.systems import train

    finished = len(directory.history())
    _say_unknown(log, directory.vocabulary())
    _say_unknown_categories(log, settings.history)
    if finished >= settings.training.epochs:
        output.say(f"All {finished} epochs are finished: more with --epochs N")
    else:
        output.say(f"Resuming at epoch {finished + 1} of {settings.training.epochs}")
    system = train.resume(settings, log, directory, events_before=events_before)
    if finished == len(system.epochs) < settings.training.epochs:
        output.say(
            f"Training ended early after epoch {finished}: more with a larger patience of "
            "--early-stopping, or with --epochs N where --cooldown has ended it"
        )
    return system


def _say_unknown(log: "Sessions", vocabulary: "Vocabulary") -> None:
    """Prints how many events training leaves out."""
    from tfsessionrec.systems.train import known_events

    unknown = log.num_events - known_events(log, vocabulary)
    if unknown:
        output.say(
            f"  {unknown:,} of {log.num_events:,} events ({unknown / log.num_events:.1%}) are of "
            "items that are not in the vocabulary of the model; nothing is learned of them. "
            "--extend adds such items"
        )


def _say_unknown_categories(log: "Sessions", history: "HistorySpec") -> None:
    """Prints how many events have an interaction type or a context that the model does not know."""
    known = {"interaction_type": history.interaction_types, **history.session_context}
    for name, categories in known.items():
        if not categories:
            continue
        values = log.events[name].drop_nulls()
        new = values.filter(~values.is_in(list(categories)))
        if len(new):
            listed = ", ".join(map(str, new.unique().sort().head(5)))
            output.say(
                f"  {len(new):,} of {log.num_events:,} events have a value of {name} that training "
                f"did not have: {listed}; the model reads it as unknown"
            )
