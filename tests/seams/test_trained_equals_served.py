"""What a model is trained on is what it is evaluated on is what it is served.

Each case trains a system by the command line on a small log, evaluates and exports it. Requests are
built from the raw rows of the log by plain Python, and asked in a TensorFlow session that knows the
files of the export alone. Held are:

- each history that the server builds from a raw request is, to the bit, one of the evaluation, and
  that of a user's last request one of training;
- the export answers with the scores of the live model;
- recall, hit rate and MRR at every k, which make up the ranks of all targets, are those of
  `tfsessionrec evaluate`.
"""

import json
import pathlib
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest
import tensorflow as tf

from tfsessionrec.cli.main import main

SMALL = "--embedding-dim 8 --epochs 1 --batch-positions 256 --seed 1"
ATTENTION = f"{SMALL} --set num_layers=1 --set num_heads=1"
BY_USER = "--user user_id --session session_id"
LABELLED = f"{BY_USER} --label label"
SIDE = "--interaction-type kind --session-context device"
SESSIONS = "--max-sessions 4 --max-items 3"
TREND = 'trend={"half_lives":[3600,86400],"follow_half_lives":[86400],"refresh":60}'
EVERY_K = ",".join(map(str, range(1, 41)))
# What the server's batch is asked for in another form, or under another name, in a raw request.
PER_ITEM = {"labels": "label", "timestamps": "timestamp", "interaction_types": "kind"}

Row = dict[str, Any]
History = tuple[Any, ...]


class Case(NamedTuple):
    """A system: the log it is trained on, how, what is asked of it, what its model reads.

    With `every`, a row of training asks at positions that no other row ends at.
    """

    log: str
    train: str
    protocol: str
    reads: tuple[str, ...] = ("item_ids",)
    every: bool = False


class Request(NamedTuple):
    """Rows of the log before what is to be predicted, and the items that are."""

    history: list[Row]
    targets: set[str]
    is_last: bool


class Trained(NamedTuple):
    """What the commands left behind, and the batches that went through them."""

    case: Case
    log: pathlib.Path
    model: pathlib.Path
    export: pathlib.Path
    training: list[dict[str, np.ndarray]]
    evaluation: list[dict[str, np.ndarray]]
    report: dict[str, Any]
    requests: list[Request]


