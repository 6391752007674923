"""`recommend_filtered` and `similar_items` against the rules written out in NumPy."""

import json
import math
import pathlib
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tfsessionrec as sr
from tfsessionrec.data import Vocabulary
from tfsessionrec.export import export_saved_model, ranking, write_availability_file
from tfsessionrec.history_spec import HistorySpec

NUM_ITEMS, NOW, HALF_LIFE = 40, 100_000, 500.0
LONGEST = 18  # of the short lists here, so that some are cut
TAGS = [0, 1, 2, 4, 1 | 2, -(2**63), 2**62 | 1]
QUICK: dict[str, Any] = {"warm_up_batch_sizes": ()}
Answer = dict[str, np.ndarray]


def interests_of(model: Any) -> Any:
    """A second interest: the first, but for one dimension, the other way round."""
    one = model.encode
    other = tf.constant([0.0, -1.0, -1.0, -1.0, -1.0, -1.0])
    model.encode = lambda features: tf.stack([one(features), one(features) * other], axis=1)
    return model


@pytest.fixture(scope="module", params=["string", "int64, interests"])
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, toy: Any) -> Any:
    """An export that knows tags, categories and times of its items, and availability."""
    strings = request.param == "string"
    ids: list[Any] = [f"item {n}" if strings else 7 * n for n in range(NUM_ITEMS)]
    vocabulary = Vocabulary(ids, range(2 * NUM_ITEMS, NUM_ITEMS, -1))
    model = toy.Model(vocabulary)
    if not strings:
        model = interests_of(model)
    random = np.random.default_rng(3)
    tags = random.choice(TAGS, NUM_ITEMS)
    categories = random.choice(["book", "toy", "tool", None], NUM_ITEMS, p=[0.6, 0.2, 0.1, 0.1])
    times = [None if n % 9 == 0 else NOW - int(n) for n in random.integers(-500, 3000, NUM_ITEMS)]
    before = ranking.LONGEST_SHORT_LIST
    ranking.LONGEST_SHORT_LIST = LONGEST
    try:
        path = export_saved_model(
            model,
            tmp_path_factory.mktemp("shop") / "1",
            vocabulary,
            max_sessions=toy.MAX_SESSIONS,
            max_items=toy.MAX_ITEMS,
            unavailable=[],
            item_tags=dict(zip(ids, tags.tolist(), strict=True)),
            item_categories=categories,
            item_times=times,
            freshness_half_life=HALF_LIFE,
            **QUICK,
        )
    finally:
        ranking.LONGEST_SHORT_LIST = before
    return types.SimpleNamespace(
        path=path,
        vocabulary=vocabulary,
        model=model,
        tags=tags,
        categories=categories,
        times=times,
        unknown="never seen" if strings else 123_456,
        padding="" if strings else -1,
        ask=asker(path),
    )


def asker(path: pathlib.Path) -> Callable[..., Answer]:
    loaded = tf.saved_model.load(str(path))

    def ask(signature: str, **inputs: Any) -> Answer:
        function = loaded.signatures[signature]
        specs = function.structured_input_signature[1]
        given = {name: tf.constant(value, specs[name].dtype) for name, value in inputs.items()}
        answer = {name: value.numpy() for name, value in function(**given).items()}
        if "item_ids" in answer and answer["item_ids"].dtype == object:
            answer["item_ids"] = np.vectorize(bytes.decode, otypes=[object])(answer["item_ids"])
        return answer

    return ask


NO_RULES: dict[str, Any] = {
    "exclude_ids": [],
    "allow_ids": [],
    "exclude_seen": False,
    "diversity": 0.0,
    "tag_mask": 0,
    "freshness": 0.0,
    "request_times": NOW,
    "max_per_category": 0,
}


def batch(shop: Any, toy: Any, asked: list[dict[str, Any]], extra: int = 0) -> dict[str, Any]:
    """The inputs of several requests, padded."""
    given = toy.pad([request["history"] for request in asked], extra)
    given["k"] = np.array([request["k"] for request in asked])
    for name in NO_RULES:
        values = [request.get(name, NO_RULES[name]) for request in asked]
        if name in ("exclude_ids", "allow_ids"):
            width = max(map(len, values)) + extra
            rows = [list(value) + [shop.padding] * (width - len(value)) for value in values]
            values = np.array(rows, object if shop.padding == "" else np.int64)
        given[name] = np.array(values)
    return given


