"""Recommend items for one history, by an export or a model directory; or for every user of a log.

    tfsessionrec recommend --saved-model exported/shop/1 --items i00017,i00004 --sessions 0,1
    tfsessionrec recommend --model model --events log.csv --output recs.parquet

The second form takes a model directory and writes a row for each user and item: user (session,
where the log has no users), rank, item and score. The columns of the log default to those of
training. A history without a known item gets the items most popular in training, with the score
log((count + 1) / sum(count + 1)).
"""

import argparse
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfsessionrec.cli import log_arguments, output
from tfsessionrec.cli.tensorflow_import import import_tensorflow

if TYPE_CHECKING:
    from tfsessionrec.data.ids import IdType


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument(
        "--saved-model",
        "--model",
        metavar="DIR",
        type=pathlib.Path,
        required=True,
        help="the export; or a model directory",
    )
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument(
        "--items",
        metavar="A,B,...",
        help="the history's item ids, oldest first; '' for a visitor without one",
    )
    parser.add_argument(
        "--sessions",
        metavar="N,N,...",
        help="the session that each item belongs to, such as 0,0,1 (default: all to one)",
    )
    parser.add_argument(
        "--input",
        metavar="NAME=A,B,...",
        action="append",
        default=[],
        help="another input of each item that the export takes, such as "
        "timestamps=1700000000,1700000060; may be given several times",
    )
    parser.add_argument("--k", metavar="N", type=int, default=10, help="how many (default 10)")
    _add_rule_arguments(parser)
    log_arguments.add_files(asked, "--events")
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=pathlib.Path,
        help="with --events: the file to write, .parquet, .csv or .jsonl",
    )
    log_arguments.add_format_arguments(parser)
    output.add_json_argument(parser)


