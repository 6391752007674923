"""A history without a known item: the evaluation, the live system and a server answer alike."""

import importlib.util
import json
import pathlib
import types

import numpy as np
import polars as pl
import pytest
import tensorflow as tf

import tfsessionrec as sr
from tfsessionrec.cli.main import main

ROOT = pathlib.Path(__file__).resolve().parents[2]
COLUMNS = "--user user_id --session session_id"
SMALL = "--embedding-dim 8 --epochs 1 --set num_layers=1 --set num_heads=1"
EVERY_K = ",".join(map(str, range(1, 31)))


@pytest.fixture(scope="module")
def c_api() -> types.ModuleType:
    """`serving/c_api.py`: the route of a server."""
    spec = importlib.util.spec_from_file_location("seams_c_api", ROOT / "serving" / "c_api.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A log to train on; and visitors who took one item of their own, then a random one."""
    folder = tmp_path_factory.mktemp("logs")
    log = sr.data.simulate(num_users=50, num_items=30, seed=3).events
    log = log.filter(pl.col("label") == 1).select("user_id", "session_id", "item_id", "timestamp")
    log.write_csv(folder / "log.csv")
    items = np.random.default_rng(0).choice(log["item_id"].to_numpy(), 40)
    visitors = [
        row
        for number, item in enumerate(items)
        for row in ((f"v{number}", 0, f"only-{number}", 0), (f"v{number}", 1, item, 60))
    ]
    schema = ["user_id", "session_id", "item_id", "timestamp"]
    pl.DataFrame(visitors, schema=schema, orient="row").write_csv(folder / "visitors.csv")
    return folder


@pytest.mark.parametrize("model", ["sessionrec-sasrec", "sasrec", "two-tower"])
def test_popularity_answers_everywhere(
    model: str, logs: pathlib.Path, tmp_path: pathlib.Path, c_api: types.ModuleType
) -> None:
    path, export, file = tmp_path / "model", tmp_path / "1", tmp_path / "report.json"
    small = SMALL if model != "two-tower" else "--embedding-dim 8 --epochs 1"
    words = f"--events {logs / 'log.csv'} {COLUMNS} --model {model} {small} --output {path}"
    assert main(["train", *words.split()]) == 0
    assert main(["export", "--model", f"{path}", "--output", f"{export}"]) == 0
    words = f"--model {path} --events {logs / 'visitors.csv'} --protocol next_session --k {EVERY_K}"
    assert main(["evaluate", *words.split(), "--json", f"{file}", "--targets", "last-session"]) == 0
    report = json.loads(file.read_text())

    system = sr.systems.load(path)
    items, counts = system.vocabulary.ids.tolist(), system.vocabulary.counts[2:]
    history = pl.read_csv(logs / "visitors.csv").filter(pl.col("session_id") == 0)
    size = len(history)
    inputs = {
        "item_ids": history["item_id"].to_numpy()[:, None].astype(object),
        "session_index": np.zeros((size, 1), np.int32),
        "k": np.full(size, len(items), np.int32),
    }
    definition = c_api.SavedModel(export).meta_graph.signature_def["recommend"].inputs
    if "timestamps" in definition:
        inputs["timestamps"] = np.zeros((size, 1), np.int64)
    served = c_api.SavedModel(export).run("recommend", inputs)
    share = np.log((counts + 1) / (counts + 1).sum())
    targets = pl.read_csv(logs / "visitors.csv").filter(pl.col("session_id") == 1)["item_id"]
    ranks = []
    for row, target in enumerate(targets):
        answer = dict(zip(map(bytes.decode, served["item_ids"][row]), served["scores"][row]))
        assert list(answer) == items  # the vocabulary is in the order of the counts
        np.testing.assert_allclose([*answer.values()], share, rtol=1e-6)
        live = dict(system.recommend([[history["item_id"][row]]], k=len(items)))
        assert live == pytest.approx(answer)
        assert list(live) == items
        ranks.append(sum(score >= answer[target] for score in answer.values()))
    assert report["num_queries"] == size
    words = f"{size}, ranked by popularity in training"
    assert report["options"]["histories without a known item"] == words
    for k in range(1, 31):
        assert report["metrics"][f"recall@{k}"] == pytest.approx(np.mean(np.array(ranks) <= k)), k
    assert report["metrics"] == pytest.approx(report["baselines"]["popularity"])


def test_a_trend_that_knows_the_moment_decides_by_itself() -> None:
    """Without an event before the request popularity answers; with one, the trend alone."""
    vocabulary = sr.data.Vocabulary(["a", "b", "c"], counts=[3, 2, 1])
    model = sr.models.build(
        "sasrec", vocabulary_size=5, embedding_dim=8, num_layers=1, num_heads=1,
        trend={"half_lives": [60], "age_half_lives": [], "refresh": 1},
    )  # fmt: skip
    model({"item_ids": tf.zeros([1, 2, 1], tf.int32), "request_times": tf.zeros([1, 2], tf.int64)})
    model.trend.gate.bias.assign([1.0])
    model.trend.set_events(item_ids=[4], times=[50])

    def hit(time: int, target: int) -> float:
        batch = {
            "item_ids": np.array([[[1]]], np.int32),
            "request_times": np.array([[time]], np.int64),
            "target_ids": np.array([[target]], np.int32),
        }
        return sr.evaluation.evaluate(model, [batch], k=1, vocabulary=vocabulary)["recall@1"]

    assert (hit(40, 2), hit(40, 4)) == (1.0, 0.0)
    assert (hit(60, 2), hit(60, 4)) == (0.0, 1.0)
