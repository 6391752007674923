import json
import os
import pathlib
import stat
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import tfsessionrec
from tfsessionrec.backend import keras
from tfsessionrec.data import Vocabulary
from tfsessionrec.export import export_saved_model, load_saved_model
from tfsessionrec.history_spec import HistorySpec

Ask = Callable[..., dict[str, np.ndarray]]


def meta_graph(path: pathlib.Path) -> Any:
    content = (path / "saved_model.pb").read_bytes()
    return saved_model_pb2.SavedModel.FromString(content).meta_graphs[0]


# What goes in and out.


@pytest.mark.slow
def test_names_types_and_shapes_are_pinned(export: pathlib.Path, vocabulary: Vocabulary) -> None:
    def describe(tensors: Any) -> dict[str, tuple[str, list[int]]]:
        return {
            name: (
                tf.as_dtype(info.dtype).name,
                [dim.size for dim in info.tensor_shape.dim],
            )
            for name, info in tensors.items()
        }

    ids = vocabulary.dtype
    history = {"item_ids": (ids, [-1, -1]), "session_index": ("int32", [-1, -1])}
    recommend = (
        {**history, "k": ("int32", [-1])},
        {"item_ids": (ids, [-1, -1]), "scores": ("float32", [-1, -1])},
    )
    expected = {
        "recommend": recommend,
        "serving_default": recommend,
        "rank": (
            {**history, "candidate_ids": (ids, [-1, -1])},
            {"scores": ("float32", [-1, -1]), "known": ("bool", [-1, -1])},
        ),
        "encode": (history, {"query_embeddings": ("float32", [-1, 6])}),
        "recommend_filtered": (
            {
                **recommend[0],
                "exclude_ids": (ids, [-1, -1]),
                "allow_ids": (ids, [-1, -1]),
                "exclude_seen": ("bool", [-1]),
                "diversity": ("float32", [-1]),
            },
            recommend[1],
        ),
        "similar_items": (
            {"item_ids": (ids, [-1]), "k": ("int32", [-1])},
            {**recommend[1], "known": ("bool", [-1])},
        ),
    }
    signatures = meta_graph(export).signature_def
    for name, (inputs, outputs) in expected.items():
        assert describe(signatures[name].inputs) == inputs, name
        assert describe(signatures[name].outputs) == outputs, name
    assert set(signatures) - set(expected) <= {"__saved_model_init_op"}


def test_signature_json(export: pathlib.Path, toy: Any, vocabulary: Vocabulary) -> None:
    description = json.loads((export / "signature.json").read_text())
    ids = vocabulary.dtype
    assert description["signatures"]["recommend"] == {
        "inputs": {
            "item_ids": {"dtype": ids, "shape": ["B", "N"]},
            "session_index": {"dtype": "int32", "shape": ["B", "N"]},
            "k": {"dtype": "int32", "shape": ["B"]},
        },
        "outputs": {
            "item_ids": {"dtype": ids, "shape": ["B", "K"]},
            "scores": {"dtype": "float32", "shape": ["B", "K"]},
        },
    }
    assert description["signatures"]["similar_items"] == {
        "inputs": {
            "item_ids": {"dtype": ids, "shape": ["B"]},
            "k": {"dtype": "int32", "shape": ["B"]},
        },
        "outputs": {
            "item_ids": {"dtype": ids, "shape": ["B", "K"]},
            "scores": {"dtype": "float32", "shape": ["B", "K"]},
            "known": {"dtype": "bool", "shape": ["B"]},
        },
    }
    assert set(description["signatures"]) == {
        "recommend",
        "recommend_filtered",
        "rank",
        "encode",
        "similar_items",
        "serving_default",
    }
    assert description["k"] == 5
    assert description["limits"] == {"max_sessions": 4, "max_items": 3}
    assert HistorySpec.from_json(description["history"]) == toy.spec(vocabulary)
    assert description["vocabulary"] == {
        "file": "assets/vocabulary.txt",
        "dtype": ids,
        "num_items": 9,
    }
    assert description["dimensions"]["D"] == 6
    assert description["versions"] == {
        "tfsessionrec": tfsessionrec.__version__,
        "tensorflow": tf.__version__,
    }


