"""The signatures take what a model reads in addition to items, and nothing else."""

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tfsessionrec
from tfsessionrec.data import Vocabulary
from tfsessionrec.export import export_saved_model, load_saved_model
from tfsessionrec.history_spec import HistorySpec

VOCABULARY = Vocabulary([f"item {n}" for n in range(30)], range(30, 0, -1))
TYPES = ("cart", "click")
DEVICES = (7, 3, 11)
LIMITS = {"max_sessions": 3, "max_items": 2}
CONTEXT = {"device": DEVICES, "basket": None}
QUICK: dict[str, Any] = {"warm_up_batch_sizes": ()}


def make(name: str = "sessionrec-hstu", **options: Any) -> Any:
    tf.keras.utils.set_random_seed(0)
    model = tfsessionrec.models.build(
        name, vocabulary_size=len(VOCABULARY), embedding_dim=8, **options
    )
    model.build()
    # Initial tables are so small that rounding would hide them.
    model.set_weights([20 * w if w.ndim < 3 else w for w in model.get_weights()])
    return model


def everything() -> Any:
    return make(
        num_interaction_types=2,
        num_item_time_buckets=64,
        session_context={"device": 3, "basket": None},
    )


REQUEST: dict[str, Any] = {
    "item_ids": [["item 4", "item 9", "item 2", "never", "item 2"], ["item 7"] + [""] * 4],
    "session_index": [[0, 0, 0, 1, 1], [0, -1, -1, -1, -1]],
    "timestamps": [
        [1_700_000_000 + t for t in (0, 9, 40, 90_000, 90_030)],
        [1_700_000_000] + [0] * 4,
    ],
    "interaction_types": [["click", "cart", "view", "cart", "click"], ["cart"] + [""] * 4],
    "device": [[3, 7, 7, 11, 3], [99, 0, 0, 0, 0]],
    "basket": [[1.5, 0.0, 0.0, -2.0, 0.0], [0.5, 0.0, 0.0, 0.0, 0.0]],
}
# The same by hand: `max_items` leaves out the first item, whose time and context are the
# session's.
FEATURES = {
    "item_ids": [[[*VOCABULARY.lookup(["item 9", "item 2"])], [1, VOCABULARY.lookup("item 2")]],
                 [[VOCABULARY.lookup("item 7"), 0], [0, 0]]],
    "session_times": [[1_700_000_000, 1_700_090_000], [1_700_000_000, 0]],
    "item_times": [[[1_700_000_009, 1_700_000_040], [1_700_090_000, 1_700_090_030]],
                   [[1_700_000_000, 0], [0, 0]]],
    "interaction_types": [[[1, 0], [1, 2]], [[1, 0], [0, 0]]],
    "device": [[2, 3], [0, 0]],
    "basket": [[1.5, -2.0], [0.5, 0.0]],
}  # fmt: skip


def live() -> dict[str, tf.Tensor]:
    return {name: tf.constant(value) for name, value in FEATURES.items()}


