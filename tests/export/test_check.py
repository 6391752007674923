"""A check finds what is wrong with an export; each test damages one thing."""

import os
import pathlib
import re
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import tfsessionrec
from tfsessionrec.data import Vocabulary
from tfsessionrec.export import (
    CheckReport,
    check,
    check_saved_model,
    export_saved_model,
    write_availability_file,
)
from tfsessionrec.export.answer_difference import answer_difference
from tfsessionrec.export.checksum import write_checksums
from tfsessionrec.export.replay import replay
from tfsessionrec.history_spec import HistorySpec

CANDIDATES = "_ranking/_candidates/_embeddings"
LOWEST = np.finfo(np.float32).min
Check = Callable[..., CheckReport]
Change = Callable[[pathlib.Path], None]


@pytest.fixture(scope="module")
def names() -> Vocabulary:
    return Vocabulary([f"item {n}" for n in range(30)], range(30, 0, -1))


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, toy: Any, names: Vocabulary) -> pathlib.Path:
    """An export with a replaceable file and attributes of items."""
    return export_saved_model(
        toy.Model(names),
        tmp_path_factory.mktemp("good") / "shop" / "1",
        names,
        k=5,
        max_sessions=toy.MAX_SESSIONS,
        max_items=toy.MAX_ITEMS,
        unavailable=["item 3"],
        item_categories=["a", "b", "c"] * 10,
        warm_up_batch_sizes=[1, 4],
        metadata={"recall@20": 0.5},
    )


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Check:
    """The check with its replay in this process: a fresh one takes seconds to start."""

    def run(directory: pathlib.Path, requests: pathlib.Path, answers: pathlib.Path) -> None:
        try:
            lines = list(replay(os.fspath(directory), requests.read_text().splitlines()))
        except Exception as error:
            raise ValueError(f"the export does not load in a fresh process: {error}") from error
        answers.write_text("\n".join(lines) + "\n")

    monkeypatch.setattr(check, "_run_replay", run)
    return check_saved_model


@pytest.fixture
def copy(tmp_path: pathlib.Path, good: pathlib.Path) -> pathlib.Path:
    return pathlib.Path(shutil.copytree(good, tmp_path / "1"))


def hide(path: pathlib.Path) -> None:
    """Makes the checksums those of the files as they are now."""
    for name in ("checksums.json", "SHA256SUMS"):
        (path / name).unlink()
    write_checksums(path, ["assets/availability.pb"])


def test_a_good_export_in_a_fresh_process(good: pathlib.Path, toy: Any, names: Vocabulary) -> None:
    report = check_saved_model(good, toy.Model(names), names)
    assert report.ok, report
    assert [step.name for step in report.steps] == [
        "files",
        "vocabulary",
        "signatures",
        "warm-up",
        "recorded answers",
        "live model",
    ]
    # 5 + 2 of each signature; the model does not know categories.
    assert "42 requests to 6 signatures, in a fresh process" in str(report)
    assert "recorded answers  ok  42 the same" in str(report)
    assert "live model        ok  35 the same" in str(report)


@pytest.mark.slow
def test_a_graph_that_does_not_load_in_a_fresh_process(copy: pathlib.Path) -> None:
    for file in (copy / "variables").iterdir():
        file.write_bytes(b"")
    hide(copy)
    report = check_saved_model(copy)
    assert not report.ok
    assert "warm-up           FAILED" in str(report) or "warm-up     FAILED" in str(report)
    assert "the export does not load in a fresh process: " in report.problems[0]
    assert "Traceback" not in str(report)


# Files.