def expected(
    shop: Any, toy: Any, request: dict[str, Any], gone: tuple[Any, ...] = ()
) -> tuple[list[Any], np.ndarray]:
    """Ids and scores of one request, by the definition."""
    rule = {**NO_RULES, **request}
    ids = shop.vocabulary.ids.tolist()
    scores = np.array(toy.scores(shop.model, shop.vocabulary, rule["history"]), np.float64)
    may = np.array([item not in rule["exclude_ids"] and item not in gone for item in ids])
    if len(rule["allow_ids"]):
        may &= [item in rule["allow_ids"] for item in ids]
    if rule["exclude_seen"]:
        items = zip(*rule["history"], strict=True)
        seen = [item for item, session in items if session >= 0]
        may &= [item not in seen for item in ids]
    if rule["tag_mask"]:
        may &= (shop.tags & rule["tag_mask"]) != 0
    for c, time in enumerate(shop.times):
        if time is not None and math.isfinite(rule["freshness"]):
            age = max(rule["request_times"] - time, 0)
            scores[c] += rule["freshness"] * 0.5 ** (age / HALF_LIFE)
    order = [c for c in np.argsort(-scores, kind="stable") if may[c]]

    kept: list[int] = []
    for c in order:
        same = sum(shop.categories[other] == shop.categories[c] for other in kept)
        limited = rule["max_per_category"] > 0 and shop.categories[c] is not None
        if not limited or same < rule["max_per_category"]:
            kept.append(int(c))

    k = min(max(rule["k"], 0), NUM_ITEMS)
    strength = min(rule["diversity"], 1.0)
    if strength > 0:
        table = shop.model.candidate_embeddings().numpy()[2:].astype(np.float64)
        unit = table / np.linalg.norm(table, axis=1, keepdims=True)
        short = kept[: max(k, min(5 * k, LONGEST))]
        values = scores[short]
        spread = np.ptp(values) if short else 0.0
        relevance = {c: (scores[c] - values.min()) / spread if spread else 0.0 for c in short}
        taken: list[int] = []
        while short and len(taken) < k:
            worth = [
                (1 - strength) * relevance[c]
                - strength * max((unit[c] @ unit[t] for t in taken), default=0.0)
                for c in short
            ]
            taken.append(short.pop(int(np.argmax(worth))))
        kept = taken
    best = kept[:k]
    return [ids[c] for c in best], scores[best]


def check(shop: Any, toy: Any, answer: Answer, asked: list[dict[str, Any]], **more: Any) -> None:
    width = min(max(max(request["k"] for request in asked), 0), NUM_ITEMS)
    assert answer["item_ids"].shape == answer["scores"].shape == (len(asked), width)
    for row, request in enumerate(asked):
        ids, scores = expected(shop, toy, request, **more)
        got = answer["item_ids"][row].tolist()
        assert got == ids + [shop.padding] * (width - len(ids)), (row, request)
        np.testing.assert_allclose(
            answer["scores"][row, : len(ids)], scores, rtol=1e-4, atol=1e-5, err_msg=str(request)
        )
        assert (answer["scores"][row, len(ids) :] == toy.LOWEST).all()


