"""`evaluate` against an independent reading of its definition: loops and a full sort."""

import json
import math

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec.baselines import Popularity
from tfsessionrec.data import Vocabulary
from tfsessionrec.evaluation import evaluate

SIZE, FIRST = 40, 3  # 37 items behind padding and two out-of-vocabulary buckets.


class Toy(tf.Module):
    """O_t = sum of the embeddings of all items of sessions <= t: whole numbers, exact products."""

    def __init__(self, size=SIZE, seed=0):
        super().__init__()
        table = np.random.default_rng(seed).integers(-2, 3, (size, 3)).astype("float32")
        table[0] = 0
        self.table = tf.Variable(table)

    def __call__(self, features, training=False):
        assert training is False
        return tf.cumsum(tf.reduce_sum(tf.gather(self.table, features["item_ids"]), 2), axis=1)

    def encode(self, features):
        return tf.reduce_sum(tf.gather(self.table, features["item_ids"]), [1, 2])

    def candidate_embeddings(self):
        return self.table


class Plain:
    """The same without TensorFlow."""

    def __init__(self, toy):
        self.table = toy.table.numpy()

    def __call__(self, features, training=False):
        return self.table[np.asarray(features["item_ids"])].sum(axis=2).cumsum(axis=1)

    def encode(self, features):
        return self.table[np.asarray(features["item_ids"])].sum(axis=(1, 2))

    def candidate_embeddings(self):
        return self.table


def random_batch(rows=30, sessions=5, items=4, seed=0, target_ids=False):
    rng = np.random.default_rng(seed)
    real = np.arange(sessions) < rng.integers(1, sessions + 1, (rows, 1))
    shown = np.arange(items) < rng.integers(1, items + 1, (rows, sessions, 1))
    item_ids = rng.integers(1, SIZE, (rows, sessions, items)) * (real[:, :, None] & shown)
    batch = {
        "item_ids": item_ids.astype("int32"),
        "labels": ((rng.random(item_ids.shape) < 0.6) & (item_ids > 0)).astype("float32"),
    }
    if target_ids:
        width = np.arange(6) < rng.integers(0, 7, (rows, 1))
        batch["target_ids"] = (rng.integers(1, SIZE, (rows, 6)) * width).astype("int32")
        batch["item_ids"][0] = batch["labels"][0] = 0  # An empty history.
    else:
        batch["is_target"] = (rng.random(item_ids.shape[:2]) < 0.8) & real
    return {name: tf.constant(value) for name, value in batch.items()}


def oracle(
    table, batches, ks, filter_seen, first=FIRST, scores_of=lambda query, table: table @ query
):
    """Every query written out: (targets, seen, scores), then a sort with ties against us."""
    queries, skipped = [], 0

    def ask(history, positives):
        nonlocal skipped
        targets = {item for item in positives if item >= first}
        if targets:
            seen = {item for session in history for item in session if item > 0}
            query = sum((table[i] for session in history for i in session), 0 * table[0])
            queries.append((targets, seen, scores_of(query, table)))
        elif any(item > 0 for item in positives):
            skipped += 1

    for batch in batches:
        rows = {name: np.asarray(value).tolist() for name, value in batch.items()}
        for row, sessions in enumerate(rows["item_ids"]):
            if "target_ids" in rows:
                ask(sessions, rows["target_ids"][row])
                continue
            for t in range(len(sessions) - 1):
                if "is_target" in rows and not rows["is_target"][row][t + 1]:
                    continue
                labels = rows["labels"][row][t + 1] if "labels" in rows else [1] * 99
                positives = [i for i, label in zip(sessions[t + 1], labels) if label > 0]
                ask(sessions[: t + 1], positives)
    totals = {}
    for targets, seen, scores in queries:
        ranking = sorted(range(first, len(table)), key=lambda i: (-scores[i], i in targets))
        if filter_seen:
            ranking = [item for item in ranking if item not in seen]
        for k in ks:
            gains = [1 if item in targets else 0 for item in ranking[:k]]
            ideal = sum(1 / math.log2(r + 1) for r in range(1, min(len(targets), k) + 1))
            dcg = sum(gain / math.log2(r + 1) for r, gain in enumerate(gains, start=1))
            for name, value in (
                ("recall", sum(gains) / len(targets)),
                ("hit_rate", float(sum(gains) > 0)),
                ("ndcg", dcg / ideal),
                ("mrr", 1 / (gains.index(1) + 1) if 1 in gains else 0.0),
                ("precision", sum(gains) / k),
                (
                    "map",
                    sum(sum(gains[: r + 1]) / (r + 1) for r, gain in enumerate(gains) if gain)
                    / min(len(targets), k),
                ),
            ):
                totals[f"{name}@{k}"] = totals.get(f"{name}@{k}", 0.0) + value
    return {name: value / len(queries) for name, value in totals.items()}, len(queries), skipped