def test_everything_equals_the_live_model(tmp_path: pathlib.Path) -> None:
    model = everything()
    path = export_saved_model(
        model,
        tmp_path / "1",
        VOCABULARY,
        spec=HistorySpec(
            interaction_types=TYPES,
            session_times=True,
            item_times=True,
            session_context=CONTEXT,
            **LIMITS,
        ),
    )
    signatures = tf.saved_model.load(str(path)).signatures
    specs = signatures["encode"].structured_input_signature[1]
    assert {name: spec.dtype.name for name, spec in specs.items()} == {
        "item_ids": "string",
        "session_index": "int32",
        "timestamps": "int64",
        "interaction_types": "string",
        "device": "int64",
        "basket": "float32",
    }

    def encode(**changes: Any) -> np.ndarray:
        request = {**REQUEST, **changes}
        given = {name: tf.constant(request[name], spec.dtype) for name, spec in specs.items()}
        return signatures["encode"](**given)["query_embeddings"].numpy()

    expected = model.encode(live()).numpy()
    np.testing.assert_allclose(encode(), expected, rtol=1e-4, atol=1e-5)
    # each input changes the answer
    for name, value in REQUEST.items():
        if name not in ("item_ids", "session_index"):
            other = [[v[0]] * 5 for v in value]
            assert np.abs(encode(**{name: other})[0] - expected[0]).max() > 1e-3, name

    description = json.loads((path / "signature.json").read_text())
    assert description["signatures"]["recommend"]["inputs"]["device"] == {
        "dtype": "int64",
        "shape": ["B", "N"],
    }
    rules = {"exclude_ids", "allow_ids", "exclude_seen", "diversity"}
    assert set(description["inputs"]) == {*specs, "k", "candidate_ids", *rules}
    assert description["categories"] == {
        "interaction_types": list(TYPES),
        "device": list(DEVICES),
    }

    recommender = load_saved_model(path)
    further = {name: REQUEST[name][0] for name in recommender.item_inputs}
    assert set(further) == {"timestamps", "interaction_types", "device", "basket"}
    ids, index = REQUEST["item_ids"][0], REQUEST["session_index"][0]
    answer = recommender.recommend(ids, index, k=30, **further)
    scores = model.candidate_embeddings().numpy()[2:] @ expected[0]
    by_item = dict(answer)
    np.testing.assert_allclose([by_item[item] for item in VOCABULARY.ids], scores, rtol=1e-3)
    with pytest.raises(ValueError, match=r"should come with the inputs that .*'basket'"):
        recommender.recommend(ids, index)
    with pytest.raises(ValueError, match=r"`timestamps` should hold values of type int64"):
        recommender.recommend(ids, index, **{**further, "timestamps": ["now"] * 5})
    with pytest.raises(ValueError, match="`device` should have one number an item"):
        recommender.recommend(ids, index, **{**further, "device": [3]})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "reads"),
    [
        ("sessionrec-hstu", {}, True),
        ("hstu", {}, True),
        ("sessionrec-hstu", {"num_time_buckets": 0}, False),
        ("sessionrec-sasrec", {}, False),
        ("gru4rec", {"num_item_time_buckets": 8}, True),
    ],
)
def test_times_where_the_model_reads_them(
    tmp_path: pathlib.Path, name: str, options: dict[str, Any], reads: bool
) -> None:
    model = make(name, **options)
    next_item = tfsessionrec.models.recipe(name).next_item
    spec = HistorySpec(
        session="item" if next_item else "real",
        session_times=reads and name != "gru4rec",
        item_times="num_item_time_buckets" in options,
        **LIMITS,
    )
    path = export_saved_model(model, tmp_path / "1", VOCABULARY, spec=spec)
    recommender = load_saved_model(path)
    assert recommender.item_inputs == ({"timestamps": "int64"} if reads else {})
    ids, times = ["item 3", "item 1", "item 8"], [0, 50, 700_000]
    given = {"timestamps": times} if reads else {}
    answer = dict(recommender.recommend(ids, [0, 1, 1], k=30, **given))
    a, b, c = VOCABULARY.lookup(ids)
    sessions = [[[a], [b], [c]]] if next_item else [[[a, 0], [b, c]]]
    item_times = [[[0], [50], [700_000]]] if next_item else [[[0, 0], [50, 700_000]]]
    features = {
        "item_ids": tf.constant(sessions),
        "item_times": tf.constant(item_times, tf.int64),
        "session_times": tf.constant([[0, 50, 700_000] if next_item else [0, 50]], tf.int64),
    }
    scores = model.candidate_embeddings().numpy()[2:] @ model.encode(features).numpy()[0]
    got = [answer[item] for item in VOCABULARY.ids]
    np.testing.assert_allclose(got, scores, rtol=1e-3, atol=1e-4)
    if reads:
        other = dict(recommender.recommend(ids, [0, 1, 1], k=30, timestamps=[0, 7, 50]))
        assert np.abs([other[i] - answer[i] for i in VOCABULARY.ids]).max() > 1e-4