@pytest.mark.slow
def test_interests(tmp_path: pathlib.Path, toy: Any, names: Vocabulary) -> None:
    model = toy.Model(names)
    one = model.encode
    # The second interest is the first without its first dimension, the other way round.
    other = tf.constant([0.0, -1.0, -1.0, -1.0, -1.0, -1.0])
    model.encode = lambda features: tf.stack([one(features), one(features) * other], axis=1)
    export = export_saved_model(
        model, tmp_path / "1", names, max_sessions=toy.MAX_SESSIONS, max_items=toy.MAX_ITEMS
    )
    description = json.loads((export / "signature.json").read_text())
    assert description["signatures"]["encode"]["outputs"] == {
        "query_embeddings": {"dtype": "float32", "shape": ["B", "M", "D"]}
    }
    assert {key: description["dimensions"][key] for key in "MD"} == {"M": 2, "D": 6}
    info = meta_graph(export).signature_def["encode"].outputs["query_embeddings"]
    assert [dim.size for dim in info.tensor_shape.dim] == [-1, 2, 6]

    signatures = tf.saved_model.load(str(export)).signatures
    histories = toy.mixed_histories(names.ids.tolist(), "never seen")
    asked = names.ids[[5, 0, 7]].tolist()
    both_win = set()
    for extra in (0, 9):  # padding changes nothing
        request = {
            name: tf.constant(value, tf.string if name == "item_ids" else tf.int32)
            for name, value in toy.pad(histories, extra).items()
        }
        top = signatures["recommend"](**request, k=tf.fill([8], 9))
        ranked = signatures["rank"](**request, candidate_ids=tf.constant([asked] * 8))["scores"]
        queries = signatures["encode"](**request)["query_embeddings"].numpy()
        for row, history in enumerate(histories):
            ids, scores = toy.recommendations(model, names, history, 9)
            assert [item.decode() for item in top["item_ids"][row].numpy()] == ids
            np.testing.assert_allclose(top["scores"][row], scores, rtol=1e-5, atol=1e-6)
            expected = toy.scores(model, names, history)[[5, 0, 7]]
            np.testing.assert_allclose(ranked[row], expected, rtol=1e-5, atol=1e-6)
            query = toy.query(model, names, history)
            np.testing.assert_allclose(queries[row], query, rtol=1e-5, atol=1e-6)
            both_win |= set((model.candidate_embeddings()[2:] @ query.T).numpy().argmax(axis=1))
    assert both_win == {0, 1}
    assert not queries[1].any()  # an empty history
    assert top["item_ids"][1][0].numpy().decode() == names.ids[0]


def test_vocabulary_is_an_asset(export: pathlib.Path, vocabulary: Vocabulary) -> None:
    assert [file.name for file in (export / "assets").iterdir()] == ["vocabulary.txt"]
    lines = (export / "assets" / "vocabulary.txt").read_bytes().decode().split("\n")
    assert lines == [str(item) for item in vocabulary.ids] + [""]
    # In `saved_model.pb` a large vocabulary would take seconds to load.
    longest = max((str(item) for item in vocabulary.ids), key=len).encode()
    assert longest not in (export / "saved_model.pb").read_bytes()


# What it answers.


def test_recommend_equals_the_live_model(
    toy: Any, ask: Ask, model: Any, vocabulary: Vocabulary, histories: Any
) -> None:
    answer = ask("recommend", **toy.pad(histories), k=[5] * len(histories))
    for row, history in enumerate(histories):
        ids, scores = toy.recommendations(model, vocabulary, history, 5)
        assert answer["item_ids"][row].tolist() == ids, history
        np.testing.assert_allclose(answer["scores"][row], scores, rtol=1e-5, atol=1e-6)