def some_requests(shop: Any, toy: Any) -> list[dict[str, Any]]:
    """Every rule alone, then at random together, over histories of all kinds."""
    ids = shop.vocabulary.ids.tolist()
    a, b, c, *_ = ids
    history = ([a, c, b], [0, 0, 1])
    alone: list[dict[str, Any]] = [
        {"k": 7},
        {"k": 40},
        {"k": 0},
        {"k": -3, "diversity": 0.5, "max_per_category": 1},
        {"k": 5, "exclude_ids": [ids[n] for n in range(0, 40, 2)]},
        {"k": 5, "exclude_ids": ids},
        {"k": 40, "exclude_ids": [shop.unknown, a, a]},
        {"k": 5, "allow_ids": [b, ids[30], b, shop.unknown]},
        {"k": 5, "allow_ids": [shop.unknown]},
        {"k": 5, "allow_ids": [a, b, c], "exclude_ids": [a]},
        {"k": 40, "exclude_seen": True},
        {"k": 9, "tag_mask": 2},
        {"k": 40, "tag_mask": -(2**63)},
        {"k": 40, "tag_mask": 64},
        {"k": 9, "freshness": 4.0},
        {"k": 9, "freshness": -4.0, "request_times": NOW + 100},
        {"k": 9, "freshness": math.nan},
        {"k": 9, "freshness": math.inf},
        {"k": 3, "diversity": 0.5},
        {"k": 10, "diversity": 1.0},
        {"k": 25, "diversity": 0.3},
        {"k": 6, "diversity": math.nan},
        {"k": 6, "diversity": -1.0},
        {"k": 6, "diversity": 9.0},
        {"k": 40, "max_per_category": 1},
        {"k": 8, "max_per_category": 2},
        {"k": 8, "max_per_category": -2},
    ]
    requests = [{**request, "history": history} for request in alone]
    random = np.random.default_rng(8)
    histories = toy.mixed_histories(ids, shop.unknown)
    for n in range(24):
        requests.append(
            {
                "history": histories[n % 8],
                "k": int(random.integers(1, 12)),
                "exclude_ids": random.choice(ids, random.integers(0, 6)).tolist(),
                "allow_ids": random.choice(ids, 30).tolist() if n % 3 == 0 else [],
                "exclude_seen": bool(n % 2),
                "diversity": float(random.choice([0, 0.2, 0.7])),
                "tag_mask": int(random.choice([0, 3, 7])),
                "freshness": float(random.choice([0, 1, -2])),
                "request_times": NOW - int(random.integers(0, 2000)),
                "max_per_category": int(random.integers(0, 4)),
            }
        )
    return requests


def test_every_rule_alone_and_together(shop: Any, toy: Any) -> None:
    asked = some_requests(shop, toy)
    # Rows of one batch, with rules of all kinds, do not see each other ...
    together = shop.ask("recommend_filtered", **batch(shop, toy, asked))
    check(shop, toy, together, asked)
    # ... nor padding,
    padded = shop.ask("recommend_filtered", **batch(shop, toy, asked, extra=6))
    np.testing.assert_array_equal(padded["item_ids"], together["item_ids"])
    np.testing.assert_array_equal(padded["scores"], together["scores"])
    # and alone each is answered the same.
    for row, request in enumerate(asked):
        alone = shop.ask("recommend_filtered", **batch(shop, toy, [request]))
        width = alone["item_ids"].shape[1]
        assert alone["item_ids"][0].tolist() == together["item_ids"][row, :width].tolist()
        assert (together["item_ids"][row, width:] == shop.padding).all()
        np.testing.assert_allclose(alone["scores"][0], together["scores"][row, :width], rtol=1e-4)


def test_rules_change_the_answers(shop: Any, toy: Any) -> None:
    """The oracle above would be no test if the rules changed little."""
    requests = some_requests(shop, toy)[:27]
    free = expected(shop, toy, {**requests[0], "k": 40})[0]
    changed = [row for row, r in enumerate(requests) if expected(shop, toy, r)[0] != free[: r["k"]]]
    silent = {0, 1, 2, 3, 16, 17, 21, 22, 26}
    assert set(range(27)) - set(changed) <= silent


def test_unused_rules_change_no_bit(shop: Any, toy: Any) -> None:
    histories = toy.mixed_histories(shop.vocabulary.ids.tolist(), shop.unknown)
    asked = [{"history": history, "k": k} for history, k in zip(histories, range(8), strict=True)]
    given = batch(shop, toy, asked)
    plain = {name: given[name] for name in ("item_ids", "session_index", "k")}
    one, other = shop.ask("recommend", **plain), shop.ask("recommend_filtered", **given)
    for name in ("item_ids", "scores"):
        np.testing.assert_array_equal(one[name], other[name])
        assert one[name].size


