import dataclasses
import math

import numpy as np
import polars as pl
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsessionrec.data import (
    Examples,
    Sessions,
    Vocabulary,
    expand_targets,
    session_dataset,
    sessionize,
)
from tfsessionrec.history_spec import HistorySpec


def sessions_of(rows, columns, **arguments):
    log = pl.DataFrame(rows, schema=columns, orient="row")
    return sessionize(log, user="user", session="session", item="item", time="time", **arguments)


# One user of three sessions, one of a single session, one of two; `time` within the hour.
ROWS = [
    # user, session, item, time, label, type, price
    ("ann", "a1", "tea", 10, 1, "click", 2.5),
    ("ann", "a1", "cup", 11, 0, "click", 9.0),
    ("bob", "b1", "tea", 12, 1, "cart", 2.5),
    ("ann", "a2", "cup", 20, 1, "cart", 9.0),
    ("ann", "a3", "jam", 30, 1, "click", None),
    ("ann", "a3", "tea", 31, 0, "click", 2.5),
    ("ann", "a3", "cup", 32, 1, "cart", 9.0),
    ("ann", "a3", "jam", 33, 1, "buy", 4.0),
    ("cyd", "c1", "jam", 40, 1, "click", 4.0),
    ("cyd", "c1", "gin", 41, 0, "click", 7.0),
    ("cyd", "c2", "gin", 50, 1, "click", 7.0),
]
COLUMNS = ["user", "session", "item", "time", "label", "type", "price"]
TEA, CUP, JAM, OOV = 2, 3, 4, 1


@pytest.fixture
def sessions():
    return sessions_of(ROWS, COLUMNS, label="label", interaction_type="type", keep=["price"])


@pytest.fixture
def vocabulary():
    return Vocabulary(["tea", "cup", "jam"])


def batches(dataset):
    return [{key: value.numpy() for key, value in batch.items()} for batch in dataset]


