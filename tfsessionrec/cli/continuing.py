"""Going on with the training of an existing model directory."""

import argparse
import dataclasses
from typing import TYPE_CHECKING

from tfsessionrec.cli import output

if TYPE_CHECKING:
    from tfsessionrec.data import Sessions, Vocabulary
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
        "--overwrite", action="store_true", help="replace an earlier model directory"
    )


def settings_before(
    arguments: argparse.Namespace, directory: "ModelDirectory"
) -> "Settings | None":
    """The settings that training goes on with; None if it starts."""
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