def test_no_rows_and_no_k(shop: Any, toy: Any) -> None:
    request = {"history": ([shop.vocabulary.ids[0]], [0]), "k": 0, "diversity": 0.5}
    given = batch(shop, toy, [request])
    assert shop.ask("recommend_filtered", **given)["scores"].shape == (1, 0)
    nothing = {name: value[:0] for name, value in given.items()}
    assert shop.ask("recommend_filtered", **nothing)["scores"].shape == (0, 0)
    assert shop.ask("similar_items", item_ids=given["item_ids"][:0, 0], k=[])["known"].shape == (0,)


@pytest.mark.slow
def test_rules_over_candidates_of_int8_in_chunks(tmp_path: pathlib.Path, toy: Any) -> None:
    ids = [f"item {n}" for n in range(NUM_ITEMS)]
    vocabulary = Vocabulary(ids, range(NUM_ITEMS, 0, -1))
    model = toy.Model(vocabulary)
    options = {"item_times": [NOW - 10 * n for n in range(NUM_ITEMS)]}
    history = {"item_ids": [ids[:3], ["", "", ""]], "session_index": [[0, 0, 1], [-1, -1, -1]]}
    rules = {
        "exclude_ids": [ids[5:8], ids[:3]],
        "allow_ids": [["", ""], ["", ""]],
        "exclude_seen": [True, False],
        "diversity": [0.3, 0.0],
        "freshness": [2.0, 1.0],
        "request_times": [NOW, NOW],
        "k": [7, 30],
    }
    answers = []
    for dtype, size in (("float32", None), ("int8", 16)):
        path = export_saved_model(
            model,
            tmp_path / dtype,
            vocabulary,
            candidate_dtype=dtype,
            chunk_size=size,
            freshness_half_life=100.0,
            **QUICK,
            **options,
        )
        answers.append(asker(path)("recommend_filtered", **history, **rules))
        assert json.loads((path / "signature.json").read_text())["candidate_dtype"] == dtype
    for row in range(2):
        assert answers[1]["item_ids"][row].tolist() == answers[0]["item_ids"][row].tolist()
    np.testing.assert_allclose(answers[1]["scores"], answers[0]["scores"], rtol=1e-4, atol=1e-4)


def test_masks_remove_whatever_the_score(tmp_path: pathlib.Path, toy: Any) -> None:
    """A larger score would beat a constant that is subtracted."""
    vocabulary = Vocabulary([f"item {n}" for n in range(5)], [5, 4, 3, 2, 1])
    model = toy.Model(vocabulary)
    model.candidate_embeddings = lambda: 1e20 * tf.reshape(tf.range(7.0), [7, 1]) * tf.ones([1, 6])
    model.encode = lambda features: tf.fill([tf.shape(features["item_ids"])[0], 6], 1e10)
    ask = asker(export_saved_model(model, tmp_path / "1", vocabulary, **QUICK))
    answer = ask(
        "recommend_filtered",
        item_ids=[["item 3"]],
        session_index=[[0]],
        k=[5],
        exclude_ids=[["item 4"]],
        allow_ids=np.zeros([1, 0], str),
        exclude_seen=[True],
        diversity=[0.0],
    )
    assert answer["item_ids"].tolist() == [["item 2", "item 1", "item 0", "", ""]]
    assert answer["scores"][0, 0] > 1e30


def test_rules_of_the_batch_fit_together(shop: Any, toy: Any) -> None:
    one = {"history": ([shop.vocabulary.ids[0]], [0]), "k": 3}
    given = batch(shop, toy, [{**one, "exclude_ids": [shop.vocabulary.ids[1]]}] * 2)
    for name in ("exclude_ids", "allow_ids", "exclude_seen", "tag_mask", "freshness"):
        what = "as many rows as" if name.endswith("ids") else "one number a row of"
        message = f"`{name}` should have {what} `item_ids`"
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            shop.ask("recommend_filtered", **{**given, name: given[name][:1]})


