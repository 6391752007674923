"""A relation: what a request shows is scored as in training and in an evaluation.

The rows of a request are those that the log shows, in their order; the server appends them to the
history as one more session.
"""

import json
import pathlib
import types
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest
import tensorflow as tf

from tfsessionrec.cli.main import main

MAX_SESSIONS = 4
TRAIN = (
    "--user user --session visit --item hotel --time time --impressions shown "
    "--impression-feature price=prices --interaction-type kind --relation "
    f"--model sessionrec-hstu --max-sessions {MAX_SESSIONS} --max-items 5 "
    "--embedding-dim 4 --epochs 1 --set num_layers=1 --set num_heads=1 --set ranking_loss=listwise "
    "--set ranking_weight=10 --learning-rate 0.01"
)
READS = {"item_ids": 3, "price": 3, "position": 3, "session_times": 2}
# Of earlier lists the numbers do not count.
READS_OF_HISTORY = {
    "item_ids": 3,
    "position": 3,
    "session_times": 2,
    "labels": 3,
    "interaction_types": 3,
}

Row = dict[str, Any]


class Request(NamedTuple):
    """The rows before a list, and those of the list, in its order."""

    history: list[Row]
    shown: list[Row]


class Trained(NamedTuple):
    """What the commands left behind, the batches that went through them, and the requests."""

    model: pathlib.Path
    export: pathlib.Path
    training: list[dict[str, np.ndarray]]
    evaluation: list[dict[str, np.ndarray]]
    report: dict[str, Any]
    requests: list[Request]


def users(seed: int = 0) -> list[list[Row]]:
    """Two to four visits of 30 users; each looks at some of five hotels, then clicks one of them.

    Each event is a session of its own, so that the rows of a list are those of one session.
    """
    draw = np.random.default_rng(seed)
    found = []
    visit = 0
    for user in range(30):
        rows: list[Row] = []
        time = 1_700_000_000 + 1000 * user
        for _ in range(draw.integers(2, 5)):
            hotels = draw.permutation(12)[:5]
            for hotel in draw.choice(hotels, draw.integers(0, 3), replace=False):
                visit, time = visit + 1, time + int(draw.integers(10, 99))
                look = {"item": f"h{hotel}", "label": 1, "kind": "look", "position": 0}
                rows.append({**look, "price": 0.0, "user": user, "visit": visit, "time": time})
            visit, time = visit + 1, time + int(draw.integers(10, 99))
            clicked = draw.choice(hotels)
            for place, hotel in enumerate(hotels, 1):
                label = int(hotel == clicked)
                row = {"item": f"h{hotel}", "label": label, "kind": "click" if label else ""}
                row |= {"position": place, "price": float(draw.integers(50, 99))}
                rows.append({**row, "user": user, "visit": visit, "time": time})
        found.append(rows)
    return found


def write_log(rows_of_users: list[list[Row]], path: pathlib.Path) -> None:
    """One line an event: a look, or a click and the list that was shown."""
    lines = []
    for rows in rows_of_users:
        for visit in dict.fromkeys(row["visit"] for row in rows):
            of_visit = [row for row in rows if row["visit"] == visit]
            (event,) = [row for row in of_visit if row["label"] == 1]
            shown = [row for row in of_visit if row["position"] > 0]
            lines.append(
                {
                    **{name: event[name] for name in ("user", "visit", "time", "kind")},
                    "hotel": event["item"],
                    "shown": "|".join(row["item"] for row in shown),
                    "prices": "|".join(str(row["price"]) for row in shown),
                }
            )
    pl.DataFrame(lines).write_csv(path)


def requests_of(rows_of_users: list[list[Row]]) -> list[Request]:
    """The last list of each user, after all that came before it."""
    found = []
    for rows in rows_of_users:
        shown = [row for row in rows if row["visit"] == rows[-1]["visit"]]
        found.append(Request(rows[: len(rows) - len(shown)], shown))
    return found


