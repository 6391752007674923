"""Indices for raw ids, and the same raw ids back."""

import json
import pathlib
from collections import Counter
from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsessionrec.data import Sessions, Vocabulary, sessionize

Table = Callable[[str], pl.DataFrame]


@pytest.fixture
def sessions(table: Table) -> Sessions:
    log = table("""
        session  item_id  timestamp  clicked
        1        a        1          0
        1        b        2          1
        1        c        3          1
        2        d        4          1
        2        d        5          1
        2        a        6          0
        2        c        7          0
    """)
    return sessionize(log, session="session", label="clicked")


def test_from_sessions(sessions: Sessions) -> None:
    vocabulary = Vocabulary.from_sessions(sessions)
    # d was clicked twice, b and c once, a was only shown.
    assert vocabulary.ids.tolist() == ["d", "b", "c", "a"]
    assert vocabulary.counts.tolist() == [0, 0, 2, 1, 1, 0]
    assert vocabulary.counts.dtype == np.int64
    assert (len(vocabulary), vocabulary.num_items, vocabulary.first_item_index) == (6, 4, 2)
    assert vocabulary.dtype == "string"


def test_min_count_counts_showings_too(sessions: Sessions) -> None:
    assert Vocabulary.from_sessions(sessions, min_count=2).ids.tolist() == ["d", "c", "a"]


def test_min_count_too_high(sessions: Sessions) -> None:
    with pytest.raises(ValueError, match=r"`min_count` should leave .*Received: `min_count`=3"):
        Vocabulary.from_sessions(sessions, min_count=3)
    for wrong in (0, 1.5, True):
        with pytest.raises(ValueError, match="`min_count` should be a positive integer"):
            Vocabulary.from_sessions(sessions, min_count=wrong)  # type: ignore[arg-type]


def test_one_item() -> None:
    vocabulary = Vocabulary([7])
    assert len(vocabulary) == 3
    assert vocabulary.lookup([7, 8]).tolist() == [2, 1]
    assert repr(vocabulary) == "Vocabulary(num_items=1, dtype='int64', num_oov_indices=1)"


def test_lookup_keeps_the_shape() -> None:
    vocabulary = Vocabulary([30, 10, 20])
    ids = np.array([[[10, 20], [30, 99]]])
    assert vocabulary.lookup(ids).tolist() == [[[3, 4], [2, 1]]]
    assert vocabulary.lookup(ids).dtype == np.int32
    assert vocabulary.lookup(20).shape == ()
    assert vocabulary.lookup(np.zeros((0, 3), np.int64)).shape == (0, 3)
    assert vocabulary.lookup(pl.Series([20, None])).tolist() == [4, 0]


def test_missing_ids_are_padding() -> None:
    numbers = Vocabulary([30, 10])
    assert numbers.lookup([[10, None]]).tolist() == [[3, 0]]
    assert numbers.lookup(np.array([10.0, np.nan])).tolist() == [3, 0]
    words = Vocabulary(["x", "y"])
    assert words.lookup([["y", ""], [None, "z"]]).tolist() == [[3, 0], [0, 1]]
    assert words.lookup(["", None]).tolist() == [0, 0]
    assert words.lookup(np.array([b"y", b"", b"z"])).tolist() == [3, 0, 1]


def test_types_do_not_mix() -> None:
    with pytest.raises(ValueError, match=r"`raw_ids` should hold ids of type int64.*String"):
        Vocabulary([1, 2]).lookup(["1"])
    with pytest.raises(ValueError, match=r"`raw_ids` should hold ids of type string.*Int64"):
        Vocabulary(["1", "2"]).lookup([1])
    with pytest.raises(ValueError, match="`raw_ids` should hold integers only, or strings only"):
        Vocabulary([1, 2]).lookup([1, "2"])


def test_raw() -> None:
    numbers = Vocabulary([30, 10, 20])
    assert numbers.raw([[4, 2]]).tolist() == [[20, 30]]
    assert numbers.raw([[4, 2]]).dtype == np.int64
    assert Vocabulary(["x", "y"]).raw(3) == "y"


@pytest.mark.parametrize("index", [0, 1, 5, -1, 2.0])
def test_raw_of_no_item(index: float) -> None:
    with pytest.raises(ValueError, match=r"`indices` should be integers from 2 .*to 4. Received:"):
        Vocabulary([30, 10, 20]).raw([2, index])


