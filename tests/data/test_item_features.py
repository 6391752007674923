"""A catalog in, arrays by vocabulary index out."""

import pathlib
import re

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tfsessionrec.data import Vocabulary, item_features

CATALOG = pl.DataFrame(
    {
        "sku": ["rum", "tea", "gin", "jam", "elsewhere"],
        "kind": ["cold", "hot", None, "", "zzz"],
        "aisle": [7, 3, 7, None, 5],
        "vegan": [True, True, False, None, False],
        "tags": ["x|y", "y", "", None, "a"],
        "lists": [[4, 9], [9], [], None, [1, 1]],
        "price": [10.0, 2.0, 100.0, None, 1e6],
        "weight": [0.5, 2.0, 1.0, None, 3.0],
    }
)
# 0 padding, 1 unknown, then tea, jam, cup (not in the catalog), rum; gin is new
VOCABULARY = Vocabulary(["tea", "jam", "cup", "rum"], [9, 5, 2, 1]).extend(["gin"])


def test_literal() -> None:
    features = item_features(
        CATALOG,
        VOCABULARY,
        item="sku",
        categorical=["kind", "aisle", "vegan"],
        multi_hot=["tags", "lists"],
        dense=["price"],
    )
    assert list(features) == ["kind", "aisle", "vegan", "tags", "lists", "price"]
    # cold 1, hot 2, zzz 3
    assert features["kind"].tolist() == [0, 0, 2, 0, 0, 1, 0]
    assert features["aisle"].tolist() == [0, 0, 1, 0, 0, 3, 3]
    assert features["vegan"].tolist() == [0, 0, 2, 0, 0, 2, 1]
    # a 1, x 2, y 3
    nothing = [0, 0]
    assert features["tags"].tolist() == [
        nothing, nothing, [3, 0], nothing, nothing, [2, 3], nothing
    ]  # fmt: skip
    # 1, 4, 9; twice the same is once
    assert features["lists"].tolist() == [
        nothing, nothing, [3, 0], nothing, nothing, [2, 3], nothing
    ]  # fmt: skip
    # tea 2 and rum 10 make the mean 6 and the standard deviation 4; gin is new and changes nothing
    assert features["price"].tolist() == [
        [0, 1], [0, 1], [-1, 0], [0, 1], [0, 1], [1, 0], [23.5, 0]
    ]  # fmt: skip
    dtypes = {name: value.dtype.name for name, value in features.items()}
    assert dtypes == {**dict.fromkeys(features, "int32"), "price": "float32"}


def test_files_and_pandas(tmp_path: pathlib.Path) -> None:
    text = CATALOG.drop("lists")
    options = {"item": "sku", "categorical": ["kind"], "multi_hot": ["tags"], "dense": ["price"]}
    expected = item_features(CATALOG, VOCABULARY, **options)  # type: ignore[arg-type]
    text.write_csv(tmp_path / "items.csv")
    for frame in (tmp_path / "items.csv", pd.DataFrame(text.to_dict(as_series=False))):
        got = item_features(frame, VOCABULARY, **options)  # type: ignore[arg-type]
        assert list(got) == list(expected)
        for name, value in expected.items():
            np.testing.assert_array_equal(got[name], value)


def test_equal_numbers_have_no_spread() -> None:
    frame = pl.DataFrame({"item_id": [1, 2], "price": [3, 3]})
    assert item_features(frame, Vocabulary([1, 2]), dense=["price"])["price"].tolist() == [
        [0, 1], [0, 1], [0, 0], [0, 0]
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"item": "id"}, "`item` should name a column of the events. Received: `item`='id'"),
        ({"categorical": ["x"]}, "`categorical` should name a column"),
        ({"categorical": "kind"}, "`categorical` should be a list of columns. Received: .*'kind'"),
        ({"categorical": ["kind"], "dense": ["kind"]}, "should be one feature. Received: 'kind'"),
        ({"categorical": ["weight"]}, "`categorical` should name columns of text or whole numbers"),
        (
            {"multi_hot": ["aisle"]},
            "`multi_hot` should name columns of lists or of text. .*'aisle'",
        ),
        ({"dense": ["kind"]}, "`dense` should name columns of numbers. Received: column 'kind'"),
    ],
)
def test_bad_arguments(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        item_features(CATALOG, VOCABULARY, **{"item": "sku", **options})


def test_bad_catalogs() -> None:
    with pytest.raises(ValueError, match=r"one row an item. Received: 'rum' again"):
        item_features(pl.concat([CATALOG, CATALOG[:1]]), VOCABULARY, item="sku")
    with pytest.raises(ValueError, match=r"`item` should hold integers .*'tea'"):
        item_features(pl.DataFrame({"item_id": ["tea"]}), Vocabulary([1]))
    for value in (float("inf"), 1e39, -1e300):
        beyond = pl.DataFrame({"item_id": ["tea"], "x": [value]})
        message = re.escape(f"numbers, within float32. Received: {value} in column 'x'")
        with pytest.raises(ValueError, match=message):
            item_features(beyond, VOCABULARY, dense=["x"])
    item_features(beyond.with_columns(x=3e38), VOCABULARY, dense=["x"])