@pytest.mark.parametrize("model_class", ["module", "plain"])
@pytest.mark.parametrize("block_size", [1, 2**22])
@pytest.mark.parametrize("filter_seen", [False, True])
@pytest.mark.parametrize("target_ids", [False, True])
def test_oracle(target_ids, filter_seen, block_size, model_class):
    ks = (1, 5, 37, 500)
    batches = [
        random_batch(30, 5, 4, seed=1, target_ids=target_ids),
        random_batch(7, 3, 6, seed=2, target_ids=target_ids),
        random_batch(1, 1, 1, seed=3, target_ids=target_ids),
    ]
    toy = Toy()
    expected, num_queries, skipped = oracle(toy.table.numpy(), batches, ks, filter_seen)
    assert num_queries > 25
    assert skipped > 0
    report = evaluate(
        Plain(toy) if model_class == "plain" else toy,
        batches,
        ks,
        filter_seen=filter_seen,
        first_item_index=FIRST,
        block_size=block_size,
    )
    assert report.metrics == pytest.approx(expected, rel=1e-9)
    assert report.num_queries == num_queries
    assert report.num_candidates == SIZE - FIRST
    assert report.num_skipped == skipped
    assert report.options["filter_seen"] is filter_seen
    assert report["hit_rate@500"] == (1.0 if not filter_seen else expected["hit_rate@500"])


class Interests(Toy):
    """Queries of two interests: the toy's own, and its opposite, the first dimension doubled."""

    other = tf.constant([-2.0, -1.0, -1.0])

    def __call__(self, features, training=False):
        queries = super().__call__(features, training)
        return tf.stack([queries, queries * self.other], axis=2)

    def encode(self, features):
        queries = super().encode(features)
        return tf.stack([queries, queries * self.other], axis=1)


@pytest.mark.parametrize("block_size", [1, 2**22])
@pytest.mark.parametrize("filter_seen", [False, True])
@pytest.mark.parametrize("target_ids", [False, True])
def test_oracle_of_interests(target_ids, filter_seen, block_size):
    batches = [random_batch(30, 5, 4, seed=1, target_ids=target_ids)]
    model = Interests()
    other = model.other.numpy()

    def best(queries, table):
        return np.maximum(table @ queries, table @ (queries * other))

    expected, num_queries, _ = oracle(
        model.table.numpy(), batches, (1, 5), filter_seen, scores_of=best
    )
    report = evaluate(
        model,
        batches,
        (1, 5),
        filter_seen=filter_seen,
        first_item_index=FIRST,
        block_size=block_size,
    )
    assert report.metrics == pytest.approx(expected, rel=1e-9)
    assert report.num_queries == num_queries
    # with the mean of the interests another list would come out
    mean, _, _ = oracle(
        model.table.numpy(),
        batches,
        (1, 5),
        filter_seen,
        scores_of=lambda queries, table: table @ (queries * (1 + other)) / 2,
    )
    assert abs(mean["recall@5"] - expected["recall@5"]) > 0.01


@pytest.mark.parametrize("absent", ["labels", "is_target"])
def test_labels_and_is_target_may_be_absent(absent):
    batch = random_batch()
    del batch[absent]
    toy = Toy()
    expected, num_queries, _ = oracle(toy.table.numpy(), [batch], (5,), False)
    report = evaluate(toy, [batch], 5, first_item_index=FIRST)
    assert report.metrics == pytest.approx(expected)
    assert report.num_queries == num_queries


