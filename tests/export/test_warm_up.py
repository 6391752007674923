"""What a server replays before it serves an export."""

import collections
import json
import pathlib
import re
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import tfsessionrec
from tfsessionrec.data import Vocabulary
from tfsessionrec.export import export_saved_model, saved_model
from tfsessionrec.export.contract import WARM_UP
from tfsessionrec.export.warm_up import read_warm_up_file
from tfsessionrec.history_spec import HistorySpec

ROOT = pathlib.Path(__file__).resolve().parents[2]
SIZES = (1, 4, 16, 32)
SIGNATURES = {
    "recommend",
    "recommend_filtered",
    "rank",
    "encode",
    "similar_items",
    "serving_default",
}


def signature_def(path: pathlib.Path) -> Any:
    content = (path / "saved_model.pb").read_bytes()
    return saved_model_pb2.SavedModel.FromString(content).meta_graphs[0].signature_def


def check_that_requests_fit(path: pathlib.Path) -> None:
    """A server refuses a request with another name, dtype or rank than the signature's."""
    signatures = signature_def(path)
    for log in read_warm_up_file(path):
        specs = signatures[log.signature].inputs
        assert set(log.inputs) == set(specs)
        for name, value in log.inputs.items():
            dtype = tf.string if value.dtype == object else tf.as_dtype(value.dtype)
            assert dtype.as_datatype_enum == specs[name].dtype, name
            assert value.ndim == len(specs[name].tensor_shape.dim), name
        assert len({len(value) for value in log.inputs.values()}) == 1  # one batch size
        assert all(value.size for value in log.inputs.values())
        assert set(log.outputs) == set(signatures[log.signature].outputs)


def test_every_signature_and_batch_size(export: pathlib.Path) -> None:
    check_that_requests_fit(export)
    logs = read_warm_up_file(export)
    sizes = collections.defaultdict(set)
    for log in logs:
        sizes[log.signature].add(len(log.inputs["item_ids"]))
        assert log.model_name == "toy"
    assert sizes == {signature: set(SIZES) for signature in SIGNATURES}
    assert set(signature_def(export)) - {"__saved_model_init_op"} == SIGNATURES
    described = json.loads((export / "signature.json").read_text())["warm_up"]
    assert described == {"file": WARM_UP, "records": len(logs)}
    assert len(logs) <= 1000
    assert all((log.inputs["k"] == 5).all() for log in logs if "k" in log.inputs)


def test_the_sizes_are_those_of_the_batching_file(export: pathlib.Path) -> None:
    text = (ROOT / "serving" / "batching.config").read_text()
    allowed = {int(size) for size in re.findall(r"^allowed_batch_sizes: (\d+)", text, re.M)}
    assert {len(log.inputs["item_ids"]) for log in read_warm_up_file(export)} == allowed


def test_histories_of_every_kind(export: pathlib.Path, toy: Any, vocabulary: Vocabulary) -> None:
    known = {str(item).encode() for item in vocabulary.ids}
    for signature in ("recommend", "recommend_filtered", "rank", "encode"):
        for size in SIZES:
            kinds = collections.Counter()
            for log in read_warm_up_file(export):
                if log.signature != signature or len(log.inputs["item_ids"]) != size:
                    continue
                rows = zip(log.inputs["item_ids"], log.inputs["session_index"], strict=True)
                for items, sessions in rows:
                    items, sessions = items[sessions >= 0].tolist(), sessions[sessions >= 0]
                    lengths = collections.Counter(sessions.tolist())
                    kinds["empty"] += not items
                    kinds["many sessions"] += len(lengths) > toy.MAX_SESSIONS
                    kinds["a long session"] += max(lengths.values(), default=0) > toy.MAX_ITEMS
                    kinds["short"] += 0 < len(items) <= 5
                    known_items = [str(i).encode() if isinstance(i, int) else i for i in items]
                    kinds["unknown item"] += not known.issuperset(known_items)
                    kinds["known item"] += bool(known.intersection(known_items))
            expected = {"empty", "many sessions", "a long session", "short"}
            assert set(+kinds) == expected | {"unknown item", "known item"}, (signature, size)


