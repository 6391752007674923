"""The arguments that validate each epoch and end training early."""

import argparse
import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tfsessionrec.systems import Validation

NAMES = ("validation", "early_stopping")


def add_arguments(trained: argparse._ActionsContainer) -> None:
    """Adds the arguments; one that is not given is None."""
    trained.add_argument(
        "--validation",
        metavar="PART",
        help="rank all items after each epoch, as evaluate does, for sessions that are not trained "
        "on: none (default); of what --holdout leaves, the last-day (24 hours) or the last-session "
        "of each user; or the file of another log. The epoch with the highest ndcg@20 is the one "
        "that other commands read; --resume continues from the last one",
    )
    trained.add_argument(
        "--early-stopping",
        metavar="METRIC[,patience=N]",
        help="end training when a metric of --validation, such as ndcg@20, has not risen for N "
        "epochs (default: train all epochs; N is 3 unless given). With --cooldown the learning "
        "rate begins to fall then, over its share of --epochs, and training ends with it",
    )


def validation(arguments: argparse.Namespace, before: "Validation") -> "Validation":
    """The validation that the arguments say, and `before` where one is not given."""
    from tfsessionrec.systems import Validation

    part = before.part if arguments.validation is None else arguments.validation
    if arguments.early_stopping is None:
        return dataclasses.replace(before, part=part)
    return Validation.of(part, arguments.early_stopping)
