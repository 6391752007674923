"""Write a SavedModel for TensorFlow Serving: raw item ids in, raw item ids and scores out.

tfsessionrec export --model model --output exported/shop/1
"""

import argparse
import pathlib
from typing import TYPE_CHECKING, Any

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
    rules = parser.add_argument_group("business rules, for `recommend_filtered`")
    rules.add_argument(
        "--item-table",
        metavar="FILE",
        type=pathlib.Path,
        help="what is known of items: .csv, .tsv, .txt or .parquet, one row an item",
    )
    rules.add_argument(
        "--item-id", metavar="COLUMN", help="its column of ids (default: that of the log)"
    )
    rules.add_argument("--item-category", metavar="COLUMN", help="its column of categories")
    rules.add_argument(
        "--item-tags", metavar="COLUMN", help="its column of tags, as a sum of their bits"
    )
    rules.add_argument("--item-time", metavar="COLUMN", help="its column of times, in unix seconds")
    rules.add_argument(
        "--availability",
        action="store_true",
        help="let `tfsessionrec availability` say, while the model is served, which items are not "
        "to be had",
    )
    table = parser.add_argument_group("candidates")
    table.add_argument(
        "--similarity",
        choices=("cosine", "dot"),
        default="cosine",
        help="what `similar_items` compares items by (default cosine)",
    )
    table.add_argument(
        "--candidate-dtype",
        choices=("float32", "bfloat16", "int8"),
        default="float32",
        help="how the candidates are kept (default float32)",
    )
    output.add_json_argument(parser)


def run(arguments: argparse.Namespace) -> None:
    """Exports."""
    import_tensorflow()
    from tfsessionrec.cli.model_directory import ModelDirectory

    directory = ModelDirectory(arguments.model)
    path = export(
        directory,
        arguments.output,
        arguments.k,
        arguments.overwrite,
        arguments.trend_events,
        **_item_options(arguments, directory),
        unavailable=[] if arguments.availability else None,
        similarity=arguments.similarity,
        candidate_dtype=arguments.candidate_dtype,
    )
    print(path)
    output.write_json(arguments.json, {"model": arguments.model, "output": path, "k": arguments.k})


def export(
    directory: "ModelDirectory",
    path: pathlib.Path,
    k: int,
    overwrite: bool = False,
    trend_events: pathlib.Path | None = None,
    **options: Any,
) -> pathlib.Path:
    """Exports the model of a directory with the limits it was trained with.

    Args:
        directory: The directory.
        path: Where to.
        k: Usual number of items.
        overwrite: Whether an earlier export goes.
        trend_events: A log for the first trend table of a model with a trend.
        **options: Further options of `export_saved_model`.
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
        **options,
    )


def _item_options(
    arguments: argparse.Namespace, directory: "ModelDirectory"
) -> dict[str, dict[Any, Any]]:
    """What the item table says, as maps from ids."""
    columns = {
        "item_categories": arguments.item_category,
        "item_tags": arguments.item_tags,
        "item_times": arguments.item_time,
    }
    columns = {name: column for name, column in columns.items() if column is not None}
    if bool(columns) != (arguments.item_table is not None):
        raise ValueError(
            "`--item-table` should come with `--item-category`, `--item-tags` or `--item-time`, "
            "and they with it"
        )
    if not columns:
        return {}
    from tfsessionrec import data

    item = arguments.item_id or directory.settings().log.item
    table = data.read_events(arguments.item_table, columns={"item": item, **columns})
    kind = str if directory.vocabulary().dtype == "string" else int
    ids = [kind(value) for value in table["item"]]
    return {name: dict(zip(ids, table[name].to_list(), strict=True)) for name in columns}
