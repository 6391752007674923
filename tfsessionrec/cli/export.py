"""Write a SavedModel for TensorFlow Serving: raw item ids in, raw item ids and scores out.

tfsessionrec export --model model --output exported/shop/1
"""

import argparse
import pathlib
from typing import TYPE_CHECKING

from tfsessionrec.cli import output
from tfsessionrec.cli.tensorflow_import import import_tensorflow
from tfsessionrec.cli.train import set_trend
from tfsessionrec.cli.trend import now

if TYPE_CHECKING:
    from tfsessionrec.cli.model_directory import ModelDirectory


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument(
        "--model", metavar="DIR", type=pathlib.Path, required=True, help="the model directory"
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        type=pathlib.Path,
        required=True,
        help="the SavedModel; TensorFlow Serving wants the last part to be a version number",
    )
    parser.add_argument(
        "--k", metavar="N", type=int, default=100, help="usual number of items (default 100)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier export")
    parser.add_argument(
        "--trend-events",
        metavar="FILE",
        type=pathlib.Path,
        help="for a model trained with --trend: a log for its first trend table (default: an empty "
        "table; `tfsessionrec trend` writes the next ones)",
    )
    output.add_json_argument(parser)


def run(arguments: argparse.Namespace) -> None:
    """Exports."""
    import_tensorflow()
    from tfsessionrec.cli.model_directory import ModelDirectory

    path = export(
        ModelDirectory(arguments.model),
        arguments.output,
        arguments.k,
        arguments.overwrite,
        arguments.trend_events,
    )
    print(path)
    output.write_json(arguments.json, {"model": arguments.model, "output": path, "k": arguments.k})


def export(
    directory: "ModelDirectory",
    path: pathlib.Path,
    k: int,
    overwrite: bool = False,
    trend_events: pathlib.Path | None = None,
) -> pathlib.Path:
    """Exports the model of a directory with the limits it was trained with.

    Args:
        directory: The directory.
        path: Where to.
        k: Usual number of items.
        overwrite: Whether an earlier export goes.
        trend_events: A log for the first trend table of a model with a trend.
    """
    from tfsessionrec.export import export_saved_model

    training = directory.settings().training
    model = directory.load_model()
    trend_time = None
    if model.trend is not None and trend_events is not None:
        sessions = directory.settings().log.read(trend_events)
        set_trend(model, directory, sessions)
        trend_time = now(model, sessions)
    output.say(f"Exporting to {path}")
    return export_saved_model(
        model,
        path,
        directory.vocabulary(),
        k=k,
        max_sessions=training["max_sessions"],
        max_items=training["max_items"],
        next_item=training["next_item"],
        whole_history=training.get("whole_history", False),
        session_context=training.get("session_context"),
        interaction_types=training.get("interaction_types"),
        trend_time=trend_time,
        overwrite=overwrite,
    )
