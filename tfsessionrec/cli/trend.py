"""Tell a served model what is clicked now: writes the trend table of an export anew.

    tfsessionrec trend --model model --export exported/news/1 --events recent.csv

The next request sees it; nothing is exported, loaded or restarted. Run it every minute or so, with
the log as far back as the longest half-life of the model needs.
"""

import argparse
import pathlib
from typing import TYPE_CHECKING

from tfsessionrec.cli import output
from tfsessionrec.cli.tensorflow_import import import_tensorflow

if TYPE_CHECKING:
    from tfsessionrec.data import Sessions
    from tfsessionrec.models import SessionRec


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
    from tfsessionrec.cli.model_directory import ModelDirectory, build_model
    from tfsessionrec.cli.train import set_trend
    from tfsessionrec.export import write_trend_file

    directory = ModelDirectory(arguments.model)
    settings, vocabulary = directory.settings(), directory.vocabulary()
    if not settings.training.get("trend"):
        raise ValueError(f"{arguments.model} was trained without --trend: it has no trend table")
    file = arguments.export / "assets" / "trend.pb"
    if not file.parent.is_dir():
        raise FileNotFoundError(f"{arguments.export} is no export: it has no assets/")
    model = build_model(settings, vocabulary, directory.catalogue())
    sessions = settings.log.read(arguments.events)
    set_trend(model, directory, sessions)
    assert model.trend is not None
    time = now(model, sessions) if arguments.time is None else arguments.time
    table = model.trend.table(time)
    write_trend_file(file, table, vocabulary.first_item_index)
    print(f"{file}: {len(table.item_ids):,} items, {len(table.leaders):,} pairs")
    output.write_json(
        arguments.json,
        {"file": file, "time": time, "items": len(table.item_ids), "pairs": len(table.leaders)},
    )


def now(model: "SessionRec", sessions: "Sessions") -> int:
    """The first moment at which a table holds all of these events."""
    assert model.trend is not None
    last = int(sessions.events["timestamp"].max())  # type: ignore[arg-type]
    refresh = model.trend.refresh
    return (last // refresh + 1) * refresh