@pytest.mark.parametrize("target_ids", [False, True])
def test_batches_padding_and_blocks_change_nothing(target_ids):
    batch = random_batch(40, target_ids=target_ids)
    sessions = {name: batch[name] for name in ("item_ids", "labels", "is_target") if name in batch}
    wide = {**batch, **{name: tf.pad(value, [[0, 0], [0, 3]] + [[0, 2]] * (value.shape.rank - 2))
                        for name, value in sessions.items()}}  # fmt: skip
    rows = [{name: value[row : row + 1] for name, value in batch.items()} for row in range(40)]
    dataset = tf.data.Dataset.from_tensor_slices(batch).batch(7)
    reports = [
        evaluate(Toy(), batches, filter_seen=True, popularity=np.arange(SIZE), block_size=block)
        for batches in ([batch], [wide], rows, dataset)
        for block in (1, 2**22)
    ]
    for report in reports[1:]:
        assert report.metrics == pytest.approx(reports[0].metrics, rel=1e-12)
        assert report.baselines["popularity"] == pytest.approx(
            reports[0].baselines["popularity"], rel=1e-12
        )
        assert report.num_queries == reports[0].num_queries


def test_many_queries_are_ranked_in_several_goes(monkeypatch):
    import sys

    batches = [random_batch(seed=seed) for seed in range(5)]
    whole = evaluate(Toy(), batches, filter_seen=True)
    monkeypatch.setattr(sys.modules["tfsessionrec.evaluation.ranking"], "_RANKED_AT_ONCE", 50)
    assert whole.num_queries > 100
    assert evaluate(Toy(), batches, filter_seen=True).metrics == pytest.approx(whole.metrics)


def test_hand_derived():
    """Counts rank the items 4 (9), 2 (5), 3 and 5 (1 each): 3 and 5 tie."""
    model = Popularity([0, 0, 5, 1, 9, 1])
    # Targets {2, 3} after {4}: ranks 2 and 4, for 5 is ahead of 3. Then {4} after {4, 2, 3}: 1.
    batch = {
        "item_ids": [[[4, 0, 0], [2, 3, 2], [4, 5, 1]]],
        "labels": [[[1, 0, 0], [1, 1, 1], [1, 0, 1]]],
    }
    report = evaluate(model, [batch], k=(1, 3))
    assert report.num_queries == 2
    assert report["recall@1"] == (0 + 1) / 2
    assert report["recall@3"] == (1 / 2 + 1) / 2
    assert report["hit_rate@3"] == 1
    assert report["mrr@3"] == (1 / 2 + 1) / 2
    discount = 1 / math.log2(3)
    assert report["ndcg@3"] == pytest.approx((discount / (1 + discount) + 1) / 2)
    # Without the seen items: {2, 3} among 2, 3, 5 on ranks 1 and 3; the 4 is a miss.
    report = evaluate(model, [batch], k=(1, 3), filter_seen=True)
    assert report["recall@1"] == (1 / 2 + 0) / 2
    assert report["recall@3"] == (1 + 0) / 2
    assert "filter_seen: yes" in str(report)


def test_answers_are_kept_from_the_model():
    class Curious(Toy):
        def __call__(self, features, training=False):
            assert sorted(features) == ["item_ids", "labels", "session_times"]
            return super().__call__(features, training)

    batch = {**random_batch(), "session_times": tf.zeros([30, 5], tf.int64)}
    assert evaluate(Curious(), [batch]).num_queries > 0


def test_popularity_is_a_plain_count_ranking():
    """Next items of one user: 3, 2, 3, 4. By count: 2, then 3 and 4 and 5 together."""
    batch = {"item_ids": [[[5], [3], [2], [3], [4]]]}
    report = evaluate(Toy(6), [batch], k=(1, 3, 4), popularity=[0, 0, 8, 7, 7, 7])
    row = report.baselines["popularity"]
    assert row["hit_rate@1"] == 1 / 4
    assert row["hit_rate@3"] == 1 / 4
    assert row["mrr@4"] == (1 / 4 + 1 + 1 / 4 + 1 / 4) / 4
    vocabulary = Vocabulary(["a", "b", "c", "d"], counts=[8, 7, 7, 7])
    assert vocabulary.counts.tolist() == [0, 0, 8, 7, 7, 7]
    assert evaluate(Toy(6), [batch], k=(1, 3, 4), vocabulary=vocabulary).baselines == {
        "popularity": row
    }
    without = Vocabulary(["a", "b", "c", "d"])
    assert evaluate(Toy(6), [batch], vocabulary=without).baselines == {}