@pytest.mark.parametrize(
    "name",
    [
        "saved_model.pb",
        "signature.json",
        "metadata.json",
        "assets/vocabulary.txt",
        "assets.extra/tf_serving_warmup_requests",
        "variables/variables.index",
        "variables/variables.data-00000-of-00001",
    ],
)
def test_a_flipped_byte_and_a_missing_file(copy: pathlib.Path, quick: Check, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    report = quick(copy)
    problem = f"files: `{name}` has another SHA-256 than when it was written"
    assert report.problems == [problem]
    (copy / name).unlink()
    assert quick(copy).problems == [f"files: `{name}` is missing"]


def test_no_checksums(copy: pathlib.Path, quick: Check) -> None:
    (copy / "checksums.json").unlink()
    assert quick(copy).problems == ["files: `checksums.json` is missing: not a whole export"]


def test_files_that_are_missing_or_more(copy: pathlib.Path, quick: Check) -> None:
    (copy / "SHA256SUMS").write_text("")
    (copy / "assets" / "availability.pb").unlink()
    (copy / "assets" / "copy.txt").write_text("")
    assert quick(copy).problems == [
        "files: `assets/availability.pb` is missing",
        "files: `SHA256SUMS` does not match `checksums.json`",
        "files: `assets/copy.txt` was added after the export",
    ]


def test_no_export(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError, match="`path` should be an export"):
        check_saved_model(tmp_path / "1")


def test_a_model_without_a_vocabulary(good: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="`vocabulary` should be given with a model"):
        check_saved_model(good, model=object())


# What checksums do not see.


def change_variable(path: pathlib.Path, called: str, change: Callable[..., Any]) -> None:
    """Rewrites a variable in the files of an export."""
    prefix = str(path / "variables" / "variables")
    reader = tf.train.load_checkpoint(prefix)
    tensors = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    (name,) = (name for name in tensors if name.startswith(called))
    tensors[name] = change(tensors[name])
    tf.raw_ops.SaveV2(
        prefix=prefix,
        tensor_names=list(tensors),
        shape_and_slices=[""] * len(tensors),
        tensors=[tf.constant(value) for value in tensors.values()],
    )


def swap_candidates(path: pathlib.Path) -> None:
    change_variable(path, CANDIDATES, lambda table: table[[1, 0, *range(2, len(table))]])


def swap_encoder(path: pathlib.Path) -> None:
    change_variable(path, "_model_variables/1", lambda kernel: kernel * np.float32(1.01))


def not_a_number(path: pathlib.Path) -> None:
    change_variable(path, CANDIDATES, lambda table: table * np.float32(np.nan))


def swap_lines(path: pathlib.Path) -> None:
    file = path / "assets" / "vocabulary.txt"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0], lines[2], lines[1], *lines[3:]]) + "\n")
    # It names the vocabulary it is of.
    write_availability_file(path / "assets" / "availability.pb", ["item 3"])


def fewer_lines(path: pathlib.Path) -> None:
    file = path / "assets" / "vocabulary.txt"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))


def change_graph(change: Callable[[Any], None]) -> Change:
    def changed(path: pathlib.Path) -> None:
        file = path / "saved_model.pb"
        graph = saved_model_pb2.SavedModel.FromString(file.read_bytes())
        change(graph.meta_graphs[0].signature_def)
        file.write_bytes(graph.SerializeToString())

    return changed


def rename_output(signatures: Any) -> None:
    outputs = signatures["rank"].outputs
    outputs["score"].CopyFrom(outputs["scores"])
    del outputs["scores"]


def rename_input(signatures: Any) -> None:
    inputs = signatures["rank"].inputs
    inputs["candidates"].CopyFrom(inputs["candidate_ids"])
    del inputs["candidate_ids"]


def drop_signature(signatures: Any) -> None:
    del signatures["similar_items"]


def add_signature(signatures: Any) -> None:
    signatures["debug"].CopyFrom(signatures["encode"])


def cut_warm_up(path: pathlib.Path) -> None:
    file = path / "assets.extra" / "tf_serving_warmup_requests"
    file.write_bytes(file.read_bytes()[:-7])


