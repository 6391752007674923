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

import numpy as np

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
        help="http://HOST:PORT for REST (default http://localhost:8501) or grpc://HOST:PORT",
    )
    parser.add_argument(
        "--model-name", metavar="NAME", required=True, help="name of the model on the server"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--label", metavar="LABEL", help="version to ask, by label")
    which.add_argument("--model-version", metavar="N", type=int, help="version to ask, by number")
    parser.add_argument(
        "--signature",
        choices=SIGNATURES,
        default="recommend",
        help="request to send (default recommend); status lists the versions and their states",
    )
    _add_inputs(parser)
    parser.add_argument(
        "--timeout",
        metavar="S",
        type=float,
        default=5.0,
        help="time limit in seconds, retries included (default 5)",
    )
    parser.add_argument(
        "--retries",
        metavar="N",
        type=int,
        default=3,
        help="retries while the server is unavailable (default 3)",
    )
    output.add_json_argument(parser)


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--items",
        metavar="A,B,...",
        default="",
        help="item ids of the history, oldest first (default: an empty history); for "
        "similar_items, the items to compare",
    )
    parser.add_argument(
        "--sessions",
        metavar="N,N,...",
        help="session number of each item, such as 0,0,1 (default: one session)",
    )
    parser.add_argument(
        "--item-input",
        metavar="NAME=A,B,...",
        action="append",
        default=[],
        help="further input with one value per item, such as timestamps=1700000000,1700000060; "
        "repeatable",
    )
    parser.add_argument(
        "--input",
        metavar="NAME=JSON",
        action="append",
        default=[],
        help="any other input of the signature, such as 'exclude_ids=[\"hat\"]'; repeatable",
    )
    parser.add_argument(
        "--candidates", metavar="A,B,...", default="", help="item ids to score; only for rank"
    )
    parser.add_argument(
        "--k", metavar="N", type=int, default=10, help="number of items (default 10)"
    )


def run(arguments: argparse.Namespace) -> None:
    """Sends the request and prints the answer."""
    if (arguments.signature == "rank") != bool(arguments.candidates):
        raise ValueError(
            "`--candidates` should be given with `--signature rank` and only with it. "
            f"Received: `--signature`={arguments.signature}, "
            f"`--candidates`={arguments.candidates!r}"
        )
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
        print(output.table([{**row, **_unknown(row)} for row in rows]))
    output.write_json(arguments.json, {"signature": arguments.signature, "answer": rows})


def _ask(client: Client, arguments: argparse.Namespace) -> list[dict[str, object]]:
    """The rows of the answer."""
    if arguments.signature == "status":
        return [dataclasses.asdict(one) for one in client.versions()]
    items = _split(arguments.items)
    inputs = _json_inputs(arguments.input)
    if arguments.signature == "similar_items":
        if not items:
            raise ValueError("`--items` should name at least one item for `similar_items`")
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
            {
                "item": one.item_id,
                "known": one.known,
                "score": one.score if one.known else None,
            }
            for one in sorted(ranked, key=lambda one: -one.score)
        ]
    if arguments.signature == "encode":
        query = client.encode([history], **inputs)[0]  # [D], or [N, D] with N interests
        return [
            {"dimension": ",".join(map(str, index)), "value": float(value)}
            for index, value in np.ndenumerate(query)
        ]
    ask = client.recommend if arguments.signature == "recommend" else client.recommend_filtered
    (recommended,) = ask([history], arguments.k, **inputs)
    return [
        {"rank": place, "item": one.item_id, "score": one.score}
        for place, one in enumerate(recommended, 1)
    ]


def _unknown(row: Mapping[str, object]) -> dict[str, object]:
    """The cells of a row without a value, as they are printed."""
    return {name: "unknown" for name, value in row.items() if value is None}


def _split(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _history(items: list[str], sessions: str | None, item_inputs: Sequence[str]) -> History:
    try:
        index = None if sessions is None else [int(number) for number in sessions.split(",")]
    except ValueError:
        raise ValueError(
            f"`--sessions` should be integers such as 0,0,1. Received: {sessions!r}"
        ) from None
    inputs: dict[str, list[str]] = {}
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
