import pathlib
import shutil
from typing import Any

import numpy as np
import pytest

from tfsessionrec.data import Vocabulary
from tfsessionrec.export import Recommender, export_saved_model, load_saved_model


@pytest.fixture(scope="module")
def recommender(export: pathlib.Path) -> Recommender:
    return load_saved_model(export)


def test_equals_the_live_model(
    toy: Any, recommender: Recommender, model: Any, vocabulary: Vocabulary, histories: Any
) -> None:
    for history in histories:
        answer = recommender.recommend(*history, k=4)
        ids, scores = toy.recommendations(model, vocabulary, history, 4)
        assert [item for item, _ in answer] == ids
        assert all(type(item) is type(ids[0]) for item, _ in answer)
        np.testing.assert_allclose([score for _, score in answer], scores, rtol=1e-5, atol=1e-6)


def test_defaults(recommender: Recommender, vocabulary: Vocabulary) -> None:
    ids = vocabulary.ids[:3].tolist()
    assert recommender.recommend(ids) == recommender.recommend(ids, [0, 0, 0], k=5)
    assert len(recommender.recommend(ids, k=2**40)) == 9


def test_integers_may_be_written_as_text(recommender: Recommender, vocabulary: Vocabulary) -> None:
    ids = vocabulary.ids[:3].tolist()
    assert recommender.recommend([str(i) for i in ids]) == recommender.recommend(ids)
    if vocabulary.dtype == "int64":
        with pytest.raises(ValueError, match="`item_ids` should be integers"):
            recommender.recommend(["seven"])


@pytest.mark.parametrize("k", [0, -3, 1.5, "7"])
def test_k(recommender: Recommender, k: Any) -> None:
    with pytest.raises(ValueError, match=f"`k` should be a positive integer. Received: `k`={k!r}"):
        recommender.recommend([], k=k)


def test_arguments_of_unequal_length(recommender: Recommender, vocabulary: Vocabulary) -> None:
    with pytest.raises(ValueError, match="`session_index` should have one number an item"):
        recommender.recommend(vocabulary.ids[:2].tolist(), [0])


@pytest.mark.slow
def test_labels(
    tmp_path: pathlib.Path, recommender: Recommender, toy: Any, model: Any, vocabulary: Vocabulary
) -> None:
    ids = vocabulary.ids[:2].tolist()
    with pytest.raises(ValueError, match="reads no labels"):
        recommender.recommend(ids, labels=[1, 0])
    labelled = load_saved_model(
        export_saved_model(
            model, tmp_path / "1", vocabulary, spec=toy.spec(vocabulary, labels=True)
        )
    )
    all_positive = labelled.recommend(ids)
    np.testing.assert_allclose(
        [score for _, score in all_positive],
        [score for _, score in recommender.recommend(ids, k=9)],
        rtol=1e-5,
        atol=1e-6,
    )
    assert labelled.recommend(ids, labels=[1, 1]) == all_positive
    assert labelled.recommend(ids, labels=[1, 0]) != all_positive
    with pytest.raises(ValueError, match="`labels` should have one number an item"):
        labelled.recommend(ids, labels=[1])


def test_rules(
    tmp_path: pathlib.Path, recommender: Recommender, toy: Any, model: Any, vocabulary: Vocabulary
) -> None:
    ids = vocabulary.ids.tolist()
    history = ids[:3]
    best = [item for item, _ in recommender.recommend(history, k=9)]

    def left(**rules: Any) -> list[Any]:
        return [item for item, _ in recommender.recommend(history, k=9, **rules)]

    assert left(exclude_seen=True) == [item for item in best if item not in history]
    assert left(exclude_ids=[str(best[0]), "17"]) == [i for i in best[1:] if i != 17]
    assert left(allow_ids=best[4:6], exclude_ids=best[:1]) == best[4:6]
    assert left(exclude_ids=ids) == []
    assert sorted(left(diversity=0.9), key=str) == sorted(ids, key=str)
    assert left(diversity=0.9) != best
    for rule, option in (
        ({"tag_mask": 1}, "item_tags"),
        ({"max_per_category": 1}, "item_categories"),
        ({"freshness": 0.5}, "item_times"),
    ):
        with pytest.raises(ValueError, match=f"should be 0: the export was made .*`{option}`"):
            left(**rule)
    with pytest.raises(ValueError, match="`diversity` should be from 0 to 1"):
        left(diversity="much")
    if vocabulary.dtype == "int64":
        with pytest.raises(ValueError, match="`exclude_ids` should be integers"):
            left(exclude_ids=["seven"])

    path = export_saved_model(
        model,
        tmp_path / "1",
        vocabulary,
        item_tags=[n % 4 for n in range(9)],
        item_categories=["a", "b", "c"] * 3,
        item_times=range(9),
        freshness_half_life=1,
        unavailable=ids[:2],
    )
    recommender = load_saved_model(path)
    assert set(left()) == set(ids[2:])
    assert set(left(tag_mask=2)) == {ids[n] for n in range(2, 9) if n % 4 >= 2}
    assert len(left(max_per_category=1)) == 3
    # Recent enough to decide, whatever the model says; by now all are equally old.
    assert left(freshness=1e6, request_time=8) == ids[:1:-1]
    assert left(freshness=1e6) == left()


