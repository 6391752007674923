"""Write a SavedModel for TensorFlow Serving: raw item ids in, raw item ids and scores out.

tfsessionrec export --model model --output exported/shop --next-version
tfsessionrec export --check exported/shop/1 --model model
"""

import argparse
import json
import pathlib
from typing import TYPE_CHECKING, Any

from tfsessionrec.cli import output
from tfsessionrec.cli.baselines import BASELINES
from tfsessionrec.cli.tensorflow_import import import_tensorflow
from tfsessionrec.cli.train import set_trend
from tfsessionrec.cli.trend import now

if TYPE_CHECKING:
    from tfsessionrec.cli.model_directory import ModelDirectory


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument("--model", metavar="DIR", type=pathlib.Path, help="the model directory")
    parser.add_argument(
        "--output",
        metavar="DIR",
        type=pathlib.Path,
        help="the SavedModel; TensorFlow Serving wants the last part to be a version number",
    )
    parser.add_argument(
        "--next-version",
        action="store_true",
        help="export to the next number in --output, which holds the versions of a model",
    )
    parser.add_argument(
        "--check",
        metavar="DIR",
        type=pathlib.Path,
        help="check an export instead of writing one: files, warm-up requests, recorded answers "
        "and, with --model, those of the live model; exit status 1 if anything is wrong",
    )
    parser.add_argument(
        "--k", metavar="N", type=int, default=100, help="usual number of items (default 100)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier export")
    parser.add_argument(
        "--report",
        metavar="FILE",
        type=pathlib.Path,
        help="what `tfsessionrec evaluate --json FILE` wrote; it travels along in metadata.json",
    )
    parser.add_argument(
        "--warm-up-batch-sizes",
        metavar="N,N",
        default="1,4,16,32",
        help="rows of the requests that a server replays before it serves the export, none above "
        'its max_batch_size; "" for no warm-up (default 1,4,16,32)',
    )
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
        help="how the candidates are kept: bfloat16 is the smallest and rounds them; int8 is the "
        "fastest on a CPU, and exact to 2^-23 of the largest number of a row (default float32)",
    )
    output.add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Exports, or checks an export: 1 if anything is wrong with it."""
    if arguments.check is None and None in (arguments.model, arguments.output):
        raise ValueError("`export` should come with `--model` and `--output`, or with `--check`")
    if arguments.check is not None and arguments.output is not None:
        raise ValueError("`--check` should come without `--output`")
    import_tensorflow()
    from tfsessionrec.cli.model_directory import ModelDirectory

    if arguments.check is not None:
        return _check(arguments)
    from tfsessionrec.export import next_version

    directory = ModelDirectory(arguments.model)
    path = export(
        directory,
        next_version(arguments.output) if arguments.next_version else arguments.output,
        arguments.k,
        arguments.overwrite,
        arguments.trend_events,
        _report(arguments.report),
        **_item_options(arguments, directory),
        unavailable=[] if arguments.availability else None,
        similarity=arguments.similarity,
        candidate_dtype=arguments.candidate_dtype,
        warm_up_batch_sizes=_batch_sizes(arguments.warm_up_batch_sizes),
    )
    print(path)
    output.write_json(arguments.json, {"model": arguments.model, "output": path, "k": arguments.k})
    return 0


def export(
    directory: "ModelDirectory",
    path: pathlib.Path,
    k: int,
    overwrite: bool = False,
    trend_events: pathlib.Path | None = None,
    report: Any = None,
    **options: Any,
) -> pathlib.Path:
    """Exports the model of a directory with the limits it was trained with.

    Args:
        directory: The directory.
        path: Where to.
        k: Usual number of items.
        overwrite: Whether an earlier export goes.
        trend_events: A log for the first trend table of a model with a trend.
        report: What an evaluation of the model gave.
        **options: Further options of `export_saved_model`.
    """
    from tfsessionrec.export import export_saved_model

    settings = directory.settings()
    training = settings.training
    if settings.model in BASELINES:
        raise ValueError(
            f"{settings.model} has no graph to export: `tfsessionrec recommend` and "
            f"`tfsessionrec evaluate` take its model directory. Received: {directory.path}"
        )
    model = directory.load_model()
    metadata = {"settings": settings.to_json(), "epochs": directory.history()}
    if report is not None:
        metadata["evaluation"] = report
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
        metadata=metadata,
        overwrite=overwrite,
        **options,
    )


def _check(arguments: argparse.Namespace) -> int:
    from tfsessionrec.cli.model_directory import ModelDirectory
    from tfsessionrec.export import check_saved_model

    model = vocabulary = None
    if arguments.model is not None:
        directory = ModelDirectory(arguments.model)
        model, vocabulary = directory.load_model(), directory.vocabulary()
    output.say(f"Checking {arguments.check}")
    report = check_saved_model(arguments.check, model, vocabulary)
    print(report)
    steps = [step._asdict() for step in report.steps]
    content = {"export": arguments.check, "ok": report.ok, "steps": steps}
    output.write_json(arguments.json, content)
    return 0 if report.ok else 1


def _report(path: pathlib.Path | None) -> Any:
    if path is None:
        return None
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(
            f"`--report` should be a file that `evaluate --json` wrote. Received: {path}: {error}"
        ) from error


def _batch_sizes(text: str) -> list[int]:
    try:
        return [int(size) for size in text.split(",")] if text.strip() else []
    except ValueError:
        raise ValueError(
            f"`--warm-up-batch-sizes` should be whole numbers, as in 1,8. Received: {text!r}"
        ) from None


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