def test_rules_and_candidates(export: pathlib.Path, vocabulary: Vocabulary) -> None:
    logs = read_warm_up_file(export)
    padding = b"" if vocabulary.dtype == "string" else -1
    for log in logs:
        if log.signature == "recommend_filtered" and len(log.inputs["k"]) == 16:
            has = {
                "exclude_ids": (log.inputs["exclude_ids"] != padding).any(axis=1),
                "allow_ids": (log.inputs["allow_ids"] != padding).any(axis=1),
                "exclude_seen": log.inputs["exclude_seen"],
                "diversity": log.inputs["diversity"] > 0,
            }
            ruled = (log.inputs["session_index"] >= 0).sum(axis=1).max() > 5
            for name, rows in has.items():  # all short ones are without a rule
                assert rows.any() == ruled, name
                assert not rows.all(), name
        if log.signature == "rank":
            known = log.outputs["known"]
            assert (known.any(axis=1) & ~known.all(axis=1)).all()
    known = [log.outputs["known"] for log in logs if log.signature == "similar_items"]
    assert any(rows.any() and not rows.all() for rows in known)


def test_answers_are_those_of_the_model(
    export: pathlib.Path, toy: Any, model: Any, vocabulary: Vocabulary
) -> None:
    for log in read_warm_up_file(export)[::3]:
        if log.signature not in ("recommend", "serving_default"):
            continue
        for row, (items, sessions) in enumerate(
            zip(log.inputs["item_ids"], log.inputs["session_index"], strict=True)
        ):
            past = [i.decode() if isinstance(i, bytes) else i for i in items]
            ids, scores = toy.recommendations(model, vocabulary, (past, sessions.tolist()), 5)
            found = [
                i.decode() if isinstance(i, bytes) else i for i in log.outputs["item_ids"][row]
            ]
            assert found == ids
            np.testing.assert_allclose(log.outputs["scores"][row], scores, rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def names() -> Vocabulary:
    return Vocabulary([f"item {n}" for n in range(30)], range(30, 0, -1))


def test_all_that_a_model_reads(tmp_path: pathlib.Path, names: Vocabulary) -> None:
    context: dict[str, Any] = {"device": ("phone", "desk", "watch"), "basket": None, "shop": (7, 9)}
    model = tfsessionrec.models.build(
        "sessionrec-hstu",
        vocabulary_size=len(names),
        embedding_dim=4,
        num_heads=1,
        num_layers=1,
        num_interaction_types=2,
        session_context={"device": 3, "basket": None, "shop": 2},
    )
    model.build()
    path = export_saved_model(
        model,
        tmp_path / "1",
        names,
        spec=HistorySpec(
            max_sessions=3,
            max_items=2,
            interaction_types=("cart", "click"),
            session_context=context,
            session_times=True,
            labels=True,
        ),
        item_tags=[1] * 30,
        item_categories=["a", "b"] * 15,
        item_times=[1] * 30,
        warm_up_batch_sizes=[2],
    )
    check_that_requests_fit(path)
    inputs = next(log.inputs for log in read_warm_up_file(path) if log.signature == "recommend")
    real = inputs["session_index"] >= 0
    for name, known, padding in (
        ("interaction_types", {b"cart", b"click"}, b""),
        ("device", {b"phone", b"desk", b"watch"}, b""),
        ("shop", {7, 9}, -1),
        ("labels", {0, 1}, 0),
    ):
        assert set(inputs[name][real].tolist()) == known
        assert set(inputs[name][~real].tolist()) <= {padding}
    assert (np.diff(inputs["timestamps"][0]) > 0).all()
    filtered = [log for log in read_warm_up_file(path) if log.signature == "recommend_filtered"]
    for name in ("tag_mask", "max_per_category", "freshness"):
        assert [(log.inputs[name] != 0).tolist() for log in filtered] == [
            [True, False],
            [False] * 2,
        ]
        assert (filtered[0].inputs["request_times"] > inputs["timestamps"].max()).all()


@pytest.mark.slow
def test_a_relation(tmp_path: pathlib.Path, names: Vocabulary) -> None:
    model = tfsessionrec.models.build(
        "sessionrec-gru",
        vocabulary_size=len(names),
        embedding_dim=4,
        num_layers=1,
        relation={"numeric": ["price"]},
    )
    model.build()
    path = export_saved_model(model, tmp_path / "1", names, warm_up_batch_sizes=[1])
    check_that_requests_fit(path)
    ranked = [log for log in read_warm_up_file(path) if log.signature == "rank"]
    assert all("candidate_price" in log.inputs for log in ranked)


def test_no_warm_up(tmp_path: pathlib.Path, toy: Any, names: Vocabulary) -> None:
    path = export_saved_model(toy.Model(names), tmp_path / "1", names, warm_up_batch_sizes=[])
    assert not (path / "assets.extra").exists()
    assert "warm_up" not in json.loads((path / "signature.json").read_text())
    assert read_warm_up_file(path) == []


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ([0, 4], "`warm_up_batch_sizes` should be positive integers. Received: .*=\\[0, 4\\]"),
        (["four"], "`warm_up_batch_sizes` should be positive integers"),
        ([1.5], "`warm_up_batch_sizes` should be positive integers"),
        (range(1, 120), "no more than 1000 records. Received: 119 sizes, which make 1446"),
    ],
)
def test_sizes_that_are_none(
    tmp_path: pathlib.Path, toy: Any, names: Vocabulary, sizes: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        export_saved_model(toy.Model(names), tmp_path / "1", names, warm_up_batch_sizes=sizes)
    assert not list(tmp_path.iterdir())


def test_an_answer_that_is_not_finite(tmp_path: pathlib.Path, toy: Any, names: Vocabulary) -> None:
    """Embeddings are finite, their products are not."""
    model = toy.Model(names)
    model.encode = lambda features: tf.fill([tf.shape(features["item_ids"])[0], 6], 1e30)
    model.candidate_embeddings = lambda: tf.fill([len(names), 6], 1e30)
    with pytest.raises(ValueError, match=r"should answer histories with finite numbers\. Received"):
        export_saved_model(model, tmp_path / "1", names)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("step", ["write_warm_up_file", "describe", "write_checksums"])
def test_a_step_that_fails_leaves_nothing_behind(
    tmp_path: pathlib.Path,
    toy: Any,
    names: Vocabulary,
    step: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saved_model, step, fail)
    with pytest.raises(OSError, match="No space left"):
        export_saved_model(
            toy.Model(names), tmp_path / "shop" / "1", names, warm_up_batch_sizes=[1]
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_metadata(tmp_path: pathlib.Path, toy: Any, names: Vocabulary) -> None:
    facts = {"settings": {"model": "toy"}, "evaluation": {"recall@20": 0.25}, "name": "Käse"}
    path = export_saved_model(
        toy.Model(names), tmp_path / "1", names, metadata=facts, warm_up_batch_sizes=[]
    )
    assert json.loads((path / "metadata.json").read_text()) == facts
    description = json.loads((path / "signature.json").read_text())
    assert description["metadata"] == {"file": "metadata.json"}
    assert "metadata.json" in json.loads((path / "checksums.json").read_text())["files"]
    with pytest.raises(ValueError, match=r"`metadata` should hold JSON values\. Received: "):
        export_saved_model(toy.Model(names), tmp_path / "2", names, metadata={"a": toy})
    assert [entry.name for entry in tmp_path.iterdir()] == ["1"]