def test_serving_default_is_recommend(toy: Any, ask: Ask, histories: Any) -> None:
    request = {**toy.pad(histories), "k": [3] * len(histories)}
    one, other = ask("recommend", **request), ask("serving_default", **request)
    np.testing.assert_array_equal(one["item_ids"], other["item_ids"])
    np.testing.assert_array_equal(one["scores"], other["scores"])


def test_each_row_has_its_own_k(
    toy: Any, ask: Ask, model: Any, vocabulary: Vocabulary, histories: Any
) -> None:
    ks = [0, 2, 1, 7, -3, 4, 1000, 9]
    answer = ask("recommend", **toy.pad(histories), k=ks)
    padding = "" if vocabulary.dtype == "string" else -1
    assert answer["item_ids"].shape == answer["scores"].shape == (8, 9)  # the whole catalogue
    for row, (history, k) in enumerate(zip(histories, ks, strict=True)):
        ids, _ = toy.recommendations(model, vocabulary, history, k)
        assert answer["item_ids"][row].tolist() == ids + [padding] * (9 - len(ids))
        assert (answer["scores"][row, len(ids) :] == toy.LOWEST).all()
        assert (answer["scores"][row, : len(ids)] > toy.LOWEST).all()


@pytest.mark.parametrize("k", [0, -1, np.iinfo(np.int32).min])
def test_no_row_asks_for_an_item(toy: Any, ask: Ask, histories: Any, k: int) -> None:
    answer = ask("recommend", **toy.pad(histories), k=[k] * len(histories))
    assert answer["item_ids"].shape == answer["scores"].shape == (len(histories), 0)


def test_no_rows(ask: Ask) -> None:
    nothing = np.zeros([0, 0], np.int32)
    history = {"item_ids": nothing.astype(str), "session_index": nothing}
    try:
        answer = ask("recommend", **history, k=[])
    except (TypeError, ValueError):  # integer ids
        answer = ask("recommend", item_ids=nothing, session_index=nothing, k=[])
    assert answer["scores"].shape == (0, 0)


def test_padding_and_buckets_are_never_recommended(
    toy: Any, ask: Ask, vocabulary: Vocabulary, histories: Any
) -> None:
    """The toy model's rows for them have by far the largest products."""
    answer = ask("recommend", **toy.pad(histories), k=[9] * len(histories))
    for row in answer["item_ids"].tolist():
        assert sorted(row) == sorted(vocabulary.ids.tolist())


def test_without_a_known_item_popularity_decides(
    ask: Ask, vocabulary: Vocabulary, unknown: Any
) -> None:
    empty = "" if vocabulary.dtype == "string" else 0
    answer = ask(
        "recommend",
        item_ids=[[empty, empty], [unknown, unknown]],
        session_index=[[-1, -1], [0, 1]],
        k=[9, 9],
    )
    # Counts 40, 21, 12, 7, 7, 3, 2, 1, 0: 93 and one more for each of 9 items make 102.
    expected = np.log(np.array([41, 22, 13, 8, 8, 4, 3, 2, 1]) / 102)
    for row in range(2):
        assert answer["item_ids"][row].tolist() == vocabulary.ids.tolist()
        np.testing.assert_allclose(answer["scores"][row], expected, rtol=1e-6)
    np.testing.assert_allclose(np.exp(answer["scores"]).sum(axis=1), 1, rtol=1e-6)


def test_an_unknown_item_is_an_item_of_the_first_bucket(
    toy: Any, ask: Ask, vocabulary: Vocabulary, unknown: Any
) -> None:
    a = vocabulary.ids[0]
    with_unknown = ask("encode", item_ids=[[a, unknown]], session_index=[[0, 1]])
    without = ask("encode", item_ids=[[a]], session_index=[[0]])
    assert not np.allclose(with_unknown["query_embeddings"], without["query_embeddings"])


def test_encode_equals_the_live_model(
    toy: Any, ask: Ask, model: Any, vocabulary: Vocabulary, histories: Any
) -> None:
    answer = ask("encode", **toy.pad(histories))["query_embeddings"]
    expected = [toy.query(model, vocabulary, history) for history in histories]
    np.testing.assert_allclose(answer, expected, rtol=1e-5, atol=1e-6)
    assert not answer[1].any()  # the empty one
    assert not answer[4].any()  # only unknown items