def no_warm_up(path: pathlib.Path) -> None:
    shutil.rmtree(path / "assets.extra")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (swap_candidates, ["recorded answers: `"]),
        (swap_encoder, ["recorded answers: `encode`, batch of 1: `query_embeddings` differs in"]),
        (not_a_number, ["warm-up: `rank`, batch of 1: `scores` has "]),
        (swap_lines, ["recorded answers: `"]),
        (fewer_lines, ["vocabulary: `vocabulary.txt` has 29 lines instead of 30"]),
        (
            change_graph(rename_output),
            [
                "signatures: `rank` has the outputs known (bool, rank 2), score (float32, rank 2) "
                "instead of known (bool, rank 2), scores (float32, rank 2)",
                "warm-up: `rank`, batch of 1: answers ['known', 'score'] instead of ['known', 'sc",
                "recorded answers: `rank`, batch of 1: ['known', 'score'] instead of ['known', 's",
            ],
        ),
        (
            change_graph(rename_input),
            [
                "signatures: `rank` has the inputs candidates (string, rank 2), item_ids",
                "warm-up: `rank`, batch of 1 fails: ",
            ],
        ),
        (
            change_graph(drop_signature),
            [
                "signatures: `similar_items` is in signature.json but not in saved_model.pb",
                "warm-up: `similar_items`, batch of 1 fails: KeyError: 'similar_items'",
            ],
        ),
        (
            change_graph(add_signature),
            ["signatures: `debug` is in saved_model.pb but not in signature.json"],
        ),
        (cut_warm_up, ["warm-up: `assets.extra/tf_serving_warmup_requests` is damaged: "]),
        (no_warm_up, ["warm-up: `assets.extra/tf_serving_warmup_requests` has 0 records, not as"]),
    ],
)
def test_damage_that_checksums_do_not_see(
    copy: pathlib.Path, quick: Check, change: Change, expected: list[str]
) -> None:
    change(copy)
    hide(copy)
    report = quick(copy)
    assert not report.ok
    for start in expected:
        assert any(problem.startswith(start) for problem in report.problems), report
    assert "FAILED" in str(report)


@pytest.mark.slow
def test_another_vocabulary(
    good: pathlib.Path, copy: pathlib.Path, quick: Check, toy: Any, names: Vocabulary
) -> None:
    swap_lines(copy)
    hide(copy)
    problem = (
        "vocabulary: `vocabulary.txt` is not that of the given vocabulary: line 2 is 'item 2' "
        "instead of 'item 1'"
    )
    assert problem in quick(copy, vocabulary=names).problems
    shorter = Vocabulary(names.ids[:29], names.counts[2:31])
    assert quick(good, vocabulary=shorter).problems == [
        "vocabulary: `vocabulary.txt` is not that of the given vocabulary: line 30 is 'item 29' "
        "instead of None"
    ]


@pytest.mark.slow
def test_another_model(good: pathlib.Path, quick: Check, toy: Any, names: Vocabulary) -> None:
    model = toy.Model(names)
    assert quick(good, model, names).ok
    model.kernel.assign(model.kernel * 1.01)
    report = quick(good, model, names)
    assert {problem.partition(":")[0] for problem in report.problems} == {"live model"}
    assert quick(good, model, names, tolerance=0.5).ok
    model.candidate_embeddings = lambda: tf.zeros([5, 6])
    problems = quick(good, model, names).problems
    assert len(problems) == 1
    assert "live model: the model does not take the requests: `model.candidate_emb" in problems[0]


@pytest.mark.slow
def test_a_replaced_file_is_no_damage(
    copy: pathlib.Path, quick: Check, toy: Any, names: Vocabulary
) -> None:
    write_availability_file(copy / "assets" / "availability.pb", ["item 0", "item 1"])
    report = quick(copy, toy.Model(names), names)
    assert report.ok, report
    assert "sizes and SHA-256; replaced since: assets/availability.pb" in str(report)
    assert "7 the same, within 0.001 of the largest number (assets/availability.pb re" in str(
        report
    )
    # What is not an availability file is damage, though.
    (copy / "assets" / "availability.pb").write_bytes(b"no such thing")
    assert "warm-up: `recommend`, batch of 1 fails: " in quick(copy).problems[0]


