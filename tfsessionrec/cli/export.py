"""Write a SavedModel for TensorFlow Serving: raw item ids in, raw item ids and scores out.

tfsessionrec export --model model --output exported/shop --next-version
tfsessionrec export --check exported/shop/1 --model model
"""

import argparse
import contextlib
import json
import pathlib
from typing import TYPE_CHECKING

from tfsessionrec.checks import unix_seconds
from tfsessionrec.cli import log_arguments, output
from tfsessionrec.cli.tensorflow_import import import_tensorflow

if TYPE_CHECKING:
    import polars as pl

    from tfsessionrec.systems import TrainedSystem


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
        help="a file of `tfsessionrec evaluate --json FILE`; it is copied into metadata.json",
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
    _add_rule_arguments(parser)
    output.add_json_argument(parser)


def _add_rule_arguments(parser: argparse.ArgumentParser) -> None:
    rules = parser.add_argument_group("business rules, for `recommend_filtered`")
    rules.add_argument(
        "--item-table",
        metavar="FILE",
        type=pathlib.Path,
        help="item attributes: .csv, .tsv, .txt or .parquet, one row an item",
    )
    rules.add_argument(
        "--item-id", metavar="COLUMN", help="its column of ids (default: that of the log)"
    )
    rules.add_argument("--item-category", metavar="COLUMN", help="its column of categories")
    rules.add_argument(
        "--item-tags", metavar="COLUMN", help="its column of tags, as a sum of their bits"
    )
    rules.add_argument(
        "--item-time", metavar="COLUMN", help="its column of times: unix seconds, or dates"
    )
    rules.add_argument(
        "--availability",
        action="store_true",
        help="let `tfsessionrec availability` mark items as unavailable while the model is served",
    )
    table = parser.add_argument_group("candidates")
    table.add_argument(
        "--similarity",
        choices=("cosine", "dot"),
        default="cosine",
        help="how `similar_items` compares items (default cosine)",
    )
    table.add_argument(
        "--candidate-dtype",
        choices=("float32", "bfloat16", "int8"),
        default="float32",
        help="how the candidates are kept: bfloat16 is the smallest and rounds them; int8 is the "
        "fastest on a CPU, and exact to 2^-23 of the largest number of a row (default float32)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Exports, or checks an export: 1 if anything is wrong with it."""
    if arguments.check is None and None in (arguments.model, arguments.output):
        raise ValueError("`export` should come with `--model` and `--output`, or with `--check`")
    if arguments.check is not None and arguments.output is not None:
        raise ValueError("`--check` should come without `--output`")
    import_tensorflow()
    from tfsessionrec.export import reserved_next_version
    from tfsessionrec.systems import NeuralSystem, load

    if arguments.check is not None:
        return _check(arguments)
    system = load(arguments.model)
    options: dict[str, object] = {}
    if arguments.trend_events is not None and isinstance(system, NeuralSystem):
        sessions = log_arguments.read(system.settings.log, arguments.trend_events)
        system.prepare(sessions)
        options["trend_time"] = system.last_tick(sessions)
    report = _report(arguments.report)
    with contextlib.ExitStack() as reserved:
        path = arguments.output
        if arguments.next_version:
            path = reserved.enter_context(reserved_next_version(path))
        output.say(f"Exporting to {path}")
        written = system.export(
            path,
            k=arguments.k,
            metadata={} if report is None else {"evaluation": report},
            unavailable=[] if arguments.availability else None,
            warm_up_batch_sizes=_batch_sizes(arguments.warm_up_batch_sizes),
            overwrite=arguments.overwrite,
            **_candidates(arguments),
            **_item_attributes(arguments, system),
            **options,
        )
    print(written)
    content = {"model": arguments.model, "output": written, "k": arguments.k}
    output.write_json(arguments.json, content)
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from tfsessionrec.export import check_saved_model
    from tfsessionrec.systems import NeuralSystem, load

    model = vocabulary = None
    if arguments.model is not None:
        system = load(arguments.model)
        if not isinstance(system, NeuralSystem):
            raise ValueError(f"{arguments.model} is a baseline, which has no export")
        model, vocabulary = system.model, system.vocabulary
    output.say(f"Checking {arguments.check}")
    report = check_saved_model(arguments.check, model, vocabulary)
    print(report)
    steps = [step._asdict() for step in report.steps]
    content = {"export": arguments.check, "ok": report.ok, "steps": steps}
    output.write_json(arguments.json, content)
    return 0 if report.ok else 1


def _report(path: pathlib.Path | None) -> object:
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


def _candidates(arguments: argparse.Namespace) -> dict[str, object]:
    return {"similarity": arguments.similarity, "candidate_dtype": arguments.candidate_dtype}


def _item_attributes(
    arguments: argparse.Namespace, system: "TrainedSystem"
) -> dict[str, dict[object, object]]:
    """The attributes of the item table, as maps from ids."""
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
    from tfsessionrec.data.ids import clean_ids

    item = arguments.item_id or system.settings.log.columns.item
    table = data.read_events(arguments.item_table, columns={"item": item, **columns})
    if "item_times" in columns:
        table = table.with_columns(item_times=_seconds(table["item_times"], arguments.item_time))
    ids = clean_ids(table["item"], "--item-id", id_type=system.vocabulary.dtype).to_list()
    return {name: dict(zip(ids, table[name].to_list(), strict=True)) for name in columns}


def _seconds(times: "pl.Series", column: str) -> "pl.Series":
    """Times of items as unix seconds, rounded down; null stays null."""
    from tfsessionrec.data.times import to_microseconds

    known = times.is_not_null().arg_true()
    if not len(known):
        return times
    if times.dtype.is_numeric():
        unix_seconds("--item-time", times.max())
    found = to_microseconds(times[known].alias(column), "--item-time") // 1_000_000
    return times.clear(len(times)).cast(found.dtype, strict=False).scatter(known, found)