def test_buckets_are_the_documented_hash() -> None:
    """Plain Python integers as the oracle; a served graph must find the same buckets."""
    unknown = ["", "a", "ab", "ba", "é", "日本", "x" * 40, *(f"item-{i}" for i in range(500))]
    vocabulary = Vocabulary(["known"], num_oov_indices=5)
    expected = [
        1 + sum(b * 1_099_511_628_211**i for i, b in enumerate(text.encode())) % 2**64 % 5
        if text
        else 0
        for text in unknown
    ]
    assert vocabulary.lookup(unknown).tolist() == expected
    assert min(Counter(expected[7:]).values()) > 50  # every bucket is used
    numbers = Vocabulary([1000], num_oov_indices=5)
    assert numbers.lookup([7, -1, 12, 1000]).tolist() == [3, 5, 3, 6]
    assert numbers.first_item_index == 6


def test_constructor_sorts_by_count_and_keeps_ties() -> None:
    vocabulary = Vocabulary([5, 6, 7, 8], counts=[1, 3, 1, 3], num_oov_indices=2)
    assert vocabulary.ids.tolist() == [6, 8, 5, 7]
    assert vocabulary.counts.tolist() == [0, 0, 0, 3, 3, 1, 1]
    assert Vocabulary([7, 5, 6]).ids.tolist() == [7, 5, 6]
    counts = np.arange(1_000) * 7 % 3
    assert (
        Vocabulary(np.arange(1_000), counts).ids.tolist()
        == sorted(range(1_000), key=lambda i: -counts[i])  # Python's sort is stable
    )


def test_arrays_are_not_to_be_changed() -> None:
    vocabulary = Vocabulary([5, 6])
    with pytest.raises(ValueError, match="read-only"):
        vocabulary.ids[0] = 6
    with pytest.raises(ValueError, match="read-only"):
        vocabulary.counts[0] = 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ids": []}, "`ids` should hold at least one id"),
        ({"ids": ["a", "b", "a"]}, "`ids` should hold each id once. Received: 'a' again"),
        ({"ids": ["a", ""]}, "`ids` should have no missing ids. Received: 1 missing"),
        ({"ids": [1, "a"]}, "`ids` should hold integers only, or strings only"),
        ({"ids": [True]}, "`ids` should hold integers or strings. Received: Boolean"),
        ({"ids": [1, 2], "counts": [1]}, "`counts` should hold one whole number"),
        ({"ids": [1, 2], "counts": [1, -1]}, "`counts` should hold one whole number"),
        ({"ids": [1, 2], "counts": [1, 0.5]}, "`counts` should hold one whole number"),
        ({"ids": [1], "num_oov_indices": 0}, "`num_oov_indices` should be a positive integer"),
    ],
)
def test_wrong_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Vocabulary(**arguments)


IDS = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=30, unique=True),
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
        min_size=1,
        max_size=30,
        unique=True,
    ),
)


@given(IDS, st.integers(1, 3), st.data())
@settings(max_examples=50)
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory, ids: list, buckets: int, data
) -> None:  # type: ignore[no-untyped-def]
    size = len(ids)
    counts = data.draw(st.lists(st.integers(0, 3), min_size=size, max_size=size))
    vocabulary = Vocabulary(ids, counts, num_oov_indices=buckets)
    path = tmp_path_factory.mktemp("vocabulary") / "vocabulary.json"
    vocabulary.save(path)
    loaded = Vocabulary.load(path)
    indices = np.arange(vocabulary.first_item_index, len(vocabulary))
    for each in (vocabulary, loaded):
        assert each.dtype == ("int64" if isinstance(ids[0], int) else "string")
        assert sorted(each.ids.tolist()) == sorted(ids)
        assert each.lookup(each.raw(indices)).tolist() == indices.tolist()
        assert each.raw(each.lookup(ids)).tolist() == ids
        assert each.counts[each.lookup(ids)].tolist() == counts
        assert each.num_oov_indices == buckets
    assert loaded.ids.tolist() == vocabulary.ids.tolist()