def test_out_of_vocabulary_targets_are_counted_not_asked():
    batch = {"item_ids": [[[2], [1], [3], [1]], [[0], [0], [0], [0]]]}
    report = evaluate(Toy(), [batch])
    assert (report.num_queries, report.num_skipped) == (1, 2)
    assert report.options["unknown targets left out"] == 2
    assert "unknown targets left out: 2" in str(report)
    batch = {"item_ids": [[[2]], [[3]], [[4]]], "target_ids": [[1, 1], [1, 5], [0, 0]]}
    report = evaluate(Toy(), [batch])
    assert (report.num_queries, report.num_skipped) == (1, 1)
    assert report.options["unknown targets left out"] == 3
    assert evaluate(Toy(), [batch], k=SIZE)[f"recall@{SIZE}"] == 1.0


def test_first_item_index_of_the_vocabulary():
    vocabulary = Vocabulary(["a", "b"], counts=[1, 1], num_oov_indices=4)
    batch = {"item_ids": [[[5], [6], [4]]]}
    report = evaluate(Toy(7), [batch], vocabulary=vocabulary)
    assert (report.num_queries, report.num_skipped, report.num_candidates) == (1, 1, 2)


def test_report(tmp_path):
    report = evaluate(Toy(), [random_batch()], k=5, popularity=np.arange(SIZE))
    report.to_json(tmp_path / "report.json")
    read = json.loads((tmp_path / "report.json").read_text())
    assert read == report.to_dict()
    assert read["metrics"]["ndcg@5"] == report["ndcg@5"]
    assert read["options"]["ties"] == "against the targets"
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
    table = str(report)
    assert "model  popularity" in table
    assert f"{report['ndcg@5']:.4f}" in table
    assert "filter_seen: no" in table
    assert "ties: against the targets" in table
    with pytest.raises(AttributeError):
        report.metrics = {}
    with pytest.raises(OSError, match="report"):
        report.to_json(tmp_path / "absent" / "report.json")


def test_positions_may_be_stated():
    batch = random_batch()
    auto = evaluate(Toy(), [batch])
    assert evaluate(Toy(), [batch], positions="every").metrics == auto.metrics
    answered = random_batch(target_ids=True)
    every = evaluate(Toy(), [answered], positions="every")
    assert every.options["targets"] == auto.options["targets"]
    assert evaluate(Toy(), [answered]).options["targets"] != auto.options["targets"]
    with pytest.raises(ValueError, match='`positions` should be "auto", "every" or "target_ids"'):
        evaluate(Toy(), [batch], positions="last")
    with pytest.raises(ValueError, match="should have `target_ids` or none"):
        evaluate(Toy(), [batch], positions="target_ids")


@pytest.mark.parametrize("k", [0, -3, 2.5, True, "20", None, (20, 0), (20, "x")])
def test_bad_k(k):
    with pytest.raises(ValueError, match=r"`k` should be a positive integer\. Received: `k`="):
        evaluate(Toy(), [random_batch()], k=k)


def test_no_k():
    with pytest.raises(ValueError, match="`k` should hold at least one positive integer"):
        evaluate(Toy(), [random_batch()], k=())


def test_numpy_k():
    assert "ndcg@3" in evaluate(Toy(), [random_batch()], k=np.array([3, 5])).metrics