@pytest.mark.slow
def test_a_cap_looks_as_deep_as_it_must(tmp_path: pathlib.Path, toy: Any) -> None:
    """The hundred best are of one category; the other two come last."""
    ids = list(range(102))
    vocabulary = Vocabulary(ids, range(200, 98, -1))
    model = toy.Model(vocabulary)
    scores = tf.concat([[0.0, 0.0], tf.range(102.0, 0.0, -1.0)], axis=0)
    model.candidate_embeddings = lambda: scores[:, tf.newaxis] * tf.ones([1, 6]) / 6
    model.encode = lambda features: tf.ones([tf.shape(features["item_ids"])[0], 6])
    path = export_saved_model(
        model, tmp_path / "1", vocabulary, item_categories=["a"] * 100 + ["b", "c"], **QUICK
    )
    answer = asker(path)(
        "recommend_filtered",
        item_ids=[[0]] * 3,
        session_index=[[0]] * 3,
        k=[3, 3, 5],
        exclude_ids=[[-1], [100], [-1]],
        allow_ids=[[-1]] * 3,
        exclude_seen=[True] * 3,
        diversity=[0.0] * 3,
        max_per_category=[1, 1, 2],
    )
    assert answer["item_ids"].tolist() == [
        [1, 100, 101, -1, -1],
        [1, 101, -1, -1, -1],
        [1, 2, 100, 101, -1],
    ]
    np.testing.assert_allclose(answer["scores"][2, :4], [101, 100, 2, 1], rtol=1e-5)


# Availability.


def test_availability_without_a_new_export(shop: Any, toy: Any) -> None:
    file = shop.path / "assets" / "availability.pb"
    before = file.read_bytes()
    histories = toy.mixed_histories(shop.vocabulary.ids.tolist(), shop.unknown)
    asked = [{"history": history, "k": 10} for history in histories]
    given = batch(shop, toy, asked)
    plain = {name: given[name] for name in ("item_ids", "session_index", "k")}
    ids = shop.vocabulary.ids.tolist()
    ranked = shop.ask("rank", **{k: plain[k] for k in list(plain)[:2]}, candidate_ids=[ids[:5]] * 8)
    try:
        for gone in (ids[:3], [*ids[5:40:3], shop.unknown], [], ids):
            known = len(set(gone) & set(ids))
            assert write_availability_file(file, gone) == known
            assert [part.name for part in file.parent.iterdir() if part.suffix == ".part"] == []
            some = [{**request, "freshness": 1.0, "tag_mask": 3} for request in asked]
            check(shop, toy, shop.ask("recommend", **plain), asked, gone=gone)
            check(shop, toy, shop.ask("recommend_filtered", **given), asked, gone=gone)
            answer = shop.ask("recommend_filtered", **batch(shop, toy, some))
            check(shop, toy, answer, some, gone=gone)
            similar = shop.ask("similar_items", item_ids=ids[:2], k=[40, 40])["item_ids"]
            for row, item in enumerate(ids[:2]):
                left = [other for other in similar[row] if other != shop.padding]
                assert set(left) == set(ids) - {item, *gone}
            # What is given is ranked.
            again = shop.ask(
                "rank", **{k: plain[k] for k in list(plain)[:2]}, candidate_ids=[ids[:5]] * 8
            )
            np.testing.assert_array_equal(again["scores"], ranked["scores"])
        file.unlink()
        check(shop, toy, shop.ask("recommend", **plain), asked)
    finally:
        file.write_bytes(before)


def test_availability_of_other_items_is_refused(shop: Any, tmp_path: pathlib.Path) -> None:
    file = shop.path / "assets" / "availability.pb"
    before = file.read_bytes()
    (tmp_path / "vocabulary.txt").write_text("tea\nmilk\n")
    assert write_availability_file(tmp_path / "availability.pb", ["milk"]) == 1
    request = {"item_ids": [shop.vocabulary.ids[:1].tolist()], "session_index": [[0]], "k": [3]}
    try:
        file.write_bytes((tmp_path / "availability.pb").read_bytes())
        with pytest.raises(tf.errors.InvalidArgumentError, match="written for this export"):
            shop.ask("recommend", **request)
    finally:
        file.write_bytes(before)
    assert shop.ask("recommend", **request)["scores"].shape == (1, 3)