def test_save_replaces_and_leaves_nothing_else(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "vocabulary.json"
    Vocabulary(["a", "b"]).save(path)
    Vocabulary(["é"]).save(path)
    assert Vocabulary.load(path).ids.tolist() == ["é"]
    assert [file.name for file in tmp_path.iterdir()] == ["vocabulary.json"]


def test_a_failed_save_leaves_the_old_file(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "vocabulary.json"
    Vocabulary(["a", "b"]).save(path)

    def fail(content: dict, file, **_: object) -> None:  # type: ignore[no-untyped-def]
        file.write('{"format": ')
        raise OSError("disk full")

    monkeypatch.setattr(json, "dump", fail)
    with pytest.raises(OSError, match="disk full"):
        Vocabulary(["c"]).save(path)
    assert Vocabulary.load(path).ids.tolist() == ["a", "b"]
    assert [file.name for file in tmp_path.iterdir()] == ["vocabulary.json"]


def test_load_what_is_not_there(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError):
        Vocabulary.load(tmp_path / "none.json")


@pytest.mark.parametrize("cut", [0, 1, 40, -1])
def test_load_a_truncated_file(tmp_path: pathlib.Path, cut: int) -> None:
    path = tmp_path / "vocabulary.json"
    Vocabulary(["a", "b"]).save(path)
    path.write_text(path.read_text()[:cut])
    with pytest.raises(ValueError, match=r"`path` should be a file that `Vocabulary.save` wrote"):
        Vocabulary.load(path)


@pytest.mark.parametrize(
    "change", [{"format": "another"}, {"version": 2}, {"dtype": "int64"}, {"counts": [1]}]
)
def test_load_another_file(tmp_path: pathlib.Path, change: dict) -> None:
    path = tmp_path / "vocabulary.json"
    Vocabulary(["a", "b"]).save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=r"`path` should be a file that `Vocabulary.save` wrote"):
        Vocabulary.load(path)


def test_extend_appends_what_is_new(tmp_path: pathlib.Path) -> None:
    vocabulary = Vocabulary([30, 10, 20], counts=[1, 5, 0], num_oov_indices=2)
    longer = vocabulary.extend([20, 7, 30, 5, 7])
    assert longer.ids.tolist() == [10, 30, 20, 7, 5]
    assert longer.counts.tolist() == [0, 0, 0, 5, 1, 0, 0, 0]
    assert (longer.num_new_items, longer.num_oov_indices, vocabulary.num_new_items) == (2, 2, 0)
    ids = [10, 20, 30]
    assert longer.lookup(ids).tolist() == vocabulary.lookup(ids).tolist()
    again = longer.extend([99, 5])
    assert again.ids.tolist() == [10, 30, 20, 7, 5, 99]
    assert again.num_new_items == 3
    longer.save(tmp_path / "v.json")
    loaded = Vocabulary.load(tmp_path / "v.json")
    assert loaded.num_new_items == 2
    assert loaded.ids.tolist() == longer.ids.tolist()
    # files of before there were new items
    content = json.loads((tmp_path / "v.json").read_text())
    del content["num_new_items"]
    (tmp_path / "v.json").write_text(json.dumps(content))
    assert Vocabulary.load(tmp_path / "v.json").num_new_items == 0


def test_extend_refuses() -> None:
    vocabulary = Vocabulary(["a", "b"])
    with pytest.raises(ValueError, match=r"should hold ids of type string. Received: Int64"):
        vocabulary.extend([1])
    with pytest.raises(ValueError, match="`ids` should have no missing ids"):
        vocabulary.extend(["c", None])
    assert vocabulary.extend([]).ids.tolist() == ["a", "b"]
    with pytest.raises(ValueError, match=r"`num_new_items` should be .*`num_new_items`=1 of 2 ids"):
        Vocabulary(["a", "b"], counts=[0, 1], num_new_items=1)
    with pytest.raises(ValueError, match=r"`num_new_items` should be .*`num_new_items`=2 of 2 ids"):
        Vocabulary(["a", "b"], num_new_items=2)


def test_grow_keeps_the_indices_of_trained_items(tmp_path: pathlib.Path) -> None:
    """Of a catalogue a, b are trained; x, y are new, and y has events in the later log."""
    before = Vocabulary(["a", "b"], [2, 5]).extend(["x", "y"])
    assert before.ids.tolist() == ["b", "a", "x", "y"]
    rows = {"item_id": ["c", "d", "d", "y", "a", "a", "a", "a", "e"], "label": [1] * 8 + [0]}
    log = pl.DataFrame({"session": 1, "timestamp": range(9), **rows})
    later = sessionize(log, session="session", label="label")
    grown = before.grow(later)
    # By clicks, then by place in the log: d, c, y, e; x has still no event.
    assert grown.ids.tolist() == ["b", "a", "d", "c", "y", "e", "x"]
    assert grown.counts.tolist() == [0, 0, 5, 6, 2, 1, 1, 0, 0]
    assert grown.num_new_items == 1
    assert before.grow(later, min_count=2).ids.tolist() == ["b", "a", "d", "x", "y"]
    grown.save(tmp_path / "v.json")
    loaded = Vocabulary.load(tmp_path / "v.json")
    assert loaded.ids.tolist() == grown.ids.tolist()
    assert loaded.counts.tolist() == grown.counts.tolist()
    assert loaded.extend(["z"]).ids.tolist() == [*grown.ids, "z"]


def test_the_given_order() -> None:
    assert Vocabulary(["a", "b"], [2, 5], order="given").ids.tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="`order` should be"):
        Vocabulary(["a"], order="id")  # type: ignore[arg-type]
