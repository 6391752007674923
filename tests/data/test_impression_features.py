"""Numbers aligned with the shown items, their place in the list, ids that keep items distinct."""

import polars as pl
import pytest

from tfsessionrec.data import Vocabulary, session_dataset, sessionize
from tfsessionrec.history_spec import HistorySpec

LOG = pl.DataFrame(
    {
        "user": ["a", "a", "a", "b"],
        "item_id": ["x", "y", "z", None],
        "timestamp": [1, 2, 2, 3],
        "shown": ["x|y|w", None, "x|y", "q|r"],
        "prices": ["10|20|", None, "5|6.5", None],
    }
)
AS_LISTS = LOG.with_columns(
    pl.col("shown").str.split("|"),
    prices=pl.Series([[10, 20, None], None, [5, 6.5], None], dtype=pl.List(pl.Float64)),
)
OPTIONS = {"user": "user", "gap": "0s", "impressions": "shown"}


@pytest.mark.parametrize("log", [LOG, AS_LISTS])
def test_values_and_places(log):
    events = sessionize(log, **OPTIONS, impression_features={"price": "prices"}).events
    assert events.select("item_id", "label", "position", "price").rows() == [
        ("x", 1, 1, 10),
        ("y", 0, 2, 20),
        ("w", 0, 3, None),
        ("y", 1, 0, None),  # no item was shown
        ("x", 0, 1, 5),
        ("y", 0, 2, 6.5),
        ("z", 1, 0, None),  # clicked, not shown
        ("q", 0, 1, None),
        ("r", 0, 2, None),
    ]


def test_places_alone_and_neither():
    assert sessionize(LOG, **OPTIONS, impression_features={}).events.columns[-1] == "position"
    assert "position" not in sessionize(LOG, **OPTIONS).events.columns
    kept = sessionize(LOG.with_columns(position=7), **OPTIONS, keep=["position"]).events
    assert kept["position"].unique().to_list() == [7]


@pytest.mark.parametrize(
    ("prices", "message"),
    [
        (["1|2", None, "5|6", None], "one number for each item of `impressions`"),
        (["1|2|cheap", None, "5|6", None], "one number for each item of `impressions`"),
        ([1, 2, 3, 4], "should be columns of lists"),
    ],
)
def test_numbers_that_are_not_aligned(prices, message):
    log = LOG.with_columns(prices=pl.Series(prices))
    with pytest.raises(ValueError, match=message):
        sessionize(log, **OPTIONS, impression_features={"price": "prices"})


@pytest.mark.parametrize("name", ["position", "label", "_price"])
def test_names(name):
    with pytest.raises(ValueError, match="`impression_features` should not use the name"):
        sessionize(LOG, **OPTIONS, impression_features={name: "prices"})


def test_needs_impressions():
    log = LOG.drop_nulls("item_id")
    with pytest.raises(ValueError, match="`impression_features` needs `impressions`"):
        sessionize(log, user="user", gap="0s", impression_features={})


def test_batches():
    sessions = sessionize(LOG, **OPTIONS, impression_features={"price": "prices"})
    known = sessionize(LOG[1:2], user="user", gap="0s")
    (batch,) = session_dataset(
        sessions, Vocabulary.from_sessions(known), HistorySpec(relation=("price",))
    )
    assert batch["item_ids"].numpy().tolist()[0] == [[1, 2, 1], [2, 0, 0], [1, 2, 1]]
    match = batch["match_ids"].numpy()
    assert match.dtype == "int64"
    x, y, w, z, q, r = (*match[0, 0], match[0, 2, 2], *match[1, 0, :2])
    assert match[0].tolist() == [[x, y, w], [y, 0, 0], [x, y, z]]
    assert len({0, x, y, w, z, q, r}) == 7
    assert batch["position"].numpy()[0].tolist() == [[1, 2, 3], [0, 0, 0], [1, 2, 0]]
    assert batch["price"].numpy()[0].tolist() == [[10, 20, 0], [0, 0, 0], [5, 6.5, 0]]