def test_rank_keeps_the_order_and_flags_the_unknown(
    toy: Any, ask: Ask, model: Any, vocabulary: Vocabulary, histories: Any, unknown: Any
) -> None:
    padding = "" if vocabulary.dtype == "string" else -1
    places = [8, 3, 3, 0, 5]
    candidates = [*vocabulary.ids[places].tolist(), unknown, padding]
    answer = ask("rank", **toy.pad(histories), candidate_ids=[candidates] * len(histories))
    assert answer["known"].tolist() == [[True] * 5 + [False] * 2] * len(histories)
    assert (answer["scores"][:, 5:] == toy.LOWEST).all()
    for row, history in enumerate(histories):
        expected = toy.scores(model, vocabulary, history)[places]
        np.testing.assert_allclose(answer["scores"][row, :5], expected, rtol=1e-5, atol=1e-6)


def test_rank_takes_candidates_of_each_row(toy: Any, ask: Ask, vocabulary: Vocabulary) -> None:
    a, b, c = vocabulary.ids[:3].tolist()
    history = toy.pad([([a, b], [0, 1])] * 2)
    scores = ask("rank", **history, candidate_ids=[[a, b], [c, a]])["scores"]
    assert scores[0, 0] == scores[1, 1]
    assert scores[0, 1] != scores[1, 0]


def test_padding_changes_nothing(toy: Any, ask: Ask, histories: Any) -> None:
    plain = ask("recommend", **toy.pad(histories), k=[9] * 8)
    padded = ask("recommend", **toy.pad(histories, extra=17), k=[9] * 8)
    np.testing.assert_array_equal(padded["item_ids"], plain["item_ids"])
    np.testing.assert_array_equal(padded["scores"], plain["scores"])


def test_rows_do_not_see_each_other(toy: Any, ask: Ask, histories: Any) -> None:
    together = ask("recommend", **toy.pad(histories), k=[9] * 8)
    for row, (ids, sessions) in enumerate(histories):
        dtype = object if together["item_ids"].dtype == object else np.int64
        alone = ask(
            "recommend",
            item_ids=np.array([ids], dtype),
            session_index=np.array([sessions], np.int32),
            k=[9],
        )
        assert alone["item_ids"][0].tolist() == together["item_ids"][row].tolist()
        np.testing.assert_allclose(alone["scores"][0], together["scores"][row], rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"session_index": [[0]]}, "`session_index` should have the shape of `item_ids`"),
        ({"k": [1, 2]}, "`k` should have one number a row of `item_ids`"),
    ],
)
def test_inputs_that_do_not_fit_together(
    ask: Ask, vocabulary: Vocabulary, change: dict[str, Any], message: str
) -> None:
    request = {"item_ids": [vocabulary.ids[:2].tolist()], "session_index": [[0, 1]], "k": [1]}
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        ask("recommend", **{**request, **change})


def test_candidates_that_do_not_fit_the_history(ask: Ask, vocabulary: Vocabulary) -> None:
    ids = vocabulary.ids[:2].tolist()
    with pytest.raises(tf.errors.InvalidArgumentError, match="as many rows"):
        ask("rank", item_ids=[ids], session_index=[[0, 1]], candidate_ids=[ids, ids])


def test_ties_go_to_the_first_of_the_vocabulary(
    tmp_path: pathlib.Path, toy: Any, vocabulary: Vocabulary
) -> None:
    model = toy.Model(vocabulary)
    model.candidate_embeddings = lambda: tf.ones([len(vocabulary), 6])
    recommender = load_saved_model(export_saved_model(model, tmp_path / "1", vocabulary))
    answer = recommender.recommend(vocabulary.ids[3:5].tolist())
    assert [item for item, _ in answer] == vocabulary.ids.tolist()