def test_availability_takes_several_ids(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=r"`unavailable` should be several ids. .*'tea'"):
        write_availability_file(tmp_path / "availability.pb", "tea")


# Its description.


def test_inputs_of_the_rules_are_pinned(shop: Any) -> None:
    function = tf.saved_model.load(str(shop.path)).signatures["recommend_filtered"]
    ids = shop.vocabulary.dtype
    pinned = {
        "item_ids": (ids, ["B", "N"]),
        "session_index": ("int32", ["B", "N"]),
        "k": ("int32", ["B"]),
        "exclude_ids": (ids, ["B", "X"]),
        "allow_ids": (ids, ["B", "A"]),
        "exclude_seen": ("bool", ["B"]),
        "diversity": ("float32", ["B"]),
        "tag_mask": ("int64", ["B"]),
        "max_per_category": ("int32", ["B"]),
        "freshness": ("float32", ["B"]),
        "request_times": ("int64", ["B"]),
    }
    specs = function.structured_input_signature[1]
    assert {name: (spec.dtype.name, spec.shape.rank) for name, spec in specs.items()} == {
        name: (dtype, len(shape)) for name, (dtype, shape) in pinned.items()
    }
    description = json.loads((shop.path / "signature.json").read_text())
    assert description["signatures"]["recommend_filtered"]["inputs"] == {
        name: {"dtype": dtype, "shape": shape} for name, (dtype, shape) in pinned.items()
    }
    # Every input and every size of the file is explained in it.
    for signature in description["signatures"].values():
        assert set(signature["inputs"]) <= set(description["inputs"])
        for tensor in (*signature["inputs"].values(), *signature["outputs"].values()):
            assert set(tensor["shape"]) <= set(description["dimensions"])
    assert description["freshness_half_life"] == HALF_LIFE
    assert description["availability"] == {"file": "assets/availability.pb"}
    for name in ("exclude_ids", "allow_ids"):
        assert description["padding"][name] == shop.padding


def test_recommend_has_no_branch_for_rules_it_does_not_have(export: pathlib.Path) -> None:
    function = tf.saved_model.load(str(export)).signatures["recommend"]
    nodes = function.graph.as_graph_def()
    kinds = {node.op for node in nodes.node}
    for called in nodes.library.function:
        kinds |= {node.op for node in called.node_def}
    assert "TopKV2" in kinds
    assert not kinds & {"MatchingFiles", "BitwiseAnd", "TensorScatterUpdate"}


# With a trend.


@pytest.mark.slow
def test_rules_and_a_trend(tmp_path: pathlib.Path) -> None:
    ids = [f"item {n}" for n in range(9)]
    vocabulary = Vocabulary(ids, range(9, 0, -1))
    trend = {"half_lives": [50], "follow_half_lives": [80], "refresh": 10}
    model = sr.models.build("sasrec", vocabulary_size=11, embedding_dim=4, num_heads=1, trend=trend)
    model.build()
    model.trend.gate.bias.assign([1.0, 2.0, 3.0])
    random = np.random.default_rng(1)
    times = np.sort(random.integers(0, 1200, 80))
    model.trend.set_events(random.integers(2, 11, 80), times, random.integers(0, 9, 80))
    path = export_saved_model(
        model,
        tmp_path / "1",
        vocabulary,
        spec=HistorySpec(session="item", request_times=True),
        trend_time=1000,
        item_tags=[n % 2 for n in range(9)],
        **QUICK,
    )
    ask = asker(path)
    history = {
        "item_ids": [["item 3", "item 1"], ["never", ""]],
        "session_index": [[0, 1], [0, -1]],
    }
    rules = {
        "exclude_ids": [["item 5"], [""]],
        "allow_ids": [[""], [""]],
        "exclude_seen": [True, False],
        "diversity": [0.0, 0.0],
        "tag_mask": [1, 0],
    }
    free = ask("recommend", **history, k=[9, 9])
    unused = {
        **rules,
        "exclude_ids": [["", ""]] * 2,
        "exclude_seen": [False] * 2,
        "tag_mask": [0] * 2,
    }
    for name, value in ask("recommend_filtered", **history, **unused, k=[9, 9]).items():
        np.testing.assert_array_equal(value, free[name])
    answer = ask("recommend_filtered", **history, **rules, k=[9, 9])
    left = [item for item in free["item_ids"][0] if item == "item 7"]
    assert answer["item_ids"][0].tolist() == left + [""] * 8
    scores = dict(zip(free["item_ids"][0], free["scores"][0], strict=True))
    assert answer["scores"][0, 0] == pytest.approx(scores["item 7"], rel=1e-5)
    # A history without a known item gets what is clicked now, whatever the rules of others.
    assert answer["item_ids"][1].tolist() == free["item_ids"][1].tolist()
    np.testing.assert_allclose(answer["scores"][1], free["scores"][1], rtol=1e-5)
    (path / "assets" / "trend.pb").unlink()
    answer = ask("recommend_filtered", **history, **rules, k=[9, 9])
    assert answer["item_ids"][1].tolist() == ids  # by popularity