@pytest.mark.slow
def test_all_that_a_model_reads(tmp_path: pathlib.Path, quick: Check, names: Vocabulary) -> None:
    context: dict[str, Any] = {"device": ("phone", "desk"), "basket": None}
    model = tfsessionrec.models.build(
        "hstu",
        vocabulary_size=len(names),
        embedding_dim=4,
        num_heads=1,
        num_layers=1,
        num_interaction_types=2,
        session_context={"device": 2, "basket": None},
        trend={"half_lives": [50], "refresh": 10},
    )
    model.build()
    path = export_saved_model(
        model,
        tmp_path / "1",
        names,
        spec=HistorySpec(
            session="item",
            max_sessions=3,
            interaction_types=(3, 5),
            session_context=context,
            labels=True,
            session_times=True,
            request_times=True,
        ),
        similarity="dot",
        warm_up_batch_sizes=[3],
    )
    report = quick(path, model, names)
    assert report.ok, report
    assert "live model        ok  12 the same" in str(report)


# How answers are compared.


def ranked(ids: list[Any], scores: list[float]) -> dict[str, np.ndarray]:
    return {"item_ids": np.array([ids]), "scores": np.array([scores], np.float32)}


@pytest.mark.parametrize(
    ("got", "difference"),
    [
        (ranked([7, 8, 9, -1], [4, 2, 1, LOWEST]), None),
        (ranked([7, 8, 9, -1], [4.003, 2, 1, LOWEST]), None),
        (ranked([7, 8, 9, -1], [4.005, 2, 1, LOWEST]), "`scores` differs in 1 of 4 values"),
        (ranked([7, 8, 9, -1], [4, 2, 1, 0]), "`scores` differs in 1 of 4 values"),
        (ranked([8, 7, 9, -1], [4, 2, 1, LOWEST]), "row 0: 8 has the score 4 instead of 2"),
        (ranked([7, 6, 9, -1], [4, 2, 1, LOWEST]), "row 0: 6 is not among the expected items"),
        # As good as the last one, which was cut off.
        (ranked([7, 8, 6, -1], [4, 2, 1, LOWEST]), None),
        (ranked([7, 8, 8, -1], [4, 2, 1, LOWEST]), "row 0: an item occurs twice"),
        (ranked([7, 8, 9, 5], [4, 2, 1, LOWEST]), "row 0: the padding differs"),
        (ranked([7, 8, 9], [4, 2, 1]), r"`item_ids` has the shape \[1, 3\] instead of \[1, 4\]"),
    ],
)
def test_lists(got: dict[str, np.ndarray], difference: str | None) -> None:
    found = answer_difference(ranked([7, 8, 9, -1], [4, 2, 1, LOWEST]), got, 0.001)
    if difference is None:
        assert found is None
    else:
        assert found is not None
        assert re.search(difference, found), found


def test_items_of_nearly_equal_scores_may_change_places() -> None:
    expected = ranked(["a", "b", "c"], [4, 1.001, 1])
    assert answer_difference(expected, ranked(["a", "c", "b"], [4, 1.0005, 1]), 0.001) is None
    assert answer_difference(expected, ranked(["a", "c", "b"], [4, 1.0005, 1]), 1e-5) is not None


def test_other_outputs() -> None:
    one = {"known": np.array([[True, False]]), "scores": np.array([[2.0, LOWEST]], np.float32)}
    assert answer_difference(one, one, 0) is None
    other = {**one, "known": np.array([[True, True]])}
    assert answer_difference(one, other, 1) == "`known` differs in 1 of 2 values"
    not_a_number = {**one, "scores": np.array([[np.nan, LOWEST]], np.float32)}
    assert answer_difference(one, not_a_number, 1) == (
        "`scores` differs in 1 of 2 values, first at [0, 0]: nan instead of 2"
    )


def test_a_long_list_of_problems_is_cut() -> None:
    step = tfsessionrec.export.CheckStep("files", "", tuple(map(str, range(12))))
    lines = str(CheckReport((step,))).splitlines()
    assert lines[-1] == "  - and 2 more"
    assert len(lines) == 12
