"""Habit against counts made one by one, and its term on every way that a score is made."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec.layers import HabitFeatures
from tfsessionrec.layers.terms.habit_term import HabitTerm
from tfsessionrec.losses import catalogue_softmax_loss
from tfsessionrec.scoring import Queries

VOCABULARY = 9
RATES = np.linspace(0, 0.9, VOCABULARY, dtype=np.float32)
HALF_LIVES, SECONDS = (1.0, 3.0), (50.0,)


def make() -> HabitFeatures:
    layer = HabitFeatures(VOCABULARY, session_half_lives=HALF_LIVES, half_lives=SECONDS)
    layer.build(tf.TensorShape([None, 4]))
    layer.set_repeat_rates(RATES)
    random = np.random.default_rng(7)
    for weight in layer.trainable_weights:
        weight.assign(random.normal(size=weight.shape))
    return layer


@pytest.fixture(scope="module")
def batch() -> dict[str, np.ndarray]:
    """Rows of up to 7 sessions of up to 3 items, with unknown ones, repeats and negatives."""
    random = np.random.default_rng(0)
    items = random.integers(0, VOCABULARY, (6, 7, 3))
    items[:, :, 0] = np.maximum(items[:, :, 0], 1)  # no session is empty
    items[2, 4:] = 0
    items[5, 1:] = 0
    return {
        "item_ids": items.astype(np.int32),
        "labels": (random.random(items.shape) < 0.7).astype(np.float32),
        "session_times": np.cumsum(random.integers(0, 90, (6, 7)), axis=1),
    }


def expected(batch: dict[str, np.ndarray], row: int, end: int, candidate: int) -> list[float]:
    """The features of one candidate, from their definition."""
    items, labels, times = (values[row] for values in batch.values())
    taken = [
        {int(i) for i, label in zip(items[s], labels[s], strict=True) if i and label}
        for s in range(end + 1)
    ]
    holding = [s for s, some in enumerate(taken) if candidate in some]
    if candidate < 2 or not holding:
        return [0.0] * 9
    sessions = [s for s, some in enumerate(taken) if some]
    shares = [len(holding) / len(sessions)]
    ages = [{s: (end - s) / h for s in sessions} for h in HALF_LIVES]
    ages += [{s: (times[end] - times[s]) / h for s in sessions} for h in SECONDS]
    for age in ages:
        weight = {s: 2.0 ** -age[s] for s in sessions}
        shares.append(sum(weight[s] for s in holding) / sum(weight.values()))
    due = 0.0
    if len(holding) > 1:
        gap = np.mean(np.diff(holding))
        since = end + 1 - holding[-1]
        due = min(since / gap, gap / since)
    rate = float(RATES[candidate])
    return [1.0, np.log1p(len(holding)), *shares, due, rate, rate * shares[0]]


def ends_of(batch: dict[str, np.ndarray]) -> np.ndarray:
    rows, sessions = batch["item_ids"].shape[:2]
    return np.tile(np.arange(sessions, dtype=np.int32), (rows, 1))


@pytest.mark.parametrize("static_shapes", [False, True])
def test_features(batch: dict[str, np.ndarray], static_shapes: bool) -> None:
    ends = ends_of(batch)
    found, features = make().features(ends=tf.constant(ends), static_shapes=static_shapes, **batch)
    assert np.all(np.diff(found.numpy().astype(np.int64), axis=1) >= 0)
    if static_shapes:
        assert found.shape[1] == 21
    for query, (row, end) in enumerate(np.ndindex(ends.shape)):
        by_item = dict(zip(found[row].numpy().tolist(), features[query].numpy().T, strict=True))
        for candidate in range(VOCABULARY):
            right = expected(batch, row, end, candidate)
            np.testing.assert_allclose(by_item.get(candidate, np.zeros(9)), right, atol=1e-5)


def test_due_by_hand() -> None:
    """Taken in sessions 0 and 2 of 5: a gap of 2, and 3 sessions since."""
    layer = HabitFeatures(9, session_half_lives=())
    ids = tf.constant([[[5], [6], [5], [7], [6]]])
    _, features = layer.features(ids, tf.constant([[4]]))
    assert features[0, 3, 0].numpy() == pytest.approx(2 / 3)


def term_of(batch: dict[str, np.ndarray], **options: object) -> HabitTerm:
    count = batch["item_ids"].shape[0] * batch["item_ids"].shape[1]
    queries = tf.constant(np.random.default_rng(3).normal(size=(count, 4)), tf.float32)
    return make().term(queries, ends=tf.constant(ends_of(batch)), **batch, **options)


def dense(term: HabitTerm) -> np.ndarray:
    """[R, VOCABULARY] terms, from what the term holds."""
    item_ids, terms = (part.numpy() for part in term.stored())
    found = np.zeros((len(item_ids), VOCABULARY + 1))
    np.put_along_axis(found, np.minimum(item_ids, VOCABULARY), terms, axis=1)
    return found[:, :VOCABULARY]


def test_call_is_linear_in_the_gates(batch: dict[str, np.ndarray]) -> None:
    layer = make()
    queries = np.random.default_rng(3).normal(size=(42, 4)).astype(np.float32)
    ends = ends_of(batch)
    kernel, bias = (weight.numpy() for weight in layer.trainable_weights)
    found = layer(
        tf.constant(queries), batch["item_ids"], ends, tf.range(VOCABULARY),
        labels=batch["labels"], session_times=batch["session_times"],
    )  # fmt: skip
    for query, (row, end) in enumerate(np.ndindex(ends.shape)):
        gates = queries[query] @ kernel + bias
        right = [gates @ expected(batch, row, end, c) for c in range(VOCABULARY)]
        np.testing.assert_allclose(found[query], right, atol=1e-4)


def test_candidates_in_any_order(batch: dict[str, np.ndarray]) -> None:
    term = term_of(batch)
    right = dense(term)
    assert np.abs(right).sum() > 1
    for shared in ([3, 4, 8], [8, 2, 2, 5, 8], [0]):
        np.testing.assert_allclose(term(tf.constant(shared)), right[:, shared], rtol=1e-6)
    own = np.random.default_rng(1).integers(0, VOCABULARY, (len(right), 5))
    right = np.take_along_axis(right, own, axis=1)
    np.testing.assert_allclose(term(tf.constant(own)), right, rtol=1e-6)
    assert term.features(tf.constant(own)).shape == (len(right), 1, 5)


def test_as_every_term(batch: dict[str, np.ndarray]) -> None:
    """Gathered, chosen, joined with wider ones, divided, through a `tf.function`."""
    term = term_of(batch)
    wide = term_of(batch, static_shapes=True)
    assert wide.item_ids.shape[1] > term.item_ids.shape[1]
    right = dense(term)
    np.testing.assert_allclose(dense(term.gather(tf.constant([3, 3]))), right[[3, 3]])
    np.testing.assert_allclose(dense(term.select(tf.constant(right[:, 2] != 0))).shape[1], 9)
    np.testing.assert_allclose(dense(term.join([wide])), np.concatenate([right, right]), rtol=1e-5)
    np.testing.assert_allclose(dense(term.scaled(4.0)), right / 4, rtol=1e-6)
    same = tf.function(lambda term: term.scaled(1.0))(term)
    np.testing.assert_allclose(dense(same), right)


@pytest.mark.parametrize("first", [0, 2])
@pytest.mark.parametrize("block_elements", [20, 2**21])
def test_full_softmax(batch: dict[str, np.ndarray], first: int, block_elements: int) -> None:
    """Loss and gradients with the term held are those with the term of every candidate."""
    random = np.random.default_rng(2)
    term = term_of(batch)
    count, size = len(term.rows), VOCABULARY - first
    embeddings = tf.constant(random.normal(size=(count, 1, 4)), tf.float32)
    table = tf.constant(random.normal(size=(size, 4)), tf.float32)
    positives = np.array([random.choice(size, 2, replace=False) for _ in range(count)])
    ids = tf.range(first, VOCABULARY)
    stored = tf.constant(term.terms.numpy())
    with tf.GradientTape() as tape:
        tape.watch([stored, table, embeddings])
        loss = catalogue_softmax_loss(
            Queries(embeddings, (dataclasses.replace(term, terms=stored),)),
            table,
            tf.constant(positives, tf.int32),
            block_elements=block_elements,
            least_queries=4,
            candidate_ids=ids,
        ).total
    found = tape.gradient(loss, [stored, table, embeddings])
    with tf.GradientTape() as tape:
        tape.watch([stored, table, embeddings])
        scores = tf.matmul(embeddings[:, 0], table, transpose_b=True)
        scores += dataclasses.replace(term, terms=stored)(ids)
        right = tf.constant(0.0)
        for row in range(count):
            others = tf.constant([c for c in range(size) if c not in positives[row]])
            for one in positives[row]:
                every = tf.concat([scores[row, one][None], tf.gather(scores[row], others)], 0)
                right += tf.reduce_logsumexp(every) - scores[row, one]
    np.testing.assert_allclose(loss, right, rtol=1e-4)
    for mine, other in zip(found, tape.gradient(right, [stored, table, embeddings]), strict=True):
        mine, other = tf.convert_to_tensor(mine), tf.convert_to_tensor(other)
        np.testing.assert_allclose(mine, other, atol=1e-4)


def test_future_padding_and_other_rows(batch: dict[str, np.ndarray]) -> None:
    term = dense(term_of(batch)).reshape(6, 7, VOCABULARY)
    later = {name: values.copy() for name, values in batch.items()}
    later["item_ids"][:, 4:] = 5
    changed = dense(term_of(later)).reshape(6, 7, VOCABULARY)
    np.testing.assert_allclose(changed[:, :4], term[:, :4], atol=1e-6)
    assert not np.allclose(changed[:, 5:], term[:, 5:])
    wide = dict(batch, item_ids=np.pad(batch["item_ids"], [(0, 0), (0, 0), (0, 2)]))
    wide["labels"] = np.pad(batch["labels"], [(0, 0), (0, 0), (0, 2)], constant_values=1)
    np.testing.assert_allclose(dense(term_of(wide)).reshape(term.shape), term, atol=1e-6)
    others = {name: values.copy() for name, values in batch.items()}
    others["item_ids"][1] = 3
    alone = dense(term_of(others)).reshape(6, 7, VOCABULARY)
    np.testing.assert_allclose(alone[[0, 2, 3, 4, 5]], term[[0, 2, 3, 4, 5]], atol=1e-6)


def test_starts_neutral() -> None:
    layer = HabitFeatures(VOCABULARY)
    ids = tf.constant([[[5, 6]]])
    assert not np.any(layer(tf.ones([1, 4]), ids, tf.constant([[0]]), tf.range(VOCABULARY)))


def test_configuration() -> None:
    layer = make()
    twin = HabitFeatures.from_config(layer.get_config())
    assert twin.get_config() == layer.get_config()
    assert twin.num_features == 9
    assert [weight.shape for weight in layer.non_trainable_weights] == [(VOCABULARY,)]


@pytest.mark.slow
def test_xla(batch: dict[str, np.ndarray]) -> None:
    layer = make()
    queries = tf.constant(np.random.default_rng(3).normal(size=(42, 4)), tf.float32)

    @tf.function(jit_compile=True)
    def terms(queries: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
        ends = tf.constant(ends_of(batch))
        return layer(queries, candidate_ids=candidates, ends=ends, static_shapes=True, **batch)

    right = dense(term_of(batch))
    for shared in ([2, 3, 5], [8, 2, 2]):
        found = terms(queries, tf.constant(shared))
        np.testing.assert_allclose(found, right[:, shared], atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"vocabulary_size": 0}, "`vocabulary_size` should be a positive integer"),
        ({"session_half_lives": [0]}, "`session_half_lives` should be positive numbers"),
        ({"half_lives": "3"}, "`half_lives` should be"),
        ({"first_item_index": -1}, "`first_item_index` should be"),
    ],
)
def test_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HabitFeatures(**{"vocabulary_size": 5, **arguments})


def test_rates_and_times_are_checked() -> None:
    layer = make()
    for rates in (np.zeros(3), np.full(VOCABULARY, 1.5), np.full(VOCABULARY, np.nan)):
        with pytest.raises(ValueError, match="`rates` should be 9 numbers from 0 to 1"):
            layer.set_repeat_rates(rates)
    with pytest.raises(ValueError, match="`session_times` should be given"):
        layer.features(tf.constant([[[5]]]), tf.constant([[0]]))
