r"""Ask a running server for recommendations.

tfsessionrec ask --url http://localhost:8501 --model-name sessionrec --items shoes,socks
tfsessionrec ask --url grpc://localhost:8500 --model-name sessionrec --label canary \
    --signature rank --items shoes,socks --candidates hat,scarf
tfsessionrec ask --url http://localhost:8501 --model-name sessionrec --signature status
"""

import argparse
import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tfsessionrec.cli import output
from tfsessionrec.cli.tensorflow_import import import_tensorflow
from tfsessionrec.client import Client, History

SIGNATURES = ("recommend", "recommend_filtered", "similar_items", "rank", "encode", "status")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument(
        "--url",
        metavar="URL",
        default="http://localhost:8501",
        help="http://HOST:PORT of REST (default http://localhost:8501) or grpc://HOST:PORT",
    )
    parser.add_argument("--model-name", metavar="NAME", required=True, help="as on the server")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--label", metavar="LABEL", help="ask the version with this label")
    which.add_argument("--model-version", metavar="N", type=int, help="ask this version")
    parser.add_argument(
        "--signature",
        choices=SIGNATURES,
        default="recommend",
        help="what to ask for (default recommend); status: which versions are loaded",
    )
    parser.add_argument(
        "--items",
        metavar="A,B,...",
        default="",
        help="the history's item ids, oldest first (default: a visitor without one); for "
        "similar_items, the items",
    )
    parser.add_argument(
        "--sessions",
        metavar="N,N,...",
        help="the session that each item belongs to, such as 0,0,1 (default: all to one)",
    )
    parser.add_argument(
        "--item-input",
        metavar="NAME=A,B,...",
        action="append",
        default=[],
        help="what else the export reads of each item, such as timestamps=1700000000,1700000060; "
        "may be given several times",
    )
    parser.add_argument(
        "--input",
        metavar="NAME=JSON",
        action="append",
        default=[],
        help="any other input of the signature, such as 'exclude_ids=[\"hat\"]'; may be given "
        "several times",
    )
    parser.add_argument("--candidates", metavar="A,B,...", default="", help="for rank: the items")
    parser.add_argument("--k", metavar="N", type=int, default=10, help="how many (default 10)")
    parser.add_argument(
        "--timeout", metavar="S", type=float, default=5.0, help="seconds in all (default 5)"
    )
    parser.add_argument(
        "--retries", metavar="N", type=int, default=3, help="when it is unavailable (default 3)"
    )
    output.add_json_argument(parser)


def run(arguments: argparse.Namespace) -> None:
    """Asks."""
    if (arguments.signature == "rank") != bool(arguments.candidates):
        raise ValueError("`--candidates` should be given for `--signature rank`, and only there")
    if arguments.url.startswith("grpc:"):
        import_tensorflow()
    with Client(
        arguments.url,
        arguments.model_name,
        version=arguments.model_version,
        label=arguments.label,
        timeout=arguments.timeout,
        retries=arguments.retries,
    ) as client:
        rows = _ask(client, arguments)
    if rows:
        print(output.table(rows))
    output.write_json(arguments.json, {"signature": arguments.signature, "answer": rows})


def _ask(client: Client, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """One row of the answer's table for each thing that it holds."""
    if arguments.signature == "status":
        return [dataclasses.asdict(one) for one in client.versions()]
    items = _split(arguments.items)
    inputs = _json_inputs(arguments.input)
    if arguments.signature == "similar_items":
        if not items:
            raise ValueError("`--items` should name the items whose neighbours are wanted")
        answers = client.similar_items(items, arguments.k, **inputs)
        return [
            {"of": item, "rank": place, "item": one.item_id, "score": one.score}
            for item, answer in zip(items, answers, strict=True)
            for place, one in enumerate(answer, 1)
        ]
    history = _history(items, arguments.sessions, arguments.item_input)
    if arguments.signature == "rank":
        (ranked,) = client.rank([history], _split(arguments.candidates), **inputs)
        return [
            {"item": one.item_id, "known": one.known, "score": one.score}
            for one in sorted(ranked, key=lambda one: -one.score)
        ]
    if arguments.signature == "encode":
        query = client.encode([history], **inputs)[0]
        return [{"dimension": place, "value": value} for place, value in _entries(query.tolist())]
    ask = client.recommend if arguments.signature == "recommend" else client.recommend_filtered
    (recommended,) = ask([history], arguments.k, **inputs)
    return [
        {"rank": place, "item": one.item_id, "score": one.score}
        for place, one in enumerate(recommended, 1)
    ]


def _entries(values: list[Any], prefix: str = "") -> list[tuple[str, float]]:
    """Numbers of a vector, or of several, each with its place."""
    if values and isinstance(values[0], list):
        return [entry for place, one in enumerate(values) for entry in _entries(one, f"{place},")]
    return [(f"{prefix}{place}", value) for place, value in enumerate(values)]


def _split(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _history(items: list[str], sessions: str | None, item_inputs: Sequence[str]) -> History:
    try:
        index = None if sessions is None else [int(number) for number in sessions.split(",")]
    except ValueError:
        raise ValueError(
            f"`--sessions` should be whole numbers like 0,0,1. Received: {sessions!r}"
        ) from None
    inputs: dict[str, list[Any]] = {}
    for text in item_inputs:
        name, equals, values = text.partition("=")
        if not equals:
            raise ValueError(f"`--item-input` should be NAME=A,B,... Received: {text!r}")
        inputs[name] = _split(values)
    return History(items, index, inputs)


def _json_inputs(given: Sequence[str]) -> Mapping[str, Any]:
    inputs: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        try:
            if not equals:
                raise ValueError
            inputs[name] = json.loads(value)
        except ValueError:
            raise ValueError(
                f"`--input` should be NAME=JSON, such as 'exclude_ids=[\"hat\"]'. Received: "
                f"{text!r}"
            ) from None
    return inputs