def test_similar_items(
    recommender: Recommender, model: Any, vocabulary: Vocabulary, unknown: Any
) -> None:
    table = model.table.numpy()[2:]
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    ids = vocabulary.ids.tolist()
    for row, item in enumerate(ids):
        cosines = table @ table[row]
        order = [c for c in np.argsort(-cosines) if c != row]
        answer = recommender.similar_items(item)
        assert [other for other, _ in answer] == [ids[c] for c in order][:5]
        np.testing.assert_allclose([cosine for _, cosine in answer], cosines[order][:5], rtol=1e-4)
        assert len(recommender.similar_items(item, k=100)) == 8
    with pytest.raises(ValueError, match="`item_id` should be an item of the export"):
        recommender.similar_items(unknown)
    with pytest.raises(ValueError, match="`k` should be a positive integer"):
        recommender.similar_items(ids[0], k=0)


@pytest.mark.slow
def test_newest_version_of_a_model(
    tmp_path: pathlib.Path, toy: Any, model: Any, vocabulary: Vocabulary
) -> None:
    for version in ("9", "10"):
        export_saved_model(model, tmp_path / version, vocabulary)
    (tmp_path / "11").mkdir()
    (tmp_path / "notes").mkdir()
    assert load_saved_model(tmp_path).path == tmp_path / "10"


def test_no_export_there(tmp_path: pathlib.Path) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(FileNotFoundError, match=f"`path` should be an export .*{path}"):
            load_saved_model(path)


@pytest.mark.parametrize(
    "file",
    [
        "saved_model.pb",
        "signature.json",
        "assets/vocabulary.txt",
        "variables/variables.index",
        "variables/variables.data-00000-of-00001",
    ],
)
@pytest.mark.parametrize("keep", [None, 0.0, 0.5, 0.9])
def test_damaged_export(
    tmp_path: pathlib.Path, export: pathlib.Path, file: str, keep: float | None
) -> None:
    copy = tmp_path / "1"
    shutil.copytree(export, copy)
    if keep is None:
        (copy / file).unlink()
    else:
        content = (copy / file).read_bytes()
        (copy / file).write_bytes(content[: int(len(content) * keep)])
    with pytest.raises((ValueError, FileNotFoundError), match="`path` should be") as error:
        load_saved_model(copy)
    assert str(copy) in str(error.value)


def test_damage_is_named(tmp_path: pathlib.Path, export: pathlib.Path) -> None:
    copy = tmp_path / "1"
    shutil.copytree(export, copy)
    data = copy / "variables" / "variables.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"`variables/variables.data\S+` has \d+ bytes instead"):
        load_saved_model(copy)
    data.unlink()
    with pytest.raises(ValueError, match=r"`variables/variables.data-00000-of-00001` is missing"):
        load_saved_model(copy)


def test_hashes_are_read_on_demand(tmp_path: pathlib.Path, export: pathlib.Path) -> None:
    copy = tmp_path / "1"
    shutil.copytree(export, copy)
    assert load_saved_model(copy, verify=True).recommend([], k=1)
    vocabulary = copy / "assets" / "vocabulary.txt"
    content = bytearray(vocabulary.read_bytes())
    content[0] ^= 2  # another id, which no item has
    vocabulary.write_bytes(content)
    assert load_saved_model(copy).recommend([], k=1)
    with pytest.raises(ValueError, match=r"`assets/vocabulary.txt` has another SHA-256"):
        load_saved_model(copy, verify=True)


def test_an_export_of_an_earlier_version(tmp_path: pathlib.Path, export: pathlib.Path) -> None:
    copy = tmp_path / "1"
    shutil.copytree(export, copy)
    (copy / "checksums.json").unlink()
    assert load_saved_model(copy).recommend([], k=1)
    with pytest.raises(ValueError, match=r"FileNotFoundError: .*checksums.json"):
        load_saved_model(copy, verify=True)