class Reader:
    """A model that names the keys that it reads."""

    def __init__(self, model: Any, *reads: str) -> None:
        self.encode, self.candidate_embeddings = model.encode, model.candidate_embeddings
        self.reads = frozenset(reads)


@pytest.mark.parametrize("reads", [(), ("session_times",), ("item_times", "labels")])
def test_without_a_spec_the_model_says_which_times_it_reads(
    tmp_path: pathlib.Path, reads: tuple[str, ...]
) -> None:
    path = export_saved_model(Reader(make(), *reads), tmp_path / "1", VOCABULARY, **LIMITS, **QUICK)
    history = json.loads((path / "signature.json").read_text())["history"]
    assert HistorySpec.from_json(history) == HistorySpec(
        session_times="session_times" in reads, item_times="item_times" in reads, **LIMITS
    )
    assert load_saved_model(path).item_inputs == ({"timestamps": "int64"} if reads else {})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sasrec", "stamp", "mf"])
def test_without_a_spec_a_model_by_name_says_what_a_session_is(
    tmp_path: pathlib.Path, name: str
) -> None:
    path = export_saved_model(make(name), tmp_path / "1", VOCABULARY, max_items=1, **QUICK)
    history = json.loads((path / "signature.json").read_text())["history"]
    made_for = tfsessionrec.models.recipe(name).history
    assert HistorySpec.from_json(history) == dataclasses.replace(made_for, max_items=1)


# Keywords of before there was a specification.


@pytest.mark.parametrize(
    ("keywords", "fields"),
    [
        ({"next_item": True}, {"session": "item"}),
        ({"whole_history": True}, {"session": "whole"}),
        ({"next_item": False, "include_labels": True}, {"labels": True}),
        ({"include_times": True}, {"session_times": True, "item_times": True}),
        ({"include_times": False}, {}),
        ({"include_times": None, "interaction_types": None, "session_context": None}, {}),
        ({"interaction_types": ["a", "b"]}, {"interaction_types": ("a", "b")}),
        (
            {"session_context": {"device": [1, 2, 3]}},
            {"session_context": {"device": (1, 2, 3)}},
        ),
    ],
)
def test_deprecated_keywords(
    tmp_path: pathlib.Path, keywords: dict[str, Any], fields: dict[str, Any]
) -> None:
    message = f"`{', '.join(keywords)}` of `export_saved_model` will be removed"
    model = Reader(make("sessionrec-sasrec"))
    with pytest.warns(FutureWarning, match=message) as warned:
        path = export_saved_model(model, tmp_path / "1", VOCABULARY, **LIMITS, **QUICK, **keywords)
    assert warned[0].filename == __file__
    history = json.loads((path / "signature.json").read_text())["history"]
    assert HistorySpec.from_json(history) == HistorySpec(**fields, **LIMITS)