CASES = {
    "labels": Case(
        "shown",
        f"--model sessionrec-sasrec {LABELLED} {ATTENTION} {SESSIONS}",
        "next_session",
        ("item_ids", "labels"),
    ),
    "types": Case(
        "side",
        f"--model sessionrec-sasrec {BY_USER} --interaction-type kind {ATTENTION} {SESSIONS}",
        "next_session",
        ("item_ids", "interaction_types"),
    ),
    "session times": Case(
        "side",
        f"--model sessionrec-hstu {BY_USER} {ATTENTION} {SESSIONS}",
        "next_session",
        ("item_ids", "session_times"),
    ),
    "item times": Case(
        "side",
        f"--model sessionrec-gru {BY_USER} {SMALL} {SESSIONS} --set num_item_time_buckets=8",
        "next_session",
        ("item_ids", "item_times"),
    ),
    "context": Case(
        "side",
        f"--model sessionrec-sasrec {BY_USER} --session-context device {ATTENTION} {SESSIONS}",
        "next_session",
        ("item_ids", "device"),
    ),
    "everything": Case(
        "side",
        f"--model sessionrec-hstu {BY_USER} {SIDE} {ATTENTION} {SESSIONS} "
        "--set num_item_time_buckets=8 --set num_interests=2",
        "next_session",
        ("item_ids", "interaction_types", "session_times", "item_times", "device"),
    ),
    "everything, labels": Case(
        "shown",
        f"--model sessionrec-hstu {LABELLED} {SIDE} {ATTENTION} {SESSIONS} "
        "--set num_item_time_buckets=8",
        "next_session",
        ("item_ids", "labels", "interaction_types", "session_times", "item_times", "device"),
    ),
    "next item": Case(
        "side", f"--model sasrec {BY_USER} {ATTENTION} --max-sessions 6", "next_item"
    ),
    "next item, labels": Case(
        "shown", f"--model sasrec {LABELLED} {ATTENTION} --max-sessions 6", "next_item"
    ),
    "next item, everything": Case(
        "side",
        f"--model hstu {BY_USER} {SIDE} {ATTENTION} --max-sessions 6 "
        "--set interaction_embedding=true --set num_item_time_buckets=8",
        "next_item",
        ("item_ids", "interaction_types", "session_times", "item_times", "device"),
    ),
    "next item, next session": Case(
        "side", f"--model gru4rec {BY_USER} {SMALL} --max-sessions 100", "next_session", every=True
    ),
    "running session": Case("side", f"--model stamp {BY_USER} {SMALL} --max-items 3", "next_item"),
    "running session, labels": Case(
        "shown",
        f"--model narm --objective rest_of_session {LABELLED} {SMALL} --max-items 4 "
        "--set interaction_embedding=true",
        "rest_of_session",
        ("item_ids", "labels"),
    ),
    "whole history": Case(
        "side", f"--model two-tower {BY_USER} {SMALL} --max-items 5", "next_session"
    ),
    "whole history, labels": Case(
        "shown", f"--model two-tower {LABELLED} {SMALL} --max-items 5", "next_session"
    ),
    "whole history, everything": Case(
        "side",
        f"--model two-tower {BY_USER} {SIDE} {SMALL} --max-items 5 "
        "--set interaction_embedding=true --set num_item_time_buckets=8",
        "next_session",
        ("item_ids", "interaction_types", "item_times", "device"),
    ),
    "habit by time": Case(
        "side",
        f"--model sessionrec-sasrec {BY_USER} {ATTENTION} {SESSIONS} "
        '--set habit={"half_lives":[86400]}',
        "next_session",
        ("item_ids", "session_times"),
    ),
    "habit of items": Case(
        "shown",
        f"--model sasrec {LABELLED} {ATTENTION} --max-sessions 6 --set habit={{}}",
        "next_item",
    ),
    "habit and trend": Case(
        "moment",
        f"--model sasrec {BY_USER} {ATTENTION} --set {TREND} --trend --max-sessions 100 "
        "--set habit={}",
        "next_session",
        every=True,
    ),
    "trend": Case(
        "moment",
        f"--model sasrec {BY_USER} {ATTENTION} --set {TREND} --trend --max-sessions 100",
        "next_session",
        every=True,
    ),
}