# Similar items.


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_similar_items(
    tmp_path: pathlib.Path, toy: Any, vocabulary: Vocabulary, unknown: Any, similarity: str
) -> None:
    model = toy.Model(vocabulary)
    model.table[4].assign(tf.zeros([6]))  # like nothing
    path = export_saved_model(model, tmp_path / "1", vocabulary, similarity=similarity, **QUICK)
    ids = vocabulary.ids.tolist()
    padding = "" if vocabulary.dtype == "string" else -1
    asked = [*ids, unknown, padding]
    ks = [9, 3, 1, 0, -2, 8, 100, 2, 5, 4, 4]
    answer = asker(path)("similar_items", item_ids=asked, k=ks)
    assert answer["known"].tolist() == [True] * 9 + [False] * 2
    assert answer["item_ids"].shape == (11, 9)
    table = model.table.numpy()[2:].astype(np.float64)
    lengths = np.linalg.norm(table, axis=1)
    if similarity == "cosine":
        table /= np.where(lengths > 0, lengths, 1)[:, np.newaxis]
    for row in range(11):
        count = min(max(ks[row], 0), 8) if row < 9 else 0
        got, scores = answer["item_ids"][row].tolist(), answer["scores"][row]
        assert got[count:] == [padding] * (9 - count)
        assert (scores[count:] == toy.LOWEST).all()
        if row < 9:
            values = table @ table[row]
            order = [c for c in np.argsort(-values, kind="stable") if c != row][:count]
            assert got[:count] == [ids[c] for c in order]
            np.testing.assert_allclose(scores[:count], values[order], rtol=1e-5, atol=1e-6)
    description = json.loads((path / "signature.json").read_text())
    assert description["similarity"] == similarity


# What it refuses.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"item_tags": [1, 2]}, r"`item_tags` should be a map .* the 9 items .* Received: 2 val"),
        ({"item_tags": [1.5] + [0] * 8}, "`item_tags` should hold 64-bit integers. .*1.5"),
        ({"item_times": [2**63] + [0] * 8}, "`item_times` should hold 64-bit integers"),
        ({"item_tags": [True] + [0] * 8}, "`item_tags` should hold 64-bit integers"),
        ({"item_categories": ["a"]}, "`item_categories` should be a map"),
        ({"similarity": "euclid"}, r"`similarity` should be one of .*`similarity`='euclid'"),
        ({"freshness_half_life": 0}, "`freshness_half_life` should be a positive number"),
        ({"freshness_half_life": math.nan}, "`freshness_half_life` should be a positive number"),
        ({"candidate_dtype": "int3"}, "`candidate_dtype` should be one of"),
        ({"unavailable": "tea"}, "`unavailable` should be several ids"),
    ],
)
def test_bad_arguments(
    tmp_path: pathlib.Path, toy: Any, options: dict[str, Any], message: str
) -> None:
    vocabulary = Vocabulary([f"item {n}" for n in range(9)], range(9, 0, -1))
    with pytest.raises(ValueError, match=message):
        export_saved_model(toy.Model(vocabulary), tmp_path / "1", vocabulary, **options)
    assert not list(tmp_path.iterdir())