@pytest.mark.slow
def test_labels(tmp_path: pathlib.Path, toy: Any, vocabulary: Vocabulary, model: Any) -> None:
    path = export_saved_model(
        model, tmp_path / "1", vocabulary, spec=toy.spec(vocabulary, labels=True)
    )
    signatures = meta_graph(path).signature_def
    for name in ("recommend", "rank", "encode"):
        labels = signatures[name].inputs["labels"]
        assert labels.dtype == tf.float32.as_datatype_enum
        assert len(labels.tensor_shape.dim) == 2
    described = json.loads((path / "signature.json").read_text())["signatures"]
    assert described["rank"]["inputs"]["labels"] == {"dtype": "float32", "shape": ["B", "N"]}

    ids = vocabulary.ids[:3].tolist()
    encode = tf.saved_model.load(str(path)).signatures["encode"]
    for labels in ([1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [np.nan, 1.0, 7.0]):
        answer = encode(
            item_ids=tf.constant([ids], vocabulary.dtype),
            session_index=tf.constant([[0, 0, 1]]),
            labels=tf.constant([labels], tf.float32),
        )
        positive = [float(label > 0) for label in labels]
        features = {
            "item_ids": tf.constant([[[2, 3], [4, 0]]]),
            "labels": tf.constant([[positive[:2], [positive[2], 0.0]]]),
        }
        np.testing.assert_allclose(
            answer["query_embeddings"], model.encode(features), rtol=1e-5, atol=1e-6
        )


@pytest.mark.slow
@pytest.mark.parametrize("session", ["item", "whole"])
def test_items_that_were_not_clicked_are_no_history(
    tmp_path: pathlib.Path, toy: Any, vocabulary: Vocabulary, model: Any, session: Any
) -> None:
    spec = toy.spec(vocabulary, session=session, labels=True)
    recommender = load_saved_model(export_saved_model(model, tmp_path / "1", vocabulary, spec=spec))
    items = vocabulary.ids[[4, 0, 1, 2, 3]].tolist()
    clicked, labels = [items[1], items[2]], [0, 1, 1, 0, 0]
    answer = recommender.recommend(items, k=9, labels=labels)
    assert answer == recommender.recommend(clicked, k=9)
    places = [0, 1] if session == "item" else [0, 0]
    ids, _ = toy.recommendations(model, vocabulary, (clicked, places), 9)
    assert [item for item, _ in answer] == ids
    assert answer != recommender.recommend(items, k=9)
    # Without a click popularity decides; what was shown has been seen, clicked or not.
    none = recommender.recommend(items, k=9, labels=[0] * 5)
    assert [item for item, _ in none] == vocabulary.ids.tolist()
    left = recommender.recommend(items, k=9, labels=labels, exclude_seen=True)
    assert [item for item, _ in left] == [item for item in ids if item not in items]


@pytest.mark.slow
def test_next_item_model_takes_each_item_as_a_session(
    tmp_path: pathlib.Path, toy: Any, vocabulary: Vocabulary, model: Any
) -> None:
    path = export_saved_model(
        model, tmp_path / "1", vocabulary, spec=toy.spec(vocabulary, session="item")
    )
    assert json.loads((path / "signature.json").read_text())["limits"]["max_items"] == 1
    recommender = load_saved_model(path)
    items = vocabulary.ids[[4, 0, 1, 2, 2]].tolist()
    ids, _ = toy.recommendations(model, vocabulary, (items, [0, 1, 2, 3, 4]), 9)
    for session_index in (None, [0, 0, 0, 0, 0], [0, 0, 1, 1, 7], [0, 1, 2, 3, 4]):
        answer = recommender.recommend(items, session_index, k=9)
        assert [item for item, _ in answer] == ids
    # Padding is still padding.
    ids, _ = toy.recommendations(model, vocabulary, (items, [0, 1, -1, 3, -1]), 9)
    answer = recommender.recommend(items, [0, 0, -1, 0, -1], k=9)
    assert [item for item, _ in answer] == ids


# What is in it. One vocabulary is enough here.


@pytest.fixture(scope="module")
def names() -> Vocabulary:
    return Vocabulary([f"item {n}" for n in range(9)], range(9, 0, -1))


class KerasModel(keras.Model):
    """A Keras model with a layer of each common kind, under any dtype policy."""

    def __init__(self, vocabulary_size: int) -> None:
        super().__init__()
        self.embedding = keras.layers.Embedding(vocabulary_size, 8)
        self.gru = keras.layers.GRU(8)
        self.dense = keras.layers.Dense(8)

    def call(self, features: Any, training: bool = False) -> tf.Tensor:
        ids = features["item_ids"]
        items = self.embedding(ids)
        items *= tf.cast(ids > 0, items.dtype)[..., tf.newaxis]
        sessions = tf.reduce_sum(items, axis=2)
        return self.dense(self.gru(sessions, mask=tf.reduce_any(ids > 0, axis=2)))

    def encode(self, features: Any) -> tf.Tensor:
        return self(features)

    def candidate_embeddings(self) -> tf.Tensor:
        return tf.convert_to_tensor(self.embedding.embeddings)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_keras_model_leaves_optimizer_and_losses_behind(
    tmp_path: pathlib.Path, toy: Any, names: Vocabulary, policy: str
) -> None:
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(policy)
    try:
        model = KerasModel(len(names))
        model.compile(optimizer=keras.optimizers.Adam(), loss="mse")
        model.fit({"item_ids": np.full([4, 2, 2], 3, np.int32)}, np.ones([4, 8]), verbose=0)
    finally:
        keras.mixed_precision.set_global_policy(before)
    path = export_saved_model(
        model, tmp_path / "1", names, max_sessions=toy.MAX_SESSIONS, max_items=toy.MAX_ITEMS
    )

    # The embedding, three of the GRU, two of the dense layer; candidates (a block of 128), their
    # lengths, popularity.
    stored = tf.train.list_variables(str(path / "variables" / "variables"))
    shapes = sorted(shape for name, shape in stored if "CHECKPOINTABLE" not in name)
    assert shapes == sorted([[11, 8], [8, 24], [8, 24], [2, 24], [8, 8], [8], [128, 8], [9], [9]])

    history = (names.ids[:4].tolist(), [0, 0, 1, 2])
    answer = load_saved_model(path).recommend(*history, k=9)
    scores = np.sort(toy.scores(model, names, history).astype(np.float32))[::-1]
    tolerance = 1e-6 if policy == "float32" else 1e-3
    np.testing.assert_allclose([score for _, score in answer], scores, rtol=0.05, atol=tolerance)


def test_candidates_are_computed_once_and_stored_once(
    tmp_path: pathlib.Path, toy: Any, names: Vocabulary
) -> None:
    model = toy.Model(names)
    calls = []

    def candidate_embeddings() -> tf.Tensor:
        calls.append(1)
        return model.table * 2.0

    model.candidate_embeddings = candidate_embeddings
    path = export_saved_model(model, tmp_path / "1", names)
    assert len(calls) == 1
    shapes = dict(tf.train.list_variables(str(path / "variables" / "variables"))).values()
    # The kernel and the table of the model, and one block of candidates.
    assert sorted(shape for shape in shapes if shape[1:] == [6]) == [[6, 6], [11, 6], [128, 6]]


@pytest.mark.slow
def test_model_with_compiled_functions_runs_without_xla(
    tmp_path: pathlib.Path, toy: Any, names: Vocabulary
) -> None:
    """Such a function answers 500 on a server without XLA for its CPU."""
    model = toy.Model(names)
    model.encode = tf.function(model.encode, jit_compile=True)
    path = export_saved_model(
        model, tmp_path / "1", names, max_sessions=toy.MAX_SESSIONS, max_items=toy.MAX_ITEMS
    )
    assert b"_XlaMustCompile" not in (path / "saved_model.pb").read_bytes()
    history = (names.ids[:4].tolist(), [0, 0, 1, 2])
    ids, _ = toy.recommendations(toy.Model(names), names, history, 5)
    assert [item for item, _ in load_saved_model(path).recommend(*history, k=5)] == ids


@pytest.mark.slow
def test_model_with_a_table_of_its_own(tmp_path: pathlib.Path, toy: Any, names: Vocabulary) -> None:
    class TableModel(toy.Model):
        def __init__(self) -> None:
            super().__init__(names)
            keys = tf.range(2, 11, dtype=tf.int64)
            self.shift = tf.lookup.StaticHashTable(
                tf.lookup.KeyValueTensorInitializer(keys, tf.roll(keys, 1, axis=0)), 0
            )

        def encode(self, features: Any) -> tf.Tensor:
            shifted = self.shift.lookup(tf.cast(features["item_ids"], tf.int64))
            return super().encode({"item_ids": tf.cast(shifted, tf.int32)})

    recommender = load_saved_model(export_saved_model(TableModel(), tmp_path / "1", names))
    # The table takes each item to the one before it.
    ids, _ = toy.recommendations(toy.Model(names), names, (names.ids[[1, 2]].tolist(), [0, 1]), 9)
    answer = recommender.recommend(names.ids[[2, 3]].tolist(), [0, 1])
    assert [item for item, _ in answer] == ids


# What it refuses, and what it leaves behind.


@pytest.fixture
def one_item() -> Vocabulary:
    return Vocabulary(["only"], [1])


@pytest.mark.slow
def test_catalogue_of_one_item(tmp_path: pathlib.Path, toy: Any, one_item: Vocabulary) -> None:
    model = toy.Model(one_item)
    recommender = load_saved_model(export_saved_model(model, tmp_path / "1", one_item))
    assert [item for item, _ in recommender.recommend(["only", "?"], k=10)] == ["only"]
    assert recommender.recommend([], k=10) == [("only", 0.0)]  # log 1


@pytest.mark.parametrize("argument", ["k", "max_sessions", "max_items"])
@pytest.mark.parametrize("value", [0, -3, 2.5, True, "7"])
def test_sizes_are_positive_integers(
    tmp_path: pathlib.Path, toy: Any, one_item: Vocabulary, argument: str, value: Any
) -> None:
    message = f"`{argument}` should be a positive integer. Received: `{argument}`={value!r}"
    with pytest.raises(ValueError, match=message):
        export_saved_model(toy.Model(one_item), tmp_path / "1", one_item, **{argument: value})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("item", ["a\nb", "a\rb", "\n"])
def test_ids_that_are_no_line(tmp_path: pathlib.Path, toy: Any, item: str) -> None:
    vocabulary = Vocabulary(["fine", item], [2, 1])
    with pytest.raises(ValueError, match=r"line break.*Received: the id '") as error:
        export_saved_model(toy.Model(vocabulary), tmp_path / "1", vocabulary)
    assert repr(item) in str(error.value)
    assert not list(tmp_path.iterdir())


def test_model_that_is_none(tmp_path: pathlib.Path, one_item: Vocabulary) -> None:
    with pytest.raises(TypeError, match=r"`model` should offer .*`encode`. Received: object"):
        export_saved_model(object(), tmp_path / "1", one_item)


def test_remote_path(toy: Any, one_item: Vocabulary) -> None:
    with pytest.raises(ValueError, match="`path` should be a local directory"):
        export_saved_model(toy.Model(one_item), "gs://bucket/model/1", one_item)


@pytest.mark.parametrize(
    ("candidates", "message"),
    [
        (np.zeros([4, 6]), r"shape \[vocabulary_size, D\], with vocabulary_size=3.*\(4, 6\)"),
        (np.zeros([3]), r"shape \[vocabulary_size, D\].*\(3,\)"),
        (
            np.array([[0.0] * 6, [0.0] * 6, [np.nan] + [0.0] * 5]),
            "candidate embeddings of `model` should be finite numbers. Received: 1 that",
        ),
    ],
)
def test_candidates_that_do_not_fit(
    tmp_path: pathlib.Path, toy: Any, one_item: Vocabulary, candidates: np.ndarray, message: str
) -> None:
    model = toy.Model(one_item)
    model.candidate_embeddings = lambda: tf.constant(candidates)
    with pytest.raises(ValueError, match=message):
        export_saved_model(model, tmp_path / "new" / "1", one_item)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("encode", "message"),
    [
        (lambda features: tf.zeros([1, 2, 2, 6]), r"of interests. Received: \(1, 2, 2, 6\)"),
        (lambda features: tf.zeros([1, 2, 7]), r"\[B, N, D\] of N .*D=6.*shape=\(1, 2, 7\)"),
        (lambda features: tf.zeros([1, 7]), r"with D=6. Received: shape=\(1, 1, 7\)"),
        (lambda features: tf.fill([1, 6], np.inf), "query embeddings of `model` should be finite"),
    ],
)
def test_encoder_that_does_not_fit(
    tmp_path: pathlib.Path, toy: Any, one_item: Vocabulary, encode: Any, message: str
) -> None:
    model = toy.Model(one_item)
    model.encode = encode
    with pytest.raises(ValueError, match=message):
        export_saved_model(model, tmp_path / "1", one_item)