def _add_rule_arguments(parser: argparse.ArgumentParser) -> None:
    rules = parser.add_argument_group("business rules")
    rules.add_argument("--exclude", metavar="A,B,...", default="", help="leave out these items")
    rules.add_argument(
        "--unavailable",
        metavar="FILE",
        type=pathlib.Path,
        help="leave out the items of this file, one id per line",
    )
    rules.add_argument("--allow", metavar="A,B,...", default="", help="only these items")
    rules.add_argument(
        "--exclude-seen", action="store_true", help="leave out the items of the history"
    )
    rules.add_argument(
        "--tag-mask",
        metavar="N",
        type=int,
        default=0,
        help="only items with one of these tags, a sum of their bits",
    )
    rules.add_argument(
        "--max-per-category", metavar="N", type=int, default=0, help="most items of one category"
    )
    rules.add_argument(
        "--diversity",
        metavar="X",
        type=float,
        default=0.0,
        help="0 (order of the scores, the default) to 1 (items as different as possible)",
    )
    rules.add_argument(
        "--freshness",
        metavar="X",
        type=float,
        default=0.0,
        help="added to the score of a new item; halves as it ages",
    )
    rules.add_argument(
        "--request-time",
        metavar="SECONDS",
        type=int,
        help="time of the request, unix seconds (default: now)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Recommends."""
    _check(arguments)
    if arguments.events is not None:
        _for_every_user(arguments)
        return
    items = _ids(arguments.items)
    sessions = arguments.sessions
    if sessions is not None:
        try:
            sessions = [int(number) for number in sessions.split(",")]
        except ValueError:
            raise ValueError(
                f"`--sessions` should be whole numbers like 0,0,1. Received: {arguments.sessions!r}"
            ) from None
    import_tensorflow()
    from tfsessionrec.systems.model_directory import ModelDirectory

    if ModelDirectory(arguments.saved_model).is_trained:
        recommended = _from_system(arguments, items, sessions)
    else:
        recommended = _from_export(arguments, items, sessions)
    rows = [
        {"rank": rank, "item": item, "score": score}
        for rank, (item, score) in enumerate(recommended, 1)
    ]
    print(output.table(rows))
    output.write_json(
        arguments.json,
        {
            "items": items,
            "sessions": sessions,
            "recommended": [{"item": item, "score": score} for item, score in recommended],
        },
    )


def _from_export(
    arguments: argparse.Namespace, items: list[str], sessions: list[int] | None
) -> list[tuple[str | int, float]]:
    from tfsessionrec.export import load_saved_model

    recommender = load_saved_model(arguments.saved_model)
    inputs = _inputs(arguments.input, {"labels": "float32", **recommender.item_inputs})
    missing = sorted(set(recommender.item_inputs) - set(inputs))
    if missing:
        wanted = " ".join(f"--input {name}=A,B,..." for name in missing)
        raise ValueError(
            f"`--input` should give the item inputs of the export: {wanted}. Received: "
            f"{arguments.input or 'none'}"
        )
    return recommender.recommend(
        items,
        sessions,
        k=arguments.k,
        exclude_ids=_excluded(arguments),
        allow_ids=_ids(arguments.allow),
        exclude_seen=arguments.exclude_seen,
        diversity=arguments.diversity,
        tag_mask=arguments.tag_mask,
        max_per_category=arguments.max_per_category,
        freshness=arguments.freshness,
        request_time=arguments.request_time,
        **inputs,
    )


def _from_system(
    arguments: argparse.Namespace, items: list[str], sessions: list[int] | None
) -> list[tuple[str | int, float]]:
    """What the system of a model directory recommends."""
    from tfsessionrec.data.ids import exact_ids
    from tfsessionrec.systems import load

    _refuse_rules_of_exports(arguments)
    if arguments.k < 1:
        raise ValueError(f"`--k` should be a positive integer. Received: {arguments.k}")
    if sessions is not None and len(sessions) != len(items):
        raise ValueError(
            f"`--sessions` should be one number an item. Received: {len(sessions)} for "
            f"{len(items)} items"
        )
    system = load(arguments.saved_model)
    dtype = system.vocabulary.dtype
    never, only = _excluded_and_allowed(arguments, dtype)
    visits: dict[int, list[str | int]] = {}
    for item, visit in zip(exact_ids(items, "--items", dtype), sessions or [0] * len(items)):
        visits.setdefault(visit, []).append(item)
    ranked = system.recommend(
        list(visits.values()),
        system.vocabulary.num_items,
        filter_seen=arguments.exclude_seen,
        time=arguments.request_time,
    )
    kept = [
        (item, score) for item, score in ranked if item not in never and (not only or item in only)
    ]
    return kept[: arguments.k]


def _for_every_user(arguments: argparse.Namespace) -> None:
    """Writes the file of recommendations."""
    import_tensorflow()
    from tfsessionrec.systems import load

    _refuse_rules_of_exports(arguments)
    system = load(arguments.saved_model)
    log = log_arguments.log_format(arguments, system.settings.log)
    sessions = log_arguments.read(log, arguments.events)
    never, only = _excluded_and_allowed(arguments, system.vocabulary.dtype)
    begin = time.perf_counter()
    rows = system.recommend_all(
        sessions,
        arguments.output,
        arguments.k,
        filter_seen=arguments.exclude_seen,
        exclude=never,
        allow=only,
        time=arguments.request_time,
        progress=True,
    )
    seconds = time.perf_counter() - begin
    users = sessions.num_users
    print(f"{arguments.output}: {rows:,} rows, {users:,} users, {seconds:.1f} s")
    content = {"output": arguments.output, "rows": rows, "users": users, "seconds": seconds}
    output.write_json(arguments.json, content)


def _check(arguments: argparse.Namespace) -> None:
    """Raises if arguments of one way are given with the other."""
    if (arguments.events is None) != (arguments.output is None):
        raise ValueError(
            "`--events` and `--output` should be given together. Received: "
            f"{'--output' if arguments.events is None else '--events'} alone"
        )
    if arguments.events is not None and arguments.sessions is not None:
        raise ValueError("`--sessions` should be given with `--items`. Received: --events")


def _refuse_rules_of_exports(arguments: argparse.Namespace) -> None:
    rules = ("input", "tag_mask", "max_per_category", "diversity", "freshness")
    given = [f"--{name.replace('_', '-')}" for name in rules if getattr(arguments, name)]
    if given:
        raise ValueError(
            f"{', '.join(given)} should be given with an export. Received: the model directory "
            f"{arguments.saved_model}"
        )


def _excluded(arguments: argparse.Namespace) -> list[str]:
    """The ids of `--exclude` and of the file of `--unavailable`."""
    if arguments.unavailable is None:
        return _ids(arguments.exclude)
    lines = arguments.unavailable.read_text().splitlines()
    return _ids(arguments.exclude) + [line for line in lines if line]


def _excluded_and_allowed(
    arguments: argparse.Namespace, id_type: "IdType"
) -> tuple[list[str | int], list[str | int]]:
    """The ids of both as those of a vocabulary."""
    from tfsessionrec.data.ids import exact_ids

    never, only = _excluded(arguments), _ids(arguments.allow)
    return exact_ids(never, "--exclude", id_type), exact_ids(only, "--allow", id_type)


def _ids(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _inputs(given: Sequence[str], dtypes: Mapping[str, str]) -> dict[str, Any]:
    """The values of `--input`, numbers where the export takes numbers."""
    inputs: dict[str, Any] = {}
    for text in given:
        name, equals, values = text.partition("=")
        if not equals:
            raise ValueError(f"`--input` should be NAME=A,B,... Received: {text!r}")
        kind = {"int64": int, "int32": int, "float32": float}.get(dtypes.get(name, ""), str)
        try:
            inputs[name] = [kind(value) for value in values.split(",") if values]
        except ValueError:
            raise ValueError(
                f"`--input` should give numbers for {name}. Received: {text!r}"
            ) from None
    return inputs
