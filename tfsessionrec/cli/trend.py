"""Update a served model with the latest clicks: replaces the trend table of an export.

    tfsessionrec trend --model model --export exported/news/1 --events recent.csv

The next request sees it; nothing is exported, loaded or restarted. Run it every minute or so, with
the log as far back as the longest half-life of the model needs.
"""

import argparse
import pathlib

from tfsessionrec.checks import unix_seconds
from tfsessionrec.cli import log_arguments, output
from tfsessionrec.cli.tensorflow_import import import_tensorflow


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument(
        "--model", metavar="DIR", type=pathlib.Path, required=True, help="the model directory"
    )
    parser.add_argument(
        "--export", metavar="DIR", type=pathlib.Path, required=True, help="what is served"
    )
    parser.add_argument(
        "--events",
        metavar="FILE",
        type=pathlib.Path,
        required=True,
        help="the log, with columns as in training",
    )
    parser.add_argument(
        "--time",
        metavar="SECONDS",
        type=int,
        help="now, unix seconds (default: just after the last event)",
    )
    output.add_json_argument(parser)


def run(arguments: argparse.Namespace) -> None:
    """Writes the table."""
    import_tensorflow()
    from tfsessionrec.export import write_trend_file
    from tfsessionrec.systems.model_directory import ModelDirectory
    from tfsessionrec.systems.neural_model import build_model
    from tfsessionrec.systems.neural_system import NeuralSystem

    directory = ModelDirectory(arguments.model)
    settings, vocabulary = directory.settings(), directory.vocabulary()
    if not settings.history.request_times or settings.options.get("trend") is None:
        raise ValueError(f"{arguments.model} was trained without --trend: it has no trend table")
    file = arguments.export / "assets" / "trend.pb"
    if not file.parent.is_dir():
        raise FileNotFoundError(f"{arguments.export} is no export: it has no assets/")
    # The table needs the events alone, not the weights.
    model = build_model(settings, vocabulary, directory.item_table())
    system = NeuralSystem(settings, vocabulary, model)
    sessions = log_arguments.read(settings.log, arguments.events)
    system.prepare(sessions)
    time = system.last_tick(sessions)
    if arguments.time is not None:
        time = int(unix_seconds("--time", arguments.time))
    assert model.trend is not None
    table = model.trend.table(time)
    write_trend_file(file, table, vocabulary.first_item_index)
    print(f"{file}: {len(table.item_ids):,} items, {len(table.leaders):,} pairs")
    output.write_json(
        arguments.json,
        {"file": file, "time": time, "items": len(table.item_ids), "pairs": len(table.leaders)},
    )
