"""What a ranking may look at: rows that exist, items that were shown, events that count."""

import json
import pathlib

import numpy as np
import polars as pl
import pytest
import tensorflow as tf

import tfsessionrec as sr
from tfsessionrec.cli.main import main


class Table(tf.Module):
    """The query is a vector of the newest item."""

    def __init__(self, queries: np.ndarray, candidates: np.ndarray) -> None:
        super().__init__()
        self.queries = tf.Variable(queries, trainable=False)
        self.candidates = tf.Variable(candidates, trainable=False)

    def encode(self, features: dict[str, tf.Tensor]) -> tf.Tensor:
        return tf.gather(self.queries, features["item_ids"][:, -1, 0])

    def candidate_embeddings(self) -> tf.Tensor:
        return tf.identity(self.candidates)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_the_first_item_is_right_where_all_scores_are_negative(
    dtype: str, tmp_path: pathlib.Path
) -> None:
    """150 items fill one block of rows and a part of a second, whose rest holds zeros."""
    random = np.random.default_rng(0)
    num_items, num_requests = 150, 15
    queries = random.integers(1, 9, (num_items + 2, 4)).astype(np.float32)
    candidates = -random.integers(1, 9, (num_items + 2, 4)).astype(np.float32)
    vocabulary = sr.data.Vocabulary([f"i{n}" for n in range(num_items)], [1] * num_items)
    sr.export.export_saved_model(
        Table(queries, candidates),
        tmp_path / "1",
        vocabulary,
        candidate_dtype=dtype,
        warm_up_batch_sizes=(),
    )
    recommender = sr.export.load_saved_model(tmp_path / "1")
    scores = queries[2 : 2 + num_requests] @ candidates[2:].T
    assert scores.max() < 0
    best = scores.argmax(axis=1)
    assert (best < 128).sum() >= num_requests // 2  # these are not in the last block
    for request in range(num_requests):
        ((item, score),) = recommender.recommend([f"i{request}"], k=1)
        assert (item, score) == (f"i{best[request]}", scores[request, best[request]])


@pytest.mark.parametrize("loss", ["pairwise", "listwise"])
def test_only_the_items_of_a_shown_list_are_ranked(loss: str) -> None:
    """Rows at position 0 were touched between two lists: the ranking loss leaves them out."""
    tf.keras.utils.set_random_seed(0)
    model = sr.models.build(
        "sessionrec-gru",
        vocabulary_size=30,
        embedding_dim=4,
        negatives="full",
        dropout=0.0,
        ranking_loss=loss,
        relation={"dropout": 0.0, "output_initializer": "ones"},
    )
    model.compile("adam")
    items = np.array([[[3, 4, 0, 0, 0], [9, 5, 6, 7, 8]], [[5, 0, 0, 0, 0], [6, 2, 3, 0, 0]]])
    batch = {
        "item_ids": items.astype(np.int32),
        "match_ids": items.astype(np.int64),
        "labels": np.array(
            [[[1, 1, 0, 0, 0], [1, 1, 0, 0, 0]], [[1, 0, 0, 0, 0], [1, 0, 1, 0, 0]]], np.float32
        ),
        "position": np.array(
            [[[0, 0, 0, 0, 0], [0, 1, 2, 3, 0]], [[0, 0, 0, 0, 0], [0, 1, 2, 0, 0]]], np.int32
        ),
        "session_times": np.array([[100, 200], [100, 200]]),
    }
    dataset = tf.data.Dataset.from_tensors(batch)
    found = model.evaluate(dataset, return_dict=True, verbose=0)["ranking_loss"]
    scores = model.score_shown(batch).numpy()
    terms = []
    for row, session in np.ndindex(2, 2):
        listed = batch["position"][row, session] > 0
        clicked = listed & (batch["labels"][row, session] > 0)
        negatives = scores[row, session][listed & ~clicked]
        for positive in scores[row, session][clicked]:
            if loss == "pairwise":
                terms += np.log1p(np.exp(negatives - positive)).tolist()
            elif len(negatives):
                terms.append(np.log(np.exp([positive, *negatives]).sum()) - positive)
    assert len(terms) == {"pairwise": 3, "listwise": 2}[loss]
    assert found == pytest.approx(np.mean(terms), rel=1e-4)


@pytest.mark.parametrize("model", ["popularity", "ar"])
@pytest.mark.parametrize("user", [[], ["--user", "user_id"]])
def test_a_streaming_evaluation_learns_nothing_from_before_since(
    user: list[str], model: str, shown_log: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """As if the stream had begun there, of visitors who return too; all of the log differs."""
    log = pl.read_csv(shown_log)
    since = int(log["timestamp"].quantile(0.5, "nearest") or 0)
    log.filter(pl.col("timestamp") >= since).write_csv(tmp_path / "late.csv")
    last_day = f"after={log['timestamp'].max() - 2 * 86400}"

    def metrics(name: str, train: list[str], evaluate: list[str]) -> dict[str, float]:
        file, path = tmp_path / "report.json", str(tmp_path / name)
        columns = [*user, "--session", "session_id", "--label", "label", "--holdout", last_day]
        words = ["--events", str(shown_log), *columns]
        if not pathlib.Path(path).exists():
            assert main(["train", *words, "--model", model, "--output", path, *train]) == 0
        words = ["--model", path, "--events", str(shown_log), "--json", str(file), "--streaming"]
        more = ["--protocol", "next_item", "--k", "1,3,5,10,20", "--tick", "86400"]
        assert main(["evaluate", *words, *more, *evaluate]) == 0
        return json.loads(file.read_text())["metrics"]

    found = metrics("since", ["--since", str(since)], [])
    assert found == metrics("all", [], ["--stream-events", str(tmp_path / "late.csv")])
    assert found != metrics("all", [], [])