def test_history_longer_than_the_model_takes(
    tmp_path: pathlib.Path, toy: Any, one_item: Vocabulary
) -> None:
    """It shows at the export, not at the first long request."""
    model = toy.Model(one_item)
    encode = model.encode

    def encode_up_to_ten(features: Any) -> tf.Tensor:
        tf.debugging.assert_less_equal(tf.shape(features["item_ids"])[1], 10, "too long")
        return encode(features)

    model.encode = encode_up_to_ten
    export_saved_model(model, tmp_path / "1", one_item, max_sessions=10)
    with pytest.raises(tf.errors.InvalidArgumentError, match="too long"):
        export_saved_model(model, tmp_path / "2", one_item, max_sessions=11)


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


def test_failed_export_leaves_nothing_behind(
    tmp_path: pathlib.Path, toy: Any, one_item: Vocabulary
) -> None:
    model = toy.Model(one_item)

    def interrupted(features: Any) -> tf.Tensor:
        raise KeyboardInterrupt

    model.encode = interrupted
    with pytest.raises(KeyboardInterrupt):
        export_saved_model(model, tmp_path / "models" / "new" / "1", one_item)
    assert not list(tmp_path.iterdir())

    path = export_saved_model(toy.Model(one_item), tmp_path / "1", one_item)
    before = contents(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        export_saved_model(model, path, one_item, overwrite=True)
    assert contents(tmp_path) == before


@pytest.mark.slow
def test_existing_path(tmp_path: pathlib.Path, toy: Any, one_item: Vocabulary) -> None:
    path = export_saved_model(toy.Model(one_item), str(tmp_path / "1") + "/", one_item, k=7)
    assert path == tmp_path / "1"
    before = contents(tmp_path)
    with pytest.raises(FileExistsError, match=f"`path` exists; .*{path}"):
        export_saved_model(toy.Model(one_item), path, one_item)
    assert contents(tmp_path) == before

    export_saved_model(toy.Model(one_item), path, one_item, k=8, overwrite=True)
    assert load_saved_model(path).k == 8
    assert [entry.name for entry in tmp_path.iterdir()] == ["1"]


def test_overwrite_replaces_nothing_but_an_export(
    tmp_path: pathlib.Path, toy: Any, one_item: Vocabulary
) -> None:
    (tmp_path / "diary.txt").write_text("dear diary")
    for path in (tmp_path, tmp_path / "diary.txt"):
        with pytest.raises(FileExistsError, match="`path` should be an export"):
            export_saved_model(toy.Model(one_item), path, one_item, overwrite=True)
    assert contents(tmp_path) == {"diary.txt": b"dear diary"}


@pytest.mark.slow
def test_another_user_can_read_it(tmp_path: pathlib.Path, toy: Any, one_item: Vocabulary) -> None:
    """A server often runs as another user; the umask decides what it may read."""
    umask = os.umask(0o022)
    try:
        path = export_saved_model(toy.Model(one_item), tmp_path / "1", one_item)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o755
    assert stat.S_IMODE((path / "signature.json").stat().st_mode) == 0o644