@pytest.fixture(scope="session")
def logs(shown_log: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """`shown.csv` with items that were not clicked, `side.csv` without, `moment.csv`."""
    folder = tmp_path_factory.mktemp("logs")
    random = np.random.default_rng(0)
    log = pl.read_csv(shown_log)
    size = len(log)
    # A value an item: a session has that of its first one.
    log = log.with_columns(
        kind=pl.Series(random.choice(["buy", "look", "view"], size)),
        device=pl.Series(random.choice(["desk", "phone", "watch"], size)),
    )
    log.write_csv(folder / "shown.csv")
    clicks = log.filter(pl.col("label") == 1).drop("label")
    clicks.write_csv(folder / "side.csv")
    # The last sessions of all users begin at one moment.
    moment = (int(clicks["timestamp"].max() or 0) // 60 + 60) * 60
    start = pl.col("timestamp").min().over("session_id")
    is_last = pl.col("session_id") == pl.col("session_id").max().over("user_id")
    shifted = pl.col("timestamp") - start + moment
    clicks.with_columns(timestamp=pl.when(is_last).then(shifted).otherwise("timestamp")).write_csv(
        folder / "moment.csv"
    )
    return folder


def rows_of_users(log: pathlib.Path) -> Iterator[list[Row]]:
    """The rows of each user, oldest first, with the number of their session."""
    frame = pl.read_csv(log)
    if "label" not in frame.columns:
        frame = frame.with_columns(label=1)
    frame = frame.with_row_index("row").sort("user_id", "session_id", "timestamp", "row")
    for _, rows in frame.group_by("user_id", maintain_order=True):
        yield list(rows.iter_rows(named=True))


def requests_of(log: pathlib.Path, protocol: str) -> list[Request]:
    """What `evaluate --targets last-session` asks, from the raw rows."""
    found = []
    for rows in rows_of_users(log):
        last = rows[-1]["session_id"]
        begin = next(place for place, row in enumerate(rows) if row["session_id"] == last)
        if begin == 0:
            continue

        def clicked(some: Sequence[Row]) -> list[str]:
            return [row["item_id"] for row in some if row["label"] == 1]

        if protocol == "next_session":
            if clicked(rows[begin:]):
                found.append(Request(rows[:begin], set(clicked(rows[begin:])), True))
            continue
        for place in range(begin + 1, len(rows)):
            if rows[place]["label"] != 1 or not clicked(rows[:place]):
                continue
            rest = rows[place : place + 1] if protocol == "next_item" else rows[place:]
            is_last = not clicked(rows[place + 1 :])
            found.append(Request(rows[:place], set(clicked(rest)), is_last))
    return found


def inputs_of(histories: Sequence[Sequence[Row]], export: pathlib.Path) -> dict[str, np.ndarray]:
    """Raw requests: each input of an item that the export describes, padded."""
    described = json.loads((export / "signature.json").read_text())["signatures"]["encode"]
    length = max(map(len, histories))
    inputs = {}
    for name, spec in described["inputs"].items():
        strings = spec["dtype"] == "string"
        padding: Any = "" if strings else -1 if name == "session_index" else 0
        value = np.full((len(histories), length), padding, object if strings else spec["dtype"])
        column = "session_id" if name == "session_index" else PER_ITEM.get(name, name)
        column = "item_id" if name == "item_ids" else column
        for number, history in enumerate(histories):
            value[number, : len(history)] = [row[column] for row in history]
        inputs[name] = value
    return inputs


def ask(export: pathlib.Path, signature: str, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The answer of a session that has nothing but the files: no object of Python's is restored."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        meta_graph = tf.compat.v1.saved_model.loader.load(session, ["serve"], str(export))
        tensors = meta_graph.signature_def[signature]
        feed = {tensors.inputs[name].name: value for name, value in inputs.items()}
        fetch = {name: tensor.name for name, tensor in tensors.outputs.items()}
        return session.run(fetch, feed)


def histories_of(
    batches: Sequence[Mapping[str, np.ndarray]], reads: Sequence[str], every: bool = False
) -> list[History]:
    """What a model reads of each row, without padding: of sessions their values, of items theirs.

    A batch without `target_ids` holds what is to be predicted as each row's last session, which is
    left out; or with `every` each session is, and the history of each is given.
    """
    found = []
    for batch in batches:
        given = dict(batch)
        # Without labels every item was clicked.
        given.setdefault("labels", (batch["item_ids"] > 0).astype(np.float32))
        real = given["item_ids"] > 0
        whole = "target_ids" in batch or "is_target" not in batch
        for row in range(len(real)):
            lengths = real[row].sum(axis=1)
            count = int((lengths > 0).sum())
            assert (lengths[:count] > 0).all()  # padding comes last
            sessions = tuple(
                tuple(
                    tuple(values[row, place, : lengths[place]].tolist())
                    if values.ndim == 3
                    else values[row, place].item()
                    for values in (given[name] for name in reads)
                )
                for place in range(count)
            )
            ends = [count] if whole else range(1, count) if every else [count - 1]
            found += [sessions[:end] for end in ends if end > 0]
    return found


def command(*words: str) -> None:
    assert main(list(words)) == 0


@pytest.fixture(scope="session")
def trained(
    logs: pathlib.Path, tmp_path_factory: pytest.TempPathFactory, capture: types.ModuleType
) -> Callable[[str], Trained]:
    """Trains, evaluates and exports a case, once."""
    done: dict[str, Trained] = {}

    def prepare(name: str) -> Trained:
        if name in done:
            return done[name]
        case = CASES[name]
        folder = tmp_path_factory.mktemp("case")
        log, model, export = logs / f"{case.log}.csv", folder / "model", folder / "1"
        with capture.fits() as fitted:
            command("train", "--events", f"{log}", "--output", f"{model}", *case.train.split())
        words = f"--targets last-session --protocol {case.protocol} --k {EVERY_K}"
        with capture.evaluations() as evaluated:
            more = ["--json", f"{folder / 'report.json'}"]
            command("evaluate", "--model", f"{model}", "--events", f"{log}", *words.split(), *more)
        more = ["--output", f"{export}", "--warm-up-batch-sizes", ""]
        command("export", "--model", f"{model}", *more)
        if case.log == "moment":
            last = pl.read_csv(log).filter(pl.col("session_id") == pl.col("session_id").max())
            moment = str(last["timestamp"].min())
            more = ["--events", f"{log}", "--time", moment]
            command("trend", "--model", f"{model}", "--export", f"{export}", *more)
        done[name] = Trained(
            case,
            log,
            model,
            export,
            fitted[0]["batches"],
            evaluated[0]["batches"],
            json.loads((folder / "report.json").read_text()),
            requests_of(log, case.protocol),
        )
        return done[name]

    return prepare


@pytest.mark.parametrize("name", CASES)
def test_batches_are_the_same(
    name: str, trained: Callable[[str], Trained], capture: types.ModuleType
) -> None:
    system = trained(name)
    reads = system.case.reads
    assert len(system.requests) == system.report["num_queries"]
    assert len(system.requests) > 30
    inputs = inputs_of([request.history for request in system.requests], system.export)
    batch, _ = capture.served_batch(system.model, system.export, "encode", inputs)
    for key in set(reads) & set(batch):
        assert {one[key].dtype for one in system.training + system.evaluation} == {batch[key].dtype}
    served = [
        history
        for row in range(len(system.requests))
        for history in histories_of([{k: v[row : row + 1] for k, v in batch.items()}], reads)
        or [()]
    ]
    asked = set(histories_of(system.evaluation, reads, every=True))
    learned = set(histories_of(system.training, reads, system.case.every))
    for request, history in zip(system.requests, served, strict=True):
        if any(row["label"] == 1 for row in request.history):
            assert history in asked, f"{history} of {request}"
            assert not request.is_last or history in learned, f"{history} of {request}"
    # The limits cut some of them, and not all.
    sizes = {len(history) for history in served}, {len(h[-1][0]) for h in served if h}
    assert len(sizes[0]) > 1 or len(sizes[1]) > 1


@pytest.mark.parametrize("name", CASES)
def test_the_export_scores_as_the_live_model(
    name: str, trained: Callable[[str], Trained], capture: types.ModuleType
) -> None:
    system = trained(name)
    inputs = inputs_of([request.history for request in system.requests], system.export)
    k = np.full(len(system.requests), 100, np.int32)
    answer = ask(system.export, "recommend", {**inputs, "k": k})
    _, live = capture.served_batch(system.model, system.export, "recommend", {**inputs, "k": k})
    for row in range(len(k)):
        found = dict(zip(answer["item_ids"][row], answer["scores"][row], strict=True))
        expected = dict(zip(live["item_ids"][row], live["scores"][row], strict=True))
        assert found.keys() == expected.keys()
        assert len(found) >= 38
        scores = np.array([[found[item], expected[item]] for item in found])
        np.testing.assert_allclose(scores[:, 0], scores[:, 1], rtol=1e-5, atol=1e-6)


def ranks(scores: Mapping[str, float], targets: set[str]) -> list[int]:
    """The rank of each target; equal scores of others count against it."""
    others = np.array([score for item, score in scores.items() if item not in targets])
    own = sorted((scores[item] for item in targets), reverse=True)
    return [1 + place + int((others >= score).sum()) for place, score in enumerate(own)]


def assert_same_metrics(found: Sequence[Sequence[int]], report: Mapping[str, Any]) -> None:
    """Recall, hit rate and MRR at every k are those of a report."""
    assert len(found) == report["num_queries"]
    for k in range(1, 41):
        hits = [[rank <= k for rank in one] for one in found]
        first = [min(one) for one in found]
        expected = {
            "recall": np.mean([np.mean(one) for one in hits]),
            "hit_rate": np.mean([any(one) for one in hits]),
            "mrr": np.mean([1 / rank if rank <= k else 0 for rank in first]),
        }
        for metric, value in expected.items():
            assert report["metrics"][f"{metric}@{k}"] == pytest.approx(value, abs=1e-6), k


@pytest.mark.parametrize("name", CASES)
def test_ranks_are_the_same(name: str, trained: Callable[[str], Trained]) -> None:
    system = trained(name)
    inputs = inputs_of([request.history for request in system.requests], system.export)
    k = np.full(len(system.requests), 100, np.int32)
    answer = ask(system.export, "recommend", {**inputs, "k": k})
    found = []
    for row, request in enumerate(system.requests):
        ids = [item.decode() for item in answer["item_ids"][row]]
        scores = answer["scores"][row]
        found.append(ranks(dict(zip(ids, scores, strict=True)), request.targets))
    assert_same_metrics(found, system.report)