def inputs_of(requests: list[Request]) -> dict[str, np.ndarray]:
    """The inputs of `rank`."""
    length = max(len(request.history) for request in requests)
    padding: dict[str, tuple[str, Any, Any]] = {
        "item_ids": ("item", "", object),
        "session_index": ("visit", -1, np.int32),
        "labels": ("label", 0, np.float32),
        "timestamps": ("time", 0, np.int64),
        "position": ("position", 0, np.int32),
        "interaction_types": ("kind", "", object),
    }
    inputs = {
        name: np.full((len(requests), length), value, dtype)
        for name, (_, value, dtype) in padding.items()
    }
    for number, request in enumerate(requests):
        for name, (column, _, _) in padding.items():
            inputs[name][number, : len(request.history)] = [row[column] for row in request.history]
    shown = [request.shown for request in requests]
    inputs["candidate_ids"] = np.array([[row["item"] for row in rows] for rows in shown], object)
    inputs["candidate_price"] = np.array([[row["price"] for row in rows] for rows in shown], "f4")
    inputs["request_times"] = np.array([rows[0]["time"] for rows in shown])
    return inputs


def ask(export: pathlib.Path, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        meta_graph = tf.compat.v1.saved_model.loader.load(session, ["serve"], str(export))
        tensors = meta_graph.signature_def["rank"]
        assert set(inputs) == set(tensors.inputs)
        feed = {tensors.inputs[name].name: value for name, value in inputs.items()}
        fetch = {name: tensor.name for name, tensor in tensors.outputs.items()}
        return session.run(fetch, feed)


def rows_of(batches: list[dict[str, np.ndarray]]) -> set[tuple[Any, ...]]:
    """All that a relation reads of each row, without padding; of the last session what is shown.

    Numbers that tell items apart mean nothing beyond their row: of each the first place counts.
    """
    found = set()
    for batch in batches:
        for row in range(len(batch["item_ids"])):
            lengths = (batch["item_ids"][row] > 0).sum(axis=1)
            count = int((lengths > 0).sum())
            numbers = [
                number
                for place in range(count)
                for number in batch["match_ids"][row, place, : lengths[place]].tolist()
            ]
            sessions: list[Any] = [tuple(numbers.index(number) for number in numbers)]
            for place in range(count):
                names = READS if place == count - 1 else READS_OF_HISTORY
                for name, rank in names.items():
                    values = batch[name][row, place]
                    values = values[: lengths[place]] if rank == 3 else values
                    sessions.append((name, str(values.astype(np.float64).tolist())))
            found.add(tuple(sessions))
    return found


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, capture: types.ModuleType) -> Trained:
    folder = tmp_path_factory.mktemp("relation")
    log, model, export = folder / "log.csv", folder / "model", folder / "1"
    rows = users()
    write_log(rows, log)
    with capture.fits() as fitted:
        assert main(["train", "--events", f"{log}", "--output", f"{model}", *TRAIN.split()]) == 0
    words = "--protocol ranking --targets last-session --empty-history"
    with capture.evaluations() as evaluated:
        more = [*words.split(), "--json", f"{folder / 'report.json'}"]
        assert main(["evaluate", "--model", f"{model}", "--events", f"{log}", *more]) == 0
    assert main(["export", "--model", f"{model}", "--output", f"{export}"]) == 0
    return Trained(
        model,
        export,
        fitted[0]["batches"],
        evaluated[0]["batches"],
        json.loads((folder / "report.json").read_text()),
        requests_of(rows),
    )


def test_batches_are_the_same(trained: Trained, capture: types.ModuleType) -> None:
    inputs = inputs_of(trained.requests)
    batch, _ = capture.served_batch(trained.model, trained.export, "rank", inputs)
    served = rows_of([batch])
    assert len(served) == len(trained.requests) == trained.report["num_queries"]
    assert served <= rows_of(trained.evaluation)
    assert served <= rows_of(trained.training)


def test_scores_and_ranks_are_the_same(trained: Trained, capture: types.ModuleType) -> None:
    inputs = inputs_of(trained.requests)
    answer = ask(trained.export, inputs)
    _, live = capture.served_batch(trained.model, trained.export, "rank", inputs)
    np.testing.assert_allclose(answer["scores"], live["scores"], rtol=1e-5, atol=5e-6)
    ranks = []
    for request, scores in zip(trained.requests, answer["scores"], strict=True):
        clicked = np.array([row["label"] == 1 for row in request.shown])
        ranks.append(1 + int((scores[~clicked] >= scores[clicked].max()).sum()))
    assert len(set(ranks)) > 2
    metrics = trained.report["metrics"]
    assert metrics["mrr"] == pytest.approx(np.mean([1 / rank for rank in ranks]), abs=1e-9)
    assert metrics["hit_rate@1"] == pytest.approx(np.mean([rank == 1 for rank in ranks]), abs=1e-9)
