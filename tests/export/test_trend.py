"""A served model is updated with what is clicked now, without a new export."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

import tfsessionrec as sr
from tfsessionrec.data import Vocabulary
from tfsessionrec.export import export_saved_model, write_trend_file
from tfsessionrec.history_spec import HistorySpec
from tfsessionrec.layers import TrendFeatures

IDS = [f"item {number}" for number in range(9)]
NOW = 1000
SPEC = HistorySpec(session="item", max_sessions=5, request_times=True)


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary(IDS, range(9, 0, -1))


@pytest.fixture(scope="module")
def model(vocabulary: Vocabulary) -> sr.models.SessionRec:
    """A model whose trend changes its scores."""
    tf.keras.utils.set_random_seed(0)
    trend = {
        "half_lives": [50, 300],
        "age_half_lives": [200],
        "follow_half_lives": [80],
        "follow_items": 2,
        "refresh": 10,
    }
    model = sr.models.build(
        "sasrec", vocabulary_size=len(vocabulary), embedding_dim=4, num_heads=1, trend=trend
    )
    model.build()
    random = np.random.default_rng(1)
    model.trend.gate.set_weights([random.normal(size=(4, 5)), random.normal(size=5)])
    set_events(model, seed=1)
    return model


def set_events(model: sr.models.SessionRec, seed: int) -> None:
    random = np.random.default_rng(seed)
    times = np.sort(random.integers(0, 1200, 80))
    # The last items of the vocabulary have no events.
    model.trend.set_events(random.integers(0, 8, 80), times, random.integers(0, 20, 80))


class Served:
    """The signatures of an export, read from its files."""

    def __init__(self, path: pathlib.Path) -> None:
        self.loaded = tf.saved_model.load(path)

    def ask(self, signature: str, history: list[str], **more: tf.Tensor) -> dict[str, np.ndarray]:
        places = tf.range(len(history))[tf.newaxis]
        given = {"item_ids": tf.constant([history]), "session_index": places, **more}
        answer = self.loaded.signatures[signature](**given)
        return {name: value.numpy()[0] for name, value in answer.items()}

    def recommend(self, history: list[str], k: int) -> tuple[list[str], np.ndarray]:
        answer = self.ask("recommend", history, k=tf.constant([k]))
        return [item.decode() for item in answer["item_ids"]], answer["scores"]

    def rank(self, history: list[str], candidates: list[str]) -> np.ndarray:
        return self.ask("rank", history, candidate_ids=tf.constant([candidates]))["scores"]


def expected(model: sr.models.SessionRec, history: list[str], vocabulary: Vocabulary) -> np.ndarray:
    """Scores of all items by the live model, asked at NOW."""
    indices = vocabulary.lookup(np.array(history, object))[None, :, None]
    features = {"item_ids": indices, "request_times": np.full(indices.shape[:2], NOW)}
    query = model.encode(features)
    terms = model.candidate_terms(query, features)
    return (query @ tf.transpose(model.candidate_embeddings()) + terms(tf.range(11))).numpy()[0, 2:]


def test_the_table_is_the_features(model: sr.models.SessionRec) -> None:
    table = model.trend.table(NOW + 7)  # in the tick of NOW
    dense = model.trend.features([NOW], [[0, 0]], tf.range(11)).numpy()[0]
    own = np.zeros((3, 11))
    own[:, table.item_ids] = table.values.T
    np.testing.assert_allclose(own, dense[:3], atol=1e-3)
    assert 0 < len(table.item_ids) < 9
    for leader in range(2, 8):
        dense = model.trend.features([NOW], [[leader, 0]], tf.range(11)).numpy()[0, 3]
        follow = np.zeros(11)
        pairs = table.leaders == leader
        follow[table.followers[pairs]] = table.follow_values[pairs, 0]
        np.testing.assert_allclose(follow, dense, atol=2e-3)
    assert (np.diff(table.leaders) >= 0).all()


def test_only_the_newest_followers_are_in_the_table() -> None:
    layer = TrendFeatures(
        6, half_lives=[], age_half_lives=[], follow_half_lives=[1e9], follow_events=2, refresh=1
    )
    layer.set_events([2, 3, 2, 4, 2, 4, 2, 5], range(8), [0, 0, 1, 1, 2, 2, 3, 3])
    table = layer.table(7)
    assert table.leaders.tolist() == [2]
    assert table.followers.tolist() == [4]
    np.testing.assert_allclose(table.follow_values, [[np.log(21)]], rtol=1e-5)


def test_served_scores_are_the_live_ones_and_change_with_the_file(
    model: sr.models.SessionRec, vocabulary: Vocabulary, tmp_path: pathlib.Path
) -> None:
    path = export_saved_model(model, tmp_path / "1", vocabulary, spec=SPEC, trend_time=NOW)
    served = Served(path)
    histories = [["item 3", "item 1"], ["item 5"], ["item 0", "item 8", "item 2"]]

    def check() -> None:
        for history in histories:
            wanted = expected(model, history, vocabulary)
            np.testing.assert_allclose(served.rank(history, IDS), wanted, atol=5e-3)
            ids, scores = served.recommend(history, 9)
            np.testing.assert_allclose(scores, np.sort(wanted)[::-1], atol=5e-3)
            np.testing.assert_allclose(scores, wanted[[IDS.index(item) for item in ids]], atol=5e-3)

    set_events(model, seed=1)
    check()
    before = served.rank(histories[0], IDS)
    # The table is replaced; nothing is loaded again.
    set_events(model, seed=2)
    file = path / "assets" / "trend.pb"
    write_trend_file(file, model.trend.table(NOW))
    check()
    assert np.abs(served.rank(histories[0], IDS) - before).max() > 0.1
    # Without the file the terms are 0.
    file.unlink()
    model.trend.set_events([], [], [])
    check()
    set_events(model, seed=1)


@pytest.mark.slow
def test_without_a_known_item_the_terms_decide(
    model: sr.models.SessionRec, vocabulary: Vocabulary, tmp_path: pathlib.Path
) -> None:
    """And without a table popularity decides."""
    model.trend.gate.set_weights([np.zeros((4, 5)), np.ones(5)])
    model.trend.set_events([9, 9, 8], [990, 991, 992], [0, 1, 2])
    path = export_saved_model(model, tmp_path / "1", vocabulary, spec=SPEC, trend_time=NOW)
    served = Served(path)
    assert served.recommend(["never seen"], 2)[0] == [IDS[7], IDS[6]]
    (path / "assets" / "trend.pb").unlink()
    assert served.recommend(["never seen"], 2)[0] == [IDS[0], IDS[1]]


@pytest.mark.slow
def test_an_export_without_a_time_begins_neutral(
    model: sr.models.SessionRec, vocabulary: Vocabulary, tmp_path: pathlib.Path
) -> None:
    path = export_saved_model(model, tmp_path / "1", vocabulary, spec=SPEC)
    model.trend.set_events([], [], [])
    wanted = expected(model, ["item 3"], vocabulary)
    np.testing.assert_allclose(Served(path).rank(["item 3"], IDS), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_trend_and_a_relation(vocabulary: Vocabulary, tmp_path: pathlib.Path) -> None:
    """What a session showed is ranked by the product, what is clicked now, and the relation."""
    tf.keras.utils.set_random_seed(0)
    model = sr.models.build(
        "sessionrec-gru",
        vocabulary_size=len(vocabulary),
        embedding_dim=4,
        ranking_loss="listwise",
        trend={"half_lives": [50], "follow_half_lives": [80], "follow_items": 2, "refresh": 10},
        relation={"numeric": ["price"], "hidden_dims": (8, 8), "dropout": 0.0},
    )
    model.build()
    random = np.random.default_rng(4)
    model.set_weights([random.normal(size=weight.shape) for weight in model.get_weights()])
    set_events(model, seed=1)
    path = export_saved_model(model, tmp_path / "1", vocabulary, trend_time=NOW)
    rank = tf.saved_model.load(path).signatures["rank"]

    shown = ["item 4", "item 0", "item 6", "item 1"]
    seen = set()
    for history, sessions in ((["item 3", "item 1", "item 6"], [0, 0, 1]), ([], [])):
        times = [NOW - 60, NOW - 60, NOW - 30][: len(history)]
        length = len(history)
        found = rank(
            item_ids=tf.constant([history], tf.string, [1, length]),
            session_index=tf.constant([sessions], tf.int32, [1, length]),
            labels=tf.ones([1, length]),
            position=tf.zeros([1, length], tf.int32),
            timestamps=tf.constant([times], tf.int64, [1, length]),
            request_times=tf.constant([NOW], tf.int64),
            candidate_ids=tf.constant([[*shown, ""]]),
            candidate_price=tf.constant([[1.0, -2.0, 0.5, 3.0, 0.0]]),
        )["scores"].numpy()[0]
        past = [["item 3", "item 1"], ["item 6"]] if history else []
        rows = [vocabulary.lookup(np.array(ids, object)).tolist() for ids in (*past, shown)]
        items = np.array([[row + [0] * (4 - len(row)) for row in rows]])
        last = np.zeros_like(items)
        last[:, -1] = 1
        features = {
            "item_ids": items,
            "match_ids": items,
            "labels": (items > 0) * (1.0 - last),
            "position": last * [1, 2, 3, 4],
            "price": last * np.array([1.0, -2.0, 0.5, 3.0]),
            "session_times": np.array([[NOW - 60, NOW - 30, NOW][-len(rows) :]]),
            "request_times": np.full((1, len(rows)), NOW),
        }
        given = {name: tf.constant(value) for name, value in features.items()}
        expected = model.score_shown(given).numpy()[0, -1]
        np.testing.assert_allclose(found[:4], expected, atol=5e-2, rtol=1e-3)
        without = model.score_shown(
            given, terms=lambda ids: tf.zeros_like(ids, tf.float32)
        ).numpy()[0, -1]
        seen.add(bool(np.abs(expected - without).max() > 0.5))
        assert np.isfinite(found).all()
    assert seen == {True, False}  # without a history, the relation alone