def test_events_in_tensors_out(sessions, vocabulary):
    (batch,) = batches(session_dataset(sessions, vocabulary))

    assert sorted(batch) == ["is_target", "item_ids", "labels", "session_times"]
    assert batch["item_ids"].dtype == np.int32
    assert batch["item_ids"].tolist() == [
        [[TEA, CUP, 0, 0], [CUP, 0, 0, 0], [JAM, TEA, CUP, JAM]],  # ann
        [[TEA, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],  # bob
        [[JAM, OOV, 0, 0], [OOV, 0, 0, 0], [0, 0, 0, 0]],  # cyd
    ]
    assert batch["labels"].dtype == np.float32
    assert batch["labels"].tolist() == [
        [[1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 1, 1]],
        [[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
        [[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]],
    ]
    assert batch["is_target"].dtype == np.bool_
    assert batch["is_target"].tolist() == [
        [True, True, True],
        [True, False, False],
        [True, True, False],
    ]
    assert batch["session_times"].dtype == np.int64
    assert batch["session_times"].tolist() == [[10, 20, 30], [12, 0, 0], [40, 50, 0]]


def test_truncation_keeps_the_newest(sessions, vocabulary):
    (batch,) = batches(session_dataset(sessions, vocabulary, max_sessions=2, max_items=3))

    assert batch["item_ids"].tolist() == [
        [[CUP, 0, 0], [TEA, CUP, JAM]],
        [[TEA, 0, 0], [0, 0, 0]],
        [[JAM, OOV, 0], [OOV, 0, 0]],
    ]
    # The start of a session is that of its first item, kept or not.
    assert batch["session_times"].tolist() == [[20, 30], [12, 0], [40, 50]]


def test_last_session_becomes_the_targets(sessions, vocabulary):
    (batch,) = batches(session_dataset(sessions, vocabulary, targets="last", max_sessions=1))

    # Truncation counts the sessions before the target and never cuts the target set. Bob, of one
    # session, has an empty history. Cyd's target is an item the vocabulary does not know.
    assert batch["item_ids"].tolist() == [[[CUP, 0]], [[0, 0]], [[JAM, OOV]]]
    assert batch["is_target"].tolist() == [[True], [False], [True]]
    assert batch["session_times"].tolist() == [[20], [0], [40]]
    assert batch["target_ids"].dtype == np.int32
    assert batch["target_ids"].tolist() == [[JAM, CUP], [TEA, 0], [OOV, 0]]


def test_targets_are_never_truncated(vocabulary):
    rows = [("u", 1, "tea", 1)] + [("u", 2, f"i{n}", 2) for n in range(50)]
    sessions = sessions_of(rows, COLUMNS[:4])
    vocabulary = Vocabulary.from_sessions(sessions)
    (batch,) = batches(
        session_dataset(sessions, vocabulary, targets="last", max_sessions=1, max_items=2)
    )
    assert vocabulary.raw(batch["target_ids"][0]).tolist() == [f"i{n}" for n in range(50)]


def test_two_unknown_targets_count_as_two(vocabulary):
    sessions = sessions_of([("u", 1, "tea", 1), ("u", 2, "x", 2), ("u", 2, "y", 2)], COLUMNS[:4])
    (batch,) = batches(session_dataset(sessions, vocabulary, targets="last"))
    assert batch["target_ids"].tolist() == [[OOV, OOV]]


def test_a_last_session_that_is_no_target_gives_none(sessions, vocabulary):
    events = sessions.events.with_columns(is_target=pl.col("session_id") != "a3")
    dataset = session_dataset(Sessions(events), vocabulary, targets="last")
    assert next(iter(dataset))["target_ids"].numpy().tolist() == [[0], [TEA], [OOV]]

    (batch,) = batches(session_dataset(Sessions(events), vocabulary))
    assert batch["is_target"][0].tolist() == [True, True, False]


def test_interaction_types(sessions, vocabulary):
    spec = HistorySpec(interaction_types=("click", "cart", "view"))
    (batch,) = batches(session_dataset(sessions, vocabulary, spec))
    assert batch["interaction_types"].dtype == np.int32
    assert batch["interaction_types"][0].tolist() == [
        [1, 1, 0, 0],
        [2, 0, 0, 0],
        [1, 1, 2, 0],
    ]


def test_context_columns(sessions, vocabulary):
    (batch,) = batches(session_dataset(sessions, vocabulary, context=["price"]))
    assert batch["price"].dtype == np.float64
    assert batch["price"][0].tolist() == [[2.5, 9, 0, 0], [9, 0, 0, 0], [0, 2.5, 9, 4]]


def test_item_times(sessions, vocabulary):
    (batch,) = batches(
        session_dataset(sessions, vocabulary, HistorySpec(item_times=True, max_items=3))
    )
    assert batch["item_times"].dtype == np.int64
    assert batch["item_times"].tolist() == [
        [[10, 11, 0], [20, 0, 0], [31, 32, 33]],
        [[12, 0, 0], [0, 0, 0], [0, 0, 0]],
        [[40, 41, 0], [50, 0, 0], [0, 0, 0]],
    ]


def test_session_context_is_the_first_row_of_each_session(sessions, vocabulary):
    # The first row of a3, jam at no price, is cut off.
    spec = HistorySpec(
        session_context={"interaction_type": ("cart", "click"), "price": None}, max_items=2
    )
    (batch,) = batches(session_dataset(sessions, vocabulary, spec))
    assert batch["interaction_type"].dtype == np.int32
    assert batch["interaction_type"].tolist() == [[2, 1, 2], [1, 0, 0], [2, 2, 0]]
    assert batch["price"].dtype == np.float64
    assert batch["price"].tolist() == [[2.5, 9, 0], [2.5, 0, 0], [4, 7, 0]]
    # a history without the last session, and static shapes
    spec = HistorySpec(session_context={"interaction_type": ("click",)}, max_sessions=3)
    (batch,) = batches(
        session_dataset(sessions, vocabulary, spec, targets="last", static_shapes=True)
    )
    assert batch["interaction_type"].tolist() == [[1, 0, 0], [0, 0, 0], [1, 0, 0]]


def test_bad_session_context(sessions, vocabulary):
    for value, message in (
        ({"colour": None}, "`session_context` should name columns of the sessions"),
        ({"session_times": None}, "`session_context` should not use the name of a key"),
        ({"interaction_type": None}, "`session_context` columns should be numeric"),
    ):
        with pytest.raises(ValueError, match=message):
            session_dataset(sessions, vocabulary, HistorySpec(session_context=value))


# ---------------------------------------------------------------------------------------------
# A specification, and the keywords that it replaced
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("former", "spec"),
    [
        ({"interaction_types": True}, {"interaction_types": ("buy", "cart", "click")}),
        ({"interaction_types": ["cart", "buy"]}, {"interaction_types": ("cart", "buy")}),
        ({"item_times": True}, {"item_times": True}),
        ({"session_context": ["price"]}, {"session_context": {"price": None}}),
        (
            {"session_context": {"interaction_type": ["cart", "click"]}},
            {"session_context": {"interaction_type": ("cart", "click")}},
        ),
        ({"request_times": "next_start"}, {"request_times": True}),
        ({"request_times": "last_interaction"}, {"request_times": True}),
        ({"match_ids": True, "context": ("position", "price")}, {"relation": ("price",)}),
    ],
)
@pytest.mark.parametrize("targets", [None, "last"])
def test_former_keywords_warn_and_mean_the_same(sessions, vocabulary, former, spec, targets):
    sessions = Sessions(sessions.events.with_columns(position=pl.lit(1)))
    with pytest.warns(FutureWarning, match=r"`session_dataset\(.*\)` goes away") as warned:
        old = session_dataset(sessions, vocabulary, targets=targets, **former)
    assert warned[0].filename == __file__
    examples = Examples.last_sessions(sessions) if targets else Examples.sequences(sessions)
    if former.get("request_times"):
        examples = dataclasses.replace(examples, asked=former["request_times"])
    new = session_dataset(examples, vocabulary, HistorySpec(**spec), targets=targets)
    for one, other in zip(batches(old), batches(new), strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            assert value.dtype == other[name].dtype
            np.testing.assert_array_equal(value, other[name])


@pytest.mark.filterwarnings("ignore:.*goes away:FutureWarning")
@pytest.mark.parametrize(
    ("former", "message"),
    [
        ({"interaction_types": "click"}, "`interaction_types` should be distinct values"),
        ({"interaction_types": ["a", "a"]}, "`interaction_types` should be distinct values"),
        ({"request_times": "now"}, '`request_times` should be None, "next_start" or'),
        ({"session_context": "price"}, "`session_context` should be a list of columns"),
        ({"session_context": {"interaction_type": ["a", "a"]}}, "should be distinct values"),
        (
            {"session_context": ["price"], "context": ["price"]},
            "should not share a column. Received: 'price'",
        ),
    ],
)
def test_bad_former_keywords(sessions, vocabulary, former, message):
    with pytest.raises(ValueError, match=message):
        session_dataset(sessions, vocabulary, **former)


def test_unknown_keywords(sessions, vocabulary):
    for spec in (None, HistorySpec()):
        with pytest.raises(TypeError, match=r"`session_dataset` has no arguments max_session$"):
            session_dataset(sessions, vocabulary, spec, max_session=3)


@pytest.mark.parametrize("keywords", [{"max_sessions": 3}, {"max_items": 2}, {"item_times": True}])
def test_a_specification_is_complete(sessions, vocabulary, keywords):
    (name,) = keywords
    with pytest.raises(ValueError, match=f"`spec` has the fields {name}: .* Received: `{name}`="):
        session_dataset(sessions, vocabulary, HistorySpec(), **keywords)


def test_a_specification_of_another_vocabulary(sessions):
    vocabulary = Vocabulary(["tea", "cup", "jam"], num_oov_indices=3)
    with pytest.raises(ValueError, match=r"`spec.first_item_index` should be 4, .*Received: 2"):
        session_dataset(sessions, vocabulary, HistorySpec())
    session_dataset(sessions, vocabulary, HistorySpec(first_item_index=4))


def test_max_sessions_of_a_specification_counts_the_history(sessions, vocabulary):
    def width(*arguments, **options):
        (batch,) = batches(session_dataset(*arguments, **options))
        return batch["item_ids"].shape[1]

    one = HistorySpec(max_sessions=1)
    examples = expand_targets(sessions)
    for rows in (sessions, examples):
        assert width(rows, vocabulary, one) == 2  # the history and the target
        assert width(rows, vocabulary, one, targets="last") == 1
        assert width(rows, vocabulary, max_sessions=2) == 2
        assert width(rows, vocabulary, max_sessions=1, targets="last") == 1


def test_min_sessions(sessions, vocabulary):
    (batch,) = batches(session_dataset(sessions, vocabulary, min_sessions=2, max_sessions=1))
    assert batch["item_ids"][:, 0, 0].tolist() == [JAM, OOV]  # bob is left out


def test_integer_ids():
    sessions = sessions_of([(1, 1, 70, 0), (1, 2, 5, 9), (2, 3, 5, 1)], COLUMNS[:4])
    (batch,) = batches(session_dataset(sessions, Vocabulary.from_sessions(sessions)))
    assert batch["item_ids"].tolist() == [[[3], [2]], [[2], [0]]]


def test_unshuffled_rows_keep_their_order(sessions, vocabulary):
    dataset = session_dataset(sessions, vocabulary, batch_size=2)
    assert dataset.cardinality() == 2
    first, second = batches(dataset)
    assert first["session_times"].tolist() == [[10, 20, 30], [12, 0, 0]]
    assert second["session_times"].tolist() == [[40, 50]]
    assert second["item_ids"].shape == (1, 2, 2)  # as long as its own longest row and session


def test_batch_positions_in_order(vocabulary):
    # Users of 1, 2, 1, 1, 5, 1 sessions, at most 4 cells [B, S] a batch:
    # 1 and 2 make 2 × 2; 1 and 1 make 2 × 1, the 5 exceeds the limit alone.
    rows = [
        (user, f"{user}-{n}", "tea", 100 * user + n)
        for user, length in enumerate([1, 2, 1, 1, 5, 1])
        for n in range(length)
    ]
    sessions = sessions_of(rows, COLUMNS[:4])
    dataset = session_dataset(sessions, vocabulary, batch_positions=4)
    shapes = [batch["item_ids"].shape for batch in batches(dataset)]
    assert shapes == [(2, 2, 1), (2, 1, 1), (1, 5, 1), (1, 1, 1)]
    assert dataset.cardinality() == 4

    shuffled = session_dataset(sessions, vocabulary, batch_positions=4, seed=0)
    shapes = [batch["item_ids"].shape for batch in batches(shuffled)]
    assert sorted(shapes) == [(1, 2, 1), (1, 5, 1), (4, 1, 1)]  # sorted by length first
    assert shuffled.cardinality() == 3


# ---------------------------------------------------------------------------------------------
# Against plain Python
# ---------------------------------------------------------------------------------------------


def plain_rows(sessions, vocabulary, max_sessions, max_items, targets):
    """What each user's row holds, without padding: (items, labels, times, targets) of each."""
    users = {}
    for event in sessions.events.iter_rows(named=True):
        user = users.setdefault(event["user_id"], {})
        user.setdefault(event["session_index"], []).append(event)
    index = {raw: place + vocabulary.first_item_index for place, raw in enumerate(vocabulary.ids)}
    rows = []
    for user in users.values():
        history = [user[key] for key in sorted(user)]
        positives = []
        if targets == "last":
            for event in history.pop():
                if event["label"] == 1 and event["item_id"] not in positives:
                    positives.append(event["item_id"])
        history = history[-max_sessions:]
        rows.append(
            (
                [[index.get(e["item_id"], 1) for e in s[-max_items:]] for s in history],
                [[e["label"] for e in s[-max_items:]] for s in history],
                [math.floor(s[0]["timestamp"]) for s in history],
                [index.get(raw, 1) for raw in positives],
            )
        )
    return rows


def read_back(batch):
    """The same from a batch, checking that padding is last and zero."""
    rows = []
    for b in range(len(batch["item_ids"])):
        row = ([], [], [], [])
        for s in range(batch["item_ids"].shape[1]):
            length = np.count_nonzero(batch["item_ids"][b, s])
            assert not batch["item_ids"][b, s, length:].any()
            assert not batch["labels"][b, s, length:].any()
            assert batch["is_target"][b, s] == (length > 0)
            if length == 0:
                assert not batch["item_ids"][b, s:].any()
                assert not batch["session_times"][b, s:].any()
                break
            row[0].append(batch["item_ids"][b, s, :length].tolist())
            row[1].append(batch["labels"][b, s, :length].tolist())
            row[2].append(int(batch["session_times"][b, s]))
        if "target_ids" in batch:
            ids = batch["target_ids"][b]
            length = np.count_nonzero(ids)
            assert not ids[length:].any()
            row[3].extend(ids[:length].tolist())
        rows.append(row)
    return rows


LOGS = st.lists(
    st.tuples(
        st.integers(0, 5),  # user
        st.integers(0, 3),  # session of the user
        st.integers(0, 8),  # item
        st.integers(0, 30),  # time, with ties
        st.integers(0, 1),  # label
    ),
    min_size=1,
    max_size=60,
)


@settings(max_examples=40, deadline=None)
@given(
    log=LOGS,
    max_sessions=st.integers(1, 4),
    max_items=st.integers(1, 5),
    batch=st.one_of(
        st.builds(lambda n: {"batch_size": n}, st.integers(1, 4)),
        st.builds(lambda n: {"batch_positions": n}, st.integers(1, 8)),
    ),
    targets=st.sampled_from([None, "last"]),
    seed=st.sampled_from([None, 3]),
    static_shapes=st.booleans(),
)
def test_equals_plain_python(log, max_sessions, max_items, batch, targets, seed, static_shapes):
    static_shapes &= "batch_size" in batch
    sessions = sessions_of(log, COLUMNS[:5], label="label")
    vocabulary = Vocabulary([0, 1, 2, 3, 4])  # items 5 to 8 are unknown to it
    expected = plain_rows(sessions, vocabulary, max_sessions, max_items, targets)

    dataset = session_dataset(
        sessions,
        vocabulary,
        max_sessions=max_sessions,
        max_items=max_items,
        targets=targets,
        seed=seed,
        static_shapes=static_shapes,
        **batch,
    )
    result = batches(dataset)

    rows = [row for one in result for row in read_back(one)]
    assert dataset.cardinality() == len(result)
    assert (sorted(rows) if seed is not None else rows) == (
        sorted(expected) if seed is not None else expected
    )
    for one in result:
        num_rows, num_sessions, num_items = one["item_ids"].shape
        if static_shapes:
            assert (num_sessions, num_items) == (max_sessions, max_items)
        else:
            longest = max(1, max(len(row[0]) for row in read_back(one)))
            assert num_sessions == longest
        if "batch_size" in batch:
            assert num_rows <= batch["batch_size"]
        else:
            assert num_rows * num_sessions <= batch["batch_positions"] or num_rows == 1


# ---------------------------------------------------------------------------------------------
# Shuffling
# ---------------------------------------------------------------------------------------------


@pytest.fixture
def many():
    """200 users, of 1 to 6 sessions; the item of each session is its user."""
    lengths = np.random.default_rng(0).integers(1, 7, 200)
    rows = [
        (user, f"{user}-{n}", user, n) for user, length in enumerate(lengths) for n in range(length)
    ]
    return sessions_of(rows, COLUMNS[:4])


def users_of(epoch):
    return [batch["item_ids"][:, 0, 0].tolist() for batch in batches(epoch)]


def flat(epoch):
    return [user for batch in epoch for user in batch]


def test_each_epoch_has_its_own_order_and_every_row_once(many):
    vocabulary = Vocabulary.from_sessions(many)
    for batch in ({"batch_size": 16}, {"batch_positions": 60}):
        dataset = session_dataset(many, vocabulary, seed=5, **batch)
        epochs = [users_of(dataset) for _ in range(3)]
        for epoch in epochs:
            assert sorted(flat(epoch)) == list(range(2, 202))
            assert len(epoch) == dataset.cardinality()
        assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
        # Not the batches alone: who shares a batch changes too.
        assert set(map(frozenset, epochs[0])) != set(map(frozenset, epochs[1]))


def test_the_seed_decides_the_order(many):
    vocabulary = Vocabulary.from_sessions(many)
    first, again, other = (
        [users_of(dataset) for _ in range(3)]
        for dataset in (
            session_dataset(many, vocabulary, batch_size=16, seed=seed) for seed in (5, 5, 6)
        )
    )
    assert first == again
    assert first[0] != other[0]


def test_shuffle_follows_the_seed_by_default(many):
    vocabulary = Vocabulary.from_sessions(many)
    in_order = users_of(session_dataset(many, vocabulary, batch_size=16))
    assert users_of(session_dataset(many, vocabulary, batch_size=16, shuffle=False, seed=1)) == (
        in_order
    )
    assert users_of(session_dataset(many, vocabulary, batch_size=16, seed=1)) != in_order
    unseeded = [
        users_of(session_dataset(many, vocabulary, batch_size=16, shuffle=True)) for _ in range(2)
    ]
    assert unseeded[0] != in_order
    assert unseeded[0] != unseeded[1]


def test_shuffled_batches_hold_rows_of_like_length(many):
    vocabulary = Vocabulary.from_sessions(many)

    def padding(**arguments):
        found = batches(session_dataset(many, vocabulary, batch_size=10, **arguments))
        ids = [batch["item_ids"] for batch in found]
        return sum((x == 0).sum() for x in ids) / sum(x.size for x in ids)

    # 20 batches, at most 5 of which hold two lengths.
    assert padding(seed=1) < 0.06
    assert padding() > 0.3

    longest = [
        batch["item_ids"].shape[1]
        for batch in batches(session_dataset(many, vocabulary, batch_size=10, seed=1))
    ]
    assert longest != sorted(longest)  # the batches themselves come in random order


def test_drop_remainder(many):
    vocabulary = Vocabulary.from_sessions(many)
    dataset = session_dataset(many, vocabulary, batch_size=30, drop_remainder=True, seed=2)
    assert dataset.element_spec["item_ids"].shape.as_list() == [30, None, None]
    dropped = []
    for _ in range(2):
        epoch = users_of(dataset)
        assert [len(batch) for batch in epoch] == [30] * 6
        rows = set(flat(epoch))
        assert len(rows) == 180
        dropped.append(set(range(2, 202)) - rows)
    assert dropped[0] != dropped[1]

    in_order = session_dataset(many, vocabulary, batch_size=30, drop_remainder=True)
    everyone = users_of(session_dataset(many, vocabulary, batch_size=30))
    assert users_of(in_order) == everyone[:6]


# ---------------------------------------------------------------------------------------------
# The pipeline itself
# ---------------------------------------------------------------------------------------------


def test_static_shapes(sessions, vocabulary):
    dataset = session_dataset(
        sessions,
        vocabulary,
        max_sessions=5,
        max_items=6,
        batch_size=2,
        targets="last",
        static_shapes=True,
        drop_remainder=True,
    )
    assert {key: spec.shape.as_list() for key, spec in dataset.element_spec.items()} == {
        "item_ids": [2, 5, 6],
        "labels": [2, 5, 6],
        "is_target": [2, 5],
        "session_times": [2, 5],
        "target_ids": [2, 2],
    }
    (batch,) = batches(dataset)
    assert batch["item_ids"].shape == (2, 5, 6)
    assert batch["target_ids"].tolist() == [[JAM, CUP], [TEA, 0]]


def all_ops(graph_def):
    yield from (node.op for node in graph_def.node)
    for function in graph_def.library.function:
        yield from (node.op for node in function.node_def)


@pytest.mark.parametrize("arguments", [{}, {"seed": 1}, {"seed": 1, "batch_positions": 9}])
def test_no_python_in_the_graph(sessions, vocabulary, arguments):
    dataset = session_dataset(sessions, vocabulary, targets="last", **arguments)
    graph = tf.compat.v1.GraphDef.FromString(dataset._as_serialized_graph().numpy())
    ops = set(all_ops(graph))
    assert "GatherV2" in ops  # the walk does see into the functions
    assert not {op for op in ops if "PyFunc" in op or "Generator" in op}


def test_repeat_and_known_cardinality(many):
    dataset = session_dataset(many, Vocabulary.from_sessions(many), batch_size=64, seed=0)
    assert dataset.repeat(3).cardinality() == 12
    epochs = users_of(dataset.repeat(2))
    assert sorted(flat(epochs[:4])) == sorted(flat(epochs[4:])) == list(range(2, 202))
    assert epochs[:4] != epochs[4:]


def test_a_strategy_distributes_it(many):
    devices = tf.config.list_logical_devices("CPU")
    strategy = tf.distribute.MirroredStrategy([devices[0].name])
    dataset = session_dataset(many, Vocabulary.from_sessions(many), batch_size=64)
    distributed = strategy.experimental_distribute_dataset(dataset)
    rows = [
        local["item_ids"].numpy()[:, 0, 0].tolist()
        for batch in distributed
        for local in [{key: strategy.experimental_local_results(batch[key])[0] for key in batch}]
    ]
    assert rows == users_of(dataset)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_sessions": 0}, "`max_sessions` should be a positive integer. Received: .*=0"),
        ({"max_items": -1}, "`max_items` should be a positive integer. Received: .*=-1"),
        ({"batch_size": 0}, "`batch_size` should be a positive integer"),
        ({"batch_size": 2.5}, "`batch_size` should be a positive integer. Received: .*=2.5"),
        ({"batch_positions": True}, "`batch_positions` should be a positive integer"),
        ({"min_sessions": 0}, "`min_sessions` should be a positive integer"),
        ({"batch_size": 1, "batch_positions": 1}, "Only one of `batch_size` and"),
        ({"batch_positions": 5, "static_shapes": True}, "need `batch_size`"),
        ({"batch_positions": 5, "drop_remainder": True}, "need `batch_size`"),
        ({"targets": "next"}, "`targets` should be None or \"last\". Received: .*'next'"),
        ({"context": "price"}, "`context` should be a list of columns"),
        ({"context": ["cost"]}, "`context` should name columns of .* Received: 'cost'"),
        ({"context": ["interaction_type"]}, "should be numeric. Received: 'interaction_type'"),
        ({"context": ["item_ids"]}, "should not use the name of a key of the batch"),
        ({"min_sessions": 4}, "No user has as many sessions as `min_sessions`"),
        ({"drop_remainder": True}, "`drop_remainder` leaves no batch"),
    ],
)
def test_bad_arguments(sessions, vocabulary, arguments, message):
    with pytest.raises(ValueError, match=message):
        session_dataset(sessions, vocabulary, **arguments)


def test_interaction_types_that_were_not_kept(vocabulary):
    sessions = sessions_of([row[:4] for row in ROWS], COLUMNS[:4])
    with pytest.raises(ValueError, match=r"give `sessionize\(interaction_type=...\)`"):
        session_dataset(sessions, vocabulary, HistorySpec(interaction_types=("click",)))
    with (
        pytest.raises(ValueError, match=r"give `sessionize\(interaction_type=...\)`"),
        pytest.warns(FutureWarning, match="goes away"),
    ):
        session_dataset(sessions, vocabulary, interaction_types=True)


def test_ids_of_another_type_than_the_vocabulary(sessions):
    with pytest.raises(ValueError, match="type"):
        session_dataset(sessions, Vocabulary([1, 2]))