@pytest.mark.parametrize(
    "dataset",
    [
        [],
        [{"item_ids": np.zeros([0, 4, 3], "int32")}],
        [{"item_ids": [[[4]], [[5]]]}],
        [{"item_ids": [[[4], [5]]], "labels": [[[1.0], [0.0]]]}],
        [{"item_ids": [[[4], [5]]], "is_target": [[True, False]]}],
        [{"item_ids": [[[4]]], "target_ids": [[0, 0]]}],
    ],
)
def test_nothing_to_ask(dataset):
    with pytest.raises(ValueError, match="`dataset` should hold at least one query"):
        evaluate(Toy(), dataset)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"item_ids": [[4, 5]]}, r"\['item_ids'\]` should be an integer tensor \[B, S, I\]"),
        (
            {"item_ids": [[[4], [SIZE]]]},
            f"`item_ids` should be vocabulary indices.* Received: {SIZE}",
        ),
        ({"item_ids": [[[4], [-1]]]}, "`item_ids` should be vocabulary indices.* Received: -1"),
        ({"target_ids": [[SIZE + 7]]}, f"`target_ids` should be .* Received: {SIZE + 7}"),
        ({"target_ids": [[4], [4]]}, r"`target_ids` should have the shape \[1, T\]"),
        ({"labels": [[[1.0]]]}, r"`labels` should have the shape \(1, 2, 1\)"),
        ({"is_target": [[True]]}, r"`is_target` should have the shape \(1, 2\)"),
    ],
)
def test_bad_batches(change, message):
    with pytest.raises(ValueError, match=message):
        evaluate(Toy(), [{"item_ids": [[[4], [5]]], **change}])


@pytest.mark.parametrize("batch", [([[[4], [5]]],), {"items": [[[4], [5]]]}])
def test_not_a_session_batch(batch):
    with pytest.raises(ValueError, match="session batches: dicts with `item_ids`"):
        evaluate(Toy(), [batch])


def test_bad_models():
    batch = [random_batch()]
    broken = Toy()
    broken.table.assign(tf.fill(broken.table.shape, np.nan))
    with pytest.raises(ValueError, match=r"`model.candidate_embeddings\(\)` should be finite"):
        evaluate(broken, batch)
    broken.candidate_embeddings = lambda: tf.ones([SIZE, 3])
    with pytest.raises(ValueError, match="query embeddings should be finite"):
        evaluate(broken, batch)
    broken.candidate_embeddings = lambda: tf.ones([SIZE, 4])
    with pytest.raises(ValueError, match=r"should have 4 dimensions.* Received: .* of 3"):
        evaluate(broken, batch)
    with pytest.raises(ValueError, match=r"should have 4 dimensions.* Received: .* of 3"):
        evaluate(broken, [random_batch(target_ids=True)])
    broken = Toy()
    broken.encode = lambda features: tf.ones([30, 2, 2, 3])
    with pytest.raises(ValueError, match=r"\(30, 'D'\).*or one axis more.*\(30, 2, 2, 3\)"):
        evaluate(broken, [random_batch(target_ids=True)])
    broken.candidate_embeddings = lambda: tf.ones([SIZE])
    with pytest.raises(ValueError, match=r"should have the shape \[vocabulary_size, D\]"):
        evaluate(broken, batch)
    with pytest.raises(ValueError, match="should hold at least one item"):
        evaluate(Toy(2), batch)


def test_bad_arguments():
    batch = [random_batch()]
    with pytest.raises(ValueError, match=r"`popularity` should be counts of shape \(40,\)"):
        evaluate(Toy(), batch, popularity=[1, 2])
    with pytest.raises(ValueError, match="`vocabulary` should be the one that the model"):
        evaluate(Toy(), batch, vocabulary=Vocabulary(["a", "b"]))
    with pytest.raises(ValueError, match="`block_size` should be a positive integer"):
        evaluate(Toy(), batch, block_size=0)
    with pytest.raises(ValueError, match="`first_item_index` should be a positive integer"):
        evaluate(Toy(), batch, first_item_index=0)
    with pytest.raises(TypeError):
        evaluate(Toy(), batch, filter=True)


def test_progress_is_shown(capsys):
    evaluate(Toy(), [random_batch()], progress=True)
    assert "evaluate" in capsys.readouterr().err
    evaluate(Toy(), [random_batch()])
    assert capsys.readouterr().err == ""