def test_keywords_that_a_spec_replaces(tmp_path: pathlib.Path) -> None:
    for more in ({"max_items": 3}, {"next_item": True}):
        message = f"`spec` should come without .* Received: {next(iter(more))}"
        with pytest.raises(ValueError, match=message):
            export_saved_model(
                make(), tmp_path / "1", VOCABULARY, spec=HistorySpec(session_times=True), **more
            )
    with pytest.raises(TypeError, match="unexpected keyword argument 'max_sesions'"):
        export_saved_model(make(), tmp_path / "1", VOCABULARY, max_sesions=3)
    assert not (tmp_path / "1").exists()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (HistorySpec(padding_id=-1), r'`spec.padding_id` should be "", for raw ids of type string'),
        (HistorySpec(first_item_index=3), "`spec.first_item_index` should be 2 .* Received: 3"),
        (HistorySpec(request_times=True), "`spec.request_times` should be False .* Received: True"),
        (
            HistorySpec(relation=("price",)),
            "`spec.relation` should be None.* Received: .*'price'",
        ),
    ],
)
def test_a_spec_of_another_model(tmp_path: pathlib.Path, spec: HistorySpec, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        export_saved_model(make("sessionrec-sasrec"), tmp_path / "1", VOCABULARY, spec=spec)
    assert not (tmp_path / "1").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"interaction_types": ("a", 1)}, "all strings or all integers"),
        ({"session_context": {"device": ()}}, "`device` should be distinct categories"),
        ({"session_context": {"labels": None}}, "not use the name of another input. .*'labels'"),
        ({}, "should have the context feature 'device'"),
    ],
)
def test_bad_arguments(tmp_path: pathlib.Path, options: dict[str, Any], message: str) -> None:
    model = make("stamp", session_context={"device": 3})
    with pytest.raises(ValueError, match=message):
        export_saved_model(model, tmp_path / "1", VOCABULARY, spec=HistorySpec(**options))
    assert not (tmp_path / "1").exists()


def test_times_in_milliseconds_are_refused(tmp_path: pathlib.Path) -> None:
    """The last millisecond of 9999 in seconds is read, 1990 in milliseconds is not."""
    model = make("sessionrec-hstu")
    path = export_saved_model(
        model,
        tmp_path / "1",
        VOCABULARY,
        item_times=[1_700_000_000] * len(VOCABULARY.ids),
        **LIMITS,
        **QUICK,
    )
    signatures = tf.saved_model.load(str(path)).signatures
    rules = {
        "exclude_ids": tf.constant([[""]]),
        "allow_ids": tf.constant([[""]]),
        "exclude_seen": tf.constant([False]),
        "diversity": tf.constant([0.0]),
        "freshness": tf.constant([1.0]),
    }
    asked: dict[str, dict[str, Any]] = {
        "recommend": {"k": tf.constant([3])},
        "rank": {"candidate_ids": tf.constant([["item 1"]])},
        "encode": {},
        "recommend_filtered": {"k": tf.constant([3]), **rules},
    }

    def ask(name: str, time: int, now: int = 1_700_000_000) -> None:
        further = dict(asked[name])
        if name == "recommend_filtered":
            further["request_times"] = tf.constant([now], tf.int64)
        signatures[name](
            item_ids=tf.constant([["item 4", "item 9", ""]]),
            session_index=tf.constant([[0, 1, -1]]),
            timestamps=tf.constant([[1_700_000_000, time, 0]], tf.int64),
            **further,
        )

    for name in asked:
        ask(name, 253_402_300_799)
        for late in (631_152_000_000, 1_700_000_000_000, 2**62):
            with pytest.raises(tf.errors.InvalidArgumentError, match="`timestamps` should be unix"):
                ask(name, late)
    with pytest.raises(tf.errors.InvalidArgumentError, match="`request_times` should be unix sec"):
        ask("recommend_filtered", 1_700_000_000, 1_700_000_000_000)

    recommender = load_saved_model(path)
    times = [1_700_000_000, 1_700_000_060]
    assert recommender.recommend(["item 4", "item 9"], timestamps=times, freshness=1.0)
    with pytest.raises(ValueError, match=r"`timestamps` should be unix seconds.*1700000060000"):
        recommender.recommend(["item 4", "item 9"], timestamps=[times[0], times[1] * 1000])
    with pytest.raises(ValueError, match=r"`request_time` should be unix seconds.*milliseconds"):
        recommender.recommend(
            ["item 4", "item 9"], timestamps=times, freshness=1.0, request_time=times[0] * 1000
        )
    with pytest.raises(ValueError, match=r"`item_times` should be unix seconds.*milliseconds"):
        export_saved_model(
            model, tmp_path / "2", VOCABULARY, item_times={"item 3": times[0] * 1000}, **LIMITS
        )
