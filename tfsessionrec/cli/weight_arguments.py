"""The arguments that say how much each event weighs as a target."""

import argparse
from typing import Any

NAMES = ("weight", "weight_by", "target_types")


def add_arguments(trained: argparse._ActionsContainer) -> None:
    """Adds the arguments; one that is not given is None."""
    trained.add_argument(
        "--weight",
        metavar="COLUMN",
        help="column of the weight of each event as a target, a number of 0 or more; 0 is not "
        "trained on (default: all weigh 1)",
    )
    trained.add_argument(
        "--weight-by",
        metavar="TYPE=X,...",
        help="weights by --interaction-type, such as purchase=5,cart=3,view=1 (default: 1); they "
        "multiply those of --weight",
    )
    trained.add_argument(
        "--target-types",
        metavar="TYPE,...",
        help="interaction types to predict, such as purchase; the others are history only "
        "(default: all)",
    )


def fields(arguments: argparse.Namespace) -> dict[str, Any]:
    """The fields of `TargetWeights` that the arguments say."""
    given: dict[str, Any] = {}
    if arguments.weight is not None:
        given["column"] = arguments.weight
    if arguments.target_types is not None:
        given["types"] = tuple(arguments.target_types.split(","))
    if arguments.weight_by is not None:
        pairs = [text.partition("=") for text in arguments.weight_by.split(",")]
        try:
            given["by_type"] = {name: float(weight) for name, _, weight in pairs}
        except ValueError as error:
            raise ValueError(
                "`--weight-by` should be TYPE=NUMBER, with commas between several. Received: "
                f"{arguments.weight_by!r}"
            ) from error
    return given
